//! An answer of the API: its status, the headers that matter here, its body.

use actix_web::http::StatusCode;
use serde::Deserialize;
use url::Url;

use super::{ApiError, FieldError};
use crate::entra::ClaimsChallenge;

/// Largest body read, in bytes: a page of posts of the longest content fits.
const MAX_BODY_BYTES: u64 = 32 * 1024 * 1024;

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) etag: Option<String>,
    /// `X-Total-Count`
    pub(super) total: Option<u64>,
    /// `after` of the `Link` with `rel="next"`.
    pub(super) next_cursor: Option<String>,
    /// `Retry-After` in seconds.
    pub(super) retry_after: Option<u64>,
    /// `claims` of `WWW-Authenticate`.
    pub(super) challenge: Option<ClaimsChallenge>,
    pub(super) body: Vec<u8>,
}

/// The part of a problem document (RFC 9457) that this site uses.
#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    errors: Vec<FieldError>,
}

impl Answer {
    pub(super) fn read(mut response: http::Response<ureq::Body>) -> Result<Self, ApiError> {
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let [etag, total, link, retry_after, challenge] =
            ["etag", "x-total-count", "link", "retry-after", "www-authenticate"].map(header);
        let status = StatusCode::from_u16(response.status().as_u16())
            .map_err(|_| ApiError::Unexpected(response.status().as_u16()))?;
        let body = response.body_mut().with_config().limit(MAX_BODY_BYTES).read_to_vec().map_err(no_answer)?;
        Ok(Self {
            status,
            etag,
            total: total.and_then(|text| text.parse().ok()),
            next_cursor: link.as_deref().and_then(next_cursor),
            challenge: challenge.as_deref().and_then(claims_in),
            retry_after: retry_after.and_then(|text| text.parse().ok()),
            body,
        })
    }

    pub(super) fn into_result(self) -> Result<Self, ApiError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(match self.status {
            StatusCode::UNAUTHORIZED => match self.challenge {
                Some(challenge) => ApiError::StepUp(challenge),
                None => ApiError::SignInAgain,
            },
            StatusCode::FORBIDDEN => ApiError::Forbidden,
            StatusCode::NOT_FOUND | StatusCode::GONE => ApiError::NotFound,
            StatusCode::PRECONDITION_FAILED => ApiError::Stale,
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
            StatusCode::TOO_MANY_REQUESTS => ApiError::TooManyRequests(self.retry_after),
            StatusCode::UNPROCESSABLE_ENTITY => self.refusal(),
            other => ApiError::Unexpected(other.as_u16()),
        })
    }

    fn refusal(&self) -> ApiError {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) if problem.code == "idempotency_key_reused" => ApiError::KeyReused,
            Ok(problem) => ApiError::Invalid(problem.errors),
            Err(_) => ApiError::Invalid(Vec::new()),
        }
    }
}

/// Names no address: the API's may be an internal one.
pub(super) fn no_answer(error: ureq::Error) -> ApiError {
    match error {
        ureq::Error::Timeout(_) => ApiError::TimedOut,
        other => ApiError::Unreachable(other.to_string()),
    }
}

/// From `Bearer error="insufficient_claims", claims="…"` (Microsoft Learn "Claims challenges"); parameters in any order.
fn claims_in(challenge: &str) -> Option<ClaimsChallenge> {
    let (scheme, parameters) = challenge.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return None;
    }
    let value = |name: &str| {
        parameters.split(',').find_map(|parameter| {
            let (found, value) = parameter.trim().split_once('=')?;
            found.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
        })
    };
    value("claims").filter(|_| value("error") == Some("insufficient_claims")).and_then(ClaimsChallenge::decode)
}

/// From `</v1/posts?limit=20&after=CURSOR>; rel="next"` (RFC 8288), absolute or relative.
fn next_cursor(link: &str) -> Option<String> {
    let next = link.split(',').find(|entry| {
        entry.split(';').skip(1).any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"))
    })?;
    let target = next.trim().strip_prefix('<')?.split('>').next()?;
    let url = Url::parse("http://api.invalid/").ok()?.join(target).ok()?;
    url.query_pairs().find(|(name, _)| name == "after").map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_and_nothing_else_is_one() {
        let claims = "eyJhY2Nlc3NfdG9rZW4iOnt9fQ==";
        for good in [
            format!("Bearer realm=\"x\", error=\"insufficient_claims\", claims=\"{claims}\""),
            format!("bearer claims={claims}, error=insufficient_claims"),
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
    fn the_next_page_is_found_in_the_link_header() {
        let cursor = |link| next_cursor(link).unwrap_or_default();
        assert_eq!(cursor(r#"</v1/posts?limit=20&after=abc%3D>; rel="next""#), "abc=");
        assert_eq!(cursor(r#"</a?after=x>; rel="prev", <http://h/v1/posts?after=y>; rel="next""#), "y");
        assert_eq!(cursor("</v1/posts?after=z>; rel=next"), "z");
        for other in ["", "<", "nonsense; rel=next", r#"</v1/posts>; rel="next""#, r#"</a?after=x>; rel="prev""#] {
            assert_eq!(next_cursor(other), None, "{other}");
        }
    }
}
