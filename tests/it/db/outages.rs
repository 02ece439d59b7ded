//! PostgreSQL that is slow, silent, closed or locked: no request waits endlessly or for another kind of work, and
//! everything recovers.

mod limits;

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use blogctl::{
    blog::Blog,
    config::DatabaseSettings,
    db::{Connection, Database, DbError, users},
};
use diesel::{RunQueryDsl, connection::SimpleConnection};
use futures_util::future::{join, join_all};

use crate::support::{
    database::{PostgresDatabase, block_on, key},
    tcp_proxy::TcpProxy,
};

/// Longest wait; only a failing test reaches it.
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

/// The same settings, through a TCP proxy.
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
fn silent_connections_are_replaced() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let (proxy, settings) = behind(&short_limits(&postgres.settings));
    let database = migrated(&settings);
    let blog = Blog::new(database.clone());
    block_on(async {
        for round in 0..3 {
            // Opens as many connections as possible.
            join_all((0..8).map(|_| database.read_short(users::count))).await;
            database.search(users::count).await.expect("searched");
            database.ping().await.expect("ready");
            proxy.silence_open_connections();
            let reads = join_all((0..8).map(|_| database.read_short(users::count)));
            let writes = join_all((0..8).map(|number| blog.ensure_user(key(number), "Ann")));
            let (reads, writes) = join(reads, writes).await;
            // On whichever connection: the only error is the end of their time.
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
            // All silent connections are replaced.
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
fn a_silent_server_is_used_again_once_it_answers() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let (proxy, settings) = behind(&short_limits(&postgres.settings));
    let database = migrated(&settings);
    block_on(async {
        database.read_short(users::count).await.expect("read");
        proxy.silence_all();
        for _ in 0..2 {
            let error = database.read_short(users::count).await.expect_err("no answer");
            assert!(error.is_transient(), "{error}");
            assert!(database.ping().await.expect_err("not ready").is_transient());
        }
        proxy.recover();
        until_it_works(&database).await;
    });
}

#[test]
fn a_read_or_an_unstarted_write_is_retried_on_another_connection() {
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
            blog.ensure_user(key(number), "Ann").await.expect("written");
            close_all();
            blog.ensure_user(key(100 + number), "Ann")
                .await
                .expect("written on another connection");
        }
    });
    assert_eq!(block_on(database.read_short(users::count)).expect("read"), 6);
}

#[test]
fn a_write_that_loses_its_connection_is_not_retried() {
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
fn transient_failures_are_distinguished_from_permanent_ones() {
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
fn waiting_for_a_lock_has_a_time_limit() {
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
fn a_transaction_rolled_back_by_a_deadlock_is_retried() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let database = migrated(&postgres.settings);
    let mut admin = postgres.connection();
    admin
        .batch_execute("CREATE TABLE t (id INT PRIMARY KEY, n INT); INSERT INTO t VALUES (1, 0), (2, 0)")
        .expect("a table");
    // Both transactions hold one row before they request the other.
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

#[test]
fn failures_are_recognised_in_any_language_of_the_server() {
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
