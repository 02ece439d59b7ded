//! Black-box tests by feature, against the real servers and the real binary. One test binary, because it links only once.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on must fail"
)]
#![expect(clippy::too_many_lines, reason = "tables of cases")]

mod api;
mod audit;
mod backup;
mod browser;
mod cert;
mod cli;
mod config;
mod db;
mod dev;
mod docs;
mod doctor;
mod dotenv;
mod durability;
mod entra;
mod fuzz;
mod hostile;
mod idp;
mod listening;
mod logs;
mod metrics;
mod migrate;
mod msal;
mod properties;
mod registration;
mod replicas;
mod secrets;
mod seed;
mod settings_files;
mod support;
mod tls;
mod token;
mod torture;
mod traces;
mod web;
