//! The Entra ID emulator alone: what it accepts and rejects, and what its tokens contain.

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
