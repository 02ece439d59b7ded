//! The words of the error pages: what happened, and what to do about it.

use actix_web::{ResponseError as _, http::StatusCode};
use serde::Serialize;

use super::{ErrorKind, sign_in_denial::SignInDenial};
use crate::serve::Refusal;

/// What an error page says.
#[derive(Debug, Serialize)]
pub struct Explanation {
    #[serde(serialize_with = "as_number")]
    pub status: StatusCode,
    /// What tests and style sheets know the page by.
    marker: &'static str,
    pub heading: &'static str,
    happened: Vec<Span>,
    advice: Vec<Span>,
    /// Where the button leads; empty for the same page again.
    #[serde(skip)]
    pub action_href: &'static str,
    action_label: &'static str,
}

/// A piece of a sentence; what stands between back-ticks is to be input as it is.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Span {
    is_code: bool,
    text: String,
}

impl Explanation {
    pub fn of(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::BadRequest => of_status(
                StatusCode::BAD_REQUEST,
                "400",
                "That request makes no sense here",
                "The address or the form that your browser sent is not one that this site knows how to read.",
                "Go back and try again from the page that you came from.",
            ),
            ErrorKind::SignInRequired | ErrorKind::TokenRejected(_) | ErrorKind::SessionExpired(_) | ErrorKind::AlreadySignedOut | ErrorKind::StepUpRequired(_) => of_status(
                StatusCode::UNAUTHORIZED,
                "401",
                "You are not signed in",
                "Your sign-in has ended.",
                "Sign in again.",
            )
            .with_action("/login", "Sign in"),
            ErrorKind::CsrfCheckFailed => of_status(
                StatusCode::FORBIDDEN,
                "403",
                "This form could not be trusted",
                "The form did not come from a page of this site that was opened in your present session. That happens \
                 when you signed in or out in another tab meanwhile, or when another site sent it. Nothing was changed.",
                "Open the page again and repeat what you did.",
            )
            .with_action("", "Open the page again"),
            ErrorKind::NotAuthor => of_status(
                StatusCode::FORBIDDEN,
                "403",
                "This is not yours to change",
                "Only the author of a post may edit or delete it, or an Admin of this blog. Nothing was changed.",
                "If the post is yours, use the account that wrote it.",
            )
            .with_action("/posts", "Go to the posts"),
            ErrorKind::ReadOnly => of_status(
                StatusCode::FORBIDDEN,
                "403",
                "You may read, but not write",
                "Writing needs the app role `Blog.Writer` or `Blog.Admin`, and your account has neither. Nothing was changed.",
                format!("{ASK_FOR_A_ROLE} `Blog.Writer`{WHERE_ROLES_ARE}"),
            )
            .with_action("/posts", "Go to the posts"),
            ErrorKind::NoRole => of_status(
                StatusCode::FORBIDDEN,
                "403",
                "You have no role in this blog",
                "Reading needs one of the app roles `Blog.Reader`, `Blog.Writer` and `Blog.Admin`, and your account has none.",
                format!("{ASK_FOR_A_ROLE} `Blog.Reader`{WHERE_ROLES_ARE}"),
            ),
            ErrorKind::NotFound => of_status(
                StatusCode::NOT_FOUND,
                "404",
                "There is nothing here",
                "The page does not exist, or the post was deleted.",
                "Check the address, or look for it in the list of posts.",
            )
            .with_action("/posts", "Go to the list of posts"),
            ErrorKind::MethodNotAllowed(methods) => of_status(
                StatusCode::METHOD_NOT_ALLOWED,
                "405",
                "This page does not work that way",
                format!("This address answers {methods} only. Nothing was changed."),
                "Use the links and buttons of the site.",
            ),
            ErrorKind::TooLarge => of_status(
                StatusCode::PAYLOAD_TOO_LARGE,
                "413",
                "That is too much text",
                "What you sent is longer than this site takes. Nothing was saved.",
                "Use your browser's Back button to return to the form with your text, shorten it, and send it again.",
            ),
            ErrorKind::Rejected(refusal) => Self::of_refusal(*refusal),
            ErrorKind::WrongOrigin { used, own, redirect_path } => {
                Self::of_other_address(used, &own.origin().ascii_serialization(), redirect_path)
            }
            ErrorKind::TooManyRequests(seconds) => of_status(
                StatusCode::TOO_MANY_REQUESTS,
                "429",
                "That was a little too fast",
                "The blog's API received more requests than it takes in this time.",
                wait(*seconds),
            )
            .with_action("", "Try again"),
            ErrorKind::TooManyFailedSignIns(seconds) => of_status(
                StatusCode::TOO_MANY_REQUESTS,
                "429",
                "Too many sign-ins have failed here",
                "Thirty sign-ins from your network's address have failed within a minute, perhaps not your own. None is tried \
                 for a while.",
                wait(Some(*seconds)),
            )
            .with_action("/login", "Try to sign in again"),
            ErrorKind::Internal => of_status(
                StatusCode::INTERNAL_SERVER_ERROR,
                "500",
                "Something went wrong on our side",
                "The site made a mistake. It has been logged under the request id below.",
                "Try again in a moment. If it happens again, tell whoever runs this site the request id.",
            ),
            other => Self::of_backend(other).unwrap_or_else(|| Self::of_sign_in(other)),
        }
    }

    fn of_refusal(refusal: Refusal) -> Self {
        let (marker, heading, happened) = match refusal {
            Refusal::ContentEncoding => (
                "415",
                "This site cannot read compressed forms",
                "Your browser, or a program between it and this site, compressed what it sent. Nothing was saved.",
            ),
            Refusal::InvalidHost => (
                "400",
                "That request names no site",
                "Your browser, or a program between it and this site, sent a host name that is none.",
            ),
            Refusal::Overloaded | Refusal::TooManyConnections => (
                "503",
                "This site has too much to do",
                "More is being sent and received than this site can handle at once. Nothing was saved.",
            ),
        };
        of_status(refusal.status_code(), marker, heading, happened, refusal.detail())
    }

    fn of_other_address(used: &str, own: &str, redirect_path: &str) -> Self {
        of_status(
            StatusCode::MISDIRECTED_REQUEST,
            "421",
            "This is not the site's own address",
            format!(
                "You came to the site as `{used}`, but Microsoft Entra ID knows it as `{own}`. It would not send you back \
                 to `{used}` (AADSTS50011: the redirect URI does not match), and a sign-in that ends at another address \
                 than it began at is lost."
            ),
            format!(
                "Sign in at `{own}`. For whoever runs this site: if `{used}` is right, set `client.public_url` to it and \
                 register `{used}{redirect_path}`. If a reverse proxy is in front, let it pass on the name that the browser \
                 used as `Host`, or list it in `server.trusted_proxies` and let it send `X-Forwarded-Host`."
            ),
        )
        .with_action("/login", "Go to the site's own address")
    }

    /// Of what stands behind the site.
    fn of_backend(kind: &ErrorKind) -> Option<Self> {
        Some(match kind {
            ErrorKind::SessionsUnreachable => of_status(
                StatusCode::SERVICE_UNAVAILABLE,
                "503",
                "Your session is out of reach",
                "This site cannot look up just now who is signed in.",
                "Try again in a moment. If you sent a form, your browser's Back button leads back to it with your text; look \
                 first whether it was saved.",
            )
            .with_action("", "Try again"),
            ErrorKind::Busy => of_status(
                StatusCode::SERVICE_UNAVAILABLE,
                "503",
                "This site is busy",
                "Too many requests wait for the blog's API or for Microsoft Entra ID. This one was not sent.",
                "Try again in a few seconds.",
            )
            .with_action("", "Try again"),
            ErrorKind::ApiUnreachable => bad_gateway(
                "The blog is out of reach",
                "This site is up, but the API that keeps the posts could not be reached.",
                "Try again in a moment. Your sign-in is not affected.",
            ),
            ErrorKind::ApiTimedOut => bad_gateway(
                "The blog takes too long to answer",
                "This site is up, but the API that keeps the posts did not answer in time.",
                "Try again in a moment. If you just sent something, look first whether it was saved.",
            ),
            ErrorKind::ApiFailed => bad_gateway(
                "The blog could not answer",
                "This site is up, but the API that keeps the posts answered with an error of its own.",
                "Try again in a moment. If it happens again, tell whoever runs this site the request id.",
            ),
            ErrorKind::ApiUnavailable(seconds) => of_status(
                StatusCode::SERVICE_UNAVAILABLE,
                "503",
                "The blog cannot answer just now",
                "This site and the API that keeps the posts are up, but something that the API needs does not answer.",
                format!("{} If you just sent something, look first whether it was saved.", wait(*seconds)),
            )
            .with_action("", "Try again"),
            ErrorKind::NotTheApi(status) => bad_gateway(
                "The blog's API was not found",
                format!(
                    "This site is up, but what answers at the address of the API is something else: it answered with status \
                     {status}, and not in the way of the API."
                ),
                "Whoever runs this site: `client.api_base_url` leads to another program, or to a proxy that answers itself. It \
                 must be the address of `blogctl serve-api`, without `/v1`. `blogctl doctor` asks what is there.",
            ),
            ErrorKind::SiteForbidden(code) => {
                let (happened, advice) = of_forbidden_site(code);
                bad_gateway("The blog's API does not accept this site", happened, advice)
            }
            ErrorKind::NewTokenRejected(None) => bad_gateway(
                "Your sign-in does not last",
                "You signed in a moment ago, but this site has no access token for you any more.",
                "Signing in again will not help. Whoever runs this site finds in its log why Microsoft Entra ID does not renew \
                 access tokens, or why they are not kept.",
            ),
            ErrorKind::NewTokenRejected(Some(code)) => bad_gateway(
                "The blog does not accept your sign-in",
                if code.is_empty() {
                    "You signed in a moment ago, but the API refuses the access token that was issued for it.".to_owned()
                } else {
                    format!(
                        "You signed in a moment ago, but the API refuses the access token that was issued for it (`{code}`)."
                    )
                },
                format!("Signing in again will not help. Tell whoever runs this site: {}", of_refused_token(code)),
            ),
            ErrorKind::EntraUnreachable => bad_gateway(
                "Sign-in is out of reach",
                "Microsoft Entra ID could not be reached, or did not answer as expected.",
                "Try again in a moment. If it goes on, whoever runs this site finds the reason in its log, under the \
                 request id below.",
            ),
            _ => return None,
        })
    }

    fn of_sign_in(kind: &ErrorKind) -> Self {
        let (status, heading, happened, advice) = match kind {
            ErrorKind::Prefetched => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not before you open it",
                "Your browser asked for this page in advance. It works once, so it is kept until you really open it.",
                "Open the page, or start again: it takes one click.",
            ),
            ErrorKind::StepUpFailed => (
                StatusCode::FORBIDDEN,
                "The blog asks for a stronger sign-in",
                "For this, the blog's API asks for more than an ordinary sign-in, another factor for instance. You have \
                 just signed in again, and Microsoft Entra ID did not confirm it.",
                "You are still signed in for everything else. Whoever runs this site: the authentication context in \
                 `api.required_acrs` must be published to apps, and a Conditional Access policy must grant it.",
            ),
            ErrorKind::ConsentRequired(answer) => (
                StatusCode::FORBIDDEN,
                "This site needs consent first",
                answer.cause(),
                answer.advice(),
            ),
            ErrorKind::SignInFailed(answer) => match SignInDenial::of(answer) {
                Some(refusal) => (
                    StatusCode::FORBIDDEN,
                    refusal.heading(),
                    refusal.happened(),
                    refusal.advice(),
                ),
                None => (
                    StatusCode::BAD_GATEWAY,
                    "Sign-in failed",
                    answer.cause(),
                    answer.advice(),
                ),
            },
            ErrorKind::CertificateUnusable => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Sign-in failed",
                "This site cannot prove to Microsoft Entra ID who it is: its certificate, or what stands for one, cannot be used.",
                "Tell whoever runs this site. `blogctl cert check` says what is wrong.",
            ),
            ErrorKind::AdminConsentDeclined => (
                StatusCode::FORBIDDEN,
                "Consent was not given",
                "Nobody has consented to what this site asks for on behalf of the organisation. Whoever followed the link \
                 declined, or may not decide it.",
                "An administrator with the role Cloud Application Administrator, or a higher one, must follow the link \
                 below and accept. Until then, only those sign in who may consent for themselves.",
            ),
            ErrorKind::SignInExpired => (
                StatusCode::BAD_REQUEST,
                "This sign-in is no longer under way",
                "It was already used, is older than ten minutes, or was started in another browser. A sign-in works \
                 once, in the browser that started it.",
                "Start again: it takes one click.",
            ),
            ErrorKind::SignInLoop => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Your sign-in is lost again and again",
                "You have just signed in three times within a minute, and each time the site did not know you a moment later.",
                "Wait a minute, then try again. Whoever runs this site: replicas that do not share sessions do this. Set \
                 `redis.url` on all of them, or have the load balancer send each browser to the same one.",
            ),
            _ => (
                StatusCode::BAD_GATEWAY,
                "Sign-in failed",
                "The answer of Microsoft Entra ID did not pass this site's checks, so nobody was signed in.",
                "Try again. If it happens again, tell whoever runs this site the request id.",
            ),
        };
        of_status(status, "sign-in", heading, happened, advice).with_action("/login", "Try to sign in again")
    }

    fn with_action(mut self, href: &'static str, label: &'static str) -> Self {
        self.action_href = href;
        self.action_label = label;
        self
    }
}

fn of_status(
    status: StatusCode,
    marker: &'static str,
    heading: &'static str,
    happened: impl Into<String>,
    advice: impl Into<String>,
) -> Explanation {
    Explanation {
        status,
        marker,
        heading,
        happened: sentence(&happened.into()),
        advice: sentence(&advice.into()),
        action_href: "/",
        action_label: "Go to the home page",
    }
}

/// Whom to ask for an app role, and for which.
const ASK_FOR_A_ROLE: &str = "Ask whoever manages the accounts of this blog in Microsoft Entra ID to assign you";
const WHERE_ROLES_ARE: &str = " under Enterprise applications › the blog's API › Users and groups. Then sign out and sign in again, so \
                               that the new role counts.";

/// What happened and what the operator must do when a rule of the API keeps the whole site out.
fn of_forbidden_site(code: &str) -> (String, String) {
    let (happened, advice) = match code {
        "insufficient_scope" => (
            "the access token that this site gets lacks the scope that the API requires",
            "compare `client.api_scope` with the API's `api.required_scope`. The API's registration must expose that scope, and \
             the site's registration must list it under API permissions.",
        ),
        "client_app_not_allowed" => (
            "the API does not list this site among the applications that it takes",
            "add the site's `client.client_id` to the API's `api.allowed_client_apps`.",
        ),
        "client_auth_not_allowed" => (
            "the API takes only applications that prove themselves to Microsoft Entra ID by certificate, and the access token does \
             not say that this site did",
            "let the site use a certificate (`client.cert_path` or `client.credential`), or set the API's \
             `api.required_client_auth` to `any`.",
        ),
        "insufficient_claims" => (
            "the API asks for a stronger sign-in, and the access token does not say that this site can ask Microsoft Entra ID for \
             one",
            "see that the site's token requests reach Microsoft Entra ID unchanged (`xms_cc` must hold `cp1`), or change the API's \
             `api.required_acrs`.",
        ),
        _ => (
            "a rule of the API keeps this site out",
            "look up the code among the problems of the API, in docs/api.md.",
        ),
    };
    let happened = format!("{happened} (`{code}`). It is not about your account.");
    (happened, format!("Tell whoever runs this site: {advice}"))
}

/// What the operator must compare when the API refuses every access token.
fn of_refused_token(code: &str) -> &'static str {
    match code {
        "wrong_issuer" | "wrong_tenant" | "unknown_key" | "bad_signature" | "wrong_algorithm" | "missing_kid" => {
            "site and API use different tenants or authorities. Compare `entra.tenant_id` and `entra.authority_host` of both."
        }
        "expired" | "not_yet_valid" | "issued_in_future" => {
            "the clock of the API's machine differs from Microsoft Entra ID's. Compare it with `blogctl doctor`."
        }
        "encrypted_token" | "nested_token" => {
            "the API's registration encrypts its access tokens. Switch token encryption off there."
        }
        // A wrong audience, a token for Microsoft Graph, and an API that does not say why.
        _ => {
            "the API's application id, App ID URI, tenant or required scope probably differ from the scope that the site asks for \
             (`client.api_scope`)."
        }
    }
}

fn bad_gateway(heading: &'static str, happened: impl Into<String>, advice: impl Into<String>) -> Explanation {
    of_status(StatusCode::BAD_GATEWAY, "502", heading, happened, advice).with_action("", "Try again")
}

/// How long to wait, in words.
pub fn wait(seconds: Option<u64>) -> String {
    match seconds {
        None => "Wait a moment, then try again.".to_owned(),
        Some(0 | 1) => "Wait a second, then try again.".to_owned(),
        Some(seconds) => format!("Wait {seconds} seconds, then try again."),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

/// Error messages of the program begin small and have no full stop; on a page they are sentences.
fn sentence(message: &str) -> Vec<Span> {
    let mut chars = message.chars();
    let mut text: String = chars
        .next()
        .map(|first| first.to_uppercase().chain(chars).collect())
        .unwrap_or_default();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    let spans = text.split('`').enumerate().map(|(n, text)| Span {
        is_code: n % 2 == 1,
        text: text.to_owned(),
    });
    spans.filter(|span| !span.text.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_becomes_a_sentence_with_its_commands_marked() {
        let spans = sentence("ask `blogctl cert check` why");
        let texts: Vec<_> = spans.iter().map(|span| (span.is_code, span.text.as_str())).collect();
        assert_eq!(texts, [(false, "Ask "), (true, "blogctl cert check"), (false, " why.")]);
        assert_eq!(
            sentence("It is so."),
            [Span {
                is_code: false,
                text: "It is so.".to_owned()
            }]
        );
    }
}
