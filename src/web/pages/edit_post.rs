//! `/posts/{id}/edit`: changes a post. Only its author and an Admin get to see the form; the API decides all the same.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::web::{
    api_client::VersionedPost,
    csrf::{Checked, ProtectedForm},
    drafts::Typed,
    form_seal::FormSeal,
    middleware::error_pages::{Kind, PageError},
    pages::{
        post_form::{PostForm, PostFormPage, refused},
        posts::{author_name, is_own, require_change},
    },
    request_context::{SignedIn, Visit},
};

/// `/posts/7/edit?saved=1`
#[derive(Debug, Deserialize)]
pub struct EditPostQuery {
    /// `1`: the post as it is saved, whatever text was kept.
    saved: Option<String>,
}

/// `GET /posts/{id}/edit`
///
/// # Errors
/// When nobody is signed in, the post is not there or somebody else's, or the API does not answer.
pub async fn show(
    user: SignedIn,
    id: web::Path<u64>,
    query: web::Query<EditPostQuery>,
) -> Result<HttpResponse, PageError> {
    let VersionedPost { post, etag } = user.api().post(id.into_inner()).await?;
    require_change(&post, &user)?;
    let others_name = (!is_own(&post, user.account.user())).then(|| author_name(&post));
    let seal = FormSeal::new(&user.account);
    let page = match user.draft().await? {
        Some(typed) if query.saved.as_deref() != Some("1") => {
            PostFormPage::kept(&user.visit, &seal, typed).beside(VersionedPost { post, etag })
        }
        _ => {
            let typed = Typed {
                title: post.title,
                content: post.content,
                etag,
                ..Typed::default()
            };
            PostFormPage::new(&user.visit, &seal, typed)
        }
    };
    user.visit.page("post_form.html", &page.of_author(others_name))
}

/// `POST /posts/{id}/edit`
///
/// # Errors
/// When the form cannot be trusted, or the post is not there or somebody else's.
pub async fn save(checked: Checked<PostForm>, id: web::Path<u64>) -> Result<HttpResponse, PageError> {
    let Checked { form, user } = checked;
    let id = id.into_inner();
    let Some(etag) = form.etag() else {
        // Without the version that was edited, saving might overwrite somebody's change unseen.
        return Err(PageError::from(Kind::BadRequest).keeping(form.typed()));
    };
    match user.api().change(id, &form.post(), etag).await {
        Ok(_) => {
            user.forget_draft(user.visit.page_path()).await;
            user.visit.session.set_flash("Your changes are saved.");
            Ok(Visit::redirect(&format!("/posts/{id}")))
        }
        Err(error) => refused(&user, &form, error).await,
    }
}
