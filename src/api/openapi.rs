//! The description of the API (OpenAPI 3.1): made from the handlers and the shapes of their JSON, so that it cannot name
//! what is not there.

mod common;
mod texts;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web,
};
use utoipa::{
    OpenApi,
    openapi::security::{AuthorizationCode, Flow, HttpAuthScheme, HttpBuilder, OAuth2, Scopes, SecurityScheme},
};

pub(super) use self::common::{Conditional, Guarded, OfOnePost, WithBody};
use super::{
    health, posts,
    problem::{self, Problem},
    profile, resource_metadata, users,
};
use crate::{
    config::{ApiSettings, EntraSettings},
    entra::{Authority, access_token::names_of_api},
    serve::StaticFile,
};

/// Where the description is found.
pub const PATH: &str = "/v1/openapi.json";

/// The security scheme for a token that the caller has already.
pub(super) const BEARER: &str = "access_token";
/// The security scheme for getting one from Entra ID.
pub(super) const ENTRA: &str = "entra_id";

/// Where people of any organisation sign in: for as long as the settings name no tenant.
const ANY_TENANT: &str = "https://login.microsoftonline.com/organizations";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "blogctl API",
        description = "Blog posts, for whoever has an access token of Microsoft Entra ID for this API. Errors are problem \
                       documents (RFC 9457) with a stable `code`. Wherever GET is answered, HEAD is, too; OPTIONS names \
                       the methods of a path in `Allow`.",
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "/", description = "The server that gave this description")),
    paths(
        posts::list::list,
        posts::create::create,
        posts::read::read,
        posts::change::change,
        posts::delete::delete,
        users::register,
        profile::read,
        health::health,
        health::ready,
        health::live,
        resource_metadata::read,
        read,
    ),
    components(schemas(problem::Document, posts::NewPost, posts::ChangedPost)),
    tags(
        (name = "posts", description = "Reading and writing posts"),
        (name = "users", description = "Who the caller is"),
        (name = "service", description = "The service itself; open to everybody"),
    ),
)]
struct Handlers;

/// The description as the server gives it.
#[derive(Clone)]
pub struct Description(StaticFile);

impl Description {
    /// Of the API with these settings. Without a tenant it names the sign-in of all organisations.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn new(entra: &EntraSettings, api: &ApiSettings) -> serde_json::Result<Self> {
        let mut description = Handlers::openapi();
        common::complete(&mut description);
        if let Some(components) = &mut description.components {
            components.security_schemes.insert(BEARER.to_owned(), bearer().into());
            components.security_schemes.insert(ENTRA.to_owned(), entra_id(entra, api).into());
            texts::describe(&mut components.schemas, api.max_content_chars);
        }
        let json = web::Bytes::from(serde_json::to_vec_pretty(&description)?);
        let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
        Ok(Self(StaticFile::new(HeaderValue::from_static("application/json"), &headers, json)))
    }

    /// JSON, in UTF-8.
    pub fn json(&self) -> &[u8] {
        self.0.bytes()
    }
}

fn bearer() -> SecurityScheme {
    let text = "An access token that was issued for this API, such as `az account get-access-token` prints.";
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(Some(text));
    SecurityScheme::Http(scheme.build())
}

fn entra_id(entra: &EntraSettings, api: &ApiSettings) -> SecurityScheme {
    let issuer = Authority::new(entra).map(|authority| authority.issuer_v2());
    let base = issuer.as_deref().map_or(ANY_TENANT, |issuer| issuer.trim_end_matches("/v2.0"));
    let scope = match names_of_api(api).first() {
        Some(name) => format!("{name}/{}", api.required_scope),
        None => api.required_scope.clone(),
    };
    let scopes = Scopes::from_iter([(scope, "Reading and writing posts in your name".to_owned())]);
    let flow =
        AuthorizationCode::new(format!("{base}/oauth2/v2.0/authorize"), format!("{base}/oauth2/v2.0/token"), scopes);
    SecurityScheme::OAuth2(OAuth2::with_description(
        [Flow::AuthorizationCode(flow)],
        "The authorization code flow with PKCE. The client needs a registration of its own in the tenant.",
    ))
}

/// `GET /v1/openapi.json`, for everybody: it says no more than the documentation does.
#[utoipa::path(
    get,
    path = PATH,
    operation_id = "getDescription",
    tag = "service",
    summary = "This description",
    description = "OpenAPI 3.1. `/v1/docs` shows it as a page, unless the operator has turned the page off.",
    responses(
        (status = 200, description = "The description", body = serde_json::Value, headers(("ETag" = String))),
        (status = 304, description = "It is still the one that `If-None-Match` names"),
    ),
)]
pub async fn read(request: HttpRequest, description: web::Data<Description>) -> Result<HttpResponse, Problem> {
    Ok(description.0.respond(&request).await?)
}
