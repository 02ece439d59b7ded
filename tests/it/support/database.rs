//! A database of its own for each test: SQLite always, PostgreSQL when `tests/run` gives a server.

use std::sync::atomic::{AtomicU32, Ordering};

use blogctl::{
    blog::{Actor, Blog, Content, Draft, Rights, Title, User, UserKey},
    config::DatabaseSettings,
    db::Database,
};
use diesel::{Connection, PgConnection, RunQueryDsl};
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

use super::needs;

/// Runs a test on a fresh database of each kind. It has no schema yet.
pub fn each_database(test: impl Fn(&DatabaseSettings)) {
    let sqlite = SqliteFile::new();
    test(&sqlite.settings);
    if let Some(admin_url) = needs("BLOGCTL_TEST_POSTGRES_URL") {
        let postgres = PostgresDatabase::create(&admin_url);
        test(&postgres.settings);
    }
}

/// As [`each_database`], with the schema, opened.
pub fn each_blog<F: Future<Output = ()>>(test: impl Fn(TestBlog) -> F) {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        database.migrate().expect("migrates");
        block_on(test(TestBlog {
            blog: Blog::new(database.clone()),
            database: database.clone(),
        }));
        database.close();
    });
}

/// Runs a test's future on a runtime like a server's worker.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// An open, migrated database and the blog on it.
pub struct TestBlog {
    pub blog: Blog,
    pub database: Database,
}

impl TestBlog {
    /// A user known by a number.
    pub async fn user(&self, number: u128) -> User {
        self.blog
            .ensure_user(key(number), &format!("User {number}"))
            .await
            .expect("a user")
            .0
    }
}

/// The key of the user with a number.
pub fn key(number: u128) -> UserKey {
    UserKey {
        tenant_id: Uuid::from_u128(0xAAAA),
        object_id: Uuid::from_u128(number),
    }
}

/// A post to be written.
pub fn draft(title: &str) -> Draft {
    Draft {
        title: Title::parse(title).expect("a title"),
        content: Content::parse(&format!("About {title}"), 1000).expect("a content"),
    }
}

/// A path in a folder of its own.
pub struct SqliteFile {
    pub settings: DatabaseSettings,
    pub folder: TempDir,
}

impl SqliteFile {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = folder.path().join("blog.db").display().to_string();
        Self {
            settings: DatabaseSettings {
                url,
                ..DatabaseSettings::default()
            },
            folder,
        }
    }
}

/// A database on the test server, dropped at the end.
pub struct PostgresDatabase {
    pub settings: DatabaseSettings,
    admin_url: String,
    pub name: String,
}

impl PostgresDatabase {
    /// `None` where there is no server to test with.
    pub fn new() -> Option<Self> {
        needs("BLOGCTL_TEST_POSTGRES_URL").map(|url| Self::create(&url))
    }

    /// A connection of the test's own, as the server's administrator.
    pub fn connection(&self) -> PgConnection {
        PgConnection::establish(&self.settings.url).expect("the database")
    }

    fn create(admin_url: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "blogctl_{}_{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        // A locale that knows more than ASCII, whatever the server's default.
        administer(
            admin_url,
            &format!(
                "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
            ),
        );
        let mut url = Url::parse(admin_url).expect("a URL");
        url.set_path(&name);
        let settings = DatabaseSettings {
            url: url.into(),
            pool_size: 4,
            ..DatabaseSettings::default()
        };
        Self {
            settings,
            admin_url: admin_url.to_owned(),
            name,
        }
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        administer(&self.admin_url, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn administer(admin_url: &str, statement: &str) {
    let mut connection = PgConnection::establish(admin_url).expect("the server of BLOGCTL_TEST_POSTGRES_URL");
    diesel::sql_query(statement).execute(&mut connection).expect(statement);
}

/// Somebody who may write, and change what is their own.
pub fn acting(key: UserKey) -> Actor {
    Actor {
        key,
        rights: Rights::Write,
    }
}
