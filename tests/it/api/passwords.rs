//! The API on a PostgreSQL whose password changes while it runs, and comes from a command or from Azure.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use blogctl::{
    config::{AzureIdentity, AzureSettings, DatabaseSettings, IdentitySettings},
    db::{Database, DbError, users},
};
use diesel::connection::SimpleConnection as _;
use serde_json::json;
use tempfile::TempDir;
use url::Url;

use crate::support::{
    api::TestApi,
    azure::FakeAzure,
    database::{PostgresDatabase, block_on},
};

/// Longest wait; only a failing test reaches it.
const GUARD: Duration = Duration::from_mins(1);

/// A database whose user has a changing password, and a command that prints it.
struct Rotating {
    postgres: PostgresDatabase,
    role: String,
    folder: TempDir,
}

impl Rotating {
    /// `None` without a server.
    fn new() -> Option<Self> {
        let postgres = PostgresDatabase::new()?;
        let role = format!("{}_role", postgres.name);
        let rotating = Self {
            role,
            folder: tempfile::tempdir().expect("a temporary folder"),
            postgres,
        };
        rotating.administer(&format!(
            "CREATE ROLE {0} LOGIN; GRANT ALL ON SCHEMA public TO {0}",
            rotating.role
        ));
        rotating.rotate("first");
        Some(rotating)
    }

    fn administer(&self, sql: &str) {
        self.postgres.connection().batch_execute(sql).expect(sql);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes what the server accepts, and then what the command prints. A command that starts meanwhile waits.
    fn rotate(&self, password: &str) {
        let lock = fs::File::create(self.path("lock")).expect("a file");
        lock.lock().expect("locked");
        let quoted = password.replace('\'', "''");
        self.administer(&format!("ALTER ROLE {} PASSWORD '{quoted}'", self.role));
        fs::write(self.path("password"), password).expect("written");
    }

    /// Ends the connections of the role.
    fn disconnect(&self) {
        self.administer(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
            self.role
        ));
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.path("runs"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    fn url(&self) -> String {
        let mut url = Url::parse(&self.postgres.settings.url).expect("a URL");
        url.set_username(&self.role).expect("a user");
        url.set_password(None).expect("no password");
        url.into()
    }

    fn settings(&self) -> DatabaseSettings {
        let folder = self.folder.path().display();
        let script = format!("echo run >> {folder}/runs; flock {folder}/lock cat {folder}/password");
        DatabaseSettings {
            url: self.url(),
            password_command: ["sh", "-c", &script].map(str::to_owned).to_vec(),
            pool_size: 4,
            migrate_at_start: Some(true),
            ..DatabaseSettings::default()
        }
    }
}

impl Drop for Rotating {
    fn drop(&mut self) {
        // The database itself is deleted afterwards.
        let role = &self.role;
        self.disconnect();
        self.administer(&format!(
            "REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}"
        ));
    }
}

#[test]
fn a_password_that_changes_under_load_fails_no_connection_and_no_request() {
    let Some(rotating) = Rotating::new() else { return };
    let database = Database::open(&rotating.settings()).expect("opens");
    database.migrate().expect("migrates");
    let (is_over, connected, failures) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let record = |outcome: Result<(), DbError>| match outcome {
        Ok(()) => {
            connected.fetch_add(1, Ordering::SeqCst);
        }
        Err(error) => {
            failures.fetch_add(1, Ordering::SeqCst);
            assert!(error.is_transient(), "{error}");
        }
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    record(database.connect().map(drop));
                    record(block_on(database.read_short(users::count)).map(drop));
                }
            });
        }
        for number in 0..4 {
            let before = connected.load(Ordering::SeqCst);
            rotating.rotate(&format!("it's %41 \\\" number {number}"));
            let since = Instant::now();
            // Many connections with this password.
            while connected.load(Ordering::SeqCst) < before + 60 && since.elapsed() < GUARD {
                thread::sleep(Duration::from_millis(20));
            }
            // Longer than the shortest time between two extra runs.
            thread::sleep(Duration::from_secs(2));
        }
        is_over.store(true, Ordering::SeqCst);
    });
    let connected = connected.into_inner();
    assert!(connected >= 240, "{connected}");
    assert_eq!(failures.into_inner(), 0, "of {connected}");
    assert!(
        rotating.runs() <= 8,
        "{} runs for {connected} connections",
        rotating.runs()
    );
    database.close();
}

#[test]
fn a_rejected_password_causes_one_run_and_a_source_that_fails_hurts_new_connections_only() {
    let Some(rotating) = Rotating::new() else { return };
    let api = TestApi::with(|settings| settings.database = rotating.settings());
    let alice = api.alice();
    let id = alice.write("A title", "Some text");
    let path = format!("/v1/posts/{id}");
    assert_eq!(rotating.runs(), 1);

    rotating.rotate("second");
    rotating.disconnect();
    assert_eq!(alice.get(&path).status, 200);
    assert_eq!(rotating.runs(), 2, "one run after the rejection");

    // The source is down and the server accepts another password: open connections are not affected.
    rotating.rotate("third");
    fs::remove_file(rotating.path("password")).expect("removed");
    assert_eq!(alice.get(&path).status, 200);
    rotating.disconnect();
    for _ in 0..3 {
        let answer = alice.get(&path);
        answer.problem(503, "database_unavailable");
        assert!(
            !answer.text.contains("second") && !answer.text.contains("third"),
            "{}",
            answer.text
        );
    }
    fs::write(rotating.path("password"), "third").expect("written");
    alice.get_until(&path, 200);
}

#[test]
fn a_password_file_is_read_for_each_connection() {
    let Some(rotating) = Rotating::new() else { return };
    let settings = DatabaseSettings {
        password_command: Vec::new(),
        password_file: Some(rotating.path("password")),
        ..rotating.settings()
    };
    let database = Database::open(&settings).expect("opens");
    database.connect().map(drop).expect("connected");
    rotating.rotate(&"long ".repeat(20));
    database.connect().map(drop).expect("connected with the new password");
    fs::write(rotating.path("password"), "wrong").expect("written");
    let error = database.connect().map(drop).expect_err("rejected");
    assert!(error.is_transient() && !error.to_string().contains("wrong"), "{error}");
    database.close();
}

#[test]
fn a_token_of_the_managed_identity_is_the_password_and_is_renewed_when_it_is_rejected() {
    let Some(rotating) = Rotating::new() else { return };
    let azure = FakeAzure::start();
    let identity = IdentitySettings {
        azure: AzureSettings {
            identity: AzureIdentity::Managed,
            imds_url: azure.url(),
            ..AzureSettings::default()
        },
        ..IdentitySettings::default()
    };
    let settings = DatabaseSettings {
        password_command: Vec::new(),
        azure: true,
        identity: Some(Arc::new(identity)),
        ..rotating.settings()
    };
    rotating.rotate("token-1-of-the-machine");
    let database = Database::open(&settings).expect("opens");
    for _ in 0..3 {
        database.connect().map(drop).expect("connected");
    }
    let requests = || azure.requests_to("/metadata/identity/oauth2/token");
    assert_eq!(requests().len(), 1, "one token for all connections");
    let resource = requests()[0].query.get("resource").cloned();
    assert_eq!(resource.as_deref(), Some("https://ossrdbms-aad.database.windows.net"));
    rotating.rotate("token-2-of-the-machine");
    database.connect().map(drop).expect("connected with a new token");
    assert_eq!(requests().len(), 2);

    azure.fail(
        "/metadata/identity",
        1,
        400,
        json!({ "error": "invalid_request", "error_description": "Identity not found" }),
    );
    rotating.rotate("token-9-of-the-machine");
    let error = database.connect().map(drop).expect_err("no token");
    let DbError::Password(cause) = &error else {
        panic!("{error}")
    };
    assert!(
        error.is_transient() && cause.to_string().contains("Identity not found"),
        "{error}"
    );
    database.close();
}
