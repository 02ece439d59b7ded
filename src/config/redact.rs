//! Removes secrets from addresses for messages: also an invalid address, which a message quotes, may contain a password.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize as _, Serializer};
use url::Url;

/// Replaces a secret wherever it would be shown.
pub const HIDDEN: &str = "********";

/// Hides the user name and the password before `@`, and everything after `?` or `#`. The text need not be a valid address:
/// messages quote invalid ones.
pub fn redacted_address(text: &str) -> String {
    let scheme = match (text.find("://"), text.find(':')) {
        (Some(end), _) => end + 3,
        // Without slashes, the first colon may stand before the password.
        (None, Some(_)) => 0,
        (None, None) => return without_query(text),
    };
    let (scheme, rest) = text.split_at(scheme);
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{HIDDEN}@{}", without_query(host)),
        None => format!("{scheme}{}", without_query(rest)),
    }
}

/// Hides the query, and the fragment, which may be part of a password that contains `#`.
fn without_query(text: &str) -> String {
    match text.find(['?', '#']) {
        Some(at) if at + 1 < text.len() => format!("{}{HIDDEN}", text.get(..=at).unwrap_or_default()),
        _ => text.to_owned(),
    }
}

/// The address of a server without its password. If it cannot be parsed, everything after the scheme is hidden.
pub fn without_password(address: &str) -> String {
    let is_file = !address.contains("://") && !address.starts_with("postgres");
    if is_file {
        return address.to_owned();
    }
    if address.starts_with("sqlite") {
        return redacted_address(address);
    }
    let all_hidden = || match address.split_once(':') {
        Some((scheme, _)) => format!("{scheme}://{HIDDEN}"),
        None => HIDDEN.to_owned(),
    };
    let Ok(mut url) = Url::parse(address) else {
        return all_hidden();
    };
    // An unencoded / ? or # in a password moves the rest of the password behind the host, and a query may contain one, too.
    if url.cannot_be_a_base() || url.query().is_some() || url.fragment().is_some() || url.path().contains('@') {
        return all_hidden();
    }
    if url.password().is_some() && url.set_password(Some(HIDDEN)).is_err() {
        return all_hidden();
    }
    url.to_string()
}

/// Serializes a secret as asterisks, and an empty one as empty text.
///
/// # Errors
/// Those of the serializer.
#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
pub fn redacted<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = secret
        .as_ref()
        .map(|secret| if secret.expose_secret().is_empty() { "" } else { HIDDEN });
    text.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_an_address_that_may_be_secret_is_left() {
        for address in [
            "https://u:s3cretpw@host",
            "https://s3cretpw@host/path",
            "https://u:s3c/retpw@host",
            "https://u:a?s3cretpw@host",
            "https://u:a#s3cretpw@host/x",
            "https://host/?code=s3cretpw",
            "https://host/#s3cretpw",
            "https://u:p@s3cretpw@host",
            "u:s3cretpw@host",
            "https:/u:s3cretpw@host",
            "host?password=s3cretpw",
        ] {
            let shown = redacted_address(address);
            assert!(
                !shown.contains("retpw") && shown.contains(HIDDEN) && shown.contains("host"),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_holds_no_secret_is_shown_as_it_is() {
        for text in [
            "fifty",
            "http://blog.internal",
            "https://host:8443/a",
            "a@example.com",
            "10.0.0.0/8",
            "",
            "why?",
        ] {
            assert_eq!(redacted_address(text), text);
        }
    }
}
