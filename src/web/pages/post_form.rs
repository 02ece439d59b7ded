//! The form in which posts are written and edited, and how it comes back with the user's text when the post was not
//! saved.

mod rejection;

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{HeaderValue, WWW_AUTHENTICATE},
    },
};
use chrono::{TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    entra::ClaimsChallenge,
    web::{
        api_client::{ApiError, NewPost, VersionedPost},
        csrf::ProtectedForm,
        drafts::Drafts,
        error::{ErrorKind, PageError},
        forced_sign_in::force_sign_in,
        form_seal::FormSeal,
        post_input::{MAX_FORM_BYTES, PostInput},
        request_context::{RequestContext, SignedInUser},
        session::{ForcedSignIn, StepUp},
        sign_in::links::sign_in_href,
        storage::{KeyRing, random_id},
    },
};

/// How long the form shows why a draft was rejected. After that it only says that the text is from earlier.
const REJECTION_LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The post form as the browser sends it.
#[derive(Deserialize)]
pub struct PostForm {
    #[serde(default)]
    csrf_token: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    etag: String,
    #[serde(default)]
    key: String,
}

impl PostForm {
    /// The post to send to the API.
    pub fn post(&self) -> NewPost {
        NewPost {
            title: self.title.clone(),
            content: self.content.replace("\r\n", "\n"),
        }
    }

    /// The version that the user edited, if it is one valid ETag: it goes into a header. `*` and a list would match
    /// other versions too.
    pub fn etag(&self) -> Option<&str> {
        let is_one = |tag: &&str| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag.strip_prefix('"')
                .and_then(|tag| tag.strip_suffix('"'))
                .is_some_and(|tag| !tag.contains('"'))
        };
        for_header(&self.etag).filter(is_one)
    }

    /// The idempotency key, if it fits into a header: it makes a form that is sent twice one post.
    pub fn key(&self) -> Option<&str> {
        for_header(&self.key)
    }

    /// What the user typed.
    pub fn to_input(&self) -> PostInput {
        PostInput {
            title: self.title.clone(),
            content: self.content.replace("\r\n", "\n"),
            etag: self.etag.clone(),
            key: self.key().unwrap_or_default().to_owned(),
            rejection: None,
        }
    }
}

fn for_header(text: &str) -> Option<&str> {
    let sane = (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    sane.then_some(text)
}

impl ProtectedForm for PostForm {
    const MAX_BYTES: usize = MAX_FORM_BYTES;

    fn csrf_token(&self) -> &str {
        &self.csrf_token
    }

    fn post_input(&self) -> Option<PostInput> {
        Some(self.to_input())
    }

    fn input_bytes(&self) -> usize {
        self.title.len() + self.content.len() + self.etag.len() + self.key.len()
    }
}

/// The page.
#[derive(Default, Serialize)]
pub struct PostFormPage {
    is_edit: bool,
    cancel_href: String,
    title: String,
    content: String,
    etag: String,
    /// Idempotency key of a new post: the same each time this form is sent.
    key: Option<String>,
    /// Where the form is sent: its path, with the seal that names its author.
    action: String,
    /// Whether the text is from before a sign-in, or from an earlier attempt.
    is_restored: bool,
    #[serde(skip)]
    is_stale: bool,
    /// Who wrote the post, if not the user.
    others_name: Option<String>,
    summary: Option<String>,
    sign_in_href: Option<String>,
    title_error: Option<String>,
    content_error: Option<String>,
    current: Option<CurrentPost>,
}

/// The saved post, when another user changed it in the meantime.
#[derive(Serialize)]
struct CurrentPost {
    title: String,
    content: String,
}

impl PostFormPage {
    /// The form at `path` with this content. `action` is the sealed address that it is sent to.
    pub fn new(path: &str, action: String, input: PostInput) -> Self {
        let post = path.strip_suffix("/edit");
        let key = if input.key.is_empty() { random_id() } else { input.key };
        Self {
            action,
            is_edit: post.is_some(),
            cancel_href: post.unwrap_or("/posts").to_owned(),
            title: input.title,
            content: input.content,
            etag: input.etag,
            key: post.is_none().then_some(key),
            ..Self::default()
        }
    }

    /// The form with a draft. It says why the API rejected the draft, or that the text is from earlier.
    pub fn from_draft(path: &str, action: String, mut draft: PostInput) -> Self {
        let rejection = draft
            .rejection
            .take()
            .filter(|rejection| Utc::now() - rejection.at < REJECTION_LIFETIME);
        let page = Self::new(path, action, draft);
        match rejection {
            None => Self {
                is_restored: true,
                ..page
            },
            Some(rejection) => Self {
                is_stale: rejection.is_stale,
                summary: Some(rejection.summary),
                title_error: rejection.title_error,
                content_error: rejection.content_error,
                ..page
            },
        }
    }

    /// Names the author of the post, if that is not the user.
    pub fn with_other_author(mut self, name: Option<String>) -> Self {
        self.others_name = name;
        self
    }

    /// Shows the saved post below a draft that was rejected because the post has changed, so that the user decides
    /// whether to overwrite it.
    pub fn with_current(mut self, current: VersionedPost) -> Self {
        if self.is_stale {
            self.etag = current.etag;
            self.current = Some(CurrentPost {
                title: current.post.title,
                content: current.post.content,
            });
        }
        self
    }
}

/// Answers a form that the API did not accept: saves the text with the reason as a draft, and redirects to the form
/// that shows both. Then Back, Forward and Reload show the text too, and send nothing again. If the draft cannot be
/// saved, shows the form at once.
///
/// # Errors
/// When another page explains the error, such as that the post is gone or belongs to another user. That page shows the
/// text too.
pub async fn not_saved(user: &SignedInUser, form: &PostForm, error: ApiError) -> Result<HttpResponse, PageError> {
    let mut input = form.to_input();
    let Some((status, rejection)) = rejection::rejection(&error) else {
        return match error {
            ApiError::SignInRequired => sign_in_required(user, &input, None).await,
            ApiError::TokenRejected(code) => sign_in_required(user, &input, Some(code)).await,
            ApiError::StepUpRequired(challenge) => step_up_required(user, &challenge, &input).await,
            error => {
                // The error page shows the text. The draft serves a user who can return to the form.
                let _ = save_draft(user, input.clone()).await;
                Err(PageError::from(error).with_input(Some(input)))
            }
        };
    };
    // After these two errors the key is of no use. After all others it stays: the API may have created the post all the
    // same, and the form must not create a second one when it is sent again.
    if matches!(error, ApiError::IdempotencyKeyReused | ApiError::Malformed) {
        input.key.clear();
    }
    input.rejection = Some(rejection);
    let path = user.context.page_path();
    if save_draft(user, input.clone()).await.is_ok() {
        return Ok(RequestContext::redirect(path));
    }
    let action = FormSeal::new(&user.account).action(&*user.context.component::<KeyRing>()?, path);
    let page = PostFormPage::from_draft(path, action, input);
    user.context.page_with_status(status, "post_form.html", &page)
}

async fn save_draft(user: &SignedInUser, input: PostInput) -> Result<(), PageError> {
    let drafts = user.context.component::<Drafts>()?;
    let saved = drafts.save(user.account.user(), user.context.page_path(), input).await;
    saved.map_err(PageError::from)
}

/// Shows the form again to a user whose session has ended. The draft keeps the text until the user has signed in again.
///
/// # Errors
/// When the page cannot be rendered.
pub async fn session_expired(
    context: &RequestContext,
    seal: &FormSeal,
    input: &PostInput,
) -> Result<HttpResponse, PageError> {
    ask_to_sign_in(context, seal, input, "The post was not saved: your sign-in has ended.").await
}

async fn ask_to_sign_in(
    context: &RequestContext,
    seal: &FormSeal,
    input: &PostInput,
    summary: &str,
) -> Result<HttpResponse, PageError> {
    let path = context.page_path();
    let drafts = context.component::<Drafts>()?;
    let promise = match drafts.save(seal.author, path, input.clone()).await {
        Ok(()) => "Your text is kept until you sign in again.",
        Err(error) => {
            log::error!("{error}");
            "Your text could not be kept: copy it before you sign in again."
        }
    };
    let action = seal.action(&*context.component::<KeyRing>()?, path);
    let mut page = PostFormPage::new(path, action, input.clone());
    page.summary = Some(format!("{summary} {promise}"));
    page.sign_in_href = Some(sign_in_href(context.return_path(path).as_ref()));
    let mut response = context.page_with_status(StatusCode::UNAUTHORIZED, "post_form.html", &page)?;
    // RFC 9110 §15.5.2 requires a challenge; no browser shows a dialog for this one.
    let challenge = HeaderValue::from_static("Cookie realm=\"blog\", form-action=\"/login\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    Ok(response)
}

async fn sign_in_required(
    user: &SignedInUser,
    input: &PostInput,
    rejected: Option<String>,
) -> Result<HttpResponse, PageError> {
    match force_sign_in(&user.context, &user.account)
        .await
        .map_err(|error| error.with_input(Some(input.clone())))?
    {
        ForcedSignIn::First => session_expired(&user.context, &FormSeal::new(&user.account), input).await,
        ForcedSignIn::Repeated => {
            Err(PageError::from(ErrorKind::NewTokenRejected(rejected)).with_input(Some(input.clone())))
        }
    }
}

/// The API requires a stronger sign-in: the draft keeps the text until the user has signed in again.
async fn step_up_required(
    user: &SignedInUser,
    challenge: &ClaimsChallenge,
    input: &PostInput,
) -> Result<HttpResponse, PageError> {
    if user.context.session.require_step_up(challenge) == StepUp::Failed {
        return Err(PageError::from(ErrorKind::StepUpFailed).with_input(Some(input.clone())));
    }
    let summary = "The post was not saved: for this, the blog requires a stronger sign-in, for example with a second factor. \
                   Sign in again.";
    ask_to_sign_in(&user.context, &FormSeal::new(&user.account), input, summary).await
}
