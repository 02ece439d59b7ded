//! The words of the error pages: what happened, and what to do about it.

use actix_web::{ResponseError as _, http::StatusCode};
use serde::Serialize;

use super::{ErrorKind, sign_in_denial::SignInDenial};
use crate::serve::RequestError;

/// What an error page says.
#[derive(Debug, Serialize)]
pub struct Explanation {
    #[serde(serialize_with = "as_number")]
    pub status: StatusCode,
    /// Identifies the page to tests and style sheets.
    marker: &'static str,
    pub heading: &'static str,
    happened: Vec<Span>,
    advice: Vec<Span>,
    /// Target of the button; empty for the same page again.
    #[serde(skip)]
    pub action_href: &'static str,
    action_label: &'static str,
}

/// A piece of a sentence. Text between back-ticks is code.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Span {
    is_code: bool,
    text: String,
}

impl Explanation {
    pub fn new(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::BadRequest => explanation(
                StatusCode::BAD_REQUEST,
                "400",
                "This request is not valid",
                "The site cannot read the address or the form that your browser sent.",
                "Go back and try again from the page that you came from.",
            ),
            ErrorKind::SignInRequired | ErrorKind::TokenRejected(_) | ErrorKind::SessionExpired(_) | ErrorKind::AlreadySignedOut | ErrorKind::StepUpRequired(_) => explanation(
                StatusCode::UNAUTHORIZED,
                "401",
                "You are not signed in",
                "Your sign-in has ended.",
                "Sign in again.",
            )
            .with_action("/login", "Sign in"),
            ErrorKind::CsrfCheckFailed => explanation(
                StatusCode::FORBIDDEN,
                "403",
                "This form could not be verified",
                "The form did not come from a page that this site showed you in your current session. This happens when you \
                 signed in or out in another tab, or when another site sent the form. Nothing was changed.",
                "Open the page again and repeat your change.",
            )
            .with_action("", "Open the page again"),
            ErrorKind::NotAuthor => explanation(
                StatusCode::FORBIDDEN,
                "403",
                "You cannot change this post",
                "Only the author of a post, or an Admin of this blog, can edit or delete it. Nothing was changed.",
                "If the post is yours, sign in with the account that wrote it.",
            )
            .with_action("/posts", "Go to the posts"),
            ErrorKind::ReadOnly => explanation(
                StatusCode::FORBIDDEN,
                "403",
                "You can read posts, but not write them",
                "Writing needs the app role `Blog.Writer` or `Blog.Admin`, and your account has neither. Nothing was changed.",
                format!("{ASK_FOR_A_ROLE} `Blog.Writer`{WHERE_ROLES_ARE}"),
            )
            .with_action("/posts", "Go to the posts"),
            ErrorKind::NoRole => explanation(
                StatusCode::FORBIDDEN,
                "403",
                "You have no role in this blog",
                "Reading needs one of the app roles `Blog.Reader`, `Blog.Writer` and `Blog.Admin`, and your account has none \
                 of them.",
                format!("{ASK_FOR_A_ROLE} `Blog.Reader`{WHERE_ROLES_ARE}"),
            ),
            ErrorKind::NotFound => explanation(
                StatusCode::NOT_FOUND,
                "404",
                "Page not found",
                "The page does not exist, or the post was deleted.",
                "Check the address, or look for the post in the list of posts.",
            )
            .with_action("/posts", "Go to the list of posts"),
            ErrorKind::MethodNotAllowed(methods) => explanation(
                StatusCode::METHOD_NOT_ALLOWED,
                "405",
                "This page does not accept that request",
                format!("This address accepts {methods} only. Nothing was changed."),
                "Use the links and buttons of the site.",
            ),
            ErrorKind::TooLarge => explanation(
                StatusCode::PAYLOAD_TOO_LARGE,
                "413",
                "This text is too long",
                "What you sent is longer than this site accepts. Nothing was saved.",
                "Use your browser's Back button to return to the form with your text, shorten it, and send it again.",
            ),
            ErrorKind::Rejected(error) => Self::for_request_error(*error),
            ErrorKind::WrongOrigin { used, own, redirect_path } => {
                Self::for_wrong_origin(used, &own.origin().ascii_serialization(), redirect_path)
            }
            ErrorKind::Internal => explanation(
                StatusCode::INTERNAL_SERVER_ERROR,
                "500",
                "Something went wrong on our side",
                "The site had an internal error. It is logged under the request ID below.",
                "Try again in a moment. If it happens again, give the request ID to the operator of this site.",
            ),
            other => Self::for_limit(other)
                .or_else(|| Self::for_backend(other))
                .unwrap_or_else(|| Self::for_sign_in(other)),
        }
    }

    fn for_limit(kind: &ErrorKind) -> Option<Self> {
        Some(match kind {
            ErrorKind::TooManyRequests(seconds) => explanation(
                StatusCode::TOO_MANY_REQUESTS,
                "429",
                "Too many requests",
                "The blog's API received more requests than it accepts in this time.",
                wait(*seconds),
            )
            .with_action("", "Try again"),
            ErrorKind::TooManyFailedSignIns(seconds) => explanation(
                StatusCode::TOO_MANY_REQUESTS,
                "429",
                "Too many failed sign-ins",
                "Thirty sign-ins from your network address failed within a minute. They may not have been yours. The site \
                 accepts no further attempts for a short time.",
                wait(Some(*seconds)),
            )
            .with_action("/login", "Try to sign in again"),
            _ => return None,
        })
    }

    fn for_request_error(error: RequestError) -> Self {
        let (marker, heading, happened) = match error {
            RequestError::BodyTimeout => {
                return explanation(
                    error.status_code(),
                    "408",
                    "Your form took too long to arrive",
                    "The connection between your browser and this site was too slow. Nothing was saved.",
                    "Check your connection, then go back and send the form again.",
                );
            }
            RequestError::ClientCertificateRequired => (
                "403",
                "This server needs a client certificate",
                "Your browser sent no certificate that this server accepts.",
            ),
            RequestError::ContentEncoding => (
                "415",
                "This site cannot read compressed forms",
                "Your browser, or a program between it and this site, compressed what it sent. Nothing was saved.",
            ),
            RequestError::InvalidHost => (
                "400",
                "The host name is not valid",
                "Your browser, or a program between it and this site, sent an invalid host name.",
            ),
            RequestError::Overloaded | RequestError::TooManyConnections => (
                "503",
                "This site is overloaded",
                "The site is sending and receiving more than it can handle at once. Nothing was saved.",
            ),
        };
        explanation(error.status_code(), marker, heading, happened, error.detail())
    }

    fn for_wrong_origin(used: &str, own: &str, redirect_path: &str) -> Self {
        explanation(
            StatusCode::MISDIRECTED_REQUEST,
            "421",
            "You opened the site at another address",
            format!(
                "You opened the site at `{used}`, but Microsoft Entra ID knows it as `{own}`. Entra ID would not send you back \
                 to `{used}` (AADSTS50011: the redirect URI does not match), and a sign-in that starts at one address and ends \
                 at another is lost."
            ),
            format!(
                "Sign in at `{own}`. For the operator of this site: if `{used}` is right, set `client.public_url` to it and \
                 register `{used}{redirect_path}`. If the site is behind a reverse proxy, let the proxy pass on the browser's \
                 `Host` header, or list the proxy in `server.trusted_proxies` and let it send `X-Forwarded-Host`."
            ),
        )
        .with_action("/login", "Go to the site's address")
    }

    /// For errors of the services that the site depends on.
    fn for_backend(kind: &ErrorKind) -> Option<Self> {
        Some(match kind {
            ErrorKind::SessionsUnreachable => explanation(
                StatusCode::SERVICE_UNAVAILABLE,
                "503",
                "Your session is unavailable",
                "This site cannot check right now who is signed in.",
                "Try again in a moment. If you sent a form, your browser's Back button leads back to it with your text. First \
                 check whether it was saved.",
            )
            .with_action("", "Try again"),
            ErrorKind::Busy => explanation(
                StatusCode::SERVICE_UNAVAILABLE,
                "503",
                "This site is busy",
                "Too many requests are waiting for the blog's API or for Microsoft Entra ID. Yours was not sent.",
                "Try again in a few seconds.",
            )
            .with_action("", "Try again"),
            ErrorKind::ApiUnreachable => bad_gateway(
                "The blog is unavailable",
                "This site is up, but it cannot reach the API that stores the posts.",
                "Try again in a moment. Your sign-in is not affected.",
            ),
            ErrorKind::ApiTimedOut => bad_gateway(
                "The blog took too long to answer",
                "This site is up, but the API that stores the posts did not answer in time.",
                "Try again in a moment. If you just sent something, first check whether it was saved.",
            ),
            ErrorKind::ApiFailed => bad_gateway(
                "The blog could not answer",
                "This site is up, but the API that stores the posts answered with an error.",
                "Try again in a moment. If it happens again, give the request ID to the operator of this site.",
            ),
            ErrorKind::ApiUnavailable(seconds) => explanation(
                StatusCode::SERVICE_UNAVAILABLE,
                "503",
                "The blog cannot answer right now",
                "This site and the API that stores the posts are up, but something that the API depends on does not answer.",
                format!("{} If you just sent something, first check whether it was saved.", wait(*seconds)),
            )
            .with_action("", "Try again"),
            ErrorKind::NotTheApi(status) => bad_gateway(
                "The blog's API was not found",
                format!(
                    "This site is up, but something other than the API answers at the API's address, with status {status}."
                ),
                "For the operator of this site: `client.api_base_url` leads to another program, or to a proxy that answers the \
                 request itself. It must be the address of `blogctl serve-api`, without `/v1`. `blogctl doctor` shows what is \
                 there.",
            ),
            ErrorKind::SiteForbidden(code) => {
                let (happened, advice) = forbidden_site(code);
                bad_gateway("The blog's API rejects this site", happened, advice)
            }
            ErrorKind::NewTokenRejected(None) => bad_gateway(
                "Your sign-in does not last",
                "You signed in a moment ago, but this site no longer has an access token for you.",
                "Signing in again will not help. For the operator of this site: the log says why Microsoft Entra ID does not \
                 renew access tokens, or why the site cannot store them.",
            ),
            ErrorKind::NewTokenRejected(Some(code)) => bad_gateway(
                "The blog does not accept your sign-in",
                if code.is_empty() {
                    "You signed in a moment ago, but the API rejects the access token that was issued for you.".to_owned()
                } else {
                    format!(
                        "You signed in a moment ago, but the API rejects the access token that was issued for you (`{code}`)."
                    )
                },
                format!("Signing in again will not help. For the operator of this site: {}", rejected_token_advice(code)),
            ),
            ErrorKind::EntraUnreachable => bad_gateway(
                "Sign-in is unavailable",
                "Microsoft Entra ID could not be reached, or did not answer as expected.",
                "Try again in a moment. If this continues, the operator of this site finds the reason in the log, under the \
                 request ID below.",
            ),
            _ => return None,
        })
    }

    fn for_sign_in(kind: &ErrorKind) -> Self {
        let (status, heading, happened, advice) = match kind {
            ErrorKind::Prefetched => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Open this page to continue",
                "Your browser requested this page in advance. It works only once, so the site waits until you really open it.",
                "Open the page, or start again: it takes one click.",
            ),
            ErrorKind::StepUpFailed => (
                StatusCode::FORBIDDEN,
                "The blog asks for a stronger sign-in",
                "For this page, the blog's API asks for more than an ordinary sign-in, for example a second factor. You have \
                 just signed in again, but Microsoft Entra ID did not confirm it.",
                "You are still signed in for everything else. For the operator of this site: the authentication context in \
                 `api.required_acrs` must be published to apps, and a Conditional Access policy must grant it.",
            ),
            ErrorKind::ConsentRequired(error) => (
                StatusCode::FORBIDDEN,
                "This site needs consent first",
                error.cause(),
                error.hint(),
            ),
            ErrorKind::SignInFailed(error) => match SignInDenial::from_error(error) {
                Some(denial) => (
                    StatusCode::FORBIDDEN,
                    denial.heading(),
                    denial.happened(),
                    denial.advice(),
                ),
                None => (StatusCode::BAD_GATEWAY, "Sign-in failed", error.cause(), error.hint()),
            },
            ErrorKind::CertificateUnusable => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Sign-in failed",
                "This site cannot prove its identity to Microsoft Entra ID: none of its credentials can be used.",
                "Tell the operator of this site. `blogctl cert check` says what is wrong.",
            ),
            ErrorKind::AdminConsentDeclined => (
                StatusCode::FORBIDDEN,
                "Consent was not given",
                "No administrator has consented, on behalf of the organisation, to the permissions that this site requests. \
                 The person who followed the link declined, or is not allowed to consent.",
                "An administrator with the role Cloud Application Administrator, or a higher one, must follow the link \
                 below and accept. Until then, only users who may consent for themselves can sign in.",
            ),
            ErrorKind::SignInExpired => (
                StatusCode::BAD_REQUEST,
                "This sign-in is no longer valid",
                "It was already used, is older than ten minutes, or was started in another browser. A sign-in works \
                 once, in the browser that started it.",
                "Start again: it takes one click.",
            ),
            ErrorKind::SignInLoop => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Your sign-in keeps getting lost",
                "You signed in three times within a minute, and each time the site no longer recognised you a moment later.",
                "Wait a minute, then try again. For the operator of this site: this happens when replicas do not share \
                 sessions. Set `redis.url` on all of them, or let the load balancer send each browser to the same replica.",
            ),
            _ => (
                StatusCode::BAD_GATEWAY,
                "Sign-in failed",
                "Microsoft Entra ID's response did not pass this site's checks, so you were not signed in.",
                "Try again. If it happens again, give the request ID to the operator of this site.",
            ),
        };
        explanation(status, "sign-in", heading, happened, advice).with_action("/login", "Try to sign in again")
    }

    fn with_action(mut self, href: &'static str, label: &'static str) -> Self {
        self.action_href = href;
        self.action_label = label;
        self
    }
}

fn explanation(
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

/// Whom a user without an app role asks.
const ASK_FOR_A_ROLE: &str =
    "Ask the person who manages this blog's accounts in Microsoft Entra ID to assign you the role";
const WHERE_ROLES_ARE: &str = " under Enterprise applications › the blog's API › Users and groups. Then sign out and sign in \
 again, so that the new role takes effect.";

/// What happened, and what the operator must do, when a rule of the API rejects the whole site.
fn forbidden_site(code: &str) -> (String, String) {
    let (happened, advice) = match code {
        "insufficient_scope" => (
            "this site's access token lacks the scope that the API requires",
            "compare `client.api_scope` with the API's `api.required_scope`. The API's registration must expose that scope, and \
             the site's registration must list it under API permissions.",
        ),
        "client_app_not_allowed" => (
            "the API does not list this site among the applications that it accepts",
            "add the site's `client.client_id` to the API's `api.allowed_client_apps`.",
        ),
        "client_auth_not_allowed" => (
            "the API accepts only applications that authenticate to Microsoft Entra ID with a certificate, and the access \
             token does not say that this site did",
            "let the site use a certificate (`client.cert_path` or `client.credential`), or set the API's \
             `api.required_client_auth` to `any`.",
        ),
        "insufficient_claims" => (
            "the API asks for a stronger sign-in, and the access token does not say that this site can ask Microsoft Entra ID for \
             one",
            "make sure that the site's token requests reach Microsoft Entra ID unchanged (`xms_cc` must hold `cp1`), or change \
             the API's `api.required_acrs`.",
        ),
        _ => (
            "a rule of the API rejects this site",
            "look up the code in the list of problems in docs/api.md.",
        ),
    };
    let happened = format!("{happened} (`{code}`). Your account is not the cause.");
    (happened, format!("For the operator of this site: {advice}"))
}

/// What the operator must compare when the API rejects every access token.
fn rejected_token_advice(code: &str) -> &'static str {
    match code {
        "wrong_issuer" | "wrong_tenant" | "unknown_key" | "bad_signature" | "wrong_algorithm" | "missing_kid" => {
            "the site and the API use different tenants or authorities. Compare `entra.tenant_id` and `entra.authority_host` \
             of both."
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
    explanation(StatusCode::BAD_GATEWAY, "502", heading, happened, advice).with_action("", "Try again")
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

/// Makes a page's sentence of an error message, which begins with a small letter and has no full stop.
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
