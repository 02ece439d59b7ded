//! What a vault says to a request without a token: whom a token must be for, and of which tenant.

use ureq::http::Uri;
use url::Url;
use uuid::Uuid;

/// Of the `WWW-Authenticate` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Whom tokens must be for.
    pub(super) resource: String,
    /// The vault's tenant, where it says so.
    pub(super) tenant: Option<String>,
}

impl Challenge {
    /// `None` when it is no Bearer challenge with a `resource`, or with a `scope` in its place.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let challenges = http_auth::parse_challenges(header).ok()?;
        let bearer = challenges
            .iter()
            .find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))?;
        let parameter = |wanted: &str| {
            let found = bearer
                .params
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
            Some(found.1.to_unescaped())
        };
        let scope = || parameter("scope").map(|scope| scope.trim_end_matches("/.default").to_owned());
        let resource = parameter("resource").or_else(scope)?.trim_end_matches('/').to_owned();
        let authority = parameter("authorization").or_else(|| parameter("authorization_uri"));
        Some(Self {
            resource,
            tenant: authority.and_then(|authority| tenant_in(&authority)),
        })
    }

    /// Whether tokens are for the domain that the vault itself is in: `https://name.vault.azure.net` is one label below
    /// `https://vault.azure.net`. On this machine, host and port are the same. Else whoever answers could have tokens for
    /// somebody else sent to himself.
    pub(super) fn is_of(&self, vault: &Url) -> bool {
        let (Ok(resource), Some(own)) = (self.resource.parse::<Uri>(), vault.host_str()) else {
            return false;
        };
        let (Some(host), Some(scheme)) = (resource.host(), resource.scheme_str()) else {
            return false;
        };
        if crate::loopback::is_loopback(vault) {
            let port = resource.port_u16().or_else(|| (scheme == "http").then_some(80));
            return host == own && port == vault.port_or_known_default();
        }
        let name = own.strip_suffix(host).and_then(|rest| rest.strip_suffix('.'));
        scheme == "https" && name.is_some_and(|name| !name.is_empty() && !name.contains('.'))
    }
}

/// The first part of the path, where that is a GUID: it goes into messages and to the Azure CLI.
fn tenant_in(authority: &str) -> Option<String> {
    let url = Url::parse(authority).ok()?;
    Uuid::try_parse(url.path_segments()?.next()?)
        .ok()
        .map(|tenant| tenant.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_whom_the_token_is_for_and_of_which_tenant() {
        const TENANT: &str = "11111111-2222-4333-8444-555555555555";
        for (header, resource, tenant) in [
            (
                r#"Bearer authorization="https://login.microsoftonline.com/11111111-2222-4333-8444-555555555555", resource="https://vault.azure.net""#,
                Some("https://vault.azure.net"),
                Some(TENANT),
            ),
            (
                r#"Bearer authorization_uri="https://x/--tenant", scope="https://vault.azure.cn/.default""#,
                Some("https://vault.azure.cn"),
                None,
            ),
            (
                r#"Basic realm="x", Bearer resource="https://vault.azure.net/""#,
                Some("https://vault.azure.net"),
                None,
            ),
            (r#"Basic realm="x""#, None, None),
            (r#"Bearer authorization="https://x/t""#, None, None),
            ("resource", None, None),
            ("", None, None),
        ] {
            let challenge = Challenge::parse(header);
            let expected = resource.map(|resource| Challenge {
                resource: resource.to_owned(),
                tenant: tenant.map(str::to_owned),
            });
            assert_eq!(challenge, expected, "{header}");
        }
    }

    #[test]
    fn tokens_are_for_the_domain_that_the_vault_is_in_and_no_other() {
        let is_own = |vault: &str, resource: &str| {
            Challenge {
                resource: resource.to_owned(),
                tenant: None,
            }
            .is_of(&Url::parse(vault).unwrap())
        };
        for (vault, resource) in [
            ("https://blog.vault.azure.net", "https://vault.azure.net"),
            (
                "https://blog.vault.usgovcloudapi.net",
                "https://vault.usgovcloudapi.net",
            ),
            ("http://localhost:9001", "http://localhost:9001"),
        ] {
            assert!(is_own(vault, resource), "{vault} {resource}");
        }
        for (vault, resource) in [
            ("https://blog.vault.azure.net", "https://graph.microsoft.com"),
            ("https://blog.vault.azure.net", "https://blog.vault.azure.net"),
            ("https://blog.vault.azure.net", "https://azure.net"),
            ("https://blog.vault.azure.net", "https://net"),
            ("https://blog.vault.azure.net", "http://vault.azure.net"),
            ("https://evilvault.azure.net", "https://vault.azure.net"),
            ("https://vault.azure.net.evil.example", "https://vault.azure.net"),
            ("https://blog.vault.azure.net", "vault.azure.net"),
            ("https://blog.vault.azure.net", "https://"),
            ("http://localhost:9001", "https://vault.azure.net"),
            ("http://localhost:9001", "http://localhost:9002"),
        ] {
            assert!(!is_own(vault, resource), "{vault} {resource}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic_and_no_resource_elsewhere_is_the_vaults(
            header in "(Bearer )?((resource|scope|authorization)=\"?(https?://[a-z.@]{0,6}vault[.]azure[.]net[/:.a-z0-9]{0,4}|[a-z:/.0-9\\[\\]@-]{0,40})\"?,? ?){0,3}\\PC{0,20}",
        ) {
            let vault = Url::parse("https://blog.vault.azure.net").unwrap();
            if let Some(challenge) = Challenge::parse(&header) && challenge.is_of(&vault) {
                proptest::prop_assert_eq!(challenge.resource, "https://vault.azure.net");
            }
        }
    }
}
