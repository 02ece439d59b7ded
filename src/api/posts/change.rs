//! `PUT /v1/posts/{id}`

use actix_web::{HttpRequest, HttpResponse, web};

use super::{PostJson, fields::Fields, with_state_of};
use crate::{
    api::{bearer::Caller, etag, json_body::JsonBody, problem::Problem},
    blog::{Blog, BlogError},
    config::ApiSettings,
};

/// Changes title, content or both; what is not given stays. The author only, and with `If-Match` only the state that it
/// names.
pub async fn change(
    caller: Caller,
    request: HttpRequest,
    id: web::Path<i64>,
    body: JsonBody<Fields>,
    settings: web::Data<ApiSettings>,
    blog: web::Data<Blog>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let change = body.0.into_change(settings.max_content_chars).map_err(Problem::invalid)?;
    let expected = etag::expected(&request, &blog, id).await?;
    let post = blog.change(caller.actor(), id, change, expected).await.map_err(|error| match error {
        BlogError::NotAuthor => Problem::not_author("Not authorized to update this post"),
        error => Problem::from(error),
    })?;
    Ok(with_state_of(&post, &mut HttpResponse::Ok()).json(PostJson::from(&post)))
}
