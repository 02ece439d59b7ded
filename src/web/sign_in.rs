//! What a sign-in needs between the request that begins it and the one that completes it.

pub mod failure_limit;
pub mod loop_guard;
pub mod pending;
pub mod request_origin;
pub mod return_path;
pub mod token_roles;
