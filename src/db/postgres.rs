//! PostgreSQL: connections with threads of their own, in lanes that do not wait for each other.

mod abandoned;
mod connect;
mod lanes;
mod parameters;
mod slot;
mod workers;

use std::{
    fmt::Display,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use diesel::{
    connection::{AnsiTransactionManager, TransactionManager},
    pg::PgConnection,
};
use tokio::{
    sync::{Semaphore, oneshot},
    time,
};

use self::{
    abandoned::{Guard, Running},
    connect::{Connected, Connector, Route},
    lanes::{Lane, Lanes},
    parameters::Purpose,
    slot::{Ready, Slot},
    workers::{Job, Workers},
};
use super::{Connection, DbError, blocking::BlockingConnection, deadline, failure::Failure};
use crate::config::DatabaseSettings;

/// How often a transaction that others were in the way of is tried in all.
const MOST_ATTEMPTS: u32 = 4;
/// Longest time for the readiness probe, connecting included.
const PROBE: Duration = Duration::from_secs(2);
/// What a transaction begins with. READ COMMITTED, whatever the server's default: with the rows locked that a rule looks at,
/// nothing can fail to serialise.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// A PostgreSQL database.
pub(super) struct PostgresDatabase {
    settings: DatabaseSettings,
    connector: Arc<Connector>,
    lanes: Lanes,
    pool: Arc<Workers>,
    searches: Arc<Workers>,
    probe: Arc<Workers>,
    cancels: Arc<Workers>,
    cancel_place: Arc<Semaphore>,
}

impl PostgresDatabase {
    /// Connects, to know that the server answers and whether there is a pooler.
    pub fn open(url: &str, shown: &str, settings: &DatabaseSettings) -> Result<Self, DbError> {
        let connector = Arc::new(Connector::new(url, shown, settings));
        find_pooler(&connector)?;
        let workers = |purpose| {
            let connector = Arc::clone(&connector);
            Workers::new(move || Slot::new(Arc::clone(&connector), purpose))
        };
        let (pool, probe) = (workers(Purpose::Requests), workers(Purpose::Requests));
        let (searches, cancels) = (workers(Purpose::Searches), workers(Purpose::Requests));
        workers::watch([&pool, &searches, &probe, &cancels].map(Arc::clone).to_vec()).map_err(|reason| {
            DbError::Open {
                database: shown.to_owned(),
                reason: reason.to_string(),
            }
        })?;
        let (lanes, cancel_place) = (Lanes::new(settings), Arc::new(Semaphore::new(1)));
        Ok(Self {
            settings: settings.clone(),
            connector,
            lanes,
            pool,
            searches,
            probe,
            cancels,
            cancel_place,
        })
    }

    /// A read by key, or of a page near the top.
    pub async fn read_short<T, E>(
        &self,
        work: impl Fn(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let ends = deadline::until(self.settings.deadline);
        self.run(Lane::ShortRead, ends, move |slot| read(slot, ends, None, None, &work))
            .await
    }

    /// A read that may take long.
    pub async fn read_long<T, E>(
        &self,
        work: impl Fn(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let ends = deadline::until(self.settings.deadline);
        let begin = self.begin(Purpose::Requests);
        self.run(Lane::LongRead, ends, move |slot| {
            read(slot, ends, Some(&begin), None, &work)
        })
        .await
    }

    /// A search.
    pub async fn search<T, E>(
        &self,
        work: impl Fn(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let ends = deadline::until(self.settings.deadline.min(self.settings.search_deadline));
        let begin = self.begin(Purpose::Searches);
        let running = Arc::new(Running::default());
        let _ends_with_this = Guard {
            running: Arc::clone(&running),
            workers: Arc::clone(&self.cancels),
            place: Arc::clone(&self.cancel_place),
        };
        self.run(Lane::Search, ends, move |slot| {
            read(slot, ends, Some(&begin), Some(&running), &work)
        })
        .await
    }

    /// The readiness probe's read. It waits for nothing but an earlier probe.
    pub async fn probe<T, E>(&self, work: impl Fn(&mut Connection<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let ends = Instant::now() + PROBE;
        self.run(Lane::Probe, ends, move |slot| read(slot, ends, None, None, &work))
            .await
    }

    /// Writes in a transaction, and returns after its commit.
    pub async fn write<T, E>(&self, work: impl Fn(&mut Connection<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let ends = deadline::until(self.settings.deadline);
        let begin = self.begin(Purpose::Requests);
        self.run(Lane::Write, ends, move |slot| write(slot, ends, &begin, &work))
            .await
    }

    /// A connection for long work of its own.
    pub fn connect(&self) -> Result<BlockingConnection, DbError> {
        connect(&self.connector).map(BlockingConnection::Postgres)
    }

    /// Turns away new work; connections that are in use close when they are done.
    pub fn close(&self) {
        self.lanes.close();
        self.cancel_place.close();
        for workers in [&self.pool, &self.searches, &self.probe, &self.cancels] {
            workers.close();
        }
    }

    async fn run<T, E>(
        &self,
        lane: Lane,
        ends: Instant,
        work: impl FnOnce(&mut Slot) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let waited_from = Instant::now();
        let permit = self.lanes.enter(lane, ends, || self.none_free(waited_from)).await?;
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |slot| {
            // A client that has gone needs no answer to a read.
            let is_needed = lane == Lane::Write || !reply.is_closed();
            let outcome = is_needed.then(|| work(slot));
            Box::new(move || {
                if let Some(outcome) = outcome {
                    let _ = reply.send(outcome);
                }
            })
        });
        let workers = match lane {
            Lane::Search => &self.searches,
            Lane::Probe => &self.probe,
            Lane::ShortRead | Lane::LongRead | Lane::Write => &self.pool,
        };
        workers
            .run(job, permit, ends)
            .map_err(|reason| self.no_connection(waited_from, reason))?;
        match time::timeout_at(ends.into(), answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(DbError::Panicked.into()),
            Err(_) => Err(DbError::Deadline {
                seconds: whole_seconds(waited_from.elapsed()),
            }
            .into()),
        }
    }

    fn begin(&self, purpose: Purpose) -> Begin {
        let timeout = parameters::statement_timeout(&self.settings, purpose).unwrap_or(self.settings.deadline);
        Begin {
            pooled: format!("{BEGIN}; {}", connect::local_settings(timeout, &self.settings)),
        }
    }

    fn none_free(&self, since: Instant) -> DbError {
        self.no_connection(since, "all connections are in use; see database.pool_size")
    }

    fn no_connection(&self, since: Instant, reason: impl Display) -> DbError {
        DbError::NoConnection {
            database: self.connector.shown().to_string(),
            seconds: whole_seconds(since.elapsed()),
            reason: parameters::one_line(reason),
        }
    }
}

/// How a transaction begins where the settings of the session do not reach the server process.
struct Begin {
    pooled: String,
}

impl Begin {
    fn sql(&self, route: Route) -> &str {
        match route {
            Route::Direct => BEGIN,
            Route::Pooled => &self.pooled,
        }
    }
}

/// Reads, once more on a fresh connection when the first one turns out to be lost. `begin` is for reads whose time the server
/// must limit: through a pooler, that takes a transaction. `running` is for reads that end when nobody waits for them.
fn read<T, E: From<DbError>>(
    slot: &mut Slot,
    ends: Instant,
    begin: Option<&Begin>,
    running: Option<&Running>,
    work: &impl Fn(&mut Connection<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut attempt = 1;
    loop {
        let Ready {
            connection,
            route,
            is_fresh,
            process,
        } = slot.ready()?;
        let at_work = running
            .map(|running| running.begin(process).ok_or(DbError::Closed))
            .transpose()?;
        let outcome = match begin.filter(|_| route == Route::Pooled) {
            Some(begin) => in_transaction(connection, begin.sql(route), work).map_err(Ended::into_error),
            None => work(&mut Connection::Postgres(connection)),
        };
        let is_abandoned = at_work.is_some_and(|at_work| !at_work.end());
        let failure = slot.settle();
        if is_abandoned {
            slot.discard();
        }
        let Err(error) = outcome else { return outcome };
        let is_worth_it = match failure {
            Some(Failure::Lost | Failure::ReadOnly) => !is_fresh && attempt == 1,
            Some(Failure::Statements | Failure::Outdated | Failure::Conflict) => attempt < MOST_ATTEMPTS,
            Some(Failure::Transient | Failure::Permanent) | None => false,
        };
        if !is_worth_it || Instant::now() >= ends {
            return Err(error);
        }
        attempt += 1;
    }
}

/// Writes in a transaction. Once more only where nothing can have been committed, and never when the connection is lost after
/// the transaction has begun: then nobody knows. Nothing begins or is committed once its time is over: the client has been
/// told so, and may have sent the same again.
fn write<T, E: From<DbError>>(
    slot: &mut Slot,
    ends: Instant,
    begin: &Begin,
    work: &impl Fn(&mut Connection<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let since = Instant::now();
    let in_time = || {
        if Instant::now() < ends {
            Ok(())
        } else {
            Err(DbError::late_since(since))
        }
    };
    let mut attempt = 1;
    loop {
        let Ready {
            connection,
            route,
            is_fresh,
            ..
        } = slot.ready()?;
        in_time()?;
        let outcome = in_transaction(connection, begin.sql(route), |connection| {
            let value = work(connection)?;
            in_time()?;
            Ok(value)
        });
        let failure = slot.settle();
        let ended = match outcome {
            Ok(value) => return Ok(value),
            Err(ended) => ended,
        };
        let is_worth_it = match failure {
            Some(Failure::Lost) => matches!(ended, Ended::BeforeItBegan(_)) && !is_fresh && attempt == 1,
            Some(Failure::ReadOnly) => !is_fresh && attempt == 1,
            Some(Failure::Statements | Failure::Outdated | Failure::Conflict) => attempt < MOST_ATTEMPTS,
            Some(Failure::Transient | Failure::Permanent) | None => false,
        };
        if !is_worth_it || Instant::now() >= ends {
            return Err(ended.into_error());
        }
        if failure == Some(Failure::Conflict) {
            // The other goes first, or both take the same rows in the same order and meet again.
            let pause = Duration::from_millis(rand::random_range(20..100)) * attempt;
            thread::sleep(pause.min(ends.saturating_duration_since(Instant::now())));
        }
        attempt += 1;
    }
}

/// Runs the work in a transaction without limits of its own.
pub(super) fn transaction<T, E: From<DbError>>(
    connection: &mut PgConnection,
    work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
) -> Result<T, E> {
    in_transaction(connection, BEGIN, work).map_err(Ended::into_error)
}

fn in_transaction<T, E>(
    connection: &mut PgConnection,
    begin: &str,
    work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>,
) -> Result<T, Ended<E>> {
    AnsiTransactionManager::begin_transaction_sql(connection, begin).map_err(Ended::BeforeItBegan)?;
    match work(&mut Connection::Postgres(connection)) {
        Ok(value) => {
            AnsiTransactionManager::commit_transaction(connection).map_err(Ended::ByTheDatabase)?;
            Ok(value)
        }
        Err(error) => match AnsiTransactionManager::rollback_transaction(connection) {
            // What broke it is likely the same error.
            Ok(()) | Err(diesel::result::Error::BrokenTransactionManager) => Err(Ended::ByTheWork(error)),
            Err(reason) => {
                log::debug!("a transaction was not rolled back cleanly: {reason}");
                Err(Ended::ByTheWork(error))
            }
        },
    }
}

/// Why a transaction was not committed, or is not known to be.
enum Ended<E> {
    BeforeItBegan(diesel::result::Error),
    ByTheWork(E),
    ByTheDatabase(diesel::result::Error),
}

impl<E: From<DbError>> Ended<E> {
    fn into_error(self) -> E {
        match self {
            Self::ByTheWork(error) => error,
            Self::BeforeItBegan(error) | Self::ByTheDatabase(error) => DbError::from(error).into(),
        }
    }
}

/// A connection for long work of its own, beside all others.
pub(super) fn connect_once(url: &str, shown: &str, settings: &DatabaseSettings) -> Result<PgConnection, DbError> {
    connect(&Connector::new(url, shown, settings))
}

fn connect(connector: &Connector) -> Result<PgConnection, DbError> {
    connector
        .connect(Purpose::LongWork)
        .map(|connected| connected.connection)
}

/// Connects twice. A pooler that hands on what a client sets, and lends the server process to others afterwards, shows the
/// second connection the first one's mark, or the first one another process, or both the same.
fn find_pooler(connector: &Connector) -> Result<(), DbError> {
    let mut first = connector.connect(Purpose::Requests)?;
    if first.route == Route::Pooled {
        return Ok(());
    }
    // A server that is full, or a user that may have one connection only.
    let Ok(mut second) = connector.connect(Purpose::Requests) else {
        return connector.refuse_pooler();
    };
    let has_same_process = first.process.is_some() && first.process == second.process;
    // A connection that is lost meanwhile tells nothing.
    let is_direct = |connected: &mut Connected| {
        connector
            .verify(connected)
            .map_err(|reason| connector.not_opened(parameters::one_line(reason)))
    };
    if has_same_process || !(is_direct(&mut first)? && is_direct(&mut second)? && is_direct(&mut first)?) {
        connector.note_pooler();
    }
    connector.refuse_pooler()
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().max(1)
}
