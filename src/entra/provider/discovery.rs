//! The discovery document. It is checked before use: a wrong or plain-HTTP endpoint would receive assertions and codes.

use serde::Deserialize;
use url::Url;

use super::ProviderError;
use crate::entra::Authority;

/// The discovery document (OpenID Connect Discovery 1.0 §3).
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    /// Equal to the authority's v2 issuer.
    pub issuer: String,
    /// Where the browser is sent to sign in.
    pub authorization_endpoint: Url,
    /// Where codes are redeemed. Also the audience of client assertions.
    pub token_endpoint: Url,
    /// The signing keys.
    pub jwks_uri: Url,
    /// Where the browser is sent to sign out.
    pub end_session_endpoint: Url,
}

impl Metadata {
    /// Parses and checks the response of `url`: the issuer is exactly the authority's (OpenID Connect Discovery 1.0 §4.3), and
    /// every endpoint uses HTTPS, or plain HTTP where the authority itself does.
    pub(super) fn parse(authority: &Authority, url: &Url, json: &[u8]) -> Result<Self, ProviderError> {
        let metadata: Self = serde_json::from_slice(json).map_err(|error| ProviderError::Unreachable {
            url: url.clone(),
            reason: format!("the response is not an OpenID Connect discovery document: {error}"),
        })?;
        if metadata.issuer != authority.issuer_v2() {
            return Err(ProviderError::Issuer {
                expected: authority.issuer_v2(),
                found: metadata.issuer,
            });
        }
        for (name, endpoint) in [
            ("authorization_endpoint", &metadata.authorization_endpoint),
            ("token_endpoint", &metadata.token_endpoint),
            ("jwks_uri", &metadata.jwks_uri),
            ("end_session_endpoint", &metadata.end_session_endpoint),
        ] {
            if !authority.trusts(endpoint) {
                return Err(ProviderError::Insecure {
                    name,
                    url: endpoint.clone(),
                });
            }
        }
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::EntraSettings;

    const TENANT: &str = "11111111-2222-4333-8444-555555555555";

    fn parse(change: impl FnOnce(&mut Value)) -> Result<Metadata, ProviderError> {
        let settings = EntraSettings {
            tenant_id: TENANT.to_owned(),
            ..EntraSettings::default()
        };
        let authority = Authority::new(&settings).unwrap();
        let base = format!("https://login.microsoftonline.com/{TENANT}");
        let mut document = json!({
            "issuer": format!("{base}/v2.0"),
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "jwks_uri": format!("{base}/discovery/v2.0/keys"),
            "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
            "frontchannel_logout_supported": true,
        });
        change(&mut document);
        Metadata::parse(&authority, &authority.discovery_url(), document.to_string().as_bytes())
    }

    #[test]
    fn a_document_of_the_tenant_is_accepted() {
        assert!(parse(|_| {}).unwrap().token_endpoint.path().ends_with("/token"));
    }

    #[test]
    fn another_issuer_is_rejected_however_similar() {
        for issuer in [
            "https://login.microsoftonline.com/22222222-2222-4333-8444-555555555555/v2.0".to_owned(),
            format!("https://login.microsoftonline.com/{TENANT}/v2.0/"),
            format!("https://login.microsoftonline.us/{TENANT}/v2.0"),
            format!("https://sts.windows.net/{TENANT}/"),
            "https://login.microsoftonline.com/{tenantid}/v2.0".to_owned(),
        ] {
            let rejected = parse(|document| document["issuer"] = json!(issuer));
            assert!(matches!(rejected, Err(ProviderError::Issuer { .. })), "{issuer}");
        }
    }

    #[test]
    fn each_endpoint_must_be_https() {
        for name in [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "end_session_endpoint",
        ] {
            for url in [
                "http://login.microsoftonline.com/x",
                "http://localhost/x",
                "javascript:alert(1)",
            ] {
                let rejected = parse(|document| document[name] = json!(url)).unwrap_err();
                assert!(
                    matches!(rejected, ProviderError::Insecure { name: found, .. } if found == name),
                    "{name} {url}"
                );
            }
        }
    }

    #[test]
    fn a_document_without_an_endpoint_is_rejected() {
        let rejected = parse(|document| {
            document.as_object_mut().unwrap().remove("token_endpoint");
        });
        assert!(matches!(rejected, Err(ProviderError::Unreachable { .. })));
    }

    proptest::proptest! {
        #[test]
        fn no_document_makes_the_parser_panic_or_names_an_endpoint_in_plain_http(
            name in "(issuer|authorization_endpoint|token_endpoint|jwks_uri|end_session_endpoint|other)",
            value in "(https?://[a-z0-9.:\\[\\]@/?#%-]{0,40}|\\PC{0,60})",
            bytes: Vec<u8>,
        ) {
            if let Ok(metadata) = parse(|document| document[&name] = json!(value)) {
                for endpoint in [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri] {
                    proptest::prop_assert_eq!(endpoint.scheme(), "https");
                }
                let own = "https://login.microsoftonline.com/11111111-2222-4333-8444-555555555555/v2.0";
                proptest::prop_assert_eq!(metadata.issuer, own);
            }
            let settings = EntraSettings { tenant_id: TENANT.to_owned(), ..EntraSettings::default() };
            let authority = Authority::new(&settings).unwrap();
            proptest::prop_assert!(Metadata::parse(&authority, &authority.discovery_url(), &bytes).is_err());
        }
    }
}
