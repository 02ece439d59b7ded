//! What an error page says.

pub mod explanation;
pub mod sign_in_denial;
