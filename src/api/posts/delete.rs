//! `DELETE /v1/posts/{id}`

use actix_web::{HttpRequest, HttpResponse, web};

use crate::{
    api::{bearer::Caller, etag, problem::Problem},
    blog::{Blog, BlogError},
};

/// Deletes a post. The author only, and with `If-Match` only in the state that it names.
pub async fn delete(
    caller: Caller,
    request: HttpRequest,
    id: web::Path<i64>,
    blog: web::Data<Blog>,
) -> Result<HttpResponse, Problem> {
    let id = id.into_inner();
    let expected = etag::expected(&request, &blog, id).await?;
    blog.delete(caller.actor(), id, expected).await.map_err(|error| match error {
        BlogError::NotAuthor => Problem::not_author("Not authorized to delete this post"),
        error => Problem::from(error),
    })?;
    Ok(HttpResponse::NoContent().finish())
}
