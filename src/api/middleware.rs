//! What a request passes before its handler, and its response afterwards: one file each.
//!
//! [`super::server`] puts those around the whole API, [`super::routes`] those around `/v1`.

pub mod accept;
pub mod address_limit;
pub mod bearer;
pub mod compression;
pub mod cors;
mod denials;
pub mod header_limits;
pub mod problem_documents;
pub mod rate_limit;
