//! `POST /v1/posts`

use actix_web::{HttpResponse, http::header, web};

use super::{PostJson, fields::Fields, with_state_of};
use crate::{
    api::{bearer::Caller, json_body::JsonBody, problem::Problem},
    blog::Blog,
    config::ApiSettings,
};

/// Writes a post in the caller's name; a caller who is new becomes a user.
pub async fn create(
    caller: Caller,
    body: JsonBody<Fields>,
    settings: web::Data<ApiSettings>,
    blog: web::Data<Blog>,
) -> Result<HttpResponse, Problem> {
    let draft = body.0.into_draft(settings.max_content_chars).map_err(Problem::invalid)?;
    let (author, _) = blog.ensure_user(caller.key(), caller.display_name()).await?;
    let post = blog.create(caller.rights(), &author, draft).await?;
    Ok(with_state_of(&post, &mut HttpResponse::Created())
        .insert_header((header::LOCATION, format!("/v1/posts/{}", post.id)))
        .json(PostJson::from(&post)))
}
