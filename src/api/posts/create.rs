//! `POST /v1/posts`

use actix_web::{
    HttpResponse,
    http::header::{self, ETag},
    web,
};

use super::{JSON, NewPost, PostJson, fields::Fields};
use crate::{
    api::{
        etag,
        idempotency::{REPLAYED, RequestKey},
        json_body::JsonBody,
        middleware::bearer::Caller,
        problem::Problem,
        responses::{Guarded, WithBody},
    },
    blog::{Blog, CreatedOnce, Post},
    config::ApiSettings,
};

/// Writes a post in the caller's name; a caller who is new becomes a user. Under an `Idempotency-Key` it is written once,
/// however often the request comes.
#[utoipa::path(
    post,
    path = "/v1/posts",
    operation_id = "createPost",
    tag = "posts",
    summary = "Write a post",
    description = "In your name. Under an `Idempotency-Key` it is written once, however often the request comes; each \
                   answer is that of the first.",
    params((
        "Idempotency-Key" = Option<String>, Header, description = "A key of your own for this creation, such as a UUID",
        min_length = 1, max_length = 255, pattern = r"^[!#-~][!-~]*$",
    )),
    request_body = NewPost,
    security(("access_token" = [])),
    responses(
        (
            status = 201, description = "The post", body = PostJson,
            headers(
                ("Location" = String, description = "Its path"),
                ("ETag" = String, description = "Its state"),
                ("Idempotent-Replayed" = Option<String>, description = "`true` when this is an earlier request's answer"),
            ),
        ),
        WithBody,
        Guarded,
    ),
)]
pub async fn create(
    caller: Caller,
    key: RequestKey,
    body: JsonBody<Fields>,
    settings: web::Data<ApiSettings>,
    blog: web::Data<Blog>,
) -> Result<HttpResponse, Problem> {
    let draft = body
        .0
        .into_draft(settings.max_content_chars)
        .map_err(Problem::invalid)?;
    let (author, _) = blog.ensure_user(caller.key(), caller.token_name()).await?;
    let created = if let Some(key) = key.0 {
        blog.create_once(caller.rights(), &author, draft, key, json).await?
    } else {
        let post = blog.create(caller.rights(), &author, draft).await?;
        let answer = json(&post).map_err(Problem::internal)?;
        CreatedOnce {
            post_id: post.id,
            version: post.version(),
            answer,
            is_replay: false,
        }
    };
    Ok(answer(created))
}

fn answer(created: CreatedOnce) -> HttpResponse {
    let CreatedOnce {
        post_id,
        version,
        answer: json,
        is_replay,
    } = created;
    let mut answer = HttpResponse::Created();
    answer
        .insert_header(ETag(etag::tag(post_id, version)))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::LOCATION, format!("/v1/posts/{post_id}")));
    if is_replay {
        answer.insert_header((REPLAYED, "true"));
    }
    answer.content_type(JSON).body(json)
}

fn json(post: &Post) -> serde_json::Result<String> {
    serde_json::to_string(&PostJson::from(post))
}
