//! The kind of a database error: whether a retry may succeed, and whether its connection can still be used.
//!
//! Diesel reports the SQLSTATE of some errors as their kind. For all others it passes on only the server's message,
//! which PostgreSQL translates by `lc_messages`, or SQLite's message without the result code. So this is the only place
//! that looks at the text of a statement's error.

mod postgres_messages;

use diesel::result::{DatabaseErrorKind, Error};

use self::postgres_messages::{CHANGED_RESULT, DEADLOCK, LOCK_TIMEOUT, TRANSIENT};

/// The kind of an error. The worst for the connection comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The connection is lost (SQLSTATE 08xxx, 57P0x, or no answer at all).
    Lost,
    /// The server process does not have this connection's prepared statements: there is a connection pooler in between.
    PreparedStatements,
    /// The schema has changed since a statement was prepared.
    SchemaChanged,
    /// The server accepts no writes (SQLSTATE 25006): a standby, most likely since a failover.
    ReadOnly,
    /// This transaction was rolled back in favour of another one (SQLSTATE 40001, 40P01).
    Conflict,
    /// Another connection holds SQLite's lock (SQLITE_BUSY).
    Busy,
    /// A time limit, a lock, or a lack of disk or memory (SQLSTATE 57014, 55P03, 53xxx; SQLITE_LOCKED, _FULL, _IOERR,
    /// _CANTOPEN).
    Transient,
    /// A retry fails again.
    Permanent,
}

impl Failure {
    /// Classifies an error.
    pub fn classify(error: &Error) -> Self {
        match error {
            Error::DatabaseError(kind, information) => Self::from_kind(*kind, information.message()),
            Error::RollbackErrorOnCommit {
                commit_error,
                rollback_error,
            } => Self::classify(commit_error).min(Self::classify(rollback_error)),
            // An earlier error, which was not the work's own, has ended the transaction.
            Error::BrokenTransactionManager => Self::Lost,
            _ => Self::Permanent,
        }
    }

    /// Whether a later retry may succeed.
    pub fn is_transient(self) -> bool {
        // After `PreparedStatements`, the statements are prepared anew on another connection.
        self != Self::Permanent
    }

    /// Whether the connection can no longer be used.
    pub fn ends_the_connection(self) -> bool {
        matches!(
            self,
            Self::Lost | Self::PreparedStatements | Self::SchemaChanged | Self::ReadOnly
        )
    }

    fn from_kind(kind: DatabaseErrorKind, message: &str) -> Self {
        match kind {
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => Self::Lost,
            DatabaseErrorKind::ReadOnlyTransaction => Self::ReadOnly,
            DatabaseErrorKind::SerializationFailure => Self::Conflict,
            DatabaseErrorKind::Unknown => Self::from_message(message),
            _ => Self::Permanent,
        }
    }

    fn from_message(message: &str) -> Self {
        // Each such message names the statement: it does not exist, exists already, or takes other parameters.
        if message.contains("__diesel_stmt_") {
            Self::PreparedStatements
        } else if matches_any(message, CHANGED_RESULT) {
            Self::SchemaChanged
        } else if matches_any(message, DEADLOCK) {
            Self::Conflict
        } else if message == SQLITE_BUSY {
            Self::Busy
        } else if TRANSIENT.iter().any(|family| matches_any(message, family)) || is_transient_in_sqlite(message) {
            Self::Transient
        } else {
            Self::Permanent
        }
    }
}

/// Whether the text contains PostgreSQL's message for 55P03, `lock_timeout`, as the error of a migration does.
pub fn is_lock_timeout(text: &str) -> bool {
    LOCK_TIMEOUT.iter().any(|message| text.contains(message))
}

/// SQLite's message for SQLITE_BUSY.
const SQLITE_BUSY: &str = "database is locked";

/// Whether the message is that of a transient [SQLite result code](https://www.sqlite.org/rescode.html). Extended codes
/// share the message of their primary code.
fn is_transient_in_sqlite(message: &str) -> bool {
    const EXACT: &[&str] = &[
        "database table is locked",     // SQLITE_LOCKED
        "database schema is locked",    // SQLITE_LOCKED
        "database or disk is full",     // SQLITE_FULL
        "disk I/O error",               // SQLITE_IOERR
        "unable to open database file", // SQLITE_CANTOPEN
        "locking protocol",             // SQLITE_PROTOCOL
        "out of memory",                // SQLITE_NOMEM
        "interrupted",                  // SQLITE_INTERRUPT
    ];
    const PREFIXES: &[&str] = &[
        "database table is locked: ",
        "unable to open database: ",
        "database schema is locked: ",
        // SQLite has rolled back the whole transaction (SQLITE_FULL, _IOERR, _NOMEM), and Diesel's savepoints with it.
        "no such savepoint: diesel_savepoint_",
    ];
    EXACT.contains(&message) || PREFIXES.iter().any(|prefix| message.starts_with(prefix))
}

/// Whether the message matches one of the patterns, in which `*` stands for any text.
fn matches_any(message: &str, patterns: &[&str]) -> bool {
    patterns.iter().any(|pattern| {
        let mut rest = message;
        pattern.split('*').enumerate().all(|(number, part)| {
            let found = if number == 0 {
                rest.starts_with(part).then_some(0)
            } else {
                rest.find(part)
            };
            found
                .and_then(|at| rest.get(at + part.len()..))
                .inspect(|after| rest = after)
                .is_some()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(message: &str) -> Failure {
        Failure::classify(&Error::DatabaseError(
            DatabaseErrorKind::Unknown,
            Box::new(message.to_owned()),
        ))
    }

    #[test]
    fn what_passes_by_itself_is_known_in_the_languages_of_the_server() {
        for message in [
            "canceling statement due to statement timeout",
            "storniere Anfrage wegen Zeitüberschreitung der Anfrage",
            "annulation de la requête à la demande de l'utilisateur",
            "ロックのタイムアウトのためステートメントをキャンセルしています",
            "out of shared memory",
            "не удалось увеличить файл \"base/5/16384\": На устройстве не осталось места",
            "could not extend file \"base/5/16384\": No space left on device",
            "temporary file size exceeds temp_file_limit (1024kB)",
            "database or disk is full",
            "disk I/O error",
            "unable to open database file",
            "no such savepoint: diesel_savepoint_1",
        ] {
            assert_eq!(unknown(message), Failure::Transient, "{message}");
        }
        assert_eq!(unknown("database is locked"), Failure::Busy);
        for message in ["deadlock detected", "Verklemmung (Deadlock) entdeckt", "检测到死锁"] {
            assert_eq!(unknown(message), Failure::Conflict, "{message}");
        }
        for message in [
            "prepared statement \"__diesel_stmt_5\" does not exist",
            "vorbereitete Anweisung »__diesel_stmt_0« existiert bereits",
            "bind message supplies 1 parameters, but prepared statement \"__diesel_stmt_2\" requires 3",
        ] {
            assert_eq!(unknown(message), Failure::PreparedStatements, "{message}");
        }
        assert_eq!(
            unknown("cached plan must not change result type"),
            Failure::SchemaChanged
        );
        for message in [
            "relation \"blog_posts\" does not exist",
            "permission denied for table users",
            "no such table: blog_posts",
            "no such savepoint: another",
            "database disk image is malformed",
            "he said: canceling statement due to statement timeout",
            "",
        ] {
            assert_eq!(unknown(message), Failure::Permanent, "{message}");
        }
    }

    #[test]
    fn sqlite_says_what_is_expected_of_it() {
        use diesel::{Connection as _, connection::SimpleConnection as _, sqlite::SqliteConnection};

        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db").display().to_string();
        let mut one = SqliteConnection::establish(&path).expect("opens");
        let mut two = SqliteConnection::establish(&path).expect("opens");
        one.batch_execute("CREATE TABLE t (x TEXT); BEGIN IMMEDIATE")
            .expect("begun");
        let failure = |connection: &mut SqliteConnection, text: &str| {
            Failure::classify(&connection.batch_execute(text).expect_err(text))
        };
        assert_eq!(failure(&mut two, "BEGIN IMMEDIATE"), Failure::Busy);
        one.batch_execute("ROLLBACK; PRAGMA max_page_count = 3").expect("full");
        let much = "INSERT INTO t SELECT hex(zeroblob(100000))";
        assert_eq!(failure(&mut one, much), Failure::Transient);
        assert_eq!(
            failure(&mut one, "ATTACH '/no/such/folder/b.db' AS b"),
            Failure::Transient
        );
        assert_eq!(failure(&mut one, "SELECT * FROM nothing"), Failure::Permanent);
    }

    #[test]
    fn the_kinds_that_diesel_tells_apart_need_no_text() {
        for (kind, failure) in [
            (DatabaseErrorKind::ClosedConnection, Failure::Lost),
            (DatabaseErrorKind::UnableToSendCommand, Failure::Lost),
            (DatabaseErrorKind::ReadOnlyTransaction, Failure::ReadOnly),
            (DatabaseErrorKind::SerializationFailure, Failure::Conflict),
            (DatabaseErrorKind::UniqueViolation, Failure::Permanent),
            (DatabaseErrorKind::CheckViolation, Failure::Permanent),
        ] {
            assert_eq!(
                Failure::classify(&Error::DatabaseError(kind, Box::new(String::new()))),
                failure
            );
        }
    }
}
