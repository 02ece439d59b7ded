//! Whom a certificate names. Entra looks at none of it; people do, and authorities' rules may.

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
    pub common_name: String,
    /// `subjectAltName` (RFC 5280 §4.2.1.6); the extension is left out when there is none.
    pub alternative_names: Vec<AlternativeName>,
}

impl Subject {
    /// With a common name alone.
    pub fn named(common_name: impl Into<String>) -> Self {
        Self { common_name: common_name.into(), alternative_names: Vec::new() }
    }

    /// That of a certificate; `None` without a common name. Kinds of names that are never made here are left out.
    pub(super) fn of(certificate: &X509) -> Option<Self> {
        let common_name = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next()?;
        let common_name = common_name.data().to_string().ok()?;
        let names = certificate.subject_alt_names();
        let text = |name: &openssl::x509::GeneralNameRef| {
            let address = || match name.ipaddress()? {
                bytes if bytes.len() == 4 => <[u8; 4]>::try_from(bytes).ok().map(|four| IpAddr::from(four).to_string()),
                bytes => <[u8; 16]>::try_from(bytes).ok().map(|sixteen| IpAddr::from(sixteen).to_string()),
            };
            let written = name.dnsname().or_else(|| name.uri()).or_else(|| name.email());
            written.map(str::to_owned).or_else(address)
        };
        let alternative_names = names.iter().flatten().filter_map(text).filter_map(|name| name.parse().ok()).collect();
        Some(Self { common_name, alternative_names })
    }

    pub(super) fn check(&self) -> Result<(), IssueError> {
        if self.common_name.trim().is_empty() || self.common_name.chars().count() > MAX_COMMON_NAME_CHARS {
            return Err(IssueError::CommonName);
        }
        Ok(())
    }

    pub(super) fn name(&self) -> Result<X509Name, ErrorStack> {
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

/// One alternative name. Its kind follows from its form.
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
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        // Characters that OpenSSL's own syntax of extensions, or a reader, could take for something else.
        let clean = !text.is_empty() && text.is_ascii() && !text.contains([',', ';', '"', '\\', '\'']);
        let name = match text.split_once('@') {
            _ if !clean || text.contains(|c: char| c.is_whitespace() || c.is_control()) => None,
            _ if text.contains("://") => Url::parse(text).ok().map(Self::Uri),
            Some((user, host)) => (!user.is_empty() && is_dns_name(host)).then(|| Self::Email(text.to_owned())),
            None => is_dns_name(text.strip_prefix("*.").unwrap_or(text)).then(|| Self::Dns(text.to_owned())),
        };
        name.ok_or_else(|| IssueError::AlternativeName(text.to_owned()))
    }
}

/// RFC 1123 §2.1: labels of letters, digits and inner hyphens.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_name_follows_from_its_form() {
        for (text, expected) in [
            ("blog.example.com", AlternativeName::Dns("blog.example.com".to_owned())),
            ("*.example.com", AlternativeName::Dns("*.example.com".to_owned())),
            ("192.0.2.1", AlternativeName::Ip("192.0.2.1".parse().expect("an address"))),
            ("2001:db8::1", AlternativeName::Ip("2001:db8::1".parse().expect("an address"))),
            ("ops@example.com", AlternativeName::Email("ops@example.com".to_owned())),
            ("https://a.example/b", AlternativeName::Uri("https://a.example/b".parse().expect("a URL"))),
        ] {
            assert_eq!(text.parse::<AlternativeName>().ok(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in
            ["", "a b", "-a.example", "a..b", "@example.com", "a@", "a,DNS:b", "*.*.example", "ü.example", "a\nb"]
        {
            assert!(text.parse::<AlternativeName>().is_err(), "{text:?}");
        }
    }
}
