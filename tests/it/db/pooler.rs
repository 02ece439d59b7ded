//! A connection pooler between blogctl and PostgreSQL: it is detected at any time, and no state leaks between clients.

use blogctl::{
    blog::{Blog, Paging, Rights},
    config::{DatabaseSettings, PreparedStatements},
    db::{BlockingConnection, Connection, Database, DbError, migrate, posts},
};
use diesel::{QueryableByName, RunQueryDsl, sql_types::BigInt};

use crate::support::{
    database::{PostgresDatabase, block_on, draft, key},
    pgbouncer::PgBouncer,
    tcp_proxy::TcpProxy,
};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Number of prepared statements with Diesel's names in the server process, after a few reads.
async fn named_statements(database: &Database) -> i64 {
    let work = |connection: &mut Connection<'_>| {
        for id in 0..3 {
            posts::by_id(connection, id)?;
        }
        let Connection::Postgres(connection) = connection else {
            panic!("PostgreSQL")
        };
        let count = "SELECT count(*) AS count FROM pg_prepared_statements WHERE name LIKE '\\_\\_diesel%'";
        Ok::<_, DbError>(diesel::sql_query(count).get_result::<Count>(&mut **connection)?.count)
    };
    database.read_short(work).await.expect("read")
}

fn through(pooler: &PgBouncer, settings: &DatabaseSettings) -> DatabaseSettings {
    DatabaseSettings {
        url: pooler.url(&settings.url),
        ..settings.clone()
    }
}

fn rejection(settings: &DatabaseSettings) -> DbError {
    match Database::open(settings) {
        Ok(_) => panic!("must not open"),
        Err(error) => error,
    }
}

#[test]
fn statements_have_names_on_a_direct_connection_only() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    for (setting, has_names) in [
        (PreparedStatements::Auto, true),
        (PreparedStatements::On, true),
        (PreparedStatements::Off, false),
    ] {
        let database = Database::open(&DatabaseSettings {
            prepared_statements: setting,
            ..postgres.settings.clone()
        })
        .expect("opens");
        database.migrate().expect("migrates");
        assert_eq!(block_on(named_statements(&database)) > 0, has_names, "{setting:?}");
        database.close();
    }
    for mode in ["transaction", "session"] {
        let Some(pooler) = PgBouncer::start(&postgres.settings.url, mode) else {
            return;
        };
        let database = Database::open(&through(&pooler, &postgres.settings)).expect("opens");
        assert_eq!(block_on(named_statements(&database)), 0, "{mode}");
        database.close();
    }
}

#[test]
fn a_pooler_that_ignores_options_is_detected() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let ignore = "ignore_startup_parameters = options";
    let Some(pooler) = PgBouncer::with(&postgres.settings.url, "transaction", 2, ignore) else {
        return;
    };
    let database = Database::open(&through(&pooler, &postgres.settings)).expect("opens");
    database.migrate().expect("migrates through the pooler");
    assert_eq!(block_on(named_statements(&database)), 0);
}

#[test]
fn with_named_statements_required_a_pooler_is_rejected_with_a_hint() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    for mode in ["transaction", "session"] {
        let Some(pooler) = PgBouncer::start(&postgres.settings.url, mode) else {
            return;
        };
        let settings = DatabaseSettings {
            prepared_statements: PreparedStatements::On,
            ..through(&pooler, &postgres.settings)
        };
        let error = rejection(&settings);
        assert!(matches!(error, DbError::Pooler { .. }), "{error:?}");
        let message = error.to_string();
        assert!(
            message.contains("database.prepared_statements") && message.contains("connection pooler"),
            "{message}"
        );
    }
}

#[test]
fn a_pooler_in_statement_mode_is_rejected() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let Some(pooler) = PgBouncer::start(&postgres.settings.url, "statement") else {
        return;
    };
    let message = rejection(&through(&pooler, &postgres.settings)).to_string();
    assert!(message.contains("takes no transaction"), "{message}");
}

#[test]
fn a_pooler_added_later_is_detected_on_the_next_connection() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let Some(pooler) = PgBouncer::start(&postgres.settings.url, "transaction") else {
        return;
    };
    let direct = url::Url::parse(&postgres.settings.url)
        .expect("a URL")
        .port()
        .expect("a port");
    let proxy = TcpProxy::to(direct);
    let mut url = url::Url::parse(&postgres.settings.url).expect("a URL");
    url.set_port(Some(proxy.port())).expect("a port");
    let settings = DatabaseSettings {
        url: url.into(),
        ..postgres.settings.clone()
    };
    let database = Database::open(&settings).expect("opens");
    database.migrate().expect("migrates");
    block_on(async {
        assert!(named_statements(&database).await > 0, "direct");
        proxy.redirect(pooler.port());
        // Opens a new connection, which detects the pooler.
        drop(database.connect().expect("a connection"));
        assert_eq!(
            named_statements(&database).await,
            0,
            "the previous connection is no longer used"
        );
    });
}

#[test]
fn migrations_run_and_are_reverted_through_a_pooler() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    for mode in ["transaction", "session"] {
        let Some(pooler) = PgBouncer::start(&postgres.settings.url, mode) else {
            return;
        };
        let settings = through(&pooler, &postgres.settings);
        // Several at the same time, as replicas that start together: the lock belongs to the transaction.
        let databases: Vec<_> = (0..3).map(|_| Database::open(&settings).expect("opens")).collect();
        let applied: usize = std::thread::scope(|scope| {
            let running: Vec<_> = databases
                .iter()
                .map(|database| scope.spawn(|| migrate::run(database).expect("migrates").len()))
                .collect();
            running.into_iter().map(|thread| thread.join().expect("ends")).sum()
        });
        let [database, ..] = databases.as_slice() else {
            panic!("three")
        };
        assert_eq!(
            applied,
            migrate::status(database).expect("known").len(),
            "each is applied once"
        );
        assert!(
            migrate::inspect(&settings)
                .expect("looks")
                .migrations
                .iter()
                .all(|migration| migration.applied)
        );
        for _ in 0..applied {
            migrate::revert(database).expect("reverts").expect("one");
        }
        assert_eq!(migrate::revert(database).expect("nothing to do"), None);
    }
}

#[test]
fn time_limits_apply_within_transactions_and_do_not_leak_through_a_pooler() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let Some(pooler) = PgBouncer::with(&postgres.settings.url, "transaction", 1, "") else {
        return;
    };
    let database = Database::open(&through(&pooler, &postgres.settings)).expect("opens");
    database.migrate().expect("migrates");
    let limit = |connection: &mut Connection<'_>| {
        let Connection::Postgres(connection) = connection else {
            panic!("PostgreSQL")
        };
        let ask = "SELECT (EXTRACT(epoch FROM current_setting('statement_timeout')::interval) * 1000)::bigint AS count";
        Ok::<_, DbError>(diesel::sql_query(ask).get_result::<Count>(&mut **connection)?.count)
    };
    block_on(async {
        assert_eq!(database.write(limit).await.expect("written"), 8000);
        assert_eq!(database.read_long(limit).await.expect("read"), 8000);
        assert_eq!(database.search(limit).await.expect("searched"), 5000);
        assert_eq!(database.read_short(limit).await.expect("read"), 0, "the server's own");
    });
    // The server connection of the pooler is unchanged.
    let mut connection = database.connect().expect("a connection");
    let BlockingConnection::Postgres(_) = &connection else {
        panic!("PostgreSQL")
    };
    assert_eq!(limit(&mut connection.lend()).expect("read"), 0);
}

#[test]
fn two_connections_of_one_replica_do_not_mix_up_their_statements() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let Some(pooler) = PgBouncer::with(&postgres.settings.url, "transaction", 1, "") else {
        return;
    };
    let database = Database::open(&through(&pooler, &postgres.settings)).expect("opens");
    database.migrate().expect("migrates");
    let blog = Blog::new(database.clone());
    block_on(async {
        let (author, _) = blog.ensure_user(key(1), "A").await.expect("a user");
        let mut written = Vec::new();
        for number in 0..20 {
            written.push(
                blog.create(Rights::Write, &author, draft(&format!("P{number}")))
                    .await
                    .expect("written"),
            );
        }
        let reads = (0..200).map(|number| {
            let (blog, post) = (
                blog.clone(),
                written.get(number % written.len()).cloned().expect("a post"),
            );
            async move {
                assert_eq!(blog.post(post.id).await.expect("there"), post);
                blog.posts(blogctl::blog::Filter::default(), Paging::Skip(0), 5)
                    .await
                    .expect("a list");
            }
        });
        futures_util::future::join_all(reads).await;
    });
}
