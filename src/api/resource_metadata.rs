//! Which access tokens this API expects, for developers of clients (RFC 9728, "OAuth 2.0 Protected Resource Metadata").
//! Public: nothing in it is secret, since every sign-in shows it in the browser's address bar.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::{
    config::ApiSettings,
    entra::{Authority, access_token::api_names},
    serve::StaticFile,
};

/// The path (RFC 9728 §3).
pub const PATH: &str = "/.well-known/oauth-protected-resource";

/// The metadata.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ResourceMetadata {
    /// The App ID URI or the client id, which identify the API in Entra ID. Not the API's address, which it does not
    /// know.
    resource: String,
    authorization_servers: [String; 1],
    /// The scopes that a client can request, in each form that Entra ID accepts.
    scopes_supported: Vec<String>,
    bearer_methods_supported: [&'static str; 1],
}

impl ResourceMetadata {
    /// The metadata for these settings.
    pub fn new(authority: &Authority, settings: &ApiSettings) -> Self {
        let names = api_names(settings);
        Self {
            resource: names.first().cloned().unwrap_or_default(),
            authorization_servers: [authority.issuer_v2()],
            scopes_supported: names
                .iter()
                .map(|name| format!("{name}/{}", settings.required_scope))
                .collect(),
            bearer_methods_supported: ["header"],
        }
    }
}

/// `GET /.well-known/oauth-protected-resource`
#[utoipa::path(
    get,
    path = PATH,
    operation_id = "getResourceMetadata",
    tag = "service",
    summary = "Which access tokens this API expects",
    description = "OAuth 2.0 Protected Resource Metadata (RFC 9728).",
    responses(
        (status = 200, description = "The metadata", body = ResourceMetadata, headers(("ETag" = String))),
        (status = 304, description = "`If-None-Match` matches"),
    ),
)]
pub async fn read(request: HttpRequest, metadata: web::Data<MetadataDocument>) -> Result<HttpResponse, Problem> {
    Ok(metadata.0.respond(&request).await?)
}

/// The metadata as JSON, rendered once.
#[derive(Clone)]
pub struct MetadataDocument(StaticFile);

impl MetadataDocument {
    /// # Errors
    /// Never: the metadata holds only strings.
    pub fn new(metadata: &ResourceMetadata) -> serde_json::Result<Self> {
        Ok(Self(StaticFile::json(serde_json::to_vec(metadata)?)))
    }
}
