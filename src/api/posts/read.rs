//! `GET /v1/posts/{id}`

use actix_web::{HttpRequest, HttpResponse, web};

use super::{PostJson, with_state_of};
use crate::{
    api::{bearer::Caller, etag, problem::Problem},
    blog::Blog,
};

/// One post, for everybody who is signed in; 304 when `If-None-Match` names the state that it is in.
pub async fn read(
    _: Caller,
    request: HttpRequest,
    id: web::Path<i64>,
    blog: web::Data<Blog>,
) -> Result<HttpResponse, Problem> {
    let post = blog.post(id.into_inner()).await?;
    if etag::is_known(&request, &post) {
        return Ok(with_state_of(&post, &mut HttpResponse::NotModified()).finish());
    }
    Ok(with_state_of(&post, &mut HttpResponse::Ok()).json(PostJson::from(&post)))
}
