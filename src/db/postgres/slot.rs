//! A worker's connection: opened when it is first needed, replaced when it is lost, old, or can no longer be trusted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{
    Connection as _,
    connection::{AnsiTransactionManager, Instrumentation, InstrumentationEvent, TransactionManager},
    pg::PgConnection,
};
use parking_lot::Mutex;

use super::{
    connect::{Connected, Connector, Route},
    parameters::Purpose,
};
use crate::db::{DbError, failure::Failure};

/// A connection that was idle for longer is checked before it is used.
const VERIFY_AFTER_IDLE: Duration = Duration::from_secs(5);
/// A connection is replaced after this time, so that changes of the server's address and of its grants take effect.
const MAX_AGE: Duration = Duration::from_mins(30);

/// Holds one connection, or none yet.
pub(super) struct ConnectionSlot {
    connector: Arc<Connector>,
    purpose: Purpose,
    pooled: Option<PooledConnection>,
    failures: FailureRecorder,
}

struct PooledConnection {
    connected: Connected,
    opened_at: Instant,
    used_at: Instant,
    /// [`Connector::losses`] when the connection was opened or last checked.
    losses: u64,
}

/// A connection that is ready to be used.
pub(super) struct Checkout<'a> {
    pub connection: &'a mut PgConnection,
    pub route: Route,
    /// Whether it was opened for this checkout.
    pub is_fresh: bool,
    /// The server process, if it serves this connection alone.
    pub process: Option<i32>,
}

/// Records the worst failure of a statement since the checkout. Repositories turn errors into their own, so failures
/// are recorded where they occur.
#[derive(Clone, Default)]
struct FailureRecorder(Arc<Mutex<Option<Failure>>>);

impl FailureRecorder {
    fn take(&self) -> Option<Failure> {
        self.0.lock().take()
    }
}

impl Instrumentation for FailureRecorder {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::FinishQuery { error: Some(error), .. } = event {
            let failure = Failure::classify(error);
            let mut worst = self.0.lock();
            *worst = Some(worst.map_or(failure, |worst| worst.min(failure)));
        }
    }
}

impl ConnectionSlot {
    pub fn new(connector: Arc<Connector>, purpose: Purpose) -> Self {
        Self {
            connector,
            purpose,
            pooled: None,
            failures: FailureRecorder::default(),
        }
    }

    /// Returns the connection, and opens a new one if the old one cannot be used.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn check_out(&mut self) -> Result<Checkout<'_>, DbError> {
        let is_fresh = !self.is_usable();
        let pooled = match self.pooled.take() {
            Some(pooled) if !is_fresh => pooled,
            unusable => {
                // Closed first, so that the server does not count both.
                drop(unusable);
                let losses = self.connector.losses();
                let mut connected = self.connector.connect(self.purpose)?;
                connected.connection.set_instrumentation(self.failures.clone());
                PooledConnection {
                    connected,
                    opened_at: Instant::now(),
                    used_at: Instant::now(),
                    losses,
                }
            }
        };
        self.failures.take();
        let PooledConnection { connected, used_at, .. } = self.pooled.insert(pooled);
        *used_at = Instant::now();
        let Connected {
            connection,
            route,
            process,
            ..
        } = connected;
        Ok(Checkout {
            connection,
            route: *route,
            is_fresh,
            process: *process,
        })
    }

    /// Ends a checkout: returns the worst failure of a statement since then, and closes the connection if it can no
    /// longer be used.
    pub fn check_in(&mut self) -> Option<Failure> {
        let failure = self.failures.take();
        match failure {
            Some(Failure::PreparedStatements) => self.connector.record_pooler(),
            Some(Failure::Lost) => self.connector.record_loss(),
            _ => {}
        }
        let is_broken = |pooled: &mut PooledConnection| {
            pooled.used_at = Instant::now();
            AnsiTransactionManager::is_broken_transaction_manager(&mut pooled.connected.connection)
        };
        if failure.is_some_and(Failure::ends_the_connection) || self.pooled.as_mut().is_some_and(is_broken) {
            self.close();
        }
        failure
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.pooled = None;
    }

    fn is_usable(&mut self) -> bool {
        let Some(pooled) = &mut self.pooled else { return false };
        if pooled.opened_at.elapsed() > MAX_AGE
            || (pooled.connected.route == Route::Direct && self.connector.has_pooler())
        {
            return false;
        }
        // A write that has begun is not retried, so it must not be the one that finds a restarted server.
        let losses = self.connector.losses();
        if pooled.used_at.elapsed() < VERIFY_AFTER_IDLE && pooled.losses == losses {
            return true;
        }
        pooled.losses = losses;
        self.connector.verify(&mut pooled.connected).unwrap_or(false)
    }
}
