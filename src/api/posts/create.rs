//! `POST /v1/posts`

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, ETag},
    web,
};

use super::{JSON, NewPost, PostJson, audited::audited, fields::PostFields};
use crate::{
    api::{
        etag,
        idempotency::{REPLAYED, RequestKey},
        json_body::JsonBody,
        middleware::bearer::Caller,
        problem::Problem,
        responses::{BodyErrors, CommonErrors},
    },
    blog::{Author, Blog, IdempotentResponse, Post},
    config::ApiSettings,
    serve::RequestAudit,
};

/// Creates a post by the caller; a new caller becomes a user. With an `Idempotency-Key`, repeated requests create the
/// post once.
#[utoipa::path(
    post,
    path = "/v1/posts",
    operation_id = "createPost",
    tag = "posts",
    summary = "Write a post",
    description = "You are its author. With an `Idempotency-Key`, repeated requests create the post once; each gets the \
                   response of the first.",
    params((
        "Idempotency-Key" = Option<String>, Header, description = "A key that you choose for this post, such as a UUID",
        min_length = 1, max_length = 255, pattern = r"^[!#-~][!-~]*$",
    )),
    request_body = NewPost,
    security(("access_token" = [])),
    responses(
        (
            status = 201, description = "The post", body = PostJson,
            headers(
                ("Location" = String, description = "Its path"),
                ("ETag" = String, description = "Its version"),
                ("Idempotent-Replayed" = Option<String>, description = "`true` if this is the response to an earlier request"),
            ),
        ),
        BodyErrors,
        CommonErrors,
    ),
)]
pub async fn create(
    caller: Caller,
    key: RequestKey,
    body: JsonBody<PostFields>,
    settings: web::Data<ApiSettings>,
    blog: web::Data<Blog>,
    audit: web::Data<RequestAudit>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let draft = body
        .0
        .into_draft(settings.max_content_chars)
        .map_err(Problem::invalid)?;
    let blog = audited(&blog, &audit, &request, &caller);
    let author = Author {
        key: caller.key(),
        name: caller.token_name(),
    };
    let created = if let Some(key) = key.0 {
        blog.create_idempotent(caller.rights(), author, draft, key, json)
            .await?
    } else {
        let post = blog.create(caller.rights(), author, draft).await?;
        let body = json(&post).map_err(Problem::internal)?;
        IdempotentResponse {
            post_id: post.id,
            version: post.version(),
            body,
            is_replay: false,
        }
    };
    Ok(response(created))
}

fn response(created: IdempotentResponse) -> HttpResponse {
    let IdempotentResponse {
        post_id,
        version,
        body,
        is_replay,
    } = created;
    let mut response = HttpResponse::Created();
    response
        .insert_header(ETag(etag::tag(post_id, version)))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::LOCATION, format!("/v1/posts/{post_id}")));
    if is_replay {
        response.insert_header((REPLAYED, "true"));
    }
    response.content_type(JSON).body(body)
}

fn json(post: &Post) -> serde_json::Result<String> {
    serde_json::to_string(&PostJson::from(post))
}
