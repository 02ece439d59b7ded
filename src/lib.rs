//! blogctl: a blog whose web site and API authenticate with Microsoft Entra ID by X.509 certificate.
//!
//! One binary, two roles: [`web`] is the site that users sign in to (`blogctl serve-client`), [`api`] is the
//! REST API that accepts only valid access tokens (`blogctl serve-api`).
//!
//! The rooms, from the top down. A room uses only rooms below it:
//!
//! | room | what it holds |
//! |---|---|
//! | [`cli`] | the subcommands; the only room that prints to stdout |
//! | [`exposition`] | the server that Prometheus reads the metrics from |
//! | [`api`] | the REST API: routes, handlers, bearer tokens, problem documents |
//! | [`web`] | the web site: sign-in, sessions, pages, and the client of the API |
//! | [`idp`], [`vault`] | emulators of Entra ID and of Azure Key Vault, for development |
//! | [`registration`] | app registrations as Graph JSON, and how existing ones drift from the settings |
//! | [`entra`] | the protocols of Entra ID: discovery, client assertions, sign-in, token validation |
//! | [`tls`] | HTTPS for all servers: certificates, their reload and renewal, redirects |
//! | [`certificate`] | the client certificate and its key: read, inspect, sign, make |
//! | [`blog`] | what a post and a user are, and who may do what |
//! | [`db`] | the database; the only room with SQL |
//! | [`serve`] | what every server does: listen, limit, log, shut down |
//! | [`telemetry`] | sends the spans of a server to a collector |
//! | [`audit`] | the audit trail: events as a chain of lines, and their verification |
//! | [`redis`] | the client of Redis: connections, timeouts, and what happens while Redis is down |
//! | [`passwords`] | where the password of a database or of Redis comes from |
//! | [`azure`] | managed and workload identity, and Key Vault |
//! | [`outbound`] | HTTP agents for requests to other servers; the only room that reads the proxy variables |
//! | [`trace`] | the request that a thread works for: its id, its trace, and the spans of that trace |
//! | `systemd` | sockets from systemd, readiness and watchdog notifications |
//! | `probe` | asks a server of this machine for its health |
//! | [`metrics`] | what happened and what is now, for Prometheus; uses no other room |
//! | [`config`] | the settings; the only room that reads them from the environment |
//!
//! The files between them: `atomic_file` replaces a file atomically, `background` starts threads whose panics are
//! reported, `blocking_pool` runs blocking requests to one target on separate threads, `bounded_command` runs a program
//! within a time limit, `failure_cache` repeats a failure for some seconds, `failure_log` logs a repeated failure once,
//! `file_watch` notices when files change, `guid` parses GUIDs, `hint` says what to do about an error, `loopback` decides
//! which URLs may be used without TLS, `single_flight` lets one request ask while the others wait, `stable_codes` generates
//! the codes of error enums, `token_cache` renews a token before it expires, `trusted_file` reads files that only this
//! account or root may write, `user_key` identifies a user by tenant and object id.

#![forbid(unsafe_code)]

#[macro_use]
mod stable_codes;

pub mod api;
mod atomic_file;
pub mod audit;
pub mod azure;
mod background;
mod blocking_pool;
pub mod blog;
mod bounded_command;
pub mod certificate;
pub mod cli;
pub mod config;
pub mod db;
pub mod entra;
pub mod exposition;
mod failure_cache;
mod failure_log;
mod file_watch;
mod guid;
pub mod hint;
pub mod idp;
mod loopback;
pub mod metrics;
pub mod outbound;
pub mod passwords;
mod probe;
pub mod redis;
pub mod registration;
pub mod serve;
mod single_flight;
mod systemd;
pub mod telemetry;
pub mod tls;
mod token_cache;
pub mod trace;
mod trusted_file;
mod user_key;
pub mod vault;
pub mod web;
