//! Lets scripts of other sites call the API (CORS, in the Fetch standard): none, unless the settings list their
//! origins.
//!
//! Credentials in the sense of CORS (cookies) are never allowed: the API accepts bearer tokens only.

use actix_cors::Cors;
use actix_web::{
    http::header::{self, HeaderName},
    middleware::Condition,
};

use crate::{
    api::idempotency,
    config::{OriginError, parse_origin},
    serve::request_id,
    trace,
};

/// How long a browser may cache a preflight response, in seconds.
const MAX_AGE_SECONDS: usize = 3600;

/// An invalid entry of `api.cors_origins`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("api.cors_origins: entry {entry} {error}")]
pub struct InvalidOrigin {
    /// Its number, from 1.
    pub entry: usize,
    /// What is wrong with it.
    pub error: OriginError,
}

/// The origins whose scripts may call the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Only these; none if empty.
    Listed(Vec<String>),
    /// Every origin (`*` alone).
    Any,
}

impl Origins {
    /// Parses `api.cors_origins`.
    ///
    /// # Errors
    /// When an entry is not `scheme://host[:port]` with HTTP or HTTPS, or `*` is listed with other entries.
    pub fn parse(entries: &[String]) -> Result<Self, InvalidOrigin> {
        match entries {
            [any] if any == "*" => Ok(Self::Any),
            entries => {
                let origin = |(entry, text): (usize, &String)| {
                    parse_origin(text).map_err(|error| InvalidOrigin { entry, error })
                };
                (1..)
                    .zip(entries)
                    .map(origin)
                    .collect::<Result<_, _>>()
                    .map(Self::Listed)
            }
        }
    }

    /// Whether scripts of any other site may call the API.
    pub fn allows_any_site(&self) -> bool {
        *self != Self::Listed(Vec::new())
    }

    /// The middleware. It does nothing if no origin is listed.
    pub fn middleware(&self) -> Condition<Cors> {
        let cors = Cors::default()
            .allowed_methods(["GET", "HEAD", "POST", "PUT", "DELETE"])
            .allowed_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::IF_MATCH,
                header::IF_MODIFIED_SINCE,
                header::IF_NONE_MATCH,
                header::IF_UNMODIFIED_SINCE,
                idempotency::HEADER,
                request_id::HEADER,
                HeaderName::from_static(trace::PARENT),
                HeaderName::from_static(trace::STATE),
            ])
            .expose_headers([
                "Blog-Rights",
                "ETag",
                "Idempotent-Replayed",
                "Last-Modified",
                "Link",
                "Location",
                "RateLimit",
                "RateLimit-Policy",
                "Retry-After",
                "WWW-Authenticate",
                "X-Request-ID",
                "X-Total-Count",
            ])
            .max_age(MAX_AGE_SECONDS);
        match self {
            Self::Any => Condition::new(true, cors.allow_any_origin().send_wildcard()),
            Self::Listed(origins) => {
                let cors = origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin));
                Condition::new(self.allows_any_site(), cors)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(entries: &[&str]) -> Result<Origins, InvalidOrigin> {
        Origins::parse(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn origins_are_normalised_as_browsers_send_them() {
        let listed = Origins::Listed(vec![
            "https://blog.example".to_owned(),
            "http://localhost:3000".to_owned(),
        ]);
        assert_eq!(
            parsed(&["https://Blog.example:443/", "http://localhost:3000"]),
            Ok(listed)
        );
        assert_eq!(parsed(&["*"]), Ok(Origins::Any));
        assert_eq!(parsed(&[]), Ok(Origins::Listed(Vec::new())));
    }

    #[test]
    fn an_invalid_origin_is_named_by_its_number() {
        let invalid = |entry, error| Err(InvalidOrigin { entry, error });
        assert_eq!(parsed(&["https://*.example"]), invalid(1, OriginError::Wildcard));
        assert_eq!(
            parsed(&["https://blog.example", "*"]),
            invalid(2, OriginError::Wildcard)
        );
        assert_eq!(parsed(&["https://blog.example", "null"]), invalid(2, OriginError::Null));
    }
}
