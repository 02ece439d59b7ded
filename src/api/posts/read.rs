//! `GET /v1/posts/{id}`

use actix_web::{HttpRequest, HttpResponse, web};

use super::{JSON, with_state_of};
use crate::{
    api::{bearer::Caller, etag, problem::Problem, ready::ReadyAnswers},
    blog::Blog,
};

/// One post, for everybody who is signed in; 304 when `If-None-Match` names the state that it is in.
pub async fn read(
    _: Caller,
    request: HttpRequest,
    id: web::Path<i64>,
    blog: web::Data<Blog>,
    ready: web::Data<ReadyAnswers>,
) -> Result<HttpResponse, Problem> {
    let post = ready.post(&blog, id.into_inner()).await?;
    if etag::is_known(&request, &post.head) {
        return Ok(with_state_of(&post.head, &mut HttpResponse::NotModified()).finish());
    }
    Ok(with_state_of(&post.head, &mut HttpResponse::Ok()).content_type(JSON).body(post.json.clone()))
}
