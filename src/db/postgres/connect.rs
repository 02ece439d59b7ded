//! Connects to PostgreSQL, and detects a connection pooler in between.
//!
//! Diesel names the statements that it prepares by number, on each connection from 0. A pooler that shares a server
//! process between clients makes one client execute what another has prepared under the same name: a read becomes a
//! deletion. So statements get a name only on a connection that is known to be direct.
//!
//! A connection proves that it is direct by a mark: it sends a random value as a custom setting
//! (`options=-c blogctl.connection=…`) and reads it back from the server process. A pooler opens its connections to the
//! server beforehand and without the setting. It rejects the option (PgBouncer), or ignores it, or lends a process that
//! bears another client's mark. Unless the process shows this connection's own mark, blogctl assumes a pooler.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use diesel::{
    Connection as _, QueryResult, QueryableByName, RunQueryDsl,
    connection::{CacheSize, SimpleConnection},
    pg::PgConnection,
    sql_types::{Integer, Nullable, Text},
};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use super::{
    parameters::{self, Purpose},
    pooler::{Attempt, Detected, direct_or_pooled},
};
use crate::{
    config::{DatabaseSettings, PreparedStatements},
    db::DbError,
    passwords::{Password, PasswordSource, Service},
};

/// Opens connections to one server.
pub(in crate::db) struct Connector {
    /// For libpq; may hold a password.
    url: String,
    /// Where the password comes from, if not from the URL.
    passwords: Option<PasswordSource>,
    /// Host, port and database, for messages.
    shown: Arc<str>,
    settings: DatabaseSettings,
    /// Whether a pooler was detected. Never reset: later connections may be routed through it again.
    has_pooler: AtomicBool,
    /// Connections that were lost while they were in use.
    losses: AtomicU64,
}

/// How a connection reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum Route {
    /// It has a server process to itself: session settings hold, and statements may have names.
    Direct,
    /// Each transaction may run in another server process: statements have no names, and settings end with the
    /// transaction.
    Pooled,
}

/// An open connection.
pub(in crate::db) struct Connected {
    pub connection: PgConnection,
    pub route: Route,
    /// The random value that only a direct connection's server process shows; empty through a pooler.
    pub mark: String,
    /// The server process of a direct connection.
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
    /// # Errors
    /// When the settings for requests to Azure cannot be used.
    pub fn new(url: &str, shown: &str, settings: &DatabaseSettings) -> Result<Self, DbError> {
        Ok(Self {
            url: url.to_owned(),
            passwords: PasswordSource::new(&settings.password_origin(), Service::Postgres)?,
            shown: shown.into(),
            settings: settings.clone(),
            has_pooler: AtomicBool::new(false),
            losses: AtomicU64::new(0),
        })
    }

    /// Server and database, for messages.
    pub fn shown(&self) -> &Arc<str> {
        &self.shown
    }

    /// Whether a pooler was detected, so that no connection counts as direct any more.
    pub fn has_pooler(&self) -> bool {
        self.has_pooler.load(Ordering::Relaxed)
    }

    /// Connects. Blocks up to `database.connect_timeout_seconds` for each address of the server, and for the password.
    ///
    /// # Errors
    /// When there is no password, the server cannot be reached, or there is a pooler although
    /// `database.prepared_statements` is `on`.
    pub fn connect(&self, purpose: Purpose) -> Result<Connected, DbError> {
        let Some(passwords) = &self.passwords else {
            return self.connect_to(&self.url, purpose);
        };
        let limit = self.settings.connect_timeout;
        let connect = |password: &Password| {
            let url = parameters::with_password(&self.url, password.value().expose_secret());
            self.connect_to(&url, purpose)
        };
        let password = passwords.current(limit)?;
        match connect(&password) {
            // The server may translate its message, so every rejection that has no other known reason counts.
            Err(DbError::Open { database, reason }) if !parameters::is_temporary(&reason) => {
                match passwords.replace_rejected(&password, limit)? {
                    Some(newer) => connect(&newer),
                    None => Err(DbError::Open { database, reason }),
                }
            }
            outcome => outcome,
        }
    }

    fn connect_to(&self, url: &str, purpose: Purpose) -> Result<Connected, DbError> {
        self.check_pooler_allowed()?;
        if self.settings.prepared_statements == PreparedStatements::Off || self.has_pooler() {
            return self.connect_pooled(url);
        }
        let mark = Uuid::new_v4().simple().to_string();
        let pooled_url = url;
        let url = parameters::direct(url, &self.settings, purpose, &mark);
        let direct = || match PgConnection::establish(&url) {
            Ok(mut connection) => match process_with(&mut connection, &mark) {
                Ok(Some(process)) => Attempt::Marked(Connected {
                    connection,
                    route: Route::Direct,
                    mark: mark.clone(),
                    process: Some(process),
                }),
                Ok(None) => Attempt::Unmarked,
                Err(reason) => Attempt::Failed(parameters::one_line(reason)),
            },
            Err(reason) => Attempt::Failed(parameters::connect_error(reason, &url)),
        };
        match direct_or_pooled(
            direct,
            || self.connect_pooled(pooled_url),
            |reason| self.not_opened(reason),
        )? {
            Detected::Direct(connected) => Ok(connected),
            Detected::Pooled(connected) => {
                self.record_pooler();
                self.check_pooler_allowed()?;
                Ok(connected)
            }
        }
    }

    /// # Errors
    /// [`DbError::Pooler`] when there is a pooler although `database.prepared_statements` is `on`.
    pub fn check_pooler_allowed(&self) -> Result<(), DbError> {
        if self.has_pooler() && self.settings.prepared_statements == PreparedStatements::On {
            return Err(DbError::Pooler {
                database: self.shown.to_string(),
            });
        }
        Ok(())
    }

    /// Connects twice to detect a pooler that passes on session settings and then lends the server process to other
    /// clients: the second connection then shows the mark of the first, or the first one shows another process, or both
    /// show the same.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn detect_pooler(&self) -> Result<(), DbError> {
        let mut first = self.connect(Purpose::Requests)?;
        if first.route == Route::Pooled {
            return Ok(());
        }
        // Fails when the server is full, or the user may have one connection only.
        let Ok(mut second) = self.connect(Purpose::Requests) else {
            return self.check_pooler_allowed();
        };
        let has_same_process = first.process.is_some() && first.process == second.process;
        // A connection that is lost meanwhile proves nothing.
        let is_direct = |connected: &mut Connected| {
            self.verify(connected)
                .map_err(|reason| self.not_opened(parameters::one_line(reason)))
        };
        if has_same_process || !(is_direct(&mut first)? && is_direct(&mut second)? && is_direct(&mut first)?) {
            self.record_pooler();
        }
        self.check_pooler_allowed()
    }

    /// Whether the connection still reaches the same server process as when it was opened.
    pub fn verify(&self, connected: &mut Connected) -> QueryResult<bool> {
        match connected.route {
            Route::Direct => {
                let process = process_with(&mut connected.connection, &connected.mark)?;
                let is_same = process.is_some() && process == connected.process;
                if !is_same {
                    self.record_pooler();
                }
                Ok(is_same)
            }
            Route::Pooled => diesel::sql_query("SELECT 1")
                .execute(&mut connected.connection)
                .map(|_| true),
        }
    }

    /// Makes every connection count as one through a pooler from now on.
    pub fn record_pooler(&self) {
        if self.has_pooler.swap(true, Ordering::Relaxed) {
            return;
        }
        log::warn!(
            "found a connection pooler in front of the database {}: statements are no longer prepared by name, and time \
             limits apply within transactions only (docs/postgresql.md)",
            self.shown
        );
    }

    /// How many connections were lost while they were in use. When one is lost, most likely the others are, too.
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    /// Counts a lost connection.
    pub fn record_loss(&self) {
        self.losses.fetch_add(1, Ordering::Relaxed);
    }

    fn connect_pooled(&self, url: &str) -> Result<Connected, DbError> {
        let url = parameters::pooled(url, &self.settings);
        let mut connection =
            PgConnection::establish(&url).map_err(|reason| self.not_opened(parameters::connect_error(reason, &url)))?;
        connection.set_prepared_statement_cache_size(CacheSize::Disabled);
        // With statement pooling, each statement may run on another server connection, so transactions are impossible.
        connection
            .batch_execute("BEGIN")
            .and_then(|()| connection.batch_execute("COMMIT"))
            .map_err(|reason| DbError::StatementPooling {
                database: self.shown.to_string(),
                reason: parameters::one_line(reason),
            })?;
        Ok(Connected {
            connection,
            route: Route::Pooled,
            mark: String::new(),
            process: None,
        })
    }

    fn not_opened(&self, reason: String) -> DbError {
        DbError::cannot_open(&self.shown, reason)
    }
}

/// Settings that a transaction through a pooler begins with, since session settings do not reach its server process.
pub(in crate::db) fn local_settings(statement_timeout: Duration, settings: &DatabaseSettings) -> String {
    format!(
        "SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}",
        statement_timeout.as_millis(),
        settings.lock_timeout.as_millis(),
        parameters::idle_in_transaction(settings).as_millis()
    )
}

/// The server process, if it shows this mark.
fn process_with(connection: &mut PgConnection, mark: &str) -> QueryResult<Option<i32>> {
    let query = format!(
        "SELECT current_setting('{}', true) AS mark, pg_backend_pid() AS process",
        parameters::MARK
    );
    let found: Mark = diesel::sql_query(query).get_result(connection)?;
    Ok((found.mark.as_deref() == Some(mark)).then_some(found.process))
}
