//! What happens to every request before and after its handler.

pub mod inject_faults;
pub mod record_requests;
