//! `GET /v1/profile`: who the access token says the caller is.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use uuid::Uuid;

use super::{bearer::Caller, problem::Problem};
use crate::blog::Blog;

#[derive(Serialize)]
struct ProfileJson<'a> {
    oid: Uuid,
    name: Option<&'a str>,
    email: Option<&'a str>,
    preferred_username: Option<&'a str>,
}

/// `GET /v1/profile`. A caller who is new becomes a user.
pub async fn read(caller: Caller, blog: web::Data<Blog>) -> Result<HttpResponse, Problem> {
    blog.ensure_user(caller.key(), caller.display_name()).await?;
    Ok(HttpResponse::Ok().json(ProfileJson {
        oid: caller.object_id(),
        name: caller.name(),
        email: caller.email(),
        preferred_username: caller.preferred_username(),
    }))
}
