//! Addresses as messages show them: a wrong one is quoted, and may hold a password all the same.

/// What stands in place of a secret.
pub const HIDDEN: &str = "********";

/// A value with what stands before `@` and behind `?` or `#` in an address hidden. It need not be an address that can be
/// parsed: it is the wrong ones that are told.
pub fn masked(text: &str) -> String {
    let scheme = match (text.find("://"), text.find(':')) {
        (Some(end), _) => end + 3,
        // Without slashes the first colon may be the one before the password.
        (None, Some(_)) => 0,
        (None, None) => return without_query(text),
    };
    let (scheme, rest) = text.split_at(scheme);
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{HIDDEN}@{}", without_query(host)),
        None => format!("{scheme}{}", without_query(rest)),
    }
}

/// A query names what it tells; of an address, the fragment may belong to a password.
fn without_query(text: &str) -> String {
    match text.find(['?', '#']) {
        Some(at) if at + 1 < text.len() => format!("{}{HIDDEN}", text.get(..=at).unwrap_or_default()),
        _ => text.to_owned(),
    }
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
            let shown = masked(address);
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
            assert_eq!(masked(text), text);
        }
    }
}
