//! What a sign-in needs between the request that begins it and the one that completes it.

mod failure_limit;
pub mod links;
mod loop_guard;
pub mod outcome;
mod pending;
mod request_origin;
pub mod return_path;
mod token_roles;

pub use self::{
    failure_limit::{FailureLimit, Reservation},
    loop_guard::SignInLoopGuard,
    pending::{PendingCookie, PendingSignIns},
    request_origin::{OriginCheck, check_origin},
    token_roles::allow_reading_only,
};

/// What the pages that sign users in share.
pub struct SignIns {
    /// Sign-ins that browsers have begun and not completed.
    pub pending: PendingSignIns,
    /// Limits failed sign-ins per client address.
    pub failure_limit: FailureLimit,
    /// Stops browsers that sign in over and over.
    pub loop_guard: SignInLoopGuard,
}
