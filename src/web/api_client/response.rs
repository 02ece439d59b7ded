//! A response of the API: status, headers and body. Also decides whether the API responded at all: a proxy, or another
//! program at the configured address, sends no problem documents.

use actix_web::http::StatusCode;
use http_auth::{ChallengeParser, ChallengeRef};
use serde::Deserialize;
use url::Url;

use super::{ApiError, FieldError, Rights};
use crate::entra::ClaimsChallenge;

/// Largest body that is read, in bytes: a page of posts with the longest content fits.
const MAX_BODY_BYTES: u64 = 32 * 1024 * 1024;

/// What the API returned.
pub(super) struct ApiResponse {
    pub(super) status: StatusCode,
    pub(super) etag: Option<String>,
    /// `X-Total-Count`
    pub(super) total: Option<u64>,
    /// `after` of the `Link` with `rel="next"`.
    pub(super) next_cursor: Option<String>,
    /// `Retry-After` in seconds.
    pub(super) retry_after: Option<u64>,
    /// Claims challenge in `WWW-Authenticate`.
    pub(super) challenge: Option<ClaimsChallenge>,
    /// `Blog-Rights`
    pub(super) rights: Option<Rights>,
    /// `Content-Type` names JSON, or is absent.
    is_json: bool,
    /// `WWW-Authenticate` names a scheme, but not `Bearer`.
    requires_other_scheme: bool,
    pub(super) body: Vec<u8>,
}

/// The part of a problem document (RFC 9457) that this site uses.
#[derive(Default, Deserialize)]
struct Problem {
    status: Option<u16>,
    #[serde(default)]
    code: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

/// Why the API forbids a request, according to the `code` of its problem document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forbidden {
    /// The post belongs to another user.
    NotAuthor,
    /// The user has no app role.
    RoleToRead,
    /// The user's app role allows reading only.
    RoleToWrite,
    /// A rule about this site and not about the user: its scope, its application, how it authenticates. Holds the
    /// problem code.
    Site(String),
}

impl ApiResponse {
    pub(super) fn read(mut response: http::Response<ureq::Body>) -> Result<Self, ApiError> {
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let [etag, total, link, retry_after, challenge] =
            ["etag", "x-total-count", "link", "retry-after", "www-authenticate"].map(header);
        let [rights, content_type] = ["blog-rights", "content-type"].map(header);
        let status = StatusCode::from_u16(response.status().as_u16())
            .map_err(|_| ApiError::UnexpectedStatus(response.status().as_u16()))?;
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_BODY_BYTES)
            .read_to_vec()
            .map_err(transport_error)?;
        Ok(Self {
            status,
            etag,
            total: total.and_then(|text| text.parse().ok()),
            next_cursor: link.as_deref().and_then(next_cursor),
            challenge: challenge.as_deref().and_then(claims_in),
            retry_after: retry_after.and_then(|text| text.parse().ok()),
            rights: rights.as_deref().and_then(Rights::parse),
            is_json: content_type.as_deref().is_none_or(names_json),
            requires_other_scheme: challenge.as_deref().is_some_and(requires_other_scheme),
            body,
        })
    }

    /// This response if the call succeeded. `method` is that of the request.
    pub(super) fn into_result(self, method: &str) -> Result<Self, ApiError> {
        if self.status.is_success() {
            return if self.is_json {
                Ok(self)
            } else {
                Err(self.not_the_api())
            };
        }
        let problem = self.problem();
        let is_problem = problem.is_some();
        let problem = problem.unwrap_or_default();
        Err(match self.status {
            StatusCode::UNAUTHORIZED if self.requires_other_scheme => self.not_the_api(),
            StatusCode::UNAUTHORIZED => match self.challenge {
                Some(challenge) => ApiError::StepUpRequired(challenge),
                None => ApiError::TokenRejected(short_code(problem.code)),
            },
            // Proxies send these statuses too, with the same meaning.
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
            StatusCode::TOO_MANY_REQUESTS => ApiError::TooManyRequests(self.retry_after),
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT if !is_problem => {
                ApiError::Unreachable(format!(
                    "a proxy in front of it responded with status {}",
                    self.status.as_u16()
                ))
            }
            status if !is_problem && !status.is_server_error() => self.not_the_api(),
            StatusCode::FORBIDDEN => ApiError::Forbidden(Forbidden::from_code(problem.code, method)),
            StatusCode::NOT_FOUND | StatusCode::GONE => ApiError::NotFound,
            StatusCode::PRECONDITION_FAILED => ApiError::VersionConflict,
            StatusCode::SERVICE_UNAVAILABLE if !problem.code.is_empty() => ApiError::Unavailable(self.retry_after),
            StatusCode::UNPROCESSABLE_ENTITY if problem.code == "idempotency_key_reused" => {
                ApiError::IdempotencyKeyReused
            }
            StatusCode::UNPROCESSABLE_ENTITY => ApiError::Invalid(problem.errors),
            // A visitor can cause these with a hidden field or an address.
            StatusCode::BAD_REQUEST if problem.code == "malformed_idempotency_key" => ApiError::Malformed,
            StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ApiError::Malformed,
            other => ApiError::UnexpectedStatus(other.as_u16()),
        })
    }

    pub(super) fn not_the_api(&self) -> ApiError {
        ApiError::NotTheApi(self.status.as_u16())
    }

    /// `None` when the body is not a problem document: a JSON object with `code`, with `errors`, or with the `status` of the
    /// response.
    fn problem(&self) -> Option<Problem> {
        let problem: Problem = serde_json::from_slice(&self.body).ok()?;
        let is_one =
            !problem.code.is_empty() || !problem.errors.is_empty() || problem.status == Some(self.status.as_u16());
        is_one.then_some(problem)
    }
}

impl Forbidden {
    fn from_code(code: String, method: &str) -> Self {
        match &*code {
            // An API that sends no code has only this reason.
            "" | "not_author" => Self::NotAuthor,
            "insufficient_role" if method == "GET" => Self::RoleToRead,
            "insufficient_role" => Self::RoleToWrite,
            _ => Self::Site(short_code(code)),
        }
    }
}

/// Replaces text that does not look like a code: a code is shown and logged.
fn short_code(code: String) -> String {
    let is_code = code.len() <= 64
        && code
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if is_code { code } else { "unknown".to_owned() }
}

/// Contains no address: that of the API may be internal.
pub(super) fn transport_error(error: ureq::Error) -> ApiError {
    match error {
        ureq::Error::Timeout(_) => ApiError::TimedOut,
        other => ApiError::Unreachable(other.to_string()),
    }
}

/// Whether a content type is `application/json` or ends with `+json`.
pub(super) fn names_json(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The challenges in a `WWW-Authenticate` header (RFC 9110 §11.6.1) up to the first that cannot be parsed.
fn challenges(header: &str) -> Vec<ChallengeRef<'_>> {
    ChallengeParser::new(header).map_while(Result::ok).collect()
}

/// Whether the header names schemes, but not `Bearer`.
fn requires_other_scheme(header: &str) -> bool {
    let challenges = challenges(header);
    if challenges.is_empty() {
        // The parser does not read `Negotiate` and `NTLM` with the data that they carry.
        let scheme = header.split([' ', ',']).next().unwrap_or_default();
        let is_name = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        return is_name && !scheme.eq_ignore_ascii_case("Bearer");
    }
    !challenges.iter().any(is_bearer)
}

fn is_bearer(challenge: &ChallengeRef<'_>) -> bool {
    challenge.scheme.eq_ignore_ascii_case("Bearer")
}

/// From `Bearer error="insufficient_claims", claims="…"` (Microsoft Learn "Claims challenges").
fn claims_in(header: &str) -> Option<ClaimsChallenge> {
    let challenges = challenges(header);
    let bearer = challenges.iter().find(|challenge| is_bearer(challenge))?;
    let parameter = |wanted: &str| {
        let found = bearer
            .params
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        Some(found.1.to_unescaped())
    };
    if parameter("error")? != "insufficient_claims" {
        return None;
    }
    ClaimsChallenge::decode(&parameter("claims")?)
}

/// From `</v1/posts?limit=20&after=CURSOR>; rel="next"` (RFC 8288), absolute or relative.
fn next_cursor(link: &str) -> Option<String> {
    let next = link.split(',').find(|entry| {
        entry
            .split(';')
            .skip(1)
            .any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"))
    })?;
    let target = next.trim().strip_prefix('<')?.split('>').next()?;
    let url = Url::parse("http://api.invalid/").ok()?.join(target).ok()?;
    url.query_pairs()
        .find(|(name, _)| name == "after")
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_claims_challenge_is_read_as_one() {
        let claims = "eyJhY2Nlc3NfdG9rZW4iOnt9fQ==";
        for good in [
            format!("Bearer realm=\"x\", error=\"insufficient_claims\", claims=\"{claims}\""),
            format!(
                "bearer claims={}, error=insufficient_claims",
                claims.trim_end_matches('=')
            ),
            format!("Basic realm=\"x\", Bearer claims=\"{claims}\", error=insufficient_claims"),
        ] {
            assert!(claims_in(&good).is_some(), "{good}");
        }
        for other in [
            "Bearer".to_owned(),
            "Bearer error=\"invalid_token\"".to_owned(),
            format!("Bearer error=\"invalid_token\", claims=\"{claims}\""),
            format!("Basic error=\"insufficient_claims\", claims=\"{claims}\""),
            "Bearer error=\"insufficient_claims\", claims=\"?\"".to_owned(),
        ] {
            assert_eq!(claims_in(&other), None, "{other}");
        }
    }

    #[test]
    fn only_a_header_without_bearer_requires_another_scheme() {
        for other in [
            "Negotiate",
            "Basic realm=\"x\"",
            "Basic realm=\"x\", Digest nonce=\"y\"",
            "Negotiate YIIJvwYGKwYBBQUCoIIJszCC==",
            "NTLM TlRMTVNTUAACAAAA",
            "Basic realm=My Proxy",
        ] {
            assert!(requires_other_scheme(other), "{other}");
        }
        for own in [
            "Bearer",
            "bearer error=\"invalid_token\"",
            "Basic realm=\"x\", Bearer realm=\"y\"",
            "Bearer realm=My API",
            "=",
            "",
        ] {
            assert!(!requires_other_scheme(own), "{own}");
        }
    }

    fn result(status: u16, content_type: &str, body: &str) -> Result<(), String> {
        let response = http::Response::builder()
            .status(status)
            .header("content-type", content_type);
        let body = ureq::Body::builder().data(body.as_bytes().to_vec());
        let answer =
            ApiResponse::read(response.body(body).expect("a response")).and_then(|answer| answer.into_result("GET"));
        answer.map(drop).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn only_a_problem_document_makes_an_error_one_of_the_api() {
        let (html, json) = ("text/html", "application/problem+json; charset=utf-8");
        let problem = |status: u16, code: &str| format!("{{\"status\":{status},\"code\":\"{code}\"}}");
        for (status, content_type, body, expected) in [
            (200, html, "<html>".to_owned(), "NotTheApi(200)"),
            (302, html, String::new(), "NotTheApi(302)"),
            (404, html, "<h1>Not Found</h1>".to_owned(), "NotTheApi(404)"),
            (
                404,
                "application/json",
                "{\"detail\":\"Not Found\"}".to_owned(),
                "NotTheApi(404)",
            ),
            (404, json, problem(404, "post_not_found"), "NotFound"),
            (404, json, "{\"status\":404}".to_owned(), "NotFound"),
            (403, html, "blocked".to_owned(), "NotTheApi(403)"),
            (403, json, problem(403, "not_author"), "Forbidden(NotAuthor)"),
            (403, json, problem(403, "insufficient_role"), "Forbidden(RoleToRead)"),
            (
                403,
                json,
                problem(403, "insufficient_scope"),
                "Forbidden(Site(\"insufficient_scope\"))",
            ),
            (403, json, problem(403, "<script>"), "Forbidden(Site(\"unknown\"))"),
            (
                401,
                json,
                problem(401, "wrong_audience"),
                "TokenRejected(\"wrong_audience\")",
            ),
            (401, "text/plain", String::new(), "TokenRejected(\"\")"),
            (400, json, problem(400, "malformed_idempotency_key"), "Malformed"),
            (400, json, problem(400, "malformed_json"), "UnexpectedStatus(400)"),
            (413, html, "too large".to_owned(), "TooLarge"),
            (429, html, String::new(), "TooManyRequests(None)"),
            (
                422,
                json,
                problem(422, "idempotency_key_reused"),
                "IdempotencyKeyReused",
            ),
            (500, html, String::new(), "UnexpectedStatus(500)"),
            (503, json, problem(503, "database_unavailable"), "Unavailable(None)"),
        ] {
            assert_eq!(
                result(status, content_type, &body).expect_err(expected),
                expected,
                "{status} {body}"
            );
        }
        let unreachable = result(503, html, "").expect_err("an error");
        assert!(unreachable.starts_with("Unreachable"), "{unreachable}");
        assert_eq!(result(200, "application/json", "{}"), Ok(()));
    }

    #[test]
    fn the_next_page_is_found_in_the_link_header() {
        let cursor = |link| next_cursor(link).unwrap_or_default();
        assert_eq!(cursor(r#"</v1/posts?limit=20&after=abc%3D>; rel="next""#), "abc=");
        assert_eq!(
            cursor(r#"</a?after=x>; rel="prev", <http://h/v1/posts?after=y>; rel="next""#),
            "y"
        );
        assert_eq!(cursor("</v1/posts?after=z>; rel=next"), "z");
        for other in [
            "",
            "<",
            "invalid_response; rel=next",
            r#"</v1/posts>; rel="next""#,
            r#"</a?after=x>; rel="prev""#,
        ] {
            assert_eq!(next_cursor(other), None, "{other}");
        }
    }
}
