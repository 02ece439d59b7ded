//! `serve-api` over HTTP, with tokens of the Entra ID emulator.

mod access;
mod clients;
mod conditions;
mod connections;
mod cors;
mod description;
mod failover;
mod fuzz;
mod health;
mod idempotency;
mod list_input;
mod lists;
mod open_routes;
mod outages;
mod passwords;
mod policies;
mod pooler;
mod posts;
mod problems;
mod python_regressions;
mod rate_limit;
mod response_cache;
mod schemathesis;
mod start;
mod users;
