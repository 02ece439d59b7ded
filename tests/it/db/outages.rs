//! PostgreSQL that is slow, silent, closed or in the way: nobody waits without end, nobody waits for another kind of work, and
//! everything works again by itself.

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
    db::{Connection, Database, DbError, users},
};
use diesel::{RunQueryDsl, connection::SimpleConnection};
use futures_util::future::{join, join_all};

use crate::support::{
    database::{PostgresDatabase, block_on, key},
    tcp_proxy::TcpProxy,
};

/// Longest wait of a test that fails.
const GUARD: Duration = Duration::from_mins(1);

fn short_limits(settings: &DatabaseSettings) -> DatabaseSettings {
    DatabaseSettings {
        deadline: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(2),
        statement_timeout: Duration::from_secs(1),
        lock_timeout: Duration::from_secs(1),
        search_deadline: Duration::from_secs(1),
        ..settings.clone()
    }
}

fn migrated(settings: &DatabaseSettings) -> Database {
    let database = Database::open(settings).expect("opens");
    database.migrate().expect("migrates");
    database
}

/// Through a proxy of the test's own.
fn behind(settings: &DatabaseSettings) -> (TcpProxy, DatabaseSettings) {
    let mut url = url::Url::parse(&settings.url).expect("a URL");
    let proxy = TcpProxy::to(url.port().expect("a port"));
    url.set_port(Some(proxy.port())).expect("a port");
    (
        proxy,
        DatabaseSettings {
            url: url.into(),
            ..settings.clone()
        },
    )
}

fn sql(text: &'static str) -> impl Fn(&mut Connection<'_>) -> Result<(), DbError> + Send + Sync + 'static {
    move |connection| {
        let Connection::Postgres(connection) = connection else {
            panic!("PostgreSQL")
        };
        Ok(connection.batch_execute(text)?)
    }
}

async fn until_it_works(database: &Database) {
    let since = Instant::now();
    while let Err(error) = database.read_short(users::count).await {
        assert!(error.is_transient(), "{error}");
        assert!(since.elapsed() < GUARD, "{error}");
    }
}

#[test]
fn connections_that_die_silently_are_given_up_and_replaced() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let (proxy, settings) = behind(&short_limits(&postgres.settings));
    let database = migrated(&settings);
    let blog = Blog::new(database.clone());
    block_on(async {
        for round in 0..3 {
            // As many connections as there can be.
            join_all((0..8).map(|_| database.read_short(users::count))).await;
            database.search(users::count).await.expect("searched");
            database.ping().await.expect("ready");
            proxy.silence_open_connections();
            let reads = join_all((0..8).map(|_| database.read_short(users::count)));
            let writes = join_all((0..8).map(|number| blog.ensure_user(key(number), "Somebody")));
            let (reads, writes) = join(reads, writes).await;
            // Whichever connection they met: nothing else than the end of their time.
            for error in reads.into_iter().filter_map(Result::err) {
                assert!(error.is_transient(), "{error}");
            }
            for error in writes.into_iter().filter_map(Result::err) {
                let blogctl::blog::BlogError::Database(error) = error else {
                    panic!("{error}")
                };
                assert!(error.is_transient(), "{error}");
            }
            until_it_works(&database).await;
            // The others are replaced as well: none of these meets a silent one.
            let since = Instant::now();
            while database.ping().await.is_err() || database.search(users::count).await.is_err() {
                assert!(since.elapsed() < GUARD);
            }
            let failed = join_all((0..20).map(|_| database.read_short(users::count)))
                .await
                .into_iter()
                .filter(Result::is_err);
            assert_eq!(failed.count(), 0, "round {round}");
        }
    });
    database.close();
}

#[test]
fn a_server_that_is_silent_for_everybody_is_used_again_once_it_answers() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let (proxy, settings) = behind(&short_limits(&postgres.settings));
    let database = migrated(&settings);
    block_on(async {
        database.read_short(users::count).await.expect("read");
        proxy.silence_all();
        for _ in 0..2 {
            let error = database.read_short(users::count).await.expect_err("nobody answers");
            assert!(error.is_transient(), "{error}");
            assert!(database.ping().await.expect_err("not ready").is_transient());
        }
        proxy.recover();
        until_it_works(&database).await;
    });
}

#[test]
fn a_read_whose_connection_was_closed_is_done_on_another_and_so_is_a_write_that_had_not_begun() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let database = migrated(&postgres.settings);
    let blog = Blog::new(database.clone());
    let mut admin = postgres.connection();
    let mut close_all = || {
        diesel::sql_query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid()",
        )
        .execute(&mut admin)
        .expect("closed");
    };
    block_on(async {
        for number in 0..3 {
            database.read_short(users::count).await.expect("read");
            close_all();
            database
                .read_short(users::count)
                .await
                .expect("read on another connection");
            close_all();
            database
                .search(users::count)
                .await
                .expect("searched on another connection");
            close_all();
            database.ping().await.expect("ready on another connection");
            blog.ensure_user(key(number), "Somebody").await.expect("written");
            close_all();
            blog.ensure_user(key(100 + number), "Somebody")
                .await
                .expect("written on another connection");
        }
    });
    assert_eq!(block_on(database.read_short(users::count)).expect("read"), 6);
}

#[test]
fn a_write_whose_connection_is_lost_in_its_transaction_is_not_done_again() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let database = migrated(&postgres.settings);
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let lost: Result<(), DbError> = block_on(database.write(move |connection| {
        counted.fetch_add(1, Ordering::SeqCst);
        sql("SELECT pg_terminate_backend(pg_backend_pid())")(connection)
    }));
    assert!(lost.expect_err("lost").is_transient());
    assert_eq!(begun.load(Ordering::SeqCst), 1);
    block_on(database.read_short(users::count)).expect("the next one is well");
}

#[test]
fn what_passes_by_itself_is_told_from_what_does_not() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let database = migrated(&short_limits(&postgres.settings));
    block_on(transient_failures(&database));
}

async fn transient_failures(database: &Database) {
    for text in [
        "SELECT pg_sleep(30)",
        "SELECT pg_cancel_backend(pg_backend_pid()); SELECT pg_sleep(30)",
        "SELECT pg_terminate_backend(pg_backend_pid())",
        "SET LOCAL transaction_read_only = on; DELETE FROM users",
        "DO $$ BEGIN RAISE 'x' USING ERRCODE = '40001'; END $$",
        "DO $$ BEGIN RAISE 'x' USING ERRCODE = '08006'; END $$",
        "SET LOCAL temp_file_limit = 0; SELECT count(*) FROM (SELECT n FROM generate_series(1, 5000000) n ORDER BY n DESC) x",
    ] {
        let error = database.write(sql(text)).await.expect_err(text);
        assert!(error.is_transient(), "{text}: {error}");
        database.read_short(users::count).await.expect("all is well again");
    }
    for text in [
        "SELECT * FROM nothing",
        "SELECT 1 / 0",
        "DELETE FROM users WHERE id = 'x'",
    ] {
        let error = database.write(sql(text)).await.expect_err(text);
        assert!(!error.is_transient(), "{text}: {error}");
    }
}

#[test]
fn a_lock_that_another_holds_is_not_waited_for_without_end() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let database = migrated(&short_limits(&postgres.settings));
    let mut other = postgres.connection();
    other
        .batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        .expect("locked");
    block_on(async {
        for error in [
            database.write(sql("DELETE FROM users")).await.expect_err("locked"),
            database.read_short(users::count).await.expect_err("locked"),
        ] {
            assert!(
                matches!(error, DbError::Statement(_)) && error.is_transient(),
                "{error}"
            );
        }
        other.batch_execute("ROLLBACK").expect("unlocked");
        database.write(sql("DELETE FROM users")).await.expect("written");
    });
}

#[test]
fn of_two_transactions_that_wait_for_each_other_the_one_rolled_back_is_done_again() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let database = migrated(&postgres.settings);
    let mut admin = postgres.connection();
    admin
        .batch_execute("CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 0), (2, 0)")
        .expect("a table");
    // Both hold a row before either wants the other's.
    let met = Arc::new((Mutex::new(0), Condvar::new()));
    let update = |first: &'static str, second: &'static str| {
        let met = Arc::clone(&met);
        database.write(move |connection| {
            sql(first)(connection)?;
            let (count, changed) = &*met;
            let mut count = count.lock().expect("not poisoned");
            *count += 1;
            changed.notify_all();
            drop(
                changed
                    .wait_timeout_while(count, GUARD, |count| *count < 2)
                    .expect("not poisoned"),
            );
            sql(second)(connection)
        })
    };
    let (one, two) = (
        "UPDATE t SET n = n + 1 WHERE id = 1",
        "UPDATE t SET n = n + 1 WHERE id = 2",
    );
    let (a, b) = block_on(join(update(one, two), update(two, one)));
    a.expect("written");
    b.expect("written");
    assert!(*met.0.lock().expect("not poisoned") >= 3, "one of them twice");
    let wrong = diesel::sql_query("SELECT 1 FROM t WHERE n <> 2")
        .execute(&mut admin)
        .expect("read");
    assert_eq!(wrong, 0, "each exactly once");
}

/// Work that goes on until it is let go.
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
fn no_kind_of_work_keeps_another_from_the_database() {
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
            // Of the searches some are turned away.
            let outcome = running.join().expect("ends");
            assert!(outcome.is_ok() || flooded == "searches", "{outcome:?}");
        }
    }
    let list = block_on(Blog::new(database).posts(blogctl::blog::Filter::default(), Paging::Skip(0), 5));
    assert_eq!(list.expect("a list").total, 0);
}

#[test]
fn more_searches_than_run_and_wait_are_turned_away_at_once() {
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
            // Those that find a place in the queue wait until the first is let go.
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
fn a_search_whose_client_has_gone_is_ended_on_the_server() {
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
        // Its connection is not hit by a cancellation that comes late.
        for _ in 0..10 {
            block_on(database.search(users::count)).expect("searched");
        }
    }
}

#[test]
fn failures_are_told_apart_in_another_language_of_the_server() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let Some(language) = crate::support::needs("BLOGCTL_TEST_POSTGRES_MESSAGES") else {
        return;
    };
    let mut admin = postgres.connection();
    let set = format!("ALTER DATABASE {} SET lc_messages = '{language}'", postgres.name);
    admin.batch_execute(&set).expect("the server knows the language");
    let database = migrated(&short_limits(&postgres.settings));
    block_on(async {
        let error = database
            .write(sql("SELECT * FROM nothing"))
            .await
            .expect_err("there is no such table");
        assert!(!error.to_string().contains("does not exist"), "{error}");
        transient_failures(&database).await;
    });
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
fn a_write_is_not_committed_after_its_client_was_told_that_its_time_is_over() {
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
