//! Users as the API shows them, and `POST /v1/users/me`.

use actix_web::{HttpResponse, web};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{middleware::bearer::Caller, problem::Problem, responses::Guarded};
use crate::blog::{Blog, User};

/// A user: whoever has called this API with a token of their own.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserJson<'a> {
    id: i64,
    /// Tenant id: with `oid`, how the person is known.
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
            tid: user.key.tid,
            oid: user.key.oid,
            display_name: &user.display_name,
            created_at: user.created_at,
            updated_at: user.updated_at,
        }
    }
}

/// A time as the API writes it: RFC 3339, UTC, microseconds as stored, such as `2026-01-31T08:00:00.000000Z`.
pub fn rfc3339<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// `POST /v1/users/me`: the caller becomes a user. 201 when that is new, 200 when known; the name shown is the token's.
#[utoipa::path(
    post,
    path = "/v1/users/me",
    operation_id = "registerUser",
    tag = "users",
    summary = "Become a user",
    description = "Whoever writes a post, or asks for their profile, becomes one by that; the name shown is the token's.",
    security(("access_token" = [])),
    responses(
        (status = 200, description = "The caller is a user already", body = UserJson),
        (status = 201, description = "The caller is a user now", body = UserJson),
        Guarded,
    ),
)]
pub async fn register(caller: Caller, blog: web::Data<Blog>) -> Result<HttpResponse, Problem> {
    let (user, made) = blog.ensure_user(caller.key(), caller.token_name()).await?;
    let mut answer = if made {
        HttpResponse::Created()
    } else {
        HttpResponse::Ok()
    };
    Ok(answer.json(UserJson::from(&user)))
}
