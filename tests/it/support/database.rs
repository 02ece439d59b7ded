//! A separate database for each test: always SQLite, and also PostgreSQL when `tests/run` provides a server.
//!
//! ```ignore
//! each_blog(async |test| {
//!     let author = test.user(1).await;
//!     test.blog.create(Rights::Write, &author, draft("A post")).await.expect("written");
//! });
//! ```

use std::sync::atomic::{AtomicU32, Ordering};

use blogctl::{
    blog::{Actor, Blog, Content, Draft, Rights, Title, User, UserKey},
    config::DatabaseSettings,
    db::Database,
};
use diesel::{Connection, PgConnection, RunQueryDsl, connection::SimpleConnection as _};
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

use super::needs;

/// Runs statements outside of a transaction, as another program would.
pub fn execute(database: &Database, statements: &str) {
    match &mut database.connect().expect("a connection").lend() {
        // The thread that indexes posts for the search may be writing.
        blogctl::db::Connection::Sqlite(c) => c
            .batch_execute("PRAGMA busy_timeout = 30000")
            .and_then(|()| c.batch_execute(statements)),
        blogctl::db::Connection::Postgres(c) => c.batch_execute(statements),
    }
    .expect(statements);
}

/// The same for a database that is not open yet.
pub fn execute_at(settings: &DatabaseSettings, statements: &str) {
    execute(&Database::open(settings).expect("opens"), statements);
}

/// Runs a test on a new database of each kind, without a schema.
pub fn each_database(test: impl Fn(&DatabaseSettings)) {
    let sqlite = SqliteFile::new();
    test(&sqlite.settings);
    if let Some(admin_url) = needs("BLOGCTL_TEST_POSTGRES_URL") {
        let postgres = PostgresDatabase::create(&admin_url);
        test(&postgres.settings);
    }
}

/// Like [`each_database`], opened and migrated.
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

/// Runs a future on a single-threaded runtime, as a worker of the server does.
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
    /// The user with this number.
    pub async fn user(&self, number: u128) -> User {
        self.blog
            .ensure_user(key(number), &format!("User {number}"))
            .await
            .expect("a user")
            .0
    }
}

/// The key of the user with this number.
pub fn key(number: u128) -> UserKey {
    UserKey {
        tenant_id: Uuid::from_u128(0xAAAA),
        object_id: Uuid::from_u128(number),
    }
}

/// A post to create.
pub fn draft(title: &str) -> Draft {
    Draft {
        title: Title::parse(title).expect("a title"),
        content: Content::parse(&format!("About {title}"), 1000).expect("a content"),
    }
}

/// An SQLite file in a new folder.
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

/// A new database on the PostgreSQL server of the tests, deleted when dropped.
pub struct PostgresDatabase {
    pub settings: DatabaseSettings,
    admin_url: String,
    pub name: String,
}

impl PostgresDatabase {
    /// `None` without a server.
    pub fn new() -> Option<Self> {
        needs("BLOGCTL_TEST_POSTGRES_URL").map(|url| Self::create(&url))
    }

    /// A separate connection, as the administrator of the server.
    pub fn connection(&self) -> PgConnection {
        PgConnection::establish(&self.settings.url).expect("the database")
    }

    pub fn create(admin_url: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "blogctl_{}_{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        // A locale beyond ASCII, independent of the default of the server.
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

/// An actor who may write posts, and change their own.
pub fn acting(key: UserKey) -> Actor {
    Actor {
        key,
        rights: Rights::Write,
    }
}
