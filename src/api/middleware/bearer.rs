//! Bearer tokens (RFC 6750): authenticates the caller.
//!
//! [`require`] wraps everything under `/v1`, and rejects a request before its body is read. A handler that takes
//! [`Caller`] is protected by its signature: only a validated token makes a `Caller`.

use std::{
    future::{Ready, ready},
    ops::Deref,
    sync::Arc,
};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest,
    body::{EitherBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header::{self, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    web,
};

use super::{
    denials,
    rate_limit::{RateLimits, Remaining},
};
use crate::{
    api::{name_updates::NameUpdates, problem::Problem},
    blog::{Actor, Blog, Rights, TokenName, UserKey},
    entra::{AccessTokenValidator, AppRole, BearerToken, Principal, TokenError},
    metrics, trace,
};

/// Says in every response what the caller may do: `read`, `write` or `manage`. A client learns from it which
/// actions to offer, whether or not app roles are used.
pub const RIGHTS: HeaderName = HeaderName::from_static("blog-rights");

/// The authenticated caller of a request. Every caller may read: a token without that right never becomes one.
#[derive(Clone)]
pub struct Caller(Arc<Principal>);

impl Caller {
    /// The caller's tenant and object id.
    pub fn key(&self) -> UserKey {
        UserKey {
            tenant_id: self.tenant_id(),
            object_id: self.object_id(),
        }
    }

    /// The caller, and what they may do.
    pub fn actor(&self) -> Actor {
        Actor {
            key: self.key(),
            rights: self.rights(),
        }
    }

    /// What the caller's app role allows or, if app roles are not used, what every user may do.
    pub fn rights(&self) -> Rights {
        match self.app_role() {
            Some(AppRole::Reader) => Rights::Read,
            None | Some(AppRole::Writer) => Rights::Write,
            Some(AppRole::Admin) => Rights::Manage,
        }
    }

    /// The caller's display name, and when the token was issued. It is empty if the token has no name; a stored name
    /// then stays. Never an e-mail address: the name is visible to every caller.
    pub fn token_name(&self) -> TokenName<'_> {
        // A token without a time counts as older than all others.
        TokenName {
            name: self.name().unwrap_or_default(),
            issued_at: Some(self.issued_at().unwrap_or(0)),
        }
    }
}

impl Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Self>().cloned();
        ready(caller.ok_or_else(|| Problem::internal("a route that needs a caller is mounted without authentication")))
    }
}

/// Middleware: admits only requests with a valid access token that are within the caller's rate limits.
/// [`super::address_limit`] has already checked the address's limit.
///
/// # Errors
/// Those of the service it wraps.
pub async fn require(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static>>, Error> {
    let mut response = match authenticate(&request).await {
        Ok((caller, remaining)) => {
            let rights = rights_value(caller.rights());
            request.extensions_mut().insert(caller);
            let mut response = next.call(request).await?.map_into_left_body();
            response.headers_mut().insert(RIGHTS, rights);
            for (name, value) in remaining.into_iter().flat_map(Remaining::headers) {
                // A handler that rejects the request by another budget has set that budget's headers.
                if !response.headers().contains_key(&name) {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        // Not `into_response`, which drops the problem.
        Err(problem) => request.error_response(problem).map_into_right_body(),
    };
    denials::record(&response, |request| {
        request.extensions().get::<Caller>().map(Caller::key)
    });
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("Authorization"));
    Ok(response)
}

fn rights_value(rights: Rights) -> HeaderValue {
    HeaderValue::from_static(match rights {
        Rights::Read => "read",
        Rights::Write => "write",
        Rights::Manage => "manage",
    })
}

async fn authenticate(request: &ServiceRequest) -> Result<(Caller, Option<Remaining>), Problem> {
    let validator = request.app_data::<web::Data<AccessTokenValidator>>();
    let validator = validator.ok_or_else(|| Problem::internal("the API has no token validator"))?;
    let limits = request.app_data::<web::Data<RateLimits>>();
    let limits = limits.ok_or_else(|| Problem::internal("the API has no rate limits"))?;
    let caller = caller(request, validator, limits).await;
    let caller = caller.map_err(|problem| problem.with_authorization_uri(validator.authorization_uri()))?;
    let remaining = limits.admit_caller(caller.key(), request.method()).await?;
    Ok((caller, remaining))
}

async fn caller(
    request: &ServiceRequest,
    validator: &web::Data<AccessTokenValidator>,
    limits: &RateLimits,
) -> Result<Caller, Problem> {
    let token = token(request.headers()).inspect_err(|problem| metrics::tokens::validated(problem.code(), false))?;
    let token = BearerToken::new(token);
    let known = validator.cached(&token);
    if let Some(Ok(principal)) = known {
        metrics::tokens::valid_cached();
        return Ok(Caller(principal));
    }
    // After the cache: a caller with a verified token is not affected by an attacker who guesses tokens from the same
    // address.
    let source = limits.source(request.request());
    limits.admit_unknown_token(source)?;
    // With a cached key, verification takes microseconds. Fetching keys blocks, so it runs on another thread.
    let is_cached = known.is_some();
    let outcome = if let Some(outcome) = known.or_else(|| validator.verify_now(&token)) {
        outcome
    } else {
        let (validator, token) = (Arc::clone(validator), token.as_str().to_owned());
        web::block(trace::carry(move || validator.validate(&token))).await?
    };
    metrics::tokens::validated(outcome.as_ref().map_or_else(TokenError::code, |_| "valid"), is_cached);
    if matches!(outcome, Err(TokenError::Rejected(_))) {
        limits.record_rejected_token(source).await;
    }
    let caller = Caller(outcome?);
    // Once per token, and after this request: the name of a user who only reads must be updated, too.
    if let (Some(updates), Some(blog)) = (
        request.app_data::<web::Data<NameUpdates>>(),
        request.app_data::<web::Data<Blog>>(),
    ) {
        updates.add(blog, caller.key(), caller.token_name());
    }
    Ok(caller)
}

/// The token of the only `Authorization` header. Tokens in the query (RFC 6750 §2.3, which exposes them in logs) and in
/// the body are ignored.
fn token(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION);
    let value = values.next().ok_or_else(Problem::missing_token)?;
    if values.next().is_some() {
        return Err(Problem::malformed_authorization());
    }
    let text = value.to_str().map_err(|_| Problem::malformed_authorization())?;
    // RFC 9110 §11.1: the scheme's case does not matter.
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") || token.is_empty() {
        return Err(Problem::missing_token());
    }
    // Two headers that a proxy has joined look like "a, Bearer b".
    if !is_b64token(token) {
        return Err(Problem::malformed_authorization());
    }
    Ok(token)
}

/// RFC 6750 §2.1, `b64token`. Without branches, so that the compiler can check 16 bytes at once: a token has more than
/// a thousand.
#[expect(clippy::needless_bitwise_bool, reason = "lazy operators are branches")]
fn is_b64token(token: &str) -> bool {
    let is_in = |byte: u8, first: u8, last: u8| byte.wrapping_sub(first) <= last - first;
    token.bytes().fold(true, |is_all, byte| {
        let is_allowed = is_in(byte | 0x20, b'a', b'z')
            // `-`, `.`, `/` and the digits are adjacent.
            | is_in(byte, b'-', b'9')
            | (byte == b'_')
            | (byte == b'~')
            | (byte == b'+')
            | (byte == b'=');
        is_all & is_allowed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn there_is_no_caller_without_authentication() {
        let request = actix_web::test::TestRequest::default()
            .insert_header((header::AUTHORIZATION, "Bearer a.b.c"))
            .to_http_request();
        let Err(problem) = Caller::extract(&request).await else {
            panic!("no token was validated")
        };
        assert_eq!(problem.code(), "internal");
    }

    fn found(values: &[&[u8]]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                header::AUTHORIZATION,
                HeaderValue::from_bytes(value).expect("a header value"),
            );
        }
        token(&headers).map(ToOwned::to_owned).map_err(|problem| problem.code())
    }

    #[test]
    fn the_token_is_that_of_the_only_bearer_header() {
        for good in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c"] {
            assert_eq!(found(&[good.as_bytes()]), Ok("a.b.c".to_owned()), "{good:?}");
        }
    }

    #[test]
    fn a_token_has_only_the_bytes_of_the_rfc() {
        for byte in 0..=127_u8 {
            let expected = byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            for token in [
                char::from(byte).to_string(),
                format!("{}{}{}", "a".repeat(40), char::from(byte), "b".repeat(40)),
            ] {
                assert_eq!(is_b64token(&token), expected, "{byte}");
            }
        }
        assert!(!is_b64token("é") && !is_b64token("a…"));
    }

    #[test]
    fn anything_else_is_rejected_with_its_reason() {
        for (values, code) in [
            (&[][..], "missing_token"),
            (&[&b""[..]], "missing_token"),
            (&[b"Bearer"], "missing_token"),
            (&[b"Bearer "], "missing_token"),
            (&[b"Basic YTpi"], "missing_token"),
            (&[b"BearerX a.b.c"], "missing_token"),
            (&[b"a.b.c"], "missing_token"),
            (&[b"Bearer a.b.c, Bearer d.e.f"], "malformed_authorization"),
            (&[b"Bearer a.b.c d"], "malformed_authorization"),
            (&[b"Bearer  a.b.c"], "malformed_authorization"),
            (&[b"Bearer\ta.b.c"], "missing_token"),
            (&[b"Bearer a.b.c\t"], "malformed_authorization"),
            (&[b"Bearer \"a.b.c\""], "malformed_authorization"),
            (&[b"Bearer a.b.\xff"], "malformed_authorization"),
            (&[b"Bearer a.b.c", b"Bearer a.b.c"], "malformed_authorization"),
            (&[b"Bearer a.b.c", b"Basic YTpi"], "malformed_authorization"),
        ] {
            assert_eq!(found(values), Err(code), "{values:?}");
        }
    }
}
