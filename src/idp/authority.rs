//! The addresses, issuers and tenant names of the emulator.
//!
//! They all derive from two base URLs, one for servers and one for browsers, and never from the `Host` of a request. Without
//! `idp.server_url`, both are localhost with the port that the emulator really listens on.

use super::{
    error::{self, OAuthError},
    paths,
};

/// The tenant and its addresses.
#[derive(Debug, Clone)]
pub struct Authority {
    base_url: String,
    browser_url: String,
    tenant_id: String,
    domain: String,
}

impl Authority {
    /// `base_url` and `browser_url` have no trailing slash.
    pub fn new(base_url: String, browser_url: String, tenant_id: &str, domain: &str) -> Self {
        Self {
            base_url,
            browser_url,
            tenant_id: tenant_id.to_owned(),
            domain: domain.to_owned(),
        }
    }

    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    pub fn tenant_id(&self) -> &str {
        &self.tenant_id
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Checks the `{tenant}` of an address: the tenant id, the domain name, `organizations` or `common`.
    ///
    /// # Errors
    /// AADSTS90002 for any other value.
    pub fn check_tenant(&self, segment: &str) -> Result<(), OAuthError> {
        let known = segment.eq_ignore_ascii_case(&self.tenant_id)
            || segment.eq_ignore_ascii_case(&self.domain)
            || is_many_tenants(segment);
        if known {
            Ok(())
        } else {
            Err(error::unknown_tenant(segment))
        }
    }

    /// `iss` of v2 tokens.
    pub fn issuer_v2(&self) -> String {
        format!("{}/{}/v2.0", self.base_url, self.tenant_id)
    }

    /// `iss` of v1 tokens. Entra's own is on another host, `sts.windows.net`.
    pub fn issuer_v1(&self) -> String {
        format!("{}/{}/", self.base_url, self.tenant_id)
    }

    /// `issuer` in the discovery document: a template if the address is multi-tenant, as with Entra.
    pub fn discovered_issuer(&self, segment: &str) -> String {
        if is_many_tenants(segment) {
            format!("{}/{{tenantid}}/v2.0", self.base_url)
        } else {
            self.issuer_v2()
        }
    }

    /// The address of `path` (such as `oauth2/v2.0/token`) for servers in the discovery document at `/{segment}/`.
    pub fn endpoint(&self, segment: &str, path: &str) -> String {
        self.address(&self.base_url, segment, path)
    }

    /// The address of `path` (such as `oauth2/v2.0/authorize`) for browsers in the discovery document at `/{segment}/`.
    pub fn browser_endpoint(&self, segment: &str, path: &str) -> String {
        self.address(&self.browser_url, segment, path)
    }

    fn address(&self, base_url: &str, segment: &str, path: &str) -> String {
        let tenant = if is_many_tenants(segment) {
            segment
        } else {
            &self.tenant_id
        };
        format!("{base_url}/{tenant}/{path}")
    }

    /// Accepted `aud` values of an assertion sent to `/{segment}/oauth2/v2.0/token`: the tenant's token endpoint, and
    /// the one in the discovery document at `/{segment}/`.
    pub fn token_endpoints(&self, segment: &str) -> [String; 2] {
        [self.tenant_id.as_str(), segment].map(|tenant| self.endpoint(tenant, paths::TOKEN))
    }
}

fn is_many_tenants(segment: &str) -> bool {
    matches!(segment, "common" | "organizations")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "11111111-2222-4333-8444-555555555555";

    fn authority() -> Authority {
        let url = "http://localhost:9000".to_owned();
        Authority::new(url.clone(), url, TENANT, "contoso.example")
    }

    #[test]
    fn a_tenant_goes_by_four_names_and_no_other() {
        for known in [TENANT, "contoso.example", "Contoso.Example", "common", "organizations"] {
            assert_eq!(authority().check_tenant(known), Ok(()), "{known}");
        }
        for unknown in [
            "",
            "consumers",
            "fabrikam.example",
            "11111111-2222-4333-8444-555555555556",
        ] {
            assert_eq!(
                authority().check_tenant(unknown).expect_err("rejected").code,
                90002,
                "{unknown}"
            );
        }
    }

    #[test]
    fn an_audience_is_the_tenants_token_endpoint_or_the_discovered_one() {
        let tenant = format!("http://localhost:9000/{TENANT}/oauth2/v2.0/token");
        assert_eq!(
            authority().token_endpoints("contoso.example"),
            [tenant.clone(), tenant.clone()]
        );
        let common = "http://localhost:9000/common/oauth2/v2.0/token".to_owned();
        assert_eq!(authority().token_endpoints("common"), [tenant, common]);
    }
}
