//! The challenge of a 401 or 403 response (RFC 6750 §3).

use std::fmt::Write as _;

use actix_web::http::header::HeaderValue;

/// Names this API's protection space (RFC 9110 §11.5).
const REALM: &str = "blogctl";

/// The value of `WWW-Authenticate`.
#[derive(Debug)]
pub(super) struct Challenge {
    pub parameters: Vec<(&'static str, String)>,
}

impl Challenge {
    /// `Bearer realm="…", …` (RFC 6750 §3). Characters that are not allowed in a quoted string are removed.
    pub fn header(&self) -> HeaderValue {
        let mut text = format!("Bearer realm=\"{REALM}\"");
        for (name, value) in &self.parameters {
            let value = value.replace('…', "...");
            let value: String = value
                .chars()
                .filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\'))
                .collect();
            let _ = write!(text, ", {name}=\"{value}\"");
        }
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_cannot_be_injected_into() {
        let parameters = vec![
            ("error", "x".to_owned()),
            ("scope", "a\"b\\c\r\nX-Evil: 1\u{e9}…".to_owned()),
        ];
        let value = Challenge { parameters }.header();
        assert_eq!(
            value,
            "Bearer realm=\"blogctl\", error=\"x\", scope=\"abcX-Evil: 1...\""
        );
    }
}
