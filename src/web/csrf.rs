//! Accepts forms that change something only from pages of this site, sent in the session that they were made for.
//!
//! [`CsrfForm`] is the only way for a handler to get a form, so no handler can forget the check. Two rules apply: the
//! browser says that the form came from this origin (`Sec-Fetch-Site`, `Origin`), if it says anything; and the form
//! contains the session's own token (OWASP: synchronizer token).
//!
//! A body costs memory before it can be checked. So the headers are checked first, and only a sender who is signed in,
//! or whose form this site has sealed ([`FormSeal`]), may send a long body.

use std::{future::Future, pin::Pin};

use actix_web::{
    FromRequest, HttpRequest, ResponseError as _,
    dev::{Payload, UrlEncoded},
    error::UrlencodedError,
    http::header::{HeaderName, ORIGIN},
};
use serde::de::DeserializeOwned;
use url::Url;

use super::{
    csrf_token,
    error::{ErrorKind, PageError, UnsavedPost},
    form_seal::FormSeal,
    post_input::PostInput,
    request_context::{RequestContext, SignedInUser},
    storage::KeyRing,
    user_sessions::UserSessions,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Largest body of a form without text, in bytes, and of any form whose sender the headers do not identify.
pub const SMALL_FORM_BYTES: usize = 8 * 1024;

/// A form of this site.
pub trait ProtectedForm: DeserializeOwned + 'static {
    /// Largest body, in bytes, that its own user may send.
    const MAX_BYTES: usize = SMALL_FORM_BYTES;
    /// The CSRF token that the form sent; empty when missing.
    fn csrf_token(&self) -> &str;
    /// The post that the user typed, to show it when the form cannot be accepted.
    fn post_input(&self) -> Option<PostInput> {
        None
    }
    /// Length of the post in bytes. It may exceed that of the body: an invalid byte becomes a character of three bytes.
    fn input_bytes(&self) -> usize {
        0
    }
    /// The error when the session has ended and the form holds no text.
    fn when_signed_out() -> ErrorKind {
        ErrorKind::SignInRequired
    }
}

/// A form that came from this site, and the user who sent it.
pub struct CsrfForm<F> {
    /// The form.
    pub form: F,
    /// The user whose session it belongs to.
    pub user: SignedInUser,
}

impl<F: ProtectedForm> FromRequest for CsrfForm<F> {
    type Error = PageError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, PageError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let context = RequestContext::from_http(&request)?;
            let sender = Sender::from_request(&request, &context.addresses.public_url);
            let seal = seal::<F>(&context, sender).await?;
            let is_known = match sender {
                Sender::CrossOrigin => false,
                Sender::SameOrigin | Sender::Unknown => seal.is_some() || context.session.account().is_some(),
            };
            let limit = if is_known { F::MAX_BYTES } else { SMALL_FORM_BYTES };
            match UrlEncoded::<F>::new(&request, &mut payload).limit(limit).await {
                Ok(form) if form.input_bytes() > F::MAX_BYTES => Err(ErrorKind::TooLarge.into()),
                Ok(form) => check(context, sender, seal, form),
                Err(UrlencodedError::Overflow { .. }) if limit < F::MAX_BYTES => Err(ErrorKind::CsrfCheckFailed.into()),
                Err(error) => Err(PageError::from_status(error.status_code())),
            }
        })
    }
}

/// The seal that names the author of a post form which arrives without a session.
async fn seal<F: ProtectedForm>(context: &RequestContext, sender: Sender) -> Result<Option<FormSeal>, PageError> {
    let may_be_sealed =
        sender == Sender::SameOrigin && F::MAX_BYTES > SMALL_FORM_BYTES && context.session.account().is_none();
    if !may_be_sealed {
        return Ok(None);
    }
    let keys = context.component::<KeyRing>()?;
    let Some(seal) = FormSeal::from_request(&keys, &context.request) else {
        return Ok(None);
    };
    let user_sessions = context.component::<UserSessions>()?;
    let is_revoked = user_sessions.is_revoked(seal.author, seal.signed_in_at).await?;
    Ok(Some(seal).filter(|_| !is_revoked))
}

fn check<F: ProtectedForm>(
    context: RequestContext,
    sender: Sender,
    seal: Option<FormSeal>,
    form: F,
) -> Result<CsrfForm<F>, PageError> {
    if sender == Sender::CrossOrigin {
        return Err(PageError::from(ErrorKind::CsrfCheckFailed).with_input(form.post_input()));
    }
    let Some(account) = context.session.account() else {
        // The session has ended since the form was opened. Text is saved only for the author whom the seal names, not
        // for a sender who made up a form.
        return Err(match (sender, form.post_input(), seal) {
            (Sender::SameOrigin, Some(input), Some(seal)) => {
                ErrorKind::SessionExpired(Box::new(UnsavedPost { input, seal })).into()
            }
            (Sender::SameOrigin, None, _) => F::when_signed_out().into(),
            (_, input, _) => PageError::from(ErrorKind::CsrfCheckFailed).with_input(input),
        });
    };
    if !csrf_token::matches(form.csrf_token(), &account.csrf_token) {
        return Err(PageError::from(ErrorKind::CsrfCheckFailed).with_input(form.post_input()));
    }
    Ok(CsrfForm {
        form,
        user: SignedInUser { context, account },
    })
}

/// Which site's page sent the request, according to the headers that scripts cannot set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    SameOrigin,
    CrossOrigin,
    /// An old browser, or not a browser.
    Unknown,
}

impl Sender {
    fn from_request(request: &HttpRequest, public_url: &Url) -> Self {
        let header = |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
        Self::from_headers(header(SEC_FETCH_SITE), header(ORIGIN), public_url)
    }

    /// `same-site` counts as cross-origin: it may be another port of this host, such as the Entra ID emulator on a laptop.
    fn from_headers(fetch_site: Option<&str>, origin: Option<&str>, public_url: &Url) -> Self {
        if fetch_site.is_some_and(|value| !matches!(value, "same-origin" | "none")) {
            return Self::CrossOrigin;
        }
        match origin {
            Some(origin) if origin == public_url.origin().ascii_serialization() => Self::SameOrigin,
            Some(_) => Self::CrossOrigin,
            None if fetch_site == Some("same-origin") => Self::SameOrigin,
            None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_of_another_origin_is_told_from_ones_own() {
        let public_url = Url::parse("https://blog.example.com/").unwrap();
        let own = Some("https://blog.example.com");
        for (fetch_site, origin, expected) in [
            (None, None, Sender::Unknown),
            (Some("none"), None, Sender::Unknown),
            (None, own, Sender::SameOrigin),
            (Some("same-origin"), None, Sender::SameOrigin),
            (Some("same-origin"), own, Sender::SameOrigin),
            (Some("cross-site"), own, Sender::CrossOrigin),
            (Some("same-site"), own, Sender::CrossOrigin),
            (Some("?"), own, Sender::CrossOrigin),
            (Some("same-origin"), Some("https://evil.example"), Sender::CrossOrigin),
            (None, Some("null"), Sender::CrossOrigin),
            (None, Some("?"), Sender::CrossOrigin),
            (None, Some("http://blog.example.com"), Sender::CrossOrigin),
            (None, Some("https://blog.example.com:8443"), Sender::CrossOrigin),
            (None, Some("https://blog.example.com.evil.example"), Sender::CrossOrigin),
            (
                None,
                Some("https://evil.example/https://blog.example.com"),
                Sender::CrossOrigin,
            ),
        ] {
            assert_eq!(
                Sender::from_headers(fetch_site, origin, &public_url),
                expected,
                "{fetch_site:?} {origin:?}"
            );
        }
    }
}
