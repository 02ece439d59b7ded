//! The description of the API (OpenAPI 3.1), generated from the handlers and their JSON types, so that it cannot
//! describe routes or fields that do not exist.

mod complete;
mod post_fields;

use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::{
    OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::{
    health, posts,
    problem::{self, Problem},
    profile, resource_metadata, users,
};
use crate::{config::ApiSettings, entra::access_token::api_names, serve::StaticFile};

/// The path of the description.
pub const PATH: &str = "/v1/openapi.json";

/// The name of the security scheme.
const BEARER: &str = "access_token";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "blogctl API",
        description = "Blog posts, for callers with an access token of Microsoft Entra ID for this API. Errors are problem \
                       documents (RFC 9457) with a stable `code`. Every path that supports GET supports HEAD, too; OPTIONS \
                       lists a path's methods in `Allow`.",
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "/", description = "The server of this description")),
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
        (name = "users", description = "The caller"),
        (name = "service", description = "The service itself; needs no access token"),
    ),
)]
struct Handlers;

/// The description as the server sends it.
#[derive(Clone)]
pub struct Description(StaticFile);

impl Description {
    /// Generates the description for these settings.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn new(api: &ApiSettings) -> serde_json::Result<Self> {
        let mut description = Handlers::openapi();
        complete::complete(&mut description);
        let about = description.info.description.get_or_insert_default();
        about.push_str("\n\n**How to get a token.** ");
        about.push_str(&how_to_get_a_token(api));
        if let Some(components) = &mut description.components {
            components
                .security_schemes
                .insert(BEARER.to_owned(), bearer(api).into());
            post_fields::describe(&mut components.schemas, api.max_content_chars);
        }
        Ok(Self(StaticFile::json(serde_json::to_vec_pretty(&description)?)))
    }

    /// The JSON, in UTF-8.
    pub fn json(&self) -> &[u8] {
        self.0.bytes()
    }
}

fn bearer(api: &ApiSettings) -> SecurityScheme {
    let text = format!("An access token for this API. {}", how_to_get_a_token(api));
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(text));
    SecurityScheme::Http(scheme.build())
}

/// Markdown. The documentation page shows it above the routes and next to the field for the token.
fn how_to_get_a_token(api: &ApiSettings) -> String {
    let scope = match api_names(api).first() {
        Some(name) => format!("{name}/{}", api.required_scope),
        None => api.required_scope.clone(),
    };
    format!(
        "From the emulator of `blogctl dev`: `blogctl token`. From a tenant: \
         `az account get-access-token --scope {scope} --query accessToken --output tsv`; the API's app registration \
         must have authorized the Azure CLI."
    )
}

/// `GET /v1/openapi.json`. Public: it says no more than the documentation does.
#[utoipa::path(
    get,
    path = PATH,
    operation_id = "getDescription",
    tag = "service",
    summary = "This description",
    description = "OpenAPI 3.1. `/v1/docs` shows it as a page, unless the operator has disabled the page.",
    responses(
        (status = 200, description = "The description", body = serde_json::Value, headers(("ETag" = String))),
        (status = 304, description = "`If-None-Match` matches"),
    ),
)]
pub async fn read(request: HttpRequest, description: web::Data<Description>) -> Result<HttpResponse, Problem> {
    Ok(description.0.respond(&request).await?)
}
