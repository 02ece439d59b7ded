//! A vault's answer to a request without a token: the resource and the tenant that a token must be for.

use ureq::http::Uri;
use url::Url;

use crate::{guid, loopback::is_loopback};

/// The Bearer challenge in a `WWW-Authenticate` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The resource that tokens must be for.
    pub(super) resource: String,
    /// The vault's tenant, if the challenge names it.
    pub(super) tenant: Option<String>,
}

impl Challenge {
    /// `None` without a Bearer challenge that has a `resource` or a `scope`.
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
            tenant: authority.and_then(|authority| tenant_from_authority(&authority)),
        })
    }

    /// Whether the resource is the domain of the vault itself: `https://name.vault.azure.net` is one label below
    /// `https://vault.azure.net`. On loopback, host and port must be equal. Without this check, a server that poses as the
    /// vault could request tokens for another service and receive them.
    pub(super) fn matches_vault(&self, vault: &Url) -> bool {
        let (Ok(resource), Some(own)) = (self.resource.parse::<Uri>(), vault.host_str()) else {
            return false;
        };
        let (Some(host), Some(scheme)) = (resource.host(), resource.scheme_str()) else {
            return false;
        };
        if is_loopback(vault) {
            let port = resource.port_u16().or_else(|| (scheme == "http").then_some(80));
            return host == own && port == vault.port_or_known_default();
        }
        let name = own.strip_suffix(host).and_then(|rest| rest.strip_suffix('.'));
        scheme == "https" && name.is_some_and(|name| !name.is_empty() && !name.contains('.'))
    }
}

/// The first path segment, if it is a GUID. Nothing else may get into messages and the arguments of the Azure CLI.
fn tenant_from_authority(authority: &str) -> Option<String> {
    let url = Url::parse(authority).ok()?;
    guid::parse(url.path_segments()?.next()?).map(|tenant| tenant.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_the_resource_and_the_tenant() {
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
    fn only_the_domain_of_the_vault_is_an_accepted_resource() {
        let is_own = |vault: &str, resource: &str| {
            Challenge {
                resource: resource.to_owned(),
                tenant: None,
            }
            .matches_vault(&Url::parse(vault).unwrap())
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
        fn no_header_makes_it_panic_and_no_foreign_resource_is_accepted(
            header in "(Bearer )?((resource|scope|authorization)=\"?(https?://[a-z.@]{0,6}vault[.]azure[.]net[/:.a-z0-9]{0,4}|[a-z:/.0-9\\[\\]@-]{0,40})\"?,? ?){0,3}\\PC{0,20}",
        ) {
            let vault = Url::parse("https://blog.vault.azure.net").unwrap();
            if let Some(challenge) = Challenge::parse(&header) && challenge.matches_vault(&vault) {
                proptest::prop_assert_eq!(challenge.resource, "https://vault.azure.net");
            }
        }
    }
}
