//! blogctl: a blog whose web site and API authenticate with Microsoft Entra ID by X.509 certificate.
//!
//! One binary, two roles: [`web`] is the site that users sign in to (`blogctl serve-client`), [`api`] is the
//! REST API that accepts only valid access tokens (`blogctl serve-api`). Arrows point one way:
//! `cli → api, web, idp → blog → db`, and `api, web → entra → azure`.

#![forbid(unsafe_code)]

#[macro_use]
mod stable_codes;

pub mod api;
pub mod azure;
mod background;
pub mod blog;
pub mod cli;
pub mod config;
pub mod db;
pub mod entra;
mod failure_log;
pub mod idp;
mod loopback;
pub mod outbound;
pub mod serve;
mod trusted_file;
mod user_key;
pub mod vault;
pub mod web;
