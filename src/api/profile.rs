//! `GET /v1/profile`: the caller's identity from the access token.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{middleware::bearer::Caller, problem::Problem, responses::CommonErrors};
use crate::blog::Blog;

/// The caller's identity from the access token; `null` for a claim that the token does not have.
#[derive(Serialize, ToSchema)]
#[schema(as = Profile)]
struct ProfileJson<'a> {
    oid: Uuid,
    name: Option<&'a str>,
    email: Option<&'a str>,
    preferred_username: Option<&'a str>,
}

/// Returns the caller's identity. A new caller becomes a user.
#[utoipa::path(
    get,
    path = "/v1/profile",
    operation_id = "getProfile",
    tag = "users",
    summary = "Your identity from the access token",
    description = "A new caller becomes a user.",
    security(("access_token" = [])),
    responses((status = 200, description = "The caller", body = ProfileJson), CommonErrors),
)]
pub async fn read(caller: Caller, blog: web::Data<Blog>) -> Result<HttpResponse, Problem> {
    blog.ensure_user(caller.key(), caller.token_name()).await?;
    Ok(HttpResponse::Ok().json(ProfileJson {
        oid: caller.object_id(),
        name: caller.name(),
        email: caller.email(),
        preferred_username: caller.preferred_username(),
    }))
}
