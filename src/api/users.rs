//! Users in the API's JSON, and `POST /v1/users/me`.

use actix_web::{HttpResponse, web};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{middleware::bearer::Caller, problem::Problem, responses::CommonErrors};
use crate::blog::{Blog, User};

/// A user: a person or an application that has called this API.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserJson<'a> {
    id: i64,
    /// Tenant id. With `oid`, it identifies the user.
    tid: Uuid,
    oid: Uuid,
    display_name: &'a str,
    #[serde(serialize_with = "rfc3339")]
    created_at: DateTime<Utc>,
    #[serde(serialize_with = "rfc3339")]
    updated_at: DateTime<Utc>,
}

impl<'a> From<&'a User> for UserJson<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id,
            tid: user.key.tenant_id,
            oid: user.key.object_id,
            display_name: &user.display_name,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// Writes a time as RFC 3339 in UTC with microseconds, such as `2026-01-31T08:00:00.000000Z`.
pub fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// `POST /v1/users/me`: makes the caller a user. 201 for a new user, 200 for an existing one. The display name is the
/// token's.
#[utoipa::path(
    post,
    path = "/v1/users/me",
    operation_id = "registerUser",
    tag = "users",
    summary = "Become a user",
    description = "Creating a post or reading your profile also makes you a user. The display name is that of the token.",
    security(("access_token" = [])),
    responses(
        (status = 200, description = "The caller was a user already", body = UserJson),
        (status = 201, description = "The caller is a user now", body = UserJson),
        CommonErrors,
    ),
)]
pub async fn register(caller: Caller, blog: web::Data<Blog>) -> Result<HttpResponse, Problem> {
    let (user, is_new) = blog.ensure_user(caller.key(), caller.token_name()).await?;
    let mut response = if is_new {
        HttpResponse::Created()
    } else {
        HttpResponse::Ok()
    };
    Ok(response.json(UserJson::from(&user)))
}
