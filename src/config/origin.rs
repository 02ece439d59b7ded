//! Origins of other sites, as browsers send them in `Origin` (RFC 6454 §6.2). An entry that no browser sends would silently allow
//! no origin, so it is rejected with the reason.

use url::Url;

/// Why an entry is not an origin. The message does not repeat the entry, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// `https://*.example.com`, or `*` together with others.
    #[error("has a wildcard, but browsers send the origin itself")]
    Wildcard,
    /// `null`, which sandboxed frames and local files send.
    #[error("is null, which every sandboxed page and local file sends")]
    Null,
    /// Anything that is not `scheme://host[:port]`.
    #[error("is not an origin of the form scheme://host[:port]")]
    NotAnOrigin,
    /// The address of a page.
    #[error("has a path, a query or a fragment, but browsers send none of them")]
    Path,
    /// A user name or a password.
    #[error("has a user name or a password, but browsers send neither")]
    UserInfo,
    /// Only pages served over HTTP have such an origin.
    #[error("begins with neither https:// nor http://")]
    Scheme,
}

impl OriginError {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Wildcard => {
                "list each origin, such as https://app.example.com, or set * alone to let every origin call"
            }
            Self::Null => "serve the page from a site and list its origin, or set * alone to let every origin call",
            _ => "list origins such as https://app.example.com",
        }
    }
}

/// The origin as browsers send it: in lower case, without a default port and without a slash at the end.
///
/// # Errors
/// If the entry is not an origin: see [`OriginError`].
pub fn parse_origin(entry: &str) -> Result<String, OriginError> {
    let entry = entry.trim();
    if entry.contains('*') {
        return Err(OriginError::Wildcard);
    }
    if entry.eq_ignore_ascii_case("null") {
        return Err(OriginError::Null);
    }
    if !entry.contains("://") {
        return Err(OriginError::NotAnOrigin);
    }
    let url = Url::parse(entry).map_err(|_| OriginError::NotAnOrigin)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(OriginError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(OriginError::UserInfo);
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(OriginError::Path);
    }
    Ok(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_understood_however_it_is_written() {
        for (entry, expected) in [
            ("https://a.example", "https://a.example"),
            ("https://a.example/", "https://a.example"),
            (" HTTPS://A.Example ", "https://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("http://localhost:3000/", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(parse_origin(entry).as_deref(), Ok(expected), "{entry}");
        }
    }

    #[test]
    fn an_entry_that_no_browser_sends_is_rejected_with_the_reason() {
        for (entry, expected) in [
            ("*", OriginError::Wildcard),
            ("https://*.a.example", OriginError::Wildcard),
            ("*.a.example", OriginError::Wildcard),
            ("https://a.example:*", OriginError::Wildcard),
            ("null", OriginError::Null),
            ("NULL", OriginError::Null),
            ("", OriginError::NotAnOrigin),
            ("a.example", OriginError::NotAnOrigin),
            ("localhost:3000", OriginError::NotAnOrigin),
            ("https://", OriginError::NotAnOrigin),
            ("https://a.example/app", OriginError::Path),
            ("https://a.example?x", OriginError::Path),
            ("https://a.example/#x", OriginError::Path),
            ("https://user:hunter2@a.example", OriginError::UserInfo),
            ("ftp://a.example", OriginError::Scheme),
            ("file:///index.html", OriginError::Scheme),
        ] {
            assert_eq!(parse_origin(entry), Err(expected), "{entry}");
        }
    }
}
