//! The stable codes of all problems. Clients rely on them, and the API description lists them.

use std::{collections::BTreeSet, fmt};

use crate::{
    entra::{Forbidden, Rejection},
    serve,
};

/// Defines [`Code`] and the list of its codes together, so that the API description lists every code.
macro_rules! codes {
    ($($variant:ident => $text:literal,)*) => {
        /// A stable code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// The access token is not valid here.
            Token(Rejection),
            /// The access token is valid, but a policy rejects its bearer.
            Policy(Forbidden),
            /// The server rejected the request before a handler.
            Request(serve::RequestError),
        }

        impl Code {
            const OWN: &[&str] = &[$($text),*];

            /// The text in the problem document.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Token(refusal) => refusal.code(),
                    Self::Policy(forbidden) => forbidden.code(),
                    Self::Request(refusal) => refusal.code(),
                }
            }
        }
    };
}

codes! {
    BadRequest => "bad_request",
    BodyTooLarge => "body_too_large",
    Cors => "cors",
    DatabaseUnavailable => "database_unavailable",
    HeadersTooLarge => "headers_too_large",
    IdempotencyKeyReused => "idempotency_key_reused",
    InsufficientClaims => "insufficient_claims",
    InsufficientRole => "insufficient_role",
    InsufficientScope => "insufficient_scope",
    Internal => "internal",
    Invalid => "invalid",
    KeysUnavailable => "keys_unavailable",
    LengthRequired => "length_required",
    MalformedAuthorization => "malformed_authorization",
    MalformedBody => "malformed_body",
    MalformedIdempotencyKey => "malformed_idempotency_key",
    MalformedJson => "malformed_json",
    MethodNotAllowed => "method_not_allowed",
    MissingToken => "missing_token",
    NotAcceptable => "not_acceptable",
    NotAuthor => "not_author",
    RouteNotFound => "not_found",
    PostNotFound => "post_not_found",
    SearchBusy => "search_busy",
    Stale => "stale",
    TooManyRequests => "too_many_requests",
    UnsupportedMediaType => "unsupported_media_type",
    UriTooLong => "uri_too_long",
}

impl Code {
    /// Every code, sorted.
    pub fn all() -> BTreeSet<&'static str> {
        let rooms = [
            Self::OWN,
            Rejection::CODES,
            Forbidden::CODES,
            serve::RequestError::CODES,
        ];
        rooms.into_iter().flatten().copied().collect()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed() {
        let all = Code::all();
        for code in [
            Code::Internal,
            Code::Token(Rejection::Expired),
            Code::Policy(Forbidden::AppRole),
            Code::Request(serve::RequestError::ContentEncoding),
        ] {
            assert!(all.contains(code.as_str()), "{code}");
        }
        for code in all {
            assert!(
                code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{code}"
            );
        }
    }
}
