//! `/profile`: how this site and the API know the user, and how the site authenticates to Entra ID.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use crate::{
    certificate::{ClientCertificate, Thumbprints},
    entra::ConfidentialClient,
    web::{error::PageError, request_context::SignedInUser, timestamp::Timestamp, user_sessions::UserSessions},
};

#[derive(Serialize)]
struct ProfilePage<'a> {
    name: &'a str,
    email: Option<&'a str>,
    preferred_username: Option<&'a str>,
    roles: &'a [String],
    object_id: String,
    tenant_id: String,
    issuer: &'a str,
    signed_in_at: Timestamp,
    token_expires_at: Option<Timestamp>,
    api_oid: String,
    api_name: Option<String>,
    api_email: Option<String>,
    api_username: Option<String>,
    /// `None`, as is `sha256`, when the site authenticates with a federated token.
    sha1: Option<String>,
    sha256: Option<String>,
}

/// `GET /profile`
///
/// # Errors
/// When the visitor is not signed in, or the API does not answer.
pub async fn show(
    user: SignedInUser,
    user_sessions: web::Data<UserSessions>,
    client: web::Data<ConfidentialClient>,
) -> Result<HttpResponse, PageError> {
    let profile = user.api().profile().await?;
    let SignedInUser { context, account } = &user;
    let token_expires_at = user_sessions.token_expires_at(&account.ticket).await?;
    let credential = client.credential();
    let thumbprints = credential.certificate().map(ClientCertificate::thumbprints);
    let page = ProfilePage {
        name: account.display_name(),
        email: account.email.as_deref(),
        preferred_username: account.preferred_username.as_deref(),
        roles: &account.roles,
        object_id: account.object_id.to_string(),
        tenant_id: account.tenant_id.to_string(),
        issuer: &account.issuer,
        signed_in_at: account.signed_in_at.into(),
        token_expires_at: token_expires_at.map(Timestamp::from),
        api_oid: profile.oid,
        api_name: profile.name,
        api_email: profile.email,
        api_username: profile.preferred_username,
        sha1: thumbprints.map(Thumbprints::sha1_hex),
        sha256: thumbprints.map(Thumbprints::sha256_hex),
    };
    context.page("profile.html", &page)
}
