//! How a connection to PostgreSQL is made, and whether there is a connection pooler in between.
//!
//! Diesel numbers the statements that it prepares, each connection from 0. A pooler that lends one connection of the server
//! to several clients makes one client execute what another has prepared under the same name: a read becomes a deletion.
//! So a statement gets a name only on a connection that is known to be direct.
//!
//! How it is known: a direct connection hands a setting that the client invents (`options=-c blogctl.connection=…`) to the
//! server process that serves this client alone. A pooler has its own connections to the server, made before and without
//! it: it rejects the option (PgBouncer), or ignores it, or lends a process that another client has named. Only a process
//! that shows this connection's own random value is direct; when in doubt there is a pooler.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use diesel::{
    Connection as _, QueryResult, QueryableByName, RunQueryDsl,
    connection::{CacheSize, SimpleConnection},
    pg::PgConnection,
    sql_types::{Integer, Nullable, Text},
};
use uuid::Uuid;

use super::parameters::{self, Purpose};
use crate::{
    config::{DatabaseSettings, PreparedStatements},
    db::DbError,
};

/// Makes connections to one server.
pub(in crate::db) struct Connector {
    /// For libpq; holds the password.
    url: String,
    /// Host, port and database, for messages.
    shown: Arc<str>,
    settings: DatabaseSettings,
    /// Whether a pooler has been seen. It stays: whoever put one there may do so again, for another connection.
    has_pooler: AtomicBool,
}

/// Whom a connection reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum Route {
    /// A server process of its own: settings of the session hold, and statements may have names.
    Direct,
    /// Perhaps another server process for each transaction: no statement has a name, no setting outlives a transaction.
    Pooled,
}

/// A connection that has just been made.
pub(in crate::db) struct Connected {
    pub connection: PgConnection,
    pub route: Route,
    /// The value that only this connection's server process shows, where it is direct.
    pub mark: String,
    /// That process, where it is this connection's own.
    pub process: Option<i32>,
}

#[derive(QueryableByName)]
struct Mark {
    #[diesel(sql_type = Nullable<Text>)]
    mark: Option<String>,
    #[diesel(sql_type = Integer)]
    process: i32,
}

impl Connector {
    pub fn new(url: &str, shown: &str, settings: &DatabaseSettings) -> Self {
        // Only the server's own address is used from here on.
        Self {
            url: url.to_owned(),
            shown: shown.into(),
            settings: settings.clone(),
            has_pooler: AtomicBool::new(false),
        }
    }

    /// The server and database, for messages.
    pub fn shown(&self) -> &Arc<str> {
        &self.shown
    }

    /// Whether connections that are known as direct can no longer be trusted.
    pub fn has_pooler(&self) -> bool {
        self.has_pooler.load(Ordering::Relaxed)
    }

    /// Connects. Blocks for `database.connect_timeout_seconds` for each address of the server.
    ///
    /// # Errors
    /// When the server cannot be reached, or there is a pooler that the settings exclude.
    pub fn connect(&self, purpose: Purpose) -> Result<Connected, DbError> {
        self.refuse_pooler()?;
        if self.settings.prepared_statements == PreparedStatements::Off || self.has_pooler() {
            return self.connect_pooled();
        }
        let mark = Uuid::new_v4().simple().to_string();
        let url = parameters::direct(&self.url, &self.settings, purpose, &mark);
        let direct = || match PgConnection::establish(&url) {
            Ok(mut connection) => match process_with(&mut connection, &mark) {
                Ok(Some(process)) => Attempt::Marked(Connected {
                    connection,
                    route: Route::Direct,
                    mark: mark.clone(),
                    process: Some(process),
                }),
                Ok(None) => Attempt::Unmarked,
                Err(reason) => Attempt::Refused(parameters::one_line(reason)),
            },
            Err(reason) => Attempt::Refused(parameters::of_connecting(reason, &url)),
        };
        match direct_or_pooled(direct, || self.connect_pooled(), |reason| self.not_opened(reason))? {
            Found::Direct(connected) => Ok(connected),
            Found::Pooled(connected) => {
                self.note_pooler();
                self.refuse_pooler()?;
                Ok(connected)
            }
        }
    }

    /// # Errors
    /// When there is a pooler and the settings say that statements have names.
    pub fn refuse_pooler(&self) -> Result<(), DbError> {
        if self.has_pooler() && self.settings.prepared_statements == PreparedStatements::On {
            return Err(DbError::Pooler {
                database: self.shown.to_string(),
            });
        }
        Ok(())
    }

    /// Whether this connection still reaches the server process that it reached when it was made.
    pub fn verify(&self, connected: &mut Connected) -> QueryResult<bool> {
        match connected.route {
            Route::Direct => {
                let process = process_with(&mut connected.connection, &connected.mark)?;
                let is_same = process.is_some() && process == connected.process;
                if !is_same {
                    self.note_pooler();
                }
                Ok(is_same)
            }
            Route::Pooled => diesel::sql_query("SELECT 1")
                .execute(&mut connected.connection)
                .map(|_| true),
        }
    }

    /// From now on, every connection is taken for one through a pooler.
    pub fn note_pooler(&self) {
        if self.has_pooler.swap(true, Ordering::Relaxed) {
            return;
        }
        log::warn!(
            "there is a connection pooler before the database {}: statements are no longer prepared under a name, and time \
             limits hold within transactions only (docs/postgresql.md)",
            self.shown
        );
    }

    fn connect_pooled(&self) -> Result<Connected, DbError> {
        let url = parameters::pooled(&self.url, &self.settings);
        let mut connection =
            PgConnection::establish(&url).map_err(|reason| self.not_opened(parameters::of_connecting(reason, &url)))?;
        connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        // A pooler that takes another connection for each statement can hold no transaction together.
        connection
            .batch_execute("BEGIN")
            .and_then(|()| connection.batch_execute("COMMIT"))
            .map_err(|reason| self.not_opened(format!("it takes no transaction: {}", parameters::one_line(reason))))?;
        Ok(Connected {
            connection,
            route: Route::Pooled,
            mark: String::new(),
            process: None,
        })
    }

    pub(super) fn not_opened(&self, reason: String) -> DbError {
        DbError::Open {
            database: self.shown.to_string(),
            reason,
        }
    }
}

/// What came of connecting with options.
enum Attempt<C> {
    /// To a server process with this connection's mark.
    Marked(C),
    /// To one without it: there is a pooler.
    Unmarked,
    /// There is no connection, or it was lost at once.
    Refused(String),
}

/// A connection, and what it tells about the way to the server.
#[derive(Debug, PartialEq, Eq)]
enum Found<C> {
    Direct(C),
    Pooled(C),
}

/// Connects with options, and without them where there is a pooler. That a pooler rejects the options is concluded only when
/// they are rejected, then a connection without them is made, and then they are rejected again for a reason that does not
/// pass: a server that is starting up, or full for a moment, must not be taken for a pooler for ever.
fn direct_or_pooled<C>(
    direct: impl Fn() -> Attempt<C>,
    pooled: impl Fn() -> Result<C, DbError>,
    not_opened: impl Fn(String) -> DbError,
) -> Result<Found<C>, DbError> {
    match direct() {
        Attempt::Marked(connected) => return Ok(Found::Direct(connected)),
        Attempt::Unmarked => {}
        Attempt::Refused(reason) if parameters::is_out_of_reach(&reason) => return Err(not_opened(reason)),
        Attempt::Refused(_) => {
            // When that fails as well, the options were not the reason. Closed, so that the server does not count both.
            drop(pooled()?);
            match direct() {
                Attempt::Marked(connected) => return Ok(Found::Direct(connected)),
                Attempt::Refused(reason) if parameters::is_passing(&reason) => return Err(not_opened(reason)),
                Attempt::Unmarked | Attempt::Refused(_) => {}
            }
        }
    }
    pooled().map(Found::Pooled)
}

/// Settings that a transaction through a pooler brings along, since those of the session reach nobody or somebody else.
pub(in crate::db) fn local_settings(statement_timeout: Duration, settings: &DatabaseSettings) -> String {
    format!(
        "SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}",
        statement_timeout.as_millis(),
        settings.lock_timeout.as_millis(),
        parameters::idle_in_transaction(settings).as_millis()
    )
}

/// The server process, if it is the one that has this mark.
fn process_with(connection: &mut PgConnection, mark: &str) -> QueryResult<Option<i32>> {
    let ask = format!(
        "SELECT current_setting('{}', true) AS mark, pg_backend_pid() AS process",
        parameters::MARK
    );
    let found: Mark = diesel::sql_query(ask).get_result(connection)?;
    Ok((found.mark.as_deref() == Some(mark)).then_some(found.process))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What is found when connecting with options ends like this, one after the other; and how often it was tried without.
    fn found(
        attempts: Vec<Attempt<&'static str>>,
        is_plain_refused: bool,
    ) -> (Result<Found<&'static str>, String>, u32) {
        let attempts = RefCell::new(attempts.into_iter());
        let plain = RefCell::new(0);
        let not_opened = |reason| DbError::Open {
            database: String::new(),
            reason,
        };
        let outcome = direct_or_pooled(
            || attempts.borrow_mut().next().expect("no further attempt"),
            || {
                *plain.borrow_mut() += 1;
                if is_plain_refused {
                    Err(not_opened("plain".to_owned()))
                } else {
                    Ok("plain")
                }
            },
            not_opened,
        );
        assert!(attempts.borrow_mut().next().is_none(), "every attempt was made");
        (outcome.map_err(|error| error.to_string()), plain.take())
    }

    fn refused<C>(reason: &str) -> Attempt<C> {
        Attempt::Refused(reason.to_owned())
    }

    const PASSING: [&str; 8] = [
        "connection to server at \"h\", port 5432 failed: FATAL:  sorry, too many clients already",
        "FATAL:  too many connections for role \"blog\"",
        "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
        "FATAL:  the database system is starting up",
        "FATAL:  the database system is shutting down",
        "server closed the connection unexpectedly; This probably means the server terminated abnormally",
        "could not receive data from server: Connection reset by peer",
        "FATAL:  terminating connection due to administrator command",
    ];

    #[test]
    fn a_server_that_turns_connections_away_for_a_moment_is_not_taken_for_a_pooler() {
        for reason in PASSING {
            let back = found(vec![refused(reason), Attempt::Marked("marked")], false);
            assert_eq!(back, (Ok(Found::Direct("marked")), 1), "{reason}");
            let (still, plain) = found(vec![refused(reason), refused(reason)], false);
            assert!(still.expect_err(reason).contains(reason) && plain == 1, "{reason}");
            let (full, _) = found(vec![refused(reason)], true);
            assert!(full.expect_err(reason).contains("plain"), "{reason}");
        }
        // In another language of the server.
        let back = found(
            vec![
                refused("FATAL:  tut mir leid, schon zu viele Verbindungen"),
                Attempt::Marked("marked"),
            ],
            false,
        );
        assert_eq!(back, (Ok(Found::Direct("marked")), 1));
        let (out_of_reach, plain) = found(vec![refused("h: Connection refused")], false);
        assert!(out_of_reach.is_err() && plain == 0);
    }

    #[test]
    fn a_pooler_is_one_that_rejects_the_options_again_or_shows_no_mark() {
        let rejected = "FATAL:  unsupported startup parameter: options";
        assert_eq!(
            found(vec![refused(rejected), refused(rejected)], false),
            (Ok(Found::Pooled("plain")), 2)
        );
        assert_eq!(found(vec![Attempt::Unmarked], false), (Ok(Found::Pooled("plain")), 1));
        assert_eq!(
            found(vec![refused(PASSING[0]), Attempt::Unmarked], false),
            (Ok(Found::Pooled("plain")), 2)
        );
        assert_eq!(
            found(vec![Attempt::Marked("marked")], false),
            (Ok(Found::Direct("marked")), 0)
        );
    }
}
