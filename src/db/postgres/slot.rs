//! A place for one connection: opened when first needed, replaced when it is lost, old, or no longer to be trusted.

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

/// A connection that nobody used for so long is tried before it is used.
const TRIED_AFTER: Duration = Duration::from_secs(5);
/// A connection is replaced after so long: so changes of address, and of what the server grants, come through.
const LIFE: Duration = Duration::from_mins(30);

/// A place for one connection.
pub(super) struct Slot {
    connector: Arc<Connector>,
    purpose: Purpose,
    held: Option<Held>,
    noted: Noted,
}

struct Held {
    connected: Connected,
    made: Instant,
    used: Instant,
}

/// A connection that works as far as can be known.
pub(super) struct Ready<'a> {
    pub connection: &'a mut PgConnection,
    pub route: Route,
    /// Whether it has just been made.
    pub is_fresh: bool,
    /// Its server process, where that serves this connection alone.
    pub process: Option<i32>,
}

/// The worst failure of a statement since it was last looked at. The work turns errors into its own, so they are noted where
/// they occur.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Option<Failure>>>);

impl Noted {
    fn take(&self) -> Option<Failure> {
        self.0.lock().take()
    }
}

impl Instrumentation for Noted {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::FinishQuery { error: Some(error), .. } = event {
            let failure = Failure::of(error);
            let mut worst = self.0.lock();
            *worst = Some(worst.map_or(failure, |worst| worst.min(failure)));
        }
    }
}

impl Slot {
    pub fn new(connector: Arc<Connector>, purpose: Purpose) -> Self {
        Self {
            connector,
            purpose,
            held: None,
            noted: Noted::default(),
        }
    }

    /// The connection, a new one where it is needed.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn ready(&mut self) -> Result<Ready<'_>, DbError> {
        let is_fresh = !self.is_usable();
        let held = match self.held.take() {
            Some(held) if !is_fresh => held,
            lost => {
                // First, so that the server does not count both.
                drop(lost);
                let mut connected = self.connector.connect(self.purpose)?;
                connected.connection.set_instrumentation(self.noted.clone());
                Held {
                    connected,
                    made: Instant::now(),
                    used: Instant::now(),
                }
            }
        };
        self.noted.take();
        let Held { connected, used, .. } = self.held.insert(held);
        *used = Instant::now();
        let Connected {
            connection,
            route,
            process,
            ..
        } = connected;
        Ok(Ready {
            connection,
            route: *route,
            is_fresh,
            process: *process,
        })
    }

    /// What went wrong with the statements since [`Self::ready`], the worst of it. Closes the connection where it can be
    /// used no longer.
    pub fn settle(&mut self) -> Option<Failure> {
        let failure = self.noted.take();
        if failure == Some(Failure::Statements) {
            self.connector.note_pooler();
        }
        let is_broken = |held: &mut Held| {
            held.used = Instant::now();
            AnsiTransactionManager::is_broken_transaction_manager(&mut held.connected.connection)
        };
        if failure.is_some_and(Failure::ends_the_connection) || self.held.as_mut().is_some_and(is_broken) {
            self.discard();
        }
        failure
    }

    /// Closes the connection.
    pub fn discard(&mut self) {
        self.held = None;
    }

    fn is_usable(&mut self) -> bool {
        let Some(held) = &mut self.held else { return false };
        if held.made.elapsed() > LIFE || (held.connected.route == Route::Direct && self.connector.has_pooler()) {
            return false;
        }
        held.used.elapsed() < TRIED_AFTER || self.connector.verify(&mut held.connected).unwrap_or(false)
    }
}
