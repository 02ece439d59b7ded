//! Ends a sign-in that no longer works, so that the user signs in again.

use super::{
    error::PageError,
    request_context::RequestContext,
    session::{Account, ForcedSignIn},
    user_sessions::UserSessions,
};

/// Ends the sign-in of `account` and deletes its tokens.
///
/// # Errors
/// When the token store does not answer.
pub async fn force_sign_in(context: &RequestContext, account: &Account) -> Result<ForcedSignIn, PageError> {
    context
        .component::<UserSessions>()?
        .remove_tokens(&account.ticket)
        .await?;
    context.session.forget_account();
    Ok(context.session.record_forced_sign_in())
}
