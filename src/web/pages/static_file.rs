//! `/static/{name}`: the style sheet and the icon.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::web::{
    error::{ErrorKind, PageError},
    static_files::StaticFiles,
};

/// `GET /static/{name}`
///
/// # Errors
/// 404 when no file has that name.
pub async fn serve(
    files: web::Data<StaticFiles>,
    name: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, PageError> {
    let Some(file) = files.by_hashed_name(&name) else {
        return Err(ErrorKind::NotFound.into());
    };
    Ok(file
        .respond(&request)
        .await
        .unwrap_or_else(|_| HttpResponse::NotAcceptable().finish()))
}
