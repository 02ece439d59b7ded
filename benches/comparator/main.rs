//! The server that the API is compared with; `benches/run` starts it.
//!
//!     comparator constant BYTES WORKERS    responds to every request with the same JSON of BYTES bytes
//!     comparator naive FILE WORKERS        POST writes a post into an SQLite file, with a transaction for each
//!
//! Both print the port that they listen on. Neither has middleware, tokens or logs. So they show the limit of the web server
//! itself, and the cost of one transaction per write.

use std::{env, io};

use actix_web::{App, HttpResponse, HttpServer, web};
use diesel::{
    connection::SimpleConnection,
    prelude::{RunQueryDsl, SqliteConnection},
    r2d2::{self, ConnectionManager, CustomizeConnection},
    sql_types::Text,
};
use serde::Deserialize;

type Pool = r2d2::Pool<ConnectionManager<SqliteConnection>>;

#[actix_web::main]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let wrong = || io::Error::other("usage: comparator constant BYTES WORKERS | comparator naive FILE WORKERS");
    let [kind, what, workers] = arguments.as_slice() else {
        return Err(wrong());
    };
    let workers: usize = workers.parse().map_err(|_| wrong())?;
    match kind.as_str() {
        "constant" => constant(what.parse().map_err(|_| wrong())?, workers).await,
        "naive" => naive(what, workers).await,
        _ => Err(wrong()),
    }
}

async fn constant(bytes: usize, workers: usize) -> io::Result<()> {
    let frame = r#"{"content":""}"#.len();
    let json = format!(r#"{{"content":"{}"}}"#, "x".repeat(bytes.saturating_sub(frame)));
    let json = web::Bytes::from(json);
    let server = HttpServer::new(move || {
        let json = json.clone();
        App::new().default_service(web::to(move || {
            let json = json.clone();
            async move { HttpResponse::Ok().content_type("application/json").body(json) }
        }))
    });
    let server = server.workers(workers).bind("127.0.0.1:0")?;
    announce(server.addrs().first().map_or(0, std::net::SocketAddr::port));
    server.run().await
}

#[derive(Deserialize)]
struct NewPost {
    title: String,
    content: String,
}

/// As durable as the API: WAL and `synchronous = FULL`.
#[derive(Debug)]
struct SetUp;

impl CustomizeConnection<SqliteConnection, r2d2::Error> for SetUp {
    fn on_acquire(&self, connection: &mut SqliteConnection) -> Result<(), r2d2::Error> {
        connection
            .batch_execute(
                "PRAGMA busy_timeout = 30000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 PRAGMA foreign_keys = ON;",
            )
            .map_err(r2d2::Error::QueryError)
    }
}

async fn naive(file: &str, workers: usize) -> io::Result<()> {
    let pool = r2d2::Pool::builder()
        .max_size(16)
        .test_on_check_out(false)
        .connection_customizer(Box::new(SetUp))
        .build(ConnectionManager::<SqliteConnection>::new(file))
        .map_err(io::Error::other)?;
    let pool = web::Data::new(pool);
    let server = HttpServer::new(move || {
        App::new().app_data(pool.clone()).default_service(web::to(
            async |post: web::Json<NewPost>, pool: web::Data<Pool>| {
                let written = web::block(move || write(&pool, &post)).await;
                match written {
                    Ok(Ok(())) => HttpResponse::Created().json("written"),
                    Ok(Err(error)) => HttpResponse::InternalServerError().body(error),
                    Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
                }
            },
        ))
    });
    let server = server.workers(workers).bind("127.0.0.1:0")?;
    announce(server.addrs().first().map_or(0, std::net::SocketAddr::port));
    server.run().await
}

/// One statement is one transaction.
fn write(pool: &Pool, post: &NewPost) -> Result<(), String> {
    let mut connection = pool.get().map_err(|error| error.to_string())?;
    diesel::sql_query(
        "INSERT INTO blog_posts (title, content, author_id, created_at_micros, updated_at_micros) \
         VALUES (?, ?, (SELECT min(id) FROM users), unixepoch() * 1000000, unixepoch() * 1000000)",
    )
    .bind::<Text, _>(&post.title)
    .bind::<Text, _>(&post.content)
    .execute(&mut connection)
    .map(drop)
    .map_err(|error| error.to_string())
}

#[expect(clippy::print_stdout, reason = "benches/run reads the port from stdout")]
fn announce(port: u16) {
    println!("{port}");
}
