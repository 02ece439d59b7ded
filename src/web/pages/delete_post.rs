//! `/posts/{id}/delete`: asks for confirmation, then deletes.

use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};

use crate::web::{
    csrf::{CsrfForm, ProtectedForm},
    drafts::Drafts,
    error::PageError,
    pages::posts::{author_name, is_own, require_change},
    request_context::{RequestContext, SignedInUser},
    timestamp::Timestamp,
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
    created: Timestamp,
}

/// `GET /posts/{id}/delete`
///
/// # Errors
/// When the visitor is not signed in, the post does not exist or belongs to another user, or the API does not answer.
pub async fn ask(user: SignedInUser, id: web::Path<u64>) -> Result<HttpResponse, PageError> {
    let post = user.api().post(id.into_inner()).await?.post;
    require_change(&post, &user)?;
    let page = DeletePage {
        id: post.id,
        author: author_name(&post),
        is_own: is_own(&post, user.account.user()),
        created: post.created_at.into(),
        title: post.title,
    };
    user.context.page("delete_post.html", &page)
}

/// `POST /posts/{id}/delete`
///
/// # Errors
/// When the form fails the CSRF check, the post does not exist or belongs to another user, or the API does not answer.
pub async fn delete(
    CsrfForm { user, .. }: CsrfForm<DeleteForm>,
    id: web::Path<u64>,
    drafts: web::Data<Drafts>,
) -> Result<HttpResponse, PageError> {
    let id = id.into_inner();
    user.api().delete(id).await?;
    drafts.delete(user.account.user(), &format!("/posts/{id}/edit")).await;
    user.context.session.set_flash("The post is deleted.");
    Ok(RequestContext::redirect("/posts"))
}
