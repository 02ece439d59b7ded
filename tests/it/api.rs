//! `serve-api`, asked over HTTP with tokens from the identity provider look-alike.

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
mod older_mistakes;
mod open_routes;
mod outages;
mod policies;
mod pooler;
mod posts;
mod problems;
mod rate_limit;
mod response_cache;
mod schemathesis;
mod start;
mod users;
