//! The development identity provider, on its own: what it lets in, what it refuses, and what its tokens say.

mod assertion_attacks;
mod authorize;
pub mod client_assertion;
mod codes;
mod control;
mod discovery;
mod logout;
mod minted_tokens;
pub mod provider;
mod slow_bodies;
mod start;
mod tls;
mod tokens;
