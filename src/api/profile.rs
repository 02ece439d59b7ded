//! `GET /v1/profile`: who the access token says the caller is.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{middleware::bearer::Caller, problem::Problem, responses::Guarded};
use crate::blog::Blog;

/// Who the token says the caller is; `null` where it does not say.
#[derive(Serialize, ToSchema)]
#[schema(as = Profile)]
struct ProfileJson<'a> {
    oid: Uuid,
    name: Option<&'a str>,
    email: Option<&'a str>,
    preferred_username: Option<&'a str>,
}

/// `GET /v1/profile`. A caller who is new becomes a user.
#[utoipa::path(
    get,
    path = "/v1/profile",
    operation_id = "getProfile",
    tag = "users",
    summary = "Who the token says you are",
    description = "A caller who is new becomes a user by that.",
    security(("access_token" = [])),
    responses((status = 200, description = "The caller", body = ProfileJson), Guarded),
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
