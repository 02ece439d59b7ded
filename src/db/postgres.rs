//! PostgreSQL: worker threads with connections, in lanes that do not wait for each other.

mod cancellation;
mod connect;
mod lanes;
mod parameters;
mod pooler;
mod slot;
mod transaction;
mod workers;

use std::{
    fmt::Display,
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::pg::PgConnection;
use tokio::{
    sync::{Semaphore, oneshot},
    time,
};

pub(super) use self::transaction::transaction;
use self::{
    cancellation::{CancelOnDrop, RunningSearch},
    connect::Connector,
    lanes::{Lanes, WorkKind},
    parameters::Purpose,
    slot::ConnectionSlot,
    transaction::{Begin, WriteMode, read, write},
    workers::{Job, Workers},
};
use super::{AfterCommit, Connection, DbError, Work, WorkError, WorkValue, WriteStatement, deadline};
use crate::{
    config::DatabaseSettings,
    metrics::{Observation, database::observe_connections},
    trace::{self, Scope},
};

/// How long the readiness probe may take, connecting included.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// A PostgreSQL database.
pub(super) struct PostgresDatabase {
    settings: DatabaseSettings,
    connector: Arc<Connector>,
    lanes: Lanes,
    pool: Arc<Workers>,
    searches: Arc<Workers>,
    probe: Arc<Workers>,
    cancellations: Arc<Workers>,
    cancel_permit: Arc<Semaphore>,
    _observation: Observation,
}

impl PostgresDatabase {
    /// Connects, to check that the server answers and whether there is a pooler.
    pub fn open(url: &str, shown: &str, settings: &DatabaseSettings) -> Result<Self, DbError> {
        let connector = Arc::new(Connector::new(url, shown, settings)?);
        connector.detect_pooler()?;
        let workers = |purpose| {
            let connector = Arc::clone(&connector);
            Workers::new(move || ConnectionSlot::new(Arc::clone(&connector), purpose))
        };
        let (pool, probe) = (workers(Purpose::Requests), workers(Purpose::Requests));
        let (searches, cancellations) = (workers(Purpose::Searches), workers(Purpose::Requests));
        workers::watch([&pool, &searches, &probe, &cancellations].map(Arc::clone).to_vec())
            .map_err(|reason| DbError::cannot_open(shown, reason))?;
        let observe = |name, workers: &Arc<Workers>| {
            let workers = Arc::downgrade(workers);
            observe_connections(name, move || Some(workers.upgrade()?.in_use()))
        };
        let observations = [("requests", &pool), ("searches", &searches), ("probe", &probe)];
        let observation = Observation::all(observations.map(|(name, workers)| observe(name, workers)));
        let (lanes, cancel_permit) = (Lanes::new(settings), Arc::new(Semaphore::new(1)));
        Ok(Self {
            settings: settings.clone(),
            connector,
            lanes,
            pool,
            searches,
            probe,
            cancellations,
            cancel_permit,
            _observation: observation,
        })
    }

    /// See [`super::Database::read_short`].
    pub async fn read_short<T: WorkValue, E: WorkError>(&self, work: impl Work<T, E>) -> Result<T, E> {
        let ends = deadline::until(self.settings.deadline);
        self.run(WorkKind::ShortRead, ends, move |slot| {
            read(slot, ends, None, None, &work)
        })
        .await
    }

    /// See [`super::Database::read_long`].
    pub async fn read_long<T: WorkValue, E: WorkError>(&self, work: impl Work<T, E>) -> Result<T, E> {
        let ends = deadline::until(self.settings.deadline);
        let begin = self.begin(Purpose::Requests);
        self.run(WorkKind::LongRead, ends, move |slot| {
            read(slot, ends, Some(&begin), None, &work)
        })
        .await
    }

    /// See [`super::Database::search`].
    pub async fn search<T: WorkValue, E: WorkError>(&self, work: impl Work<T, E>) -> Result<T, E> {
        let ends = deadline::until(self.settings.deadline.min(self.settings.search_deadline));
        let begin = self.begin(Purpose::Searches);
        let search = Arc::new(RunningSearch::default());
        let _cancel_on_drop = CancelOnDrop {
            search: Arc::clone(&search),
            workers: Arc::clone(&self.cancellations),
            permit: Arc::clone(&self.cancel_permit),
        };
        self.run(WorkKind::Search, ends, move |slot| {
            read(slot, ends, Some(&begin), Some(&search), &work)
        })
        .await
    }

    /// Runs the readiness probe's read. It waits only for an earlier probe.
    pub async fn probe<T: WorkValue, E: WorkError>(&self, work: impl Work<T, E>) -> Result<T, E> {
        let ends = Instant::now() + PROBE_TIMEOUT;
        self.run(WorkKind::Probe, ends, move |slot| read(slot, ends, None, None, &work))
            .await
    }

    /// See [`super::Database::write`].
    pub async fn write<T: WorkValue, E: WorkError>(
        &self,
        work: impl Work<T, E>,
        after_commit: impl AfterCommit<T>,
    ) -> Result<T, E> {
        let ends = deadline::until(self.settings.deadline);
        let begin = self.begin(Purpose::Requests);
        let mode = WriteMode::Transaction;
        let write = move |slot: &mut ConnectionSlot| {
            let work = |connection: &mut Connection<'_>, ()| work(connection);
            write(slot, ends, &begin, mode, &|_| Ok(()), &work).inspect(after_commit)
        };
        self.run(WorkKind::Write, ends, write).await
    }

    /// See [`super::Database::read_then_write`].
    pub async fn read_then_write<R, T: WorkValue, E: WorkError>(
        &self,
        read: impl Work<R, E>,
        statement: impl WriteStatement<R, T, E>,
        after_commit: impl AfterCommit<T>,
    ) -> Result<T, E> {
        let ends = deadline::until(self.settings.deadline);
        let begin = self.begin(Purpose::Requests);
        let timeout = self.statement_timeout(Purpose::Requests);
        let mode = WriteMode::Statement { timeout };
        let write =
            move |slot: &mut ConnectionSlot| write(slot, ends, &begin, mode, &read, &statement).inspect(after_commit);
        self.run(WorkKind::Write, ends, write).await
    }

    /// See [`super::Database::connect`].
    pub fn connect(&self) -> Result<PgConnection, DbError> {
        connect(&self.connector)
    }

    /// Rejects further work. Connections that are in use close when their work is done.
    pub fn close(&self) {
        self.lanes.close();
        self.cancel_permit.close();
        for workers in [&self.pool, &self.searches, &self.probe, &self.cancellations] {
            workers.close();
        }
    }

    async fn run<T: WorkValue, E: WorkError>(
        &self,
        kind: WorkKind,
        ends: Instant,
        work: impl FnOnce(&mut ConnectionSlot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let waiting_since = Instant::now();
        let permit = self
            .lanes
            .enter(kind, ends, || {
                self.no_connection(waiting_since, "all connections are in use; see database.pool_size")
            })
            .await?;
        let (reply, answer) = oneshot::channel();
        let scope = Scope::current();
        let job: Job = Box::new(move |slot| {
            // A read whose client has gone is not needed; a write is done all the same.
            let is_needed = kind == WorkKind::Write || !reply.is_closed();
            let outcome = is_needed.then(|| trace::within(scope, || work(slot)));
            Box::new(move || {
                if let Some(outcome) = outcome {
                    let _ = reply.send(outcome);
                }
            })
        });
        let workers = match kind {
            WorkKind::Search => &self.searches,
            WorkKind::Probe => &self.probe,
            WorkKind::ShortRead | WorkKind::LongRead | WorkKind::Write => &self.pool,
        };
        workers
            .run(job, permit, ends)
            .map_err(|reason| self.no_connection(waiting_since, reason))?;
        match time::timeout_at(ends.into(), answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(DbError::Panicked.into()),
            Err(_) => Err(DbError::late_since(waiting_since).into()),
        }
    }

    fn begin(&self, purpose: Purpose) -> Begin {
        Begin::with_settings(&connect::local_settings(
            self.statement_timeout(purpose),
            &self.settings,
        ))
    }

    fn statement_timeout(&self, purpose: Purpose) -> Duration {
        parameters::statement_timeout(&self.settings, purpose).unwrap_or(self.settings.deadline)
    }

    fn no_connection(&self, since: Instant, reason: impl Display) -> DbError {
        DbError::NoConnection {
            database: self.connector.shown().to_string(),
            seconds: since.elapsed().as_secs().max(1),
            reason: parameters::one_line(reason),
        }
    }
}

/// Opens one connection for long work, outside the pool. It blocks.
pub(super) fn connect_once(url: &str, shown: &str, settings: &DatabaseSettings) -> Result<PgConnection, DbError> {
    connect(&Connector::new(url, shown, settings)?)
}

fn connect(connector: &Connector) -> Result<PgConnection, DbError> {
    connector
        .connect(Purpose::LongWork)
        .map(|connected| connected.connection)
}
