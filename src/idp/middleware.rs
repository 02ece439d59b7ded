//! Middleware for every request.

pub mod inject_faults;
pub mod record_requests;
