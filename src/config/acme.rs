//! `[server.tls.acme]`: a certificate from an ACME CA (RFC 8555), such as Let's Encrypt.

use std::path::PathBuf;

use url::Url;

use super::{
    loader::Loader,
    rules::{each, optional_url},
    section::section,
    validate::{plain_url, word},
};

section! {
    /// A certificate from an ACME CA such as Let's Encrypt. See [tls.md](tls.md#acme).
    #[derive(Debug, Clone)]
    pub struct AcmeSettings = "server.tls.acme" {
        /// URL of the CA's directory, such as `https://acme-v02.api.letsencrypt.org/directory`. With it, you accept the CA's
        /// terms of service. Needs `server.tls.redirect_port`, through which the CA verifies the domains (http-01).
        pub directory: Option<Url> = None, optional_url("an https URL without user name, query or fragment", |url| {
            plain_url(url) && url.scheme() == "https"
        });

        /// E-mail addresses at which the CA can reach you.
        pub contact: Vec<String> = Vec::new(), each("e-mail addresses", email);

        /// Names for the certificate, at most 100: DNS names without wildcards, or IP addresses if the CA issues for them.
        pub domains: Vec<String> = Vec::new(), each("DNS names such as blog.example.com, without wildcards", domain);

        /// Folder for the account key, the certificate and its key: mode 0700, on storage that survives a restart, for one
        /// process only.
        pub cache_dir: Option<PathBuf> = None;

        /// PEM file with certificates to trust for the directory in addition to the system's, for a private CA.
        pub ca_file: Option<PathBuf> = None;
    }
}

/// Most names that the common CAs put into one certificate.
const MAX_DOMAINS: usize = 100;

impl AcmeSettings {
    /// Reads the section, and checks the settings that depend on each other.
    pub(super) fn load(loader: &mut Loader) -> Self {
        let settings = Self::read(loader);
        let is_on = settings.directory.is_some();
        if is_on && settings.domains.is_empty() {
            loader.require(
                "server.tls.acme.domains",
                &[],
                "the names that the certificate is for, such as blog.example.com",
            );
        }
        if settings.domains.len() > MAX_DOMAINS {
            let problem = format!(
                "has {} names, and no CA accepts more than {MAX_DOMAINS}",
                settings.domains.len()
            );
            loader.reject(
                "server.tls.acme.domains",
                &problem,
                "list only the names of this server",
            );
        }
        if is_on && settings.cache_dir.is_none() {
            loader.require(
                "server.tls.acme.cache_dir",
                &[],
                "a folder for the account key and the certificate, on storage that survives a restart",
            );
        }
        if !is_on && !settings.domains.is_empty() {
            loader.reject(
                "server.tls.acme.domains",
                "is set without server.tls.acme.directory, so it has no effect",
                "set server.tls.acme.directory to the URL of the CA's directory, or remove this setting",
            );
        }
        settings
    }
}

fn email(text: &str) -> bool {
    word(text)
        && text
            .split_once('@')
            .is_some_and(|(user, host)| !user.is_empty() && is_dns_name(host))
        && !text.contains(':')
}

fn domain(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok() || (is_dns_name(text) && text.contains('.'))
}

/// Letters, digits and hyphens in labels (RFC 1123 §2.1).
fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_dns_name_without_wildcards_or_an_address() {
        for good in [
            "blog.example.com",
            "a.b",
            "xn--bcher-kva.example",
            "192.0.2.1",
            "2001:db8::1",
        ] {
            assert!(domain(good), "{good}");
        }
        for bad in [
            "",
            "*.example.com",
            "https://blog.example.com",
            "blog.example.com.",
            "blog",
            "a..b",
            "-a.b",
            "a_b.c",
            "blog.example.com:443",
        ] {
            assert!(!domain(bad), "{bad}");
        }
    }

    #[test]
    fn a_contact_is_an_address_without_a_scheme() {
        assert!(email("ops@example.com"));
        for bad in [
            "",
            "ops",
            "@example.com",
            "mailto:ops@example.com",
            "ops@",
            "a b@example.com",
        ] {
            assert!(!email(bad), "{bad}");
        }
    }
}
