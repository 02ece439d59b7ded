//! The authority: a tenant in a cloud, its addresses, and the issuers of its tokens.

use url::Url;
use uuid::Uuid;

use crate::{
    config::{Cloud, EntraSettings, Environment},
    guid,
    loopback::is_loopback,
};

/// Why the settings name no authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// `entra.tenant_id` is not a GUID.
    #[error("entra.tenant_id is not a GUID: {0:?}")]
    TenantId(String),
    /// `entra.authority_host` is not HTTPS and not on loopback, and this is not development.
    #[error("entra.authority_host {0} must be https, or http on loopback (in development, on any host)")]
    Insecure(Url),
    /// `entra.authority_host` is more than scheme, host, port and path.
    #[error("entra.authority_host must be a base URL without user, query and fragment, such as https://host")]
    NotABase,
}

/// One tenant of one cloud.
#[derive(Debug, Clone)]
pub struct Authority {
    tenant_id: Uuid,
    host: Url,
    v1_host: String,
    environment: Environment,
}

impl Authority {
    /// The authority that the settings name.
    ///
    /// # Errors
    /// When the tenant is not a GUID or the host would be reached over plain HTTP beyond loopback in production.
    pub fn new(settings: &EntraSettings) -> Result<Self, AuthorityError> {
        let tenant_id =
            guid::parse(&settings.tenant_id).ok_or_else(|| AuthorityError::TenantId(settings.tenant_id.clone()))?;
        let Some(host) = &settings.authority_host else {
            return Ok(Self {
                tenant_id,
                host: settings.cloud.sign_in_host(),
                v1_host: v1_host(settings.cloud).to_owned(),
                environment: settings.environment,
            });
        };
        if !settings.environment.may_use(host) {
            return Err(AuthorityError::Insecure(host.clone()));
        }
        let has_user = !host.username().is_empty() || host.password().is_some();
        if has_user || host.query().is_some() || host.fragment().is_some() {
            return Err(AuthorityError::NotABase);
        }
        Ok(Self {
            tenant_id,
            v1_host: without_slash(host).to_owned(),
            host: host.clone(),
            environment: settings.environment,
        })
    }
    /// This authority, and those of other tenants of the same cloud. Entries that are not GUIDs are ignored.
    pub(super) fn with_tenants(&self, others: &[String]) -> Vec<Self> {
        let others = others.iter().filter_map(|id| guid::parse(id)).map(|tenant_id| Self {
            tenant_id,
            ..self.clone()
        });
        std::iter::once(self.clone()).chain(others).collect()
    }
    /// `{host}/{tenant}/oauth2/v2.0/authorize`: where a user signs in to get a token.
    pub fn authorization_uri(&self) -> String {
        format!("{}/{}/oauth2/v2.0/authorize", without_slash(&self.host), self.tenant_id)
    }
    /// `{host}/{tenant}/oauth2/v2.0/token`, for callers that cannot use discovery.
    pub fn token_endpoint(&self) -> Url {
        self.at("oauth2/v2.0/token")
    }
    /// `{host}/{tenant}/v2.0/adminconsent`
    pub fn admin_consent_url(&self) -> Url {
        self.at("v2.0/adminconsent")
    }
    /// The tenant.
    pub fn tenant_id(&self) -> Uuid {
        self.tenant_id
    }
    /// `{host}/{tenant}/v2.0/.well-known/openid-configuration`
    pub fn discovery_url(&self) -> Url {
        self.at("v2.0/.well-known/openid-configuration")
    }
    fn at(&self, path: &str) -> Url {
        let mut url = self.host.clone();
        let base = self.host.path().trim_end_matches('/');
        url.set_path(&format!("{base}/{}/{path}", self.tenant_id));
        url
    }
    /// Issuer of v2 tokens: `{host}/{tenant}/v2.0`.
    pub fn issuer_v2(&self) -> String {
        format!("{}/{}/v2.0", without_slash(&self.host), self.tenant_id)
    }
    /// Issuer of v1 tokens: `https://sts.windows.net/{tenant}/` (`https://sts.chinacloudapi.cn/{tenant}/` in China,
    /// `{authority_host}/{tenant}/` when `entra.authority_host` is set).
    pub fn issuer_v1(&self) -> String {
        format!("{}/{}/", self.v1_host, self.tenant_id)
    }
    /// The origins at which a browser signs in and out. In development, an emulator with the name of a container is known to
    /// browsers as localhost.
    pub fn browser_origins(&self) -> Vec<String> {
        let mut origins = vec![self.host.origin().ascii_serialization()];
        if self.is_exposed() {
            let port = self.host.port().map_or_else(String::new, |port| format!(":{port}"));
            origins.push(format!("http://localhost{port}"));
        }
        origins
    }
    /// Whether requests leave this machine without TLS, which only development allows.
    pub(super) fn is_exposed(&self) -> bool {
        self.host.scheme() == "http" && !is_loopback(&self.host)
    }
    /// Whether an endpoint that this authority names may be used: HTTPS always; plain HTTP only when the authority itself
    /// uses plain HTTP, and in production only on loopback.
    pub(super) fn trusts(&self, endpoint: &Url) -> bool {
        endpoint.scheme() == "https" || (self.host.scheme() == "http" && self.environment.may_use(endpoint))
    }
}

fn without_slash(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// Host of v1 issuers. The US government's tenants share the public cloud's.
fn v1_host(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public | Cloud::UsGovernment => "https://sts.windows.net",
        Cloud::China => "https://sts.chinacloudapi.cn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "11111111-2222-4333-8444-555555555555";

    fn at(host: &str) -> Result<Authority, AuthorityError> {
        Authority::new(&EntraSettings {
            tenant_id: TENANT.to_owned(),
            authority_host: Some(Url::parse(host).unwrap()),
            ..EntraSettings::default()
        })
    }

    #[test]
    fn each_cloud_has_its_hosts_and_issuers() {
        for (cloud, host, v1) in [
            (Cloud::Public, "login.microsoftonline.com", "sts.windows.net"),
            (Cloud::UsGovernment, "login.microsoftonline.us", "sts.windows.net"),
            (Cloud::China, "login.partner.microsoftonline.cn", "sts.chinacloudapi.cn"),
        ] {
            let settings = EntraSettings {
                tenant_id: TENANT.to_owned(),
                cloud,
                ..EntraSettings::default()
            };
            let authority = Authority::new(&settings).unwrap();
            assert_eq!(
                authority.discovery_url().as_str(),
                format!("https://{host}/{TENANT}/v2.0/.well-known/openid-configuration")
            );
            assert_eq!(authority.issuer_v2(), format!("https://{host}/{TENANT}/v2.0"));
            assert_eq!(authority.issuer_v1(), format!("https://{v1}/{TENANT}/"));
        }
    }

    #[test]
    fn a_configured_host_has_its_own_issuers_with_and_without_a_slash() {
        for host in ["http://localhost:9000", "http://localhost:9000/"] {
            let authority = at(host).unwrap();
            assert_eq!(authority.issuer_v2(), format!("http://localhost:9000/{TENANT}/v2.0"));
            assert_eq!(authority.issuer_v1(), format!("http://localhost:9000/{TENANT}/"));
            assert_eq!(
                authority.discovery_url().as_str(),
                format!("http://localhost:9000/{TENANT}/v2.0/.well-known/openid-configuration")
            );
        }
    }

    #[test]
    fn plain_http_is_accepted_on_loopback_only() {
        for host in [
            "http://localhost:1",
            "http://127.0.0.1:1",
            "http://127.8.9.10:1",
            "http://[::1]:1",
            "https://a.b",
        ] {
            assert!(at(host).is_ok(), "{host}");
        }
        for host in [
            "http://login.microsoftonline.com",
            "http://localhost.example",
            "http://10.0.0.1",
            "ftp://localhost",
        ] {
            assert!(matches!(at(host), Err(AuthorityError::Insecure(_))), "{host}");
        }
    }

    fn in_development(host: &str) -> Result<Authority, AuthorityError> {
        Authority::new(&EntraSettings {
            tenant_id: TENANT.to_owned(),
            authority_host: Some(Url::parse(host).unwrap()),
            environment: Environment::Development,
            ..EntraSettings::default()
        })
    }

    #[test]
    fn in_development_a_container_may_be_the_authority() {
        let container = in_development("http://idp:9000").unwrap();
        assert_eq!(container.issuer_v2(), format!("http://idp:9000/{TENANT}/v2.0"));
        assert_eq!(
            container.browser_origins(),
            ["http://idp:9000", "http://localhost:9000"]
        );
        for (endpoint, is_trusted) in [
            ("http://idp:9000/keys", true),
            ("http://localhost:9000/authorize", true),
            ("https://login.example/keys", true),
            ("ftp://idp/keys", false),
        ] {
            assert_eq!(
                container.trusts(&Url::parse(endpoint).unwrap()),
                is_trusted,
                "{endpoint}"
            );
        }
        let secure = in_development("https://login.example").unwrap();
        assert!(!secure.trusts(&Url::parse("http://idp:9000/keys").unwrap()));
        assert_eq!(secure.browser_origins(), ["https://login.example"]);
        assert!(matches!(in_development("ftp://idp"), Err(AuthorityError::Insecure(_))));
        assert!(matches!(at("http://idp:9000"), Err(AuthorityError::Insecure(_))));
    }

    #[test]
    fn a_host_with_user_query_or_fragment_is_rejected() {
        for host in [
            "https://user@a.b",
            "https://u:p@a.b",
            "https://a.b/?x=1",
            "https://a.b/#x",
        ] {
            assert_eq!(at(host).unwrap_err(), AuthorityError::NotABase, "{host}");
        }
    }

    #[test]
    fn only_a_plain_guid_is_a_tenant() {
        for tenant in [
            "",
            "common",
            "contoso.com",
            "{11111111-2222-4333-8444-555555555555}",
            "11111111222243338444555555555555",
        ] {
            let settings = EntraSettings {
                tenant_id: tenant.to_owned(),
                ..EntraSettings::default()
            };
            assert_eq!(
                Authority::new(&settings).unwrap_err(),
                AuthorityError::TenantId(tenant.to_owned())
            );
        }
    }

    #[test]
    fn an_endpoint_may_use_plain_http_only_if_the_authority_does() {
        let endpoint = |url| Url::parse(url).unwrap();
        let on_loopback = at("http://localhost:9000").unwrap();
        assert!(on_loopback.trusts(&endpoint("http://127.0.0.1:9000/keys")));
        assert!(!on_loopback.trusts(&endpoint("http://example.com/keys")));
        let elsewhere = at("https://login.example.com").unwrap();
        assert!(elsewhere.trusts(&endpoint("https://keys.example.com/")));
        assert!(!elsewhere.trusts(&endpoint("http://localhost/keys")));
    }
}
