//! The form in which posts are written and edited: how it is shown, and how it comes back with what was typed when it
//! could not be sent.

mod rejection;

use crate::entra::ClaimsChallenge;
use crate::web::{
    api_client::{ApiError, NewPost, VersionedPost},
    csrf::{ProtectedForm, TEXT_FORM_BYTES},
    drafts::Typed,
    forced_sign_in::{SigningInAgain, end_sign_in, sign_in_href},
    form_seal::FormSeal,
    middleware::error_pages::{Kind, PageError},
    request_context::{SignedIn, Visit},
    session::random_id,
};
use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{HeaderValue, WWW_AUTHENTICATE},
    },
};
use chrono::{TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// For so long the form says why it was not taken; after that, that its text is from earlier.
const REJECTION_LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// What the form sends.
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
    /// What is sent to the API.
    pub fn post(&self) -> NewPost {
        NewPost {
            title: self.title.clone(),
            content: self.content.replace("\r\n", "\n"),
        }
    }

    /// The version that was edited, if it can be one: it goes into a header. `*` and a list would match more than that version.
    pub fn etag(&self) -> Option<&str> {
        let is_one = |tag: &&str| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag.strip_prefix('"')
                .and_then(|tag| tag.strip_suffix('"'))
                .is_some_and(|tag| !tag.contains('"'))
        };
        for_header(&self.etag).filter(is_one)
    }

    /// What makes a form that is sent twice one post, if it can: it goes into a header.
    pub fn key(&self) -> Option<&str> {
        for_header(&self.key)
    }

    fn as_typed(&self) -> Typed {
        Typed {
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
    const MAX_BYTES: usize = TEXT_FORM_BYTES;

    fn csrf_token(&self) -> &str {
        &self.csrf_token
    }

    fn typed(&self) -> Option<Typed> {
        Some(self.as_typed())
    }

    fn typed_bytes(&self) -> usize {
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
    /// Of a new post: the same whenever this form is sent.
    key: Option<String>,
    /// Where it is sent: its path, with the seal that says whose form it is.
    action: String,
    /// Whether the text is from before a sign-in, or from an attempt of some time ago.
    is_restored: bool,
    #[serde(skip)]
    is_stale: bool,
    /// Who wrote the post, if that is not the user.
    others_name: Option<String>,
    summary: Option<String>,
    sign_in_href: Option<String>,
    title_error: Option<String>,
    content_error: Option<String>,
    current: Option<Current>,
}

/// The post as it is now, when somebody changed it meanwhile.
#[derive(Serialize)]
struct Current {
    title: String,
    content: String,
}

impl PostFormPage {
    /// At the path of this visit, filled in, for the author whom `seal` names.
    pub fn new(visit: &Visit, seal: &FormSeal, typed: Typed) -> Self {
        let path = visit.page_path();
        let post = path.strip_suffix("/edit");
        let key = if typed.key.is_empty() { random_id() } else { typed.key };
        Self {
            action: seal.action(&visit.site.keys, path),
            is_edit: post.is_some(),
            cancel_href: post.unwrap_or("/posts").to_owned(),
            title: typed.title,
            content: typed.content,
            etag: typed.etag,
            key: post.is_none().then_some(key),
            ..Self::default()
        }
    }

    /// The same with text that was kept: says why it was not taken, or that it is from earlier.
    pub fn kept(visit: &Visit, seal: &FormSeal, mut typed: Typed) -> Self {
        let rejection = typed
            .rejection
            .take()
            .filter(|rejection| Utc::now() - rejection.at < REJECTION_LIFETIME);
        let page = Self::new(visit, seal, typed);
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
    pub fn of_author(mut self, others_name: Option<String>) -> Self {
        self.others_name = others_name;
        self
    }

    /// Beside text that was not saved because the post has changed, the post as it is now: saving once more is a decision.
    pub fn beside(mut self, now: VersionedPost) -> Self {
        if self.is_stale {
            self.etag = now.etag;
            self.current = Some(Current {
                title: now.post.title,
                content: now.post.content,
            });
        }
        self
    }
}

/// Keeps what was typed with the reason why the API did not take it, and leads to the form that shows both: Back, Forward and
/// Reload then show the text, too, and send nothing again. If it cannot be kept, the form is shown at once.
///
/// # Errors
/// When another page explains it: the post is gone or somebody else's; what was typed is on that one, too.
pub async fn refused(user: &SignedIn, form: &PostForm, error: ApiError) -> Result<HttpResponse, PageError> {
    let mut typed = form.as_typed();
    let Some((status, rejection)) = rejection::rejection(&error) else {
        return match error {
            ApiError::SignInAgain => refused_sign_in(user, &typed, None).await,
            ApiError::TokenRejected(code) => refused_sign_in(user, &typed, Some(code)).await,
            ApiError::StepUp(challenge) => step_up(user, &challenge, &typed).await,
            error => {
                // On the error page, and at the form should there be a way back to it.
                let _ = user.keep_draft(typed.clone()).await;
                Err(PageError::from(error).keeping(Some(typed)))
            }
        };
    };
    // Otherwise the post may have been made all the same: sent once more, the form must not make a second one.
    if matches!(error, ApiError::KeyReused | ApiError::Malformed) {
        typed.key.clear();
    }
    typed.rejection = Some(rejection);
    if user.keep_draft(typed.clone()).await.is_ok() {
        return Ok(Visit::redirect(user.visit.page_path()));
    }
    let page = PostFormPage::kept(&user.visit, &FormSeal::new(&user.account), typed);
    user.visit.page_with_status(status, "post_form.html", &page)
}

/// The form once more, for somebody whose sign-in has ended: the text is kept over the next one.
///
/// # Errors
/// When the page cannot be rendered.
pub async fn signed_out(visit: &Visit, seal: &FormSeal, typed: &Typed) -> Result<HttpResponse, PageError> {
    kept_until_back(visit, seal, typed, "The post was not saved: your sign-in has ended.").await
}

async fn kept_until_back(
    visit: &Visit,
    seal: &FormSeal,
    typed: &Typed,
    summary: &str,
) -> Result<HttpResponse, PageError> {
    let path = visit.page_path();
    let (author, at, text) = (seal.author, path.to_owned(), typed.clone());
    let kept = visit.blocking(move |site| site.drafts.keep(author, &at, text)).await;
    let promise = match kept {
        Ok(()) => "Your text is kept until you sign in again.",
        Err(_) => "Your text could not be kept: copy it before you sign in again.",
    };
    let mut page = PostFormPage::new(visit, seal, typed.clone());
    page.summary = Some(format!("{summary} {promise}"));
    page.sign_in_href = Some(sign_in_href(visit.site.return_path(path).as_ref()));
    let mut response = visit.page_with_status(StatusCode::UNAUTHORIZED, "post_form.html", &page)?;
    // RFC 9110 §15.5.2 asks for a challenge; no browser shows a dialogue for this one.
    let challenge = HeaderValue::from_static("Cookie realm=\"blog\", form-action=\"/login\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    Ok(response)
}

async fn refused_sign_in(user: &SignedIn, typed: &Typed, rejected: Option<String>) -> Result<HttpResponse, PageError> {
    match end_sign_in(&user.visit, &user.account)
        .await
        .map_err(|error| error.keeping(Some(typed.clone())))?
    {
        SigningInAgain::MayHelp => signed_out(&user.visit, &FormSeal::new(&user.account), typed).await,
        SigningInAgain::IsInVain => Err(PageError::from(Kind::TokenRefused(rejected)).keeping(Some(typed.clone()))),
    }
}

/// The API demands more than the sign-in has: the text is kept over another one.
async fn step_up(user: &SignedIn, challenge: &ClaimsChallenge, typed: &Typed) -> Result<HttpResponse, PageError> {
    if user.visit.session.demand(challenge) {
        return Err(PageError::from(Kind::StepUpInVain).keeping(Some(typed.clone())));
    }
    let summary = "The post was not saved: for this, the blog requires a stronger sign-in, for example with a second factor. \
     Sign in again.";
    kept_until_back(&user.visit, &FormSeal::new(&user.account), typed, summary).await
}
