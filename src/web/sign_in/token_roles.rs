//! Guesses what a user may do from the access token for the API, so that pages know what to offer before the API has
//! answered. Never use it for a decision: the token is not validated here, and only the API knows whether its roles
//! count.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::entra::AppRole;

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    roles: Vec<String>,
}

/// Whether the token's app roles allow reading only. `false` for a token without roles, and for one that cannot be
/// parsed: tokens are opaque to clients (Microsoft Learn, "Access tokens").
pub fn allow_reading_only(access_token: &SecretString) -> bool {
    let claims = access_token
        .expose_secret()
        .split('.')
        .nth(1)
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let roles = claims
        .and_then(|json| serde_json::from_slice::<Claims>(&json).ok())
        .map(|claims| claims.roles);
    let highest = roles
        .into_iter()
        .flatten()
        .filter_map(|role| AppRole::parse(&role))
        .max();
    highest == Some(AppRole::Reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_reads_only() {
        let token = |claims: &str| SecretString::from(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)));
        assert!(allow_reading_only(&token(r#"{"roles":["Blog.Reader"]}"#)));
        assert!(allow_reading_only(&token(
            r#"{"roles":["Other","Blog.Reader"],"oid":"x"}"#
        )));
        for claims in [
            "{}",
            r#"{"roles":[]}"#,
            r#"{"roles":["Blog.Writer","Blog.Reader"]}"#,
            r#"{"roles":["x"]}"#,
            r#"{"roles":7}"#,
            "[",
        ] {
            assert!(!allow_reading_only(&token(claims)), "{claims}");
        }
        for opaque in ["", "opaque", "a.b", "..", "a.é.c"] {
            assert!(!allow_reading_only(&SecretString::from(opaque)), "{opaque}");
        }
    }
}
