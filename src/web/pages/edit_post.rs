//! `/posts/{id}/edit`: changes a post. Only its author and an Admin see the form; the API checks every change itself.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use crate::web::{
    api_client::VersionedPost,
    csrf::CsrfForm,
    drafts::Drafts,
    error::{ErrorKind, PageError},
    form_seal::FormSeal,
    pages::{
        post_form::{PostForm, PostFormPage, not_saved},
        posts::{author_name, is_own, require_change},
    },
    post_input::PostInput,
    request_context::{RequestContext, SignedInUser},
    storage::KeyRing,
};

/// `/posts/7/edit?saved=1`
#[derive(Debug, Deserialize)]
pub struct EditPostQuery {
    /// `1`: show the saved post, even if there is a draft.
    saved: Option<String>,
}

/// `GET /posts/{id}/edit`
///
/// # Errors
/// When the visitor is not signed in, the post does not exist or belongs to another user, or the API does not answer.
pub async fn show(
    user: SignedInUser,
    id: web::Path<u64>,
    query: web::Query<EditPostQuery>,
    drafts: web::Data<Drafts>,
    keys: web::Data<KeyRing>,
) -> Result<HttpResponse, PageError> {
    let VersionedPost { post, etag } = user.api().post(id.into_inner()).await?;
    require_change(&post, &user)?;
    let other_author = (!is_own(&post, user.account.user())).then(|| author_name(&post));
    let path = user.context.page_path();
    let action = FormSeal::new(&user.account).action(&keys, path);
    let draft = drafts.find(user.account.user(), path).await?;
    let page = match draft {
        Some(draft) if query.saved.as_deref() != Some("1") => {
            PostFormPage::from_draft(path, action, draft).with_current(VersionedPost { post, etag })
        }
        _ => {
            let input = PostInput {
                title: post.title,
                content: post.content,
                etag,
                ..PostInput::default()
            };
            PostFormPage::new(path, action, input)
        }
    };
    user.context
        .page("post_form.html", &page.with_other_author(other_author))
}

/// `POST /posts/{id}/edit`
///
/// # Errors
/// When the form fails the CSRF check, or the post does not exist or belongs to another user.
pub async fn save(
    CsrfForm { form, user }: CsrfForm<PostForm>,
    id: web::Path<u64>,
    drafts: web::Data<Drafts>,
) -> Result<HttpResponse, PageError> {
    let id = id.into_inner();
    let Some(etag) = form.etag() else {
        // Without the version that was edited, the site could overwrite another user's change unnoticed.
        return Err(PageError::from(ErrorKind::BadRequest).with_input(Some(form.to_input())));
    };
    match user.api().change(id, &form.post(), etag).await {
        Ok(_) => {
            drafts.delete(user.account.user(), user.context.page_path()).await;
            user.context.session.set_flash("Your changes are saved.");
            Ok(RequestContext::redirect(&format!("/posts/{id}")))
        }
        Err(error) => not_saved(&user, &form, error).await,
    }
}
