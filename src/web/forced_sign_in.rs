//! Errors that are no pages but a way on: to a sign-in and back, or to a choice.

use actix_web::{HttpRequest, HttpResponse, http::Method};
use serde::Serialize;
use url::form_urlencoded;

use super::middleware::error_pages::{Kind, PageError, explain};
use crate::{
    entra::ClaimsChallenge,
    web::{request_context::Visit, session::Account, sign_in::return_path::ReturnPath},
};

/// To the sign-in, and back; `rejected` is why the API rejected the access token, if it did. A signed-in user who is sent there twice in a row would go round in circles: the API
/// refuses whatever Entra issues.
pub async fn sign_in_again(visit: &Visit, rejected: Option<&String>) -> Result<HttpResponse, PageError> {
    if let Some(account) = visit.session.account()
        && end_sign_in(visit, &account).await? == SigningInAgain::IsInVain
    {
        return explain(visit, &Kind::TokenRefused(rejected.cloned()).into());
    }
    Ok(Visit::redirect(&sign_in_href(
        visit.site.return_path(page_of(visit)).as_ref(),
    )))
}

/// To a sign-in that brings what the API demands, and back. The user stays signed in meanwhile: other pages may not ask for
/// as much.
pub fn step_up(
    visit: &Visit,
    challenge: &ClaimsChallenge,
    next: Option<&ReturnPath>,
) -> Result<HttpResponse, PageError> {
    if visit.session.demand(challenge) {
        return explain(visit, &Kind::StepUpInVain.into());
    }
    log::info!(request_id = visit.request_id(), trace_id = visit.trace_id(); "a stronger sign-in is demanded");
    if let Some(next) = next {
        return Ok(Visit::redirect(&sign_in_href(Some(next))));
    }
    Ok(Visit::redirect(&sign_in_href(
        visit.site.return_path(page_of(visit)).as_ref(),
    )))
}

/// The page that was asked for.
pub fn page_of(visit: &Visit) -> &str {
    address(&visit.request)
}

/// With its query, unless a form was sent: the seal in that address is for the form alone, and stays out of links and cookies.
fn address(request: &HttpRequest) -> &str {
    let uri = request.uri();
    match *request.method() {
        Method::GET | Method::HEAD => uri.path_and_query().map_or("/", |path| path.as_str()),
        _ => uri.path(),
    }
}

/// Whether there is a point in signing in again.
#[derive(Debug, PartialEq, Eq)]
pub enum SigningInAgain {
    /// It may help.
    MayHelp,
    /// It was done a moment ago, and did not help.
    IsInVain,
}

/// Ends a sign-in that is worth nothing any more.
///
/// # Errors
/// When the place where the tokens are does not answer.
pub async fn end_sign_in(visit: &Visit, account: &Account) -> Result<SigningInAgain, PageError> {
    let ticket = account.ticket.clone();
    visit.blocking(move |site| site.tokens.forget(&[ticket])).await?;
    visit.session.end_sign_in();
    Ok(if visit.session.note_forced_sign_in() {
        SigningInAgain::IsInVain
    } else {
        SigningInAgain::MayHelp
    })
}

/// Address of the sign-in that leads to `next`.
pub fn sign_in_href(next: Option<&ReturnPath>) -> String {
    let Some(next) = next else { return "/login".to_owned() };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("next", next.as_str())
        .finish();
    format!("/login?{query}")
}

#[derive(Serialize)]
struct DeclinedPage<'a> {
    stay: &'a str,
    again: String,
    another: String,
}

pub fn declined(visit: &Visit, next: Option<&ReturnPath>) -> Result<HttpResponse, PageError> {
    let page = DeclinedPage {
        stay: next.map_or("/", ReturnPath::as_str),
        again: sign_in_href(next),
        another: another_account_href(next),
    };
    visit.page("declined.html", &page)
}

/// Address of the sign-in that lets the user pick another account.
pub fn another_account_href(next: Option<&ReturnPath>) -> String {
    let href = sign_in_href(next);
    let separator = if href.contains('?') { '&' } else { '?' };
    format!("{href}{separator}switch=1")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_seal_in_the_address_of_a_form_is_in_no_link() {
        let of = |request: TestRequest| address(&request.to_http_request()).to_owned();
        assert_eq!(of(TestRequest::post().uri("/posts/new?form=sealed")), "/posts/new");
        assert_eq!(of(TestRequest::get().uri("/posts?page=2")), "/posts?page=2");
        assert_eq!(
            of(TestRequest::default().method(Method::HEAD).uri("/posts?page=2")),
            "/posts?page=2"
        );
    }
}
