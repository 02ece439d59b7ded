//! `/profile`: who one is, to this site and to the API, and how the site proved itself.

use actix_web::HttpResponse;
use serde::Serialize;

use crate::{
    certificate::{ClientCertificate, Thumbprints},
    web::{middleware::error_pages::PageError, request_context::SignedIn, timestamp::Moment},
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
    signed_in_at: Moment,
    token_expires_at: Option<Moment>,
    api_oid: String,
    api_name: Option<String>,
    api_email: Option<String>,
    api_username: Option<String>,
    /// None of them when it is a federated token that the site proves itself with.
    sha1: Option<String>,
    sha256: Option<String>,
}

/// `GET /profile`
///
/// # Errors
/// When nobody is signed in, or the API does not answer.
pub async fn show(user: SignedIn) -> Result<HttpResponse, PageError> {
    let profile = user.api().profile().await?;
    let SignedIn { visit, account } = &user;
    let ticket = account.ticket.clone();
    let token_expires_at = visit.blocking(move |site| site.tokens.expires_at(&ticket)).await?;
    let credential = visit.site.client.credential();
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
        token_expires_at: token_expires_at.map(Moment::from),
        api_oid: profile.oid,
        api_name: profile.name,
        api_email: profile.email,
        api_username: profile.preferred_username,
        sha1: thumbprints.map(Thumbprints::sha1_hex),
        sha256: thumbprints.map(Thumbprints::sha256_hex),
    };
    visit.page("profile.html", &page)
}
