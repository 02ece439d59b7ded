//! The subject and the alternative names of a certificate. Entra ignores them; people read them, and certificate authorities may
//! have rules for them.

use std::{net::IpAddr, str::FromStr};

use openssl::{
    error::ErrorStack,
    nid::Nid,
    x509::{X509, X509Extension, X509Name, X509NameBuilder, X509v3Context, extension::SubjectAlternativeName},
};
use url::Url;

use super::IssueError;

/// Upper bound of a common name (RFC 5280, appendix A.1, `ub-common-name`).
const MAX_COMMON_NAME_CHARS: usize = 64;

/// Common name and alternative names.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// 1–64 characters.
    common_name: String,
    /// `subjectAltName` (RFC 5280 §4.2.1.6); the extension is left out when there is none.
    alternative_names: Vec<AlternativeName>,
    /// The complete subject in DER, which replaces the common name: a renewal keeps organisation, country and so on.
    complete: Option<Vec<u8>>,
}

impl Subject {
    /// Removes duplicate alternative names.
    pub fn new(common_name: impl Into<String>, mut alternative_names: Vec<AlternativeName>) -> Self {
        let mut seen = Vec::new();
        alternative_names.retain(|name| {
            let is_new = !seen.contains(name);
            seen.push(name.clone());
            is_new
        });
        Self {
            common_name: common_name.into(),
            alternative_names,
            complete: None,
        }
    }

    /// A subject without alternative names.
    pub fn with_common_name(common_name: impl Into<String>) -> Self {
        Self::new(common_name, Vec::new())
    }

    /// Takes the subject of a certificate. Unsupported kinds of alternative names are left out.
    pub(super) fn from_certificate(certificate: &X509) -> Result<Self, ErrorStack> {
        let names = certificate.subject_alt_names();
        let text = |name: &openssl::x509::GeneralNameRef| {
            let address = || match name.ipaddress()? {
                bytes if bytes.len() == 4 => <[u8; 4]>::try_from(bytes)
                    .ok()
                    .map(|four| IpAddr::from(four).to_string()),
                bytes => <[u8; 16]>::try_from(bytes)
                    .ok()
                    .map(|sixteen| IpAddr::from(sixteen).to_string()),
            };
            let written = name.dnsname().or_else(|| name.uri()).or_else(|| name.email());
            written.map(str::to_owned).or_else(address)
        };
        let alternative_names = names
            .iter()
            .flatten()
            .filter_map(text)
            .filter_map(|name| name.parse().ok())
            .collect();
        let complete = certificate.subject_name().to_der()?;
        Ok(Self {
            complete: Some(complete),
            ..Self::new(String::new(), alternative_names)
        })
    }

    /// Checks the common name.
    ///
    /// # Errors
    /// [`IssueError::CommonName`].
    pub fn check(&self) -> Result<(), IssueError> {
        let name = &self.common_name;
        let is_good = !name.trim().is_empty()
            && name.chars().count() <= MAX_COMMON_NAME_CHARS
            && !name.contains(|c: char| c.is_control());
        if is_good || self.complete.is_some() {
            Ok(())
        } else {
            Err(IssueError::CommonName)
        }
    }

    pub(super) fn common_name(&self) -> &str {
        &self.common_name
    }

    pub(super) fn name(&self) -> Result<X509Name, ErrorStack> {
        if let Some(complete) = &self.complete {
            return X509Name::from_der(complete);
        }
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_nid(Nid::COMMONNAME, &self.common_name)?;
        Ok(name.build())
    }

    pub(super) fn extension(&self, context: &X509v3Context<'_>) -> Result<Option<X509Extension>, ErrorStack> {
        if self.alternative_names.is_empty() {
            return Ok(None);
        }
        let mut extension = SubjectAlternativeName::new();
        for name in &self.alternative_names {
            match name {
                AlternativeName::Dns(name) => extension.dns(name),
                AlternativeName::Ip(address) => extension.ip(&address.to_string()),
                AlternativeName::Uri(uri) => extension.uri(uri.as_str()),
                AlternativeName::Email(address) => extension.email(address),
            };
        }
        extension.build(context).map(Some)
    }
}

/// An alternative name. Its form determines its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlternativeName {
    /// `blog.example.com`, `*.example.com`
    Dns(String),
    /// `192.0.2.1`, `2001:db8::1`
    Ip(IpAddr),
    /// `https://blog.example.com/`, `spiffe://…`
    Uri(Url),
    /// `ops@example.com`
    Email(String),
}

impl FromStr for AlternativeName {
    type Err = IssueError;

    fn from_str(text: &str) -> Result<Self, IssueError> {
        if let Some((kind, rest)) = text
            .split_once(':')
            .and_then(|(kind, rest)| Some((Kind::parse(kind)?, rest)))
        {
            let name = Self::parse_form(rest).ok().filter(|name| kind.matches(name));
            return name.ok_or_else(|| IssueError::AlternativeName(text.to_owned()));
        }
        Self::parse_form(text)
    }
}

impl AlternativeName {
    fn parse_form(text: &str) -> Result<Self, IssueError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        // Rejects characters with a meaning in OpenSSL's extension syntax, and those that could mislead a reader.
        let is_clean = text.is_ascii()
            && !text.contains([',', ';', '"', '\\', '\''])
            && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        let name = match (text.split_once(':'), text.split_once('@')) {
            _ if !is_clean => None,
            (Some((scheme, rest)), _) => is_uri(scheme, rest)
                .then(|| Url::parse(text).ok().map(Self::Uri))
                .flatten(),
            (None, Some((user, host))) => (!user.is_empty() && is_dns_name(host)).then(|| Self::Email(text.to_owned())),
            (None, None) => is_dns_name(text.strip_prefix("*.").unwrap_or(text)).then(|| Self::Dns(text.to_owned())),
        };
        name.ok_or_else(|| IssueError::AlternativeName(text.to_owned()))
    }
}

/// The kind before a name in OpenSSL's notation: `DNS:blog.example.com`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dns,
    Ip,
    Uri,
    Email,
}

impl Kind {
    fn parse(text: &str) -> Option<Self> {
        let kinds = [
            ("dns", Self::Dns),
            ("ip", Self::Ip),
            ("ip address", Self::Ip),
            ("uri", Self::Uri),
            ("email", Self::Email),
        ];
        kinds
            .into_iter()
            .find(|(name, _)| text.trim().eq_ignore_ascii_case(name))
            .map(|(_, kind)| kind)
    }

    fn matches(self, name: &AlternativeName) -> bool {
        matches!(
            (self, name),
            (Self::Dns, AlternativeName::Dns(_))
                | (Self::Ip, AlternativeName::Ip(_))
                | (Self::Uri, AlternativeName::Uri(_))
                | (Self::Email, AlternativeName::Email(_))
        )
    }
}

/// Excludes `host:port`: RFC 3986 §3.1 allows schemes that look like a host, and the rest may look like a port.
fn is_uri(scheme: &str, rest: &str) -> bool {
    !scheme.contains('.') && !rest.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 1123 §2.1: labels of letters, digits and inner hyphens. The last label is not a number, so that the name does not look like
/// an IP address.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(is_label) && !name.rsplit('.').next().is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_name_determines_its_kind() {
        for (text, expected) in [
            ("blog.example.com", AlternativeName::Dns("blog.example.com".to_owned())),
            ("*.example.com", AlternativeName::Dns("*.example.com".to_owned())),
            (
                "192.0.2.1",
                AlternativeName::Ip("192.0.2.1".parse().expect("an address")),
            ),
            (
                "2001:db8::1",
                AlternativeName::Ip("2001:db8::1".parse().expect("an address")),
            ),
            ("ops@example.com", AlternativeName::Email("ops@example.com".to_owned())),
            (
                "https://a.example/b",
                AlternativeName::Uri("https://a.example/b".parse().expect("a URL")),
            ),
            (
                "urn:uuid:6e8bc430",
                AlternativeName::Uri("urn:uuid:6e8bc430".parse().expect("a URL")),
            ),
            (
                "mailto:ops@example.com",
                AlternativeName::Uri("mailto:ops@example.com".parse().expect("a URL")),
            ),
            ("10.example", AlternativeName::Dns("10.example".to_owned())),
            (
                "DNS:blog.example.com",
                AlternativeName::Dns("blog.example.com".to_owned()),
            ),
            ("dns:*.example.com", AlternativeName::Dns("*.example.com".to_owned())),
            (
                "IP:192.0.2.1",
                AlternativeName::Ip("192.0.2.1".parse().expect("an address")),
            ),
            (
                "IP Address:2001:db8::1",
                AlternativeName::Ip("2001:db8::1".parse().expect("an address")),
            ),
            (
                "URI:https://a.example/b",
                AlternativeName::Uri("https://a.example/b".parse().expect("a URL")),
            ),
            (
                "email:ops@example.com",
                AlternativeName::Email("ops@example.com".to_owned()),
            ),
        ] {
            assert_eq!(text.parse::<AlternativeName>().ok(), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_invalid_name_is_rejected() {
        for text in [
            "",
            "a b",
            "-a.example",
            "a..b",
            "@example.com",
            "a@",
            "a,DNS:b",
            "*.*.example",
            "ü.example",
            "a\nb",
            "10.0.0.256",
            "1234",
            "blog.example.com:8080",
            "localhost:8080",
            "DNS:192.0.2.1",
            "IP:blog.example.com",
            "DNS:a@b.example",
            "DNS:",
            "DNS:DNS:",
        ] {
            assert!(text.parse::<AlternativeName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn duplicates_are_removed_and_an_invalid_common_name_is_rejected() {
        let dns = |name: &str| AlternativeName::Dns(name.to_owned());
        let subject = Subject::new("site", vec![dns("b.example"), dns("a.example"), dns("b.example")]);
        assert_eq!(subject.alternative_names, [dns("b.example"), dns("a.example")]);
        for bad in ["", " ", "a\nb", "a\u{1b}[31m", &"a".repeat(65)] {
            assert!(Subject::with_common_name(bad).check().is_err(), "{bad:?}");
        }
        assert!(Subject::with_common_name("a".repeat(64)).check().is_ok());
    }
}
