//! The form in which posts are written and edited: how it is shown, and how it comes back with what was typed when it
//! could not be sent.

use crate::entra::ClaimsChallenge;
use crate::web::{
    api_client::{ApiError, FieldError, NewPost, Post},
    csrf::{ProtectedForm, TEXT_FORM_BYTES},
    drafts::Typed,
    error_page::{Kind, PageError, SigningInAgain, end_sign_in, sign_in_href, wait},
    form_seal::FormSeal,
    session::random_id,
    visit::{SignedIn, Visit},
};
use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use serde::{Deserialize, Serialize};

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
        NewPost { title: self.title.clone(), content: self.content.replace("\r\n", "\n") }
    }

    /// The version that was edited, if it can be one: it goes into a header. `*` and a list would match more than that version.
    pub fn etag(&self) -> Option<&str> {
        let is_one = |tag: &&str| {
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).is_some_and(|tag| !tag.contains('"'))
        };
        for_header(&self.etag).filter(is_one)
    }

    /// What makes a form that is sent twice one post, if it can: it goes into a header.
    pub fn key(&self) -> Option<&str> {
        for_header(&self.key)
    }

    fn as_typed(&self) -> Typed {
        Typed { title: self.title.clone(), content: self.content.replace("\r\n", "\n"), etag: self.etag.clone() }
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
    is_restored: bool,
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
        let post = visit.request.path().strip_suffix("/edit");
        Self {
            action: seal.action(&visit.site.keys, visit.request.path()),
            is_edit: post.is_some(),
            cancel_href: post.unwrap_or("/posts").to_owned(),
            title: typed.title,
            content: typed.content,
            etag: typed.etag,
            key: post.is_none().then(random_id),
            ..Self::default()
        }
    }

    /// Says that the text was kept from before a sign-in.
    pub fn restored(mut self) -> Self {
        self.is_restored = true;
        self
    }

    /// Names the author of the post, if that is not the user.
    pub fn of_author(mut self, others_name: Option<String>) -> Self {
        self.others_name = others_name;
        self
    }

    fn refused_fields(mut self, errors: Vec<FieldError>) -> Self {
        for FieldError { field, message } in errors {
            let place = match field.as_str() {
                "title" => &mut self.title_error,
                "content" => &mut self.content_error,
                _ => &mut self.summary,
            };
            place.get_or_insert(message);
        }
        self
    }
}

/// The form once more, with what was typed and why the API did not take it.
///
/// # Errors
/// When the page is another one: the post is gone or somebody else's; what was typed is on that one, too.
pub async fn refused(
    user: &SignedIn,
    form: &PostForm,
    id: Option<u64>,
    error: ApiError,
) -> Result<HttpResponse, PageError> {
    let typed = form.as_typed();
    let visit = &user.visit;
    let mut page = PostFormPage::new(visit, &FormSeal::new(&user.account), typed.clone());
    if let (Some(kept), Some(sent)) = (&mut page.key, form.key())
        && !matches!(error, ApiError::KeyReused | ApiError::Malformed)
    {
        // The post may have been made all the same: sent once more, the form must not make a second one.
        sent.clone_into(kept);
    }
    let mut retry_after = None;
    let (status, summary) = match error {
        ApiError::Invalid(errors) => {
            page = page.refused_fields(errors);
            (StatusCode::UNPROCESSABLE_ENTITY, "The post was not saved: something needs your attention.".to_owned())
        }
        ApiError::TooLarge => {
            page.content_error = Some("This text is longer than the blog takes.".to_owned());
            (StatusCode::PAYLOAD_TOO_LARGE, "The post was not saved: it is too long.".to_owned())
        }
        ApiError::KeyReused => (
            StatusCode::CONFLICT,
            "A post was published from this form before you changed the text: look at your posts. This text is not \
             saved; publishing it now makes another post."
                .to_owned(),
        ),
        ApiError::Malformed => (
            StatusCode::BAD_REQUEST,
            "The post was not saved: the form was changed on its way here. Your text is still here; send it again."
                .to_owned(),
        ),
        ApiError::Stale => return stale(user, id, page).await,
        ApiError::SignInAgain => return refused_sign_in(user, &typed, None).await,
        ApiError::TokenRejected(code) => return refused_sign_in(user, &typed, Some(code)).await,
        ApiError::StepUp(challenge) => return step_up(user, &challenge, &typed).await,
        ApiError::SignIn(_) | ApiError::NotRefreshed => (
            StatusCode::BAD_GATEWAY,
            "The post was not saved: your sign-in could not be renewed with Microsoft Entra ID. Your text is still \
             here; try again in a moment."
                .to_owned(),
        ),
        ApiError::TooManyRequests(seconds) => {
            retry_after = seconds;
            let advice = wait(seconds);
            let summary =
                format!("The post was not saved: the blog asks to slow down. Your text is still here. {advice}");
            (StatusCode::TOO_MANY_REQUESTS, summary)
        }
        ApiError::Unreachable(_) => (
            StatusCode::BAD_GATEWAY,
            "The post was not saved: the blog's API could not be reached. Your text is still here; try again in a \
             moment."
                .to_owned(),
        ),
        ApiError::TimedOut => (
            StatusCode::BAD_GATEWAY,
            "The blog's API did not answer in time. The post may have been saved or not. Your text is still here; try \
             again in a moment: it will not be saved twice."
                .to_owned(),
        ),
        ApiError::Unavailable(seconds) => {
            retry_after = seconds;
            let advice = wait(seconds);
            let summary = format!(
                "The blog's API cannot do it just now. The post may have been saved or not. Your text is still here. {advice}"
            );
            (StatusCode::SERVICE_UNAVAILABLE, summary)
        }
        ApiError::Unexpected(_) | ApiError::Nonsense(_) => (
            StatusCode::BAD_GATEWAY,
            "The post was not saved: the blog's API answered with an error of its own. Your text is still here; try \
             again in a moment."
                .to_owned(),
        ),
        ApiError::Forbidden(_) | ApiError::NotFound | ApiError::NotTheApi(_) | ApiError::Sessions(_) => {
            return Err(PageError::from(error).keeping(Some(typed)));
        }
    };
    page.summary = Some(match page.summary {
        Some(detail) => format!("{summary} {detail}"),
        None => summary,
    });
    let mut response = visit.page_with_status(status, "post_form.html", &page)?;
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    Ok(response)
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
    let path = visit.request.path();
    let (author, at, text) = (seal.author, path.to_owned(), typed.clone());
    let kept = visit.blocking(move |site| site.drafts.keep(author, &at, text)).await;
    let promise = match kept {
        Ok(()) => "Your text is kept until you are back.",
        Err(_) => "Your text could not be kept: copy it before you sign in.",
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
    match end_sign_in(&user.visit, &user.account).await.map_err(|error| error.keeping(Some(typed.clone())))? {
        SigningInAgain::MayHelp => signed_out(&user.visit, &FormSeal::new(&user.account), typed).await,
        SigningInAgain::IsInVain => Err(PageError::from(Kind::TokenRefused(rejected)).keeping(Some(typed.clone()))),
    }
}

/// The API demands more than the sign-in has: the text is kept over another one.
async fn step_up(user: &SignedIn, challenge: &ClaimsChallenge, typed: &Typed) -> Result<HttpResponse, PageError> {
    if user.visit.session.demand(challenge) {
        return Err(PageError::from(Kind::StepUpInVain).keeping(Some(typed.clone())));
    }
    let summary = "The post was not saved: for this the blog asks you to sign in once more, with another factor for \
                   instance.";
    kept_until_back(&user.visit, &FormSeal::new(&user.account), typed, summary).await
}

/// Somebody changed the post meanwhile: both versions are shown, and saving once more is a decision.
async fn stale(user: &SignedIn, id: Option<u64>, mut page: PostFormPage) -> Result<HttpResponse, PageError> {
    let Some(id) = id else { return Err(Kind::ApiFailed.into()) };
    let typed = Typed { title: page.title.clone(), content: page.content.clone(), etag: String::new() };
    let now = user.api().post(id).await.map_err(|error| PageError::from(error).keeping(Some(typed)))?;
    let Post { title, content, .. } = now.post;
    page.etag = now.etag;
    page.current = Some(Current { title, content });
    page.summary = Some(
        "The post was not saved: it was changed since you opened it. The version that is saved now is shown below your \
         text. Saving again replaces it."
            .to_owned(),
    );
    user.visit.page_with_status(StatusCode::PRECONDITION_FAILED, "post_form.html", &page)
}
