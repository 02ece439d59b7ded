//! `/posts/new`: writes a post.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::web::{
    csrf::CsrfForm,
    drafts::Drafts,
    error::{ErrorKind, PageError},
    form_seal::FormSeal,
    pages::post_form::{PostForm, PostFormPage, not_saved},
    post_input::PostInput,
    request_context::{RequestContext, SignedInUser},
    storage::KeyRing,
};

/// `/posts/new?empty=1`
#[derive(Debug, Deserialize)]
pub struct NewPostQuery {
    /// `1`: show an empty form, even if there is a draft.
    empty: Option<String>,
}

/// `GET /posts/new`
///
/// # Errors
/// When the visitor is not signed in, or may only read.
pub async fn show(
    user: SignedInUser,
    query: web::Query<NewPostQuery>,
    drafts: web::Data<Drafts>,
    keys: web::Data<KeyRing>,
) -> Result<HttpResponse, PageError> {
    // Report it before the user has written a text, not after.
    if !user.may_write().await {
        return Err(ErrorKind::ReadOnly.into());
    }
    let path = user.context.page_path();
    let action = FormSeal::new(&user.account).action(&keys, path);
    let draft = drafts.find(user.account.user(), path).await?;
    let page = match draft {
        Some(draft) if query.empty.as_deref() != Some("1") => PostFormPage::from_draft(path, action, draft),
        _ => PostFormPage::new(path, action, PostInput::default()),
    };
    user.context.page("post_form.html", &page)
}

/// `POST /posts/new`
///
/// # Errors
/// When the form fails the CSRF check.
pub async fn publish(
    CsrfForm { form, user }: CsrfForm<PostForm>,
    drafts: web::Data<Drafts>,
) -> Result<HttpResponse, PageError> {
    match user.api().create(&form.post(), form.key()).await {
        Ok(post) => {
            drafts.delete(user.account.user(), user.context.page_path()).await;
            user.context.session.set_flash("Your post is published.");
            Ok(RequestContext::redirect(&format!("/posts/{}", post.id)))
        }
        Err(error) => not_saved(&user, &form, error).await,
    }
}
