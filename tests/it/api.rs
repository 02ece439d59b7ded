//! `serve-api` over HTTP, with tokens of the Entra ID emulator.

mod access;
mod clients;
mod conditions;
mod connections;
mod cors;
mod description;
mod fuzz;
mod health;
mod idempotency;
mod list_input;
mod lists;
mod lost_connections;
mod open_routes;
mod outages;
mod policies;
mod pooler;
mod posts;
mod problems;
mod python_regressions;
mod rate_limit;
mod response_cache;
mod round_trips;
mod schemathesis;
mod start;
mod users;
