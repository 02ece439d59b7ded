//! PostgreSQL: a pool of connections, used on blocking threads.

use std::{
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use diesel::{
    Connection as _,
    pg::PgConnection,
    r2d2::{self, ConnectionManager, PooledConnection},
};
use tokio::{sync::Semaphore, time};
use url::Url;

use super::{Connection, DbError, blocking::BlockingConnection};
use crate::config::HIDDEN;

type Manager = ConnectionManager<PgConnection>;

/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// A PostgreSQL database.
pub(super) struct PostgresDatabase {
    /// Host, port and database, for messages.
    shown: Arc<str>,
    /// `None` once closed.
    pool: Mutex<Option<r2d2::Pool<Manager>>>,
    /// As many as connections: a blocking thread is taken only when a connection is free.
    permits: Arc<Semaphore>,
}

impl PostgresDatabase {
    /// Connects once, to know that the server answers, and opens the pool.
    pub fn open(url: &str, shown: &str, pool_size: u32) -> Result<Self, DbError> {
        let url = with_defaults(url);
        // Not through the pool, which would try again and again before it told.
        PgConnection::establish(&url)
            .map_err(|reason| DbError::Open { database: shown.to_owned(), reason: of_connecting(reason, &url) })?;
        let pool_size = pool_size.max(1);
        let pool = r2d2::Pool::builder()
            .max_size(pool_size)
            .min_idle(Some(0))
            .connection_timeout(PATIENCE)
            // The error comes back to whoever wanted the connection; it need not be logged as well.
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(Manager::new(url));
        Ok(Self {
            shown: shown.into(),
            pool: Mutex::new(Some(pool)),
            permits: Arc::new(Semaphore::new(pool_size as usize)),
        })
    }

    /// Reads on a blocking thread.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.run(move |connection| work(&mut Connection::Postgres(connection))).await
    }

    /// Writes in a transaction on a blocking thread, and returns after its commit.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        self.run(move |connection| transaction(connection, work)).await
    }

    /// A connection for long work of its own.
    pub fn connect(&self) -> Result<BlockingConnection, DbError> {
        self.connection().map(BlockingConnection::Postgres)
    }

    /// Closes the pool; connections that are in use close when they are done.
    pub fn close(&self) {
        self.permits.close();
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    async fn run<T, E>(&self, work: impl FnOnce(&mut PgConnection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let permit = time::timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| no_connection(&self.shown, "all connections are in use; see database.pool_size"))?
            .map_err(|_| DbError::Closed)?;
        let pool = self.pool()?;
        let shown = Arc::clone(&self.shown);
        let running = tokio::task::spawn_blocking(move || {
            let mut connection = pool.get().map_err(|error| no_connection(&shown, error))?;
            let outcome = work(&mut connection);
            // The connection goes back before its permit does.
            drop(connection);
            drop(permit);
            outcome
        });
        running.await.unwrap_or_else(|_| Err(DbError::Panicked.into()))
    }

    fn connection(&self) -> Result<PooledConnection<Manager>, DbError> {
        self.pool()?.get().map_err(|error| no_connection(&self.shown, error))
    }

    fn pool(&self) -> Result<r2d2::Pool<Manager>, DbError> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(DbError::Closed)
    }
}

/// Runs the work in a transaction. READ COMMITTED, whatever the server's default: with the rows locked that a rule
/// looks at, nothing can fail to serialise, and nothing need be tried again.
pub(super) fn transaction<T, E: From<DbError>>(
    connection: &mut PgConnection,
    work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
) -> Result<T, E> {
    connection
        .build_transaction()
        .read_committed()
        .run(|connection| work(&mut Connection::Postgres(connection)).map_err(Ended::ByTheWork))
        .map_err(|ended| match ended {
            Ended::ByTheWork(error) => error,
            Ended::ByTheDatabase(error) => DbError::from(error).into(),
        })
}

/// Why a transaction was rolled back.
enum Ended<E> {
    ByTheWork(E),
    ByTheDatabase(diesel::result::Error),
}

impl<E> From<diesel::result::Error> for Ended<E> {
    fn from(error: diesel::result::Error) -> Self {
        Self::ByTheDatabase(error)
    }
}

fn no_connection(shown: &str, reason: impl Display) -> DbError {
    DbError::NoConnection { database: shown.to_owned(), seconds: PATIENCE.as_secs(), reason: one_line(reason) }
}

/// libpq's messages may have several lines, one for each address that it tried.
fn one_line(reason: impl Display) -> String {
    reason.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

/// Why there is no connection, in one line. libpq quotes what it does not understand, and a password may be that: neither it
/// nor a part of the query is repeated.
pub(super) fn of_connecting(reason: impl Display, url: &str) -> String {
    let told = one_line(reason);
    let Ok(url) = Url::parse(url) else { return told };
    let query = url.query().unwrap_or_default();
    let as_written = query.split('&').chain(query.split(['&', '='])).chain(url.password()).map(str::to_owned);
    let decoded = url.query_pairs().map(|(_, value)| value.into_owned());
    let quoted = as_written.chain(decoded).filter(|part| !part.is_empty());
    quoted.fold(told, |told, part| told.replace(&format!("\"{part}\""), &format!("\"{HIDDEN}\"")))
}

/// The URL with a time limit for connecting and a name that the server's own lists show, unless it names its own.
pub(super) fn with_defaults(url: &str) -> String {
    let mut url = url.to_owned();
    for (name, value) in [("connect_timeout", "5"), ("application_name", "blogctl")] {
        if !url.contains(&format!("{name}=")) {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.extend([name, "=", value]);
        }
    }
    url
}
