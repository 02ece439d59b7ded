//! `PUT /v1/posts/{id}`

use actix_web::{HttpRequest, HttpResponse, web};

use super::{ChangedPost, PostJson, audited::audited, fields::PostFields, with_validators};
use crate::{
    api::{
        etag,
        json_body::JsonBody,
        middleware::bearer::Caller,
        problem::Problem,
        responses::{BodyErrors, CommonErrors, PostErrors, PreconditionErrors},
    },
    blog::{Blog, BlogError},
    config::ApiSettings,
    serve::RequestAudit,
};

/// Changes title, content or both. Only the author, or a caller who may manage, and with `If-Match` only the version
/// that it names.
#[utoipa::path(
    put,
    path = "/v1/posts/{id}",
    operation_id = "changePost",
    tag = "posts",
    summary = "Change a post of yours",
    description = "A field that is missing or `null` stays as it is. With `If-Match`, only if the post has one of these versions.",
    params(
        ("id" = i64, Path, description = "The post", example = 1),
        etag::PreconditionHeaders,
    ),
    request_body = ChangedPost,
    security(("access_token" = [])),
    responses(
        (status = 200, description = "The changed post", body = PostJson, headers(("ETag" = String, description = "Its version"), ("Last-Modified" = String))),
        PostErrors,
        PreconditionErrors,
        BodyErrors,
        CommonErrors,
    ),
)]
pub async fn change(
    caller: Caller,
    request: HttpRequest,
    id: web::Path<i64>,
    body: JsonBody<PostFields>,
    settings: web::Data<ApiSettings>,
    blog: web::Data<Blog>,
    audit: web::Data<RequestAudit>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let change = body
        .0
        .into_change(settings.max_content_chars)
        .map_err(Problem::invalid)?;
    let precondition = etag::precondition(&request, &blog, id).await?;
    let post = audited(&blog, &audit, &request, &caller)
        .change(caller.actor(), id, change, precondition)
        .await
        .map_err(|error| match error {
            BlogError::NotAuthor => Problem::not_author("Not authorized to update this post"),
            error => Problem::from(error),
        })?;
    Ok(with_validators(&post, &mut HttpResponse::Ok()).json(PostJson::from(&post)))
}
