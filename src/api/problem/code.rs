//! The stable reasons of all problems: what clients build on, and what the description lists.

use std::{collections::BTreeSet, fmt};

use crate::{
    entra::{Forbidden, Refusal},
    serve,
};

/// Defines [`Code`] and its list at once, so that no code is missing from the description.
macro_rules! codes {
    ($($variant:ident => $text:literal,)*) => {
        /// A stable reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = concat!("`", $text, "`")] $variant,)*
            /// The access token is not valid here.
            Token(Refusal),
            /// The access token is valid, and a policy keeps its bearer out.
            Policy(Forbidden),
            /// No handler has seen the request.
            Request(serve::RequestError),
        }

        impl Code {
            const OWN: &[&str] = &[$($text),*];

            /// As in the problem document.
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
    NotFound => "not_found",
    PostNotFound => "post_not_found",
    SearchBusy => "search_busy",
    Stale => "stale",
    TooManyRequests => "too_many_requests",
    UnsupportedMediaType => "unsupported_media_type",
    UriTooLong => "uri_too_long",
}

impl Code {
    /// Every code that there is, sorted.
    pub fn all() -> BTreeSet<&'static str> {
        let rooms = [Self::OWN, Refusal::CODES, Forbidden::CODES, serve::RequestError::CODES];
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
            Code::Token(Refusal::Expired),
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
