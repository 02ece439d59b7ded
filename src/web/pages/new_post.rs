//! `/posts/new`: writes a post.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::web::{
    csrf::Checked,
    drafts::Typed,
    form_seal::FormSeal,
    middleware::error_pages::{Kind, PageError},
    pages::post_form::{PostForm, PostFormPage, refused},
    request_context::{SignedIn, Visit},
};

/// `/posts/new?empty=1`
#[derive(Debug, Deserialize)]
pub struct NewPostQuery {
    /// `1`: an empty form, whatever text was kept.
    empty: Option<String>,
}

/// `GET /posts/new`
///
/// # Errors
/// When nobody is signed in, or the user may only read.
pub async fn show(user: SignedIn, query: web::Query<NewPostQuery>) -> Result<HttpResponse, PageError> {
    // Told before they write, and not after.
    if !user.may_write().await {
        return Err(Kind::ReadOnly.into());
    }
    let seal = FormSeal::new(&user.account);
    let page = match user.draft().await? {
        Some(typed) if query.empty.as_deref() != Some("1") => PostFormPage::kept(&user.visit, &seal, typed),
        _ => PostFormPage::new(&user.visit, &seal, Typed::default()),
    };
    user.visit.page("post_form.html", &page)
}

/// `POST /posts/new`
///
/// # Errors
/// When the form cannot be trusted.
pub async fn publish(checked: Checked<PostForm>) -> Result<HttpResponse, PageError> {
    let Checked { form, user } = checked;
    match user.api().create(&form.post(), form.key()).await {
        Ok(post) => {
            user.forget_draft(user.visit.page_path()).await;
            user.visit.session.set_flash("Your post is published.");
            Ok(Visit::redirect(&format!("/posts/{}", post.id)))
        }
        Err(error) => refused(&user, &form, error).await,
    }
}
