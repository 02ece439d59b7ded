//! Forms that change something are taken only from pages of this site, sent by the session that they were made for.
//!
//! [`Checked`] is the only way for a handler to get at a form, so that none can forget the check. Two rules: the browser
//! says that the form came from this origin (`Sec-Fetch-Site`, `Origin`), when it says anything; and the form holds the
//! session's own token (OWASP: synchronizer token).
//!
//! A body costs memory before anybody has looked at it. So what the head says is checked first, and a long body is read of a
//! sender only who is signed in, or whose form this site has sealed ([`FormSeal`]).

use std::future::Future;
use std::pin::Pin;

use actix_web::{
    FromRequest, HttpRequest,
    dev::{Payload, UrlEncoded},
    error::UrlencodedError,
    http::header::{HeaderName, ORIGIN},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;
use url::Url;

use super::{
    drafts::Typed,
    form_seal::FormSeal,
    middleware::error_pages::{Kind, PageError, Unsent},
    request_context::{SignedIn, Visit},
    state::Site,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Most bytes of a form that holds no text, and of any form of a sender whom nothing in the head makes known.
pub const SMALL_FORM_BYTES: usize = 8 * 1024;
/// Most bytes of a form with text. Encoded text may be three times as long as itself; the API has the last word.
pub const TEXT_FORM_BYTES: usize = 4 * 1024 * 1024;

/// A form of this site.
pub trait ProtectedForm: DeserializeOwned + 'static {
    /// Most bytes taken from its own user.
    const MAX_BYTES: usize = SMALL_FORM_BYTES;
    /// The token that it was made with; empty when missing.
    fn csrf_token(&self) -> &str;
    /// What somebody typed into it, so that it is not lost when the form cannot be taken.
    fn typed(&self) -> Option<Typed> {
        None
    }
    /// How long that is. Bytes that are no text become characters of three bytes each, so it may be longer than the body was.
    fn typed_bytes(&self) -> usize {
        0
    }
    /// What to do when its session has ended, and nothing was typed.
    fn when_signed_out() -> Kind {
        Kind::SignInAgain
    }
}

/// A form that came from this site, and who sent it.
pub struct Checked<F> {
    /// The form.
    pub form: F,
    /// The user whose session it belongs to.
    pub user: SignedIn,
}

impl<F: ProtectedForm> FromRequest for Checked<F> {
    type Error = PageError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, PageError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let visit = Visit::of(&request)?;
            let sender = Sender::of(&request, &visit.site);
            let seal = seal::<F>(&visit, &sender).await?;
            let is_known = match sender {
                Sender::AnotherSite => false,
                Sender::ThisSite | Sender::Unknown => seal.is_some() || visit.session.account().is_some(),
            };
            let limit = if is_known { F::MAX_BYTES } else { SMALL_FORM_BYTES };
            match UrlEncoded::<F>::new(&request, &mut payload).limit(limit).await {
                Ok(form) if form.typed_bytes() > F::MAX_BYTES => Err(Kind::TooLarge.into()),
                Ok(form) => check(visit, &sender, seal, form),
                Err(UrlencodedError::Overflow { .. }) if limit < F::MAX_BYTES => Err(Kind::Forged.into()),
                Err(error) => Err(PageError::from_status(actix_web::ResponseError::status_code(&error))),
            }
        })
    }
}

/// What says whose form it is, of a form with text that comes without a session.
async fn seal<F: ProtectedForm>(visit: &Visit, sender: &Sender) -> Result<Option<FormSeal>, PageError> {
    let may_be_sealed =
        *sender == Sender::ThisSite && F::MAX_BYTES > SMALL_FORM_BYTES && visit.session.account().is_none();
    let seal = FormSeal::from_request(&visit.site.keys, &visit.request).filter(|_| may_be_sealed);
    let Some(seal) = seal else { return Ok(None) };
    let (author, signed_in_at) = (seal.author, seal.signed_in_at);
    let has_ended = visit
        .blocking(move |site| site.sign_outs.has_ended(author, signed_in_at, None))
        .await?;
    Ok(Some(seal).filter(|_| !has_ended))
}

fn check<F: ProtectedForm>(
    visit: Visit,
    sender: &Sender,
    seal: Option<FormSeal>,
    form: F,
) -> Result<Checked<F>, PageError> {
    if *sender == Sender::AnotherSite {
        return Err(PageError::from(Kind::Forged).keeping(form.typed()));
    }
    let Some(account) = visit.session.account() else {
        // The session has ended since the form was opened. Text is kept for whom the form was made for, and for nobody who
        // made up a form.
        return Err(match (sender, form.typed(), seal) {
            (Sender::ThisSite, Some(typed), Some(seal)) => Kind::SignedOut(Box::new(Unsent { typed, seal })).into(),
            (Sender::ThisSite, None, _) => F::when_signed_out().into(),
            (_, typed, _) => PageError::from(Kind::Forged).keeping(typed),
        });
    };
    if !is_equal(&unmask(form.csrf_token()), &account.csrf_token) {
        return Err(PageError::from(Kind::Forged).keeping(form.typed()));
    }
    Ok(Checked {
        form,
        user: SignedIn { visit, account },
    })
}

/// Bytes of a token, and of the mask over it.
const TOKEN_BYTES: usize = 32;

/// The token as one page shows it: under a mask of its own, so that no two responses hold the same text. Responses are compressed,
/// and whoever sees their lengths could otherwise find the token out piece by piece, by text of their own in the same response
/// (BREACH; the OWASP cheat sheet on cross-site request forgery asks for this mask).
pub fn mask(token: &str) -> String {
    let pad: [u8; TOKEN_BYTES] = rand::random();
    match URL_SAFE_NO_PAD.decode(token) {
        Ok(bytes) if bytes.len() == TOKEN_BYTES => {
            let masked = bytes.iter().zip(pad).map(|(byte, pad)| byte ^ pad);
            URL_SAFE_NO_PAD.encode(pad.into_iter().chain(masked).collect::<Vec<_>>())
        }
        // No token of ours, so nothing to hide.
        _ => token.to_owned(),
    }
}

/// The token under a mask; anything else stays as it is, such as the token itself.
fn unmask(given: &str) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(given).unwrap_or_default();
    match bytes.split_at_checked(TOKEN_BYTES) {
        Some((pad, masked)) if masked.len() == TOKEN_BYTES => {
            URL_SAFE_NO_PAD.encode(masked.iter().zip(pad).map(|(byte, pad)| byte ^ pad).collect::<Vec<_>>())
        }
        _ => given.to_owned(),
    }
}

/// In a time that tells nothing of where they differ.
fn is_equal(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

/// Which site's page sent the request, by the headers that scripts cannot set.
#[derive(Debug, PartialEq, Eq)]
enum Sender {
    ThisSite,
    AnotherSite,
    /// An old browser, or not a browser.
    Unknown,
}

impl Sender {
    fn of(request: &HttpRequest, site: &Site) -> Self {
        let header = |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
        Self::from_headers(header(SEC_FETCH_SITE), header(ORIGIN), &site.public_url)
    }

    /// `same-site` is another site here: another port of this host, such as the identity provider's on a laptop.
    fn from_headers(fetch_site: Option<&str>, origin: Option<&str>, public_url: &Url) -> Self {
        if fetch_site.is_some_and(|value| !matches!(value, "same-origin" | "none")) {
            return Self::AnotherSite;
        }
        match origin {
            Some(origin) if origin == public_url.origin().ascii_serialization() => Self::ThisSite,
            Some(_) => Self::AnotherSite,
            None if fetch_site == Some("same-origin") => Self::ThisSite,
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
            (None, own, Sender::ThisSite),
            (Some("same-origin"), None, Sender::ThisSite),
            (Some("same-origin"), own, Sender::ThisSite),
            (Some("cross-site"), own, Sender::AnotherSite),
            (Some("same-site"), own, Sender::AnotherSite),
            (Some("?"), own, Sender::AnotherSite),
            (Some("same-origin"), Some("https://evil.example"), Sender::AnotherSite),
            (None, Some("null"), Sender::AnotherSite),
            (None, Some("?"), Sender::AnotherSite),
            (None, Some("http://blog.example.com"), Sender::AnotherSite),
            (None, Some("https://blog.example.com:8443"), Sender::AnotherSite),
            (None, Some("https://blog.example.com.evil.example"), Sender::AnotherSite),
            (
                None,
                Some("https://evil.example/https://blog.example.com"),
                Sender::AnotherSite,
            ),
        ] {
            assert_eq!(
                Sender::from_headers(fetch_site, origin, &public_url),
                expected,
                "{fetch_site:?} {origin:?}"
            );
        }
    }

    #[test]
    fn a_token_looks_different_on_each_page_and_is_the_same() {
        let token = crate::web::session::random_id();
        let masked: Vec<_> = (0..3).map(|_| mask(&token)).collect();
        for one in &masked {
            assert_eq!(unmask(one), token);
            assert!(
                !one.contains(&token) && masked.iter().filter(|other| *other == one).count() == 1,
                "{masked:?}"
            );
        }
        assert_eq!(unmask(&token), token, "of a page from before");
        for made_up in ["", "made-up", &"A".repeat(86), &"A".repeat(85), &"é".repeat(43)] {
            assert_ne!(unmask(made_up), token);
        }
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        assert!(is_equal("abc", "abc"));
        for other in ["", "ab", "abcd", "abd", "ABC"] {
            assert!(!is_equal(other, "abc"), "{other}");
        }
    }
}
