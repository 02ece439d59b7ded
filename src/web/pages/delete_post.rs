//! `/posts/{id}/delete`: asks, then deletes.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::web::{
    csrf::{Checked, ProtectedForm},
    middleware::error_pages::PageError,
    pages::posts::{author_name, is_own, require_change},
    request_context::{SignedIn, Visit},
    timestamp::Moment,
};

/// The delete button.
#[derive(Deserialize)]
pub struct DeleteForm {
    #[serde(default)]
    csrf_token: String,
}

impl ProtectedForm for DeleteForm {
    fn csrf_token(&self) -> &str {
        &self.csrf_token
    }
}

#[derive(Serialize)]
struct DeletePage {
    id: u64,
    title: String,
    author: String,
    is_own: bool,
    created: Moment,
}

/// `GET /posts/{id}/delete`: asks first.
///
/// # Errors
/// When nobody is signed in, the post is not there or somebody else's, or the API does not answer.
pub async fn ask(user: SignedIn, id: web::Path<u64>) -> Result<HttpResponse, PageError> {
    let post = user.api().post(id.into_inner()).await?.post;
    require_change(&post, &user)?;
    let page = DeletePage {
        id: post.id,
        author: author_name(&post),
        is_own: is_own(&post, user.account.user()),
        created: post.created_at.into(),
        title: post.title,
    };
    user.visit.page("delete_post.html", &page)
}

/// `POST /posts/{id}/delete`
///
/// # Errors
/// When the form cannot be trusted, the post is not there or somebody else's, or the API does not answer.
pub async fn delete(checked: Checked<DeleteForm>, id: web::Path<u64>) -> Result<HttpResponse, PageError> {
    let Checked { user, .. } = checked;
    let id = id.into_inner();
    user.api().delete(id).await?;
    user.forget_draft(&format!("/posts/{id}/edit")).await;
    user.visit.session.set_flash("The post is deleted.");
    Ok(Visit::redirect("/posts"))
}
