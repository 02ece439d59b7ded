//! Deadlines and limits: no kind of work blocks another, and a search ends with its client.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use blogctl::{
    blog::{Blog, Paging},
    config::DatabaseSettings,
    db::{Connection, DbError, users},
};
use diesel::{RunQueryDsl, connection::SimpleConnection};
use futures_util::future::{join, join_all};

use super::{GUARD, migrated, short_limits, sql};
use crate::support::database::{PostgresDatabase, block_on};

/// Work that runs until the gate opens.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>, Arc<AtomicUsize>);

impl Gate {
    fn work(&self) -> impl Fn(&mut Connection<'_>) -> Result<(), DbError> + Send + 'static + use<> {
        let gate = self.clone();
        move |connection| {
            users::count(connection)?;
            gate.1.fetch_add(1, Ordering::SeqCst);
            let (open, changed) = &*gate.0;
            let open = open.lock().expect("not poisoned");
            drop(
                changed
                    .wait_timeout_while(open, GUARD, |open| !*open)
                    .expect("not poisoned"),
            );
            Ok(())
        }
    }

    fn wait_for(&self, running: usize) {
        let since = Instant::now();
        while self.1.load(Ordering::SeqCst) < running {
            assert!(since.elapsed() < GUARD, "only {} run", self.1.load(Ordering::SeqCst));
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn open(&self) {
        *self.0.0.lock().expect("not poisoned") = true;
        self.0.1.notify_all();
    }
}

#[test]
fn no_kind_of_work_blocks_another() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let settings = DatabaseSettings {
        pool_size: 4,
        deadline: GUARD,
        search_deadline: GUARD,
        ..postgres.settings.clone()
    };
    let database = migrated(&settings);
    for flooded in ["short reads", "long reads", "writes", "searches"] {
        let gate = Gate::default();
        let flood: Vec<_> = (0..20)
            .map(|_| {
                let (database, work) = (database.clone(), gate.work());
                thread::spawn(move || {
                    block_on(async move {
                        match flooded {
                            "short reads" => database.read_short(work).await,
                            "long reads" => database.read_long(work).await,
                            "writes" => database.write(work).await,
                            _ => database.search(work).await,
                        }
                    })
                })
            })
            .collect();
        gate.wait_for(1);
        block_on(async {
            database.ping().await.expect("ready");
            if flooded != "short reads" {
                database.read_short(users::count).await.expect("read");
            }
            if flooded != "long reads" {
                database.read_long(users::count).await.expect("read");
            }
            if flooded != "writes" {
                database.write(sql("DELETE FROM users")).await.expect("written");
            }
            if flooded != "searches" {
                database.search(users::count).await.expect("searched");
            }
        });
        gate.open();
        for running in flood {
            // Some searches are rejected.
            let outcome = running.join().expect("ends");
            assert!(outcome.is_ok() || flooded == "searches", "{outcome:?}");
        }
    }
    let list = block_on(Blog::new(database).posts(blogctl::blog::Filter::default(), Paging::Skip(0), 5));
    assert_eq!(list.expect("a list").total, 0);
}

#[test]
fn searches_beyond_the_queue_are_rejected_at_once() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let settings = DatabaseSettings {
        search_connections: 1,
        search_queue: 2,
        deadline: GUARD,
        search_deadline: GUARD,
        ..postgres.settings.clone()
    };
    let database = migrated(&settings);
    let gate = Gate::default();
    let outcomes = block_on(async {
        let first = database.search(gate.work());
        let others = async {
            // Searches in the queue wait until the first one ends.
            let waiting: Vec<_> = (0..5).map(|_| database.search(users::count)).collect();
            let open = async { gate.open() };
            join(join_all(waiting), open).await.0
        };
        let (first, others) = join(first, others).await;
        first.expect("searched");
        others
    });
    let busy = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(DbError::SearchBusy)))
        .count();
    assert_eq!(
        (outcomes.iter().filter(|outcome| outcome.is_ok()).count(), busy),
        (2, 3)
    );
}

#[test]
fn a_search_ends_on_the_server_when_its_client_disconnects() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let settings = DatabaseSettings {
        search_connections: 1,
        statement_timeout: GUARD * 2,
        deadline: GUARD * 2,
        search_deadline: GUARD * 2,
        ..postgres.settings.clone()
    };
    let database = migrated(&settings);
    let mut admin = postgres.connection();
    let mut sleeping = || {
        let asked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                     AND query LIKE 'SELECT pg\\_sleep%'";
        diesel::sql_query(asked).execute(&mut admin).expect("asked")
    };
    for _ in 0..3 {
        block_on(async {
            let search = database.search(sql("SELECT pg_sleep(120)"));
            let mut search = std::pin::pin!(search);
            let since = Instant::now();
            while sleeping() == 0 {
                assert!(since.elapsed() < GUARD, "the search begins");
                let _ = tokio::time::timeout(Duration::from_millis(10), &mut search).await;
            }
        });
        let since = Instant::now();
        while sleeping() > 0 {
            assert!(since.elapsed() < GUARD, "the search is ended");
            thread::sleep(Duration::from_millis(10));
        }
        // A late cancellation does not hit the next statement on its connection.
        for _ in 0..10 {
            block_on(database.search(users::count)).expect("searched");
        }
    }
}

#[test]
fn all_work_of_one_request_has_one_deadline() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let database = migrated(&DatabaseSettings {
        deadline: GUARD,
        ..postgres.settings.clone()
    });
    let ended = block_on(blogctl::db::within(Duration::from_millis(500), async {
        let mut done = 0;
        loop {
            match database.read_short(sql("SELECT pg_sleep(0.05)")).await {
                Ok(()) => done += 1,
                Err(error) => return (done, error),
            }
        }
    }));
    assert!(ended.1.is_transient(), "{}", ended.1);
    assert!(ended.0 <= 10, "{}", ended.0);
}

#[test]
fn a_write_is_not_committed_after_its_deadline_was_reported() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let database = migrated(&short_limits(&postgres.settings));
    let mut admin = postgres.connection();
    admin.batch_execute("CREATE TABLE t (n INT)").expect("a table");
    let gate = Gate::default();
    let wait = gate.work();
    let late = block_on(database.write(move |connection| {
        sql("INSERT INTO t VALUES (1)")(connection)?;
        wait(connection)
    }));
    assert!(matches!(late, Err(DbError::Deadline { .. })), "{late:?}");
    gate.wait_for(1);
    gate.open();
    // Waits for the end of the transaction.
    admin
        .batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; COMMIT")
        .expect("locked");
    assert_eq!(
        diesel::sql_query("SELECT 1 FROM t").execute(&mut admin).expect("read"),
        0
    );
    block_on(database.write(sql("INSERT INTO t VALUES (2)"))).expect("the next one is well");
}
