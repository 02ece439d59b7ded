//! Azure Key Vault: certificates, signatures by keys that never leave it, and secrets.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::{
    Agent, Body,
    http::{Response, Uri},
};
use url::Url;

use super::{
    AzureError, TokenSource,
    exchange::{Answer, Service, is_busy},
};

const API_VERSION: &str = "7.4";

/// A vault, and the tokens that open it.
pub struct KeyVault {
    url: Url,
    agent: Agent,
    tokens: TokenSource,
    /// Whom tokens must be for, as the vault has said.
    resource: Mutex<Option<String>>,
}

/// A certificate as the vault shows it: public parts, and where the others are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultCertificate {
    /// The certificate, in DER.
    pub der: Vec<u8>,
    /// This version of its key.
    pub key_id: Url,
    /// This version of the secret that holds certificate and key, where the key may be taken out.
    pub secret_id: Url,
}

/// What the vault keeps for a certificate whose key may be taken out.
#[derive(Debug, Clone)]
pub struct VaultSecret {
    /// PFX in base64, or PEM.
    pub value: SecretString,
    /// Whether it is PEM.
    pub is_pem: bool,
}

#[derive(Deserialize)]
struct CertificateAnswer {
    cer: String,
    kid: Url,
    sid: Url,
}

#[derive(Deserialize)]
struct SignAnswer {
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretAnswer {
    value: SecretString,
    #[serde(default)]
    content_type: String,
}

/// What is asked of the vault, for what it takes to be allowed to.
struct Operation<'a> {
    /// `certificates/get` and so on, as access policies call it.
    permission: &'static str,
    /// The role that has it, where the vault goes by roles.
    role: &'static str,
    /// What it is about.
    object: &'a str,
}

impl KeyVault {
    pub(super) fn new(url: Url, agent: Agent, tokens: TokenSource) -> Self {
        Self { url, agent, tokens, resource: Mutex::new(None) }
    }

    /// Address of the vault.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The newest version of a certificate.
    ///
    /// # Errors
    /// See [`AzureError`]; a refusal names the permission that is missing.
    pub fn certificate(&self, name: &str) -> Result<VaultCertificate, AzureError> {
        let operation = Operation { permission: "certificates/get", role: "Key Vault Certificate User", object: name };
        let url = self.at(&format!("/certificates/{name}"));
        let answer = self.authorized(&operation, |token| self.get(&url, token))?;
        let found: CertificateAnswer =
            answer.json().ok_or_else(|| self.malformed("it is not a certificate of Key Vault"))?;
        let der = STANDARD.decode(&found.cer).map_err(|_| self.malformed("cer is not base64"))?;
        // They are fetched with our token: from this vault, or not at all.
        for id in [&found.kid, &found.sid] {
            if id.origin() != self.url.origin() {
                return Err(self.malformed("its key or secret is not in this vault"));
            }
        }
        Ok(VaultCertificate { der, key_id: found.kid, secret_id: found.sid })
    }

    /// Has a digest (SHA-256) signed by a key. `alg` is `PS256` or `RS256`.
    ///
    /// # Errors
    /// See [`AzureError`].
    pub fn sign(&self, key_id: &Url, alg: &str, digest: &[u8; 32]) -> Result<Vec<u8>, AzureError> {
        let object = key_id.path();
        let operation = Operation { permission: "keys/sign", role: "Key Vault Crypto User", object };
        let url = self.at(&format!("{}/sign", object.trim_end_matches('/')));
        let body = json!({ "alg": alg, "value": URL_SAFE_NO_PAD.encode(digest) });
        let answer = self.authorized(&operation, |token| self.post(&url, token, &body))?;
        let SignAnswer { value } = answer.json().ok_or_else(|| self.malformed("it is not a signature"))?;
        URL_SAFE_NO_PAD.decode(value.trim_end_matches('=')).map_err(|_| self.malformed("value is not base64url"))
    }

    /// A secret: for a certificate, itself with its key.
    ///
    /// # Errors
    /// See [`AzureError`].
    pub fn secret(&self, secret_id: &Url) -> Result<VaultSecret, AzureError> {
        let object = secret_id.path();
        let operation = Operation { permission: "secrets/get", role: "Key Vault Secrets User", object };
        let url = self.at(object);
        let answer = self.authorized(&operation, |token| self.get(&url, token))?;
        let SecretAnswer { value, content_type } = answer.json().ok_or_else(|| self.malformed("it is not a secret"))?;
        Ok(VaultSecret { value, is_pem: content_type == "application/x-pem-file" })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}?api-version={API_VERSION}", self.url.as_str().trim_end_matches('/'))
    }

    fn get(&self, url: &str, token: Option<&SecretString>) -> Result<Response<Body>, ureq::Error> {
        let request = self.agent.get(url);
        match token {
            Some(token) => request.header("Authorization", bearer(token)),
            None => request,
        }
        .call()
    }

    /// Without a token, nothing is sent but the question who may ask.
    fn post(&self, url: &str, token: Option<&SecretString>, body: &Value) -> Result<Response<Body>, ureq::Error> {
        let request = self.agent.post(url);
        match token {
            Some(token) => request.header("Authorization", bearer(token)).send_json(body),
            None => request.send_empty(),
        }
    }

    /// Asks with a token; with a fresh one when the vault refuses the one at hand. The first request of all has none: the
    /// vault answers whom tokens must be for.
    fn authorized(
        &self,
        operation: &Operation<'_>,
        request: impl Fn(Option<&SecretString>) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, AzureError> {
        let name = self.name();
        let service = Service {
            name: &name,
            hint: "see vault_url, the vault's firewall and private endpoint, and HTTPS_PROXY",
            passes: is_busy,
            reconnects: true,
        };
        let known = self.resource.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let resource = match known {
            Some(resource) => resource,
            None => self.learn_resource(&service.ask(|| request(None))?)?,
        };
        let mut answer = None;
        for _ in 0..2 {
            let token = self.tokens.token(&resource)?;
            let given = service.ask(|| request(Some(&token)))?;
            if given.is_success() {
                return Ok(given);
            }
            if given.status != 401 {
                return Err(service.refused(&given, self.hint(operation, &given)));
            }
            self.tokens.forget(&resource);
            answer = Some(given);
        }
        answer.map_or_else(
            || Err(self.malformed("there was none")),
            |answer| Err(service.refused(&answer, self.hint(operation, &answer))),
        )
    }

    /// From the challenge of a request without a token. The vault's host must lie under the domain that tokens are for:
    /// else whoever answers could have tokens for somebody else sent to himself.
    fn learn_resource(&self, answer: &Answer) -> Result<String, AzureError> {
        let challenge = answer.challenge.as_deref().filter(|_| answer.status == 401);
        let challenge = challenge.ok_or_else(|| self.malformed("it does not ask for a token"))?;
        let resource =
            resource_in(challenge).ok_or_else(|| self.malformed("it does not say whom a token must be for"))?;
        if !is_own_domain(&self.url, &resource) {
            return Err(AzureError::ForeignChallenge { vault: self.name(), resource });
        }
        *self.resource.lock().unwrap_or_else(PoisonError::into_inner) = Some(resource.clone());
        Ok(resource)
    }

    fn hint(&self, operation: &Operation<'_>, answer: &Answer) -> String {
        let Operation { permission, role, object } = operation;
        let identity = self.tokens.identity();
        match answer.status {
            401 => format!("the vault does not take tokens of {identity}: it must be of the vault's own tenant"),
            403 if answer.has_code("ForbiddenByFirewall") || answer.has_code("ForbiddenByConnection") => {
                "allow this machine's network in the vault's firewall, or reach it by its private endpoint".to_owned()
            }
            403 => format!(
                "give {identity} the role \"{role}\" on the vault, or the permission {permission} in its access policy; \
                 a new role takes some minutes"
            ),
            404 => format!("there is no {object} in the vault, or it is deleted: compare the name with the portal"),
            429 => "the vault is asked too often; fewer programs may share it".to_owned(),
            _ => "try again; if it goes on, see the state of the vault in the portal".to_owned(),
        }
    }

    fn malformed(&self, what: &'static str) -> AzureError {
        AzureError::Malformed { service: self.name(), what }
    }

    fn name(&self) -> String {
        format!("the key vault {}", self.url.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for KeyVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyVault").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

fn bearer(token: &SecretString) -> String {
    format!("Bearer {}", token.expose_secret())
}

/// `resource`, or `scope` without `/.default`, of a Bearer challenge.
fn resource_in(challenge: &str) -> Option<String> {
    let challenges = http_auth::parse_challenges(challenge).ok()?;
    let bearer = challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))?;
    let parameter = |wanted: &str| {
        let found = bearer.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        Some(found.1.to_unescaped())
    };
    let scope = || parameter("scope").map(|scope| scope.trim_end_matches("/.default").to_owned());
    parameter("resource").or_else(scope).map(|resource| resource.trim_end_matches('/').to_owned())
}

/// `https://name.vault.azure.net` is under `https://vault.azure.net`. On this machine, host and port are the same.
fn is_own_domain(vault: &Url, resource: &str) -> bool {
    let (Ok(resource), Some(own)) = (resource.parse::<Uri>(), vault.host_str()) else { return false };
    let (Some(host), Some(scheme)) = (resource.host(), resource.scheme_str()) else { return false };
    if crate::config::is_loopback(vault) {
        let port = resource.port_u16().or_else(|| (scheme == "http").then_some(80));
        return host == own && port == vault.port_or_known_default();
    }
    scheme == "https" && own.strip_suffix(host).is_some_and(|name| name.len() > 1 && name.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_whom_the_token_is_for() {
        for (challenge, expected) in [
            (
                r#"Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net""#,
                Some("https://vault.azure.net"),
            ),
            (
                r#"Bearer authorization_uri="https://x/t", scope="https://vault.azure.cn/.default""#,
                Some("https://vault.azure.cn"),
            ),
            (r#"Basic realm="x", Bearer resource="https://vault.azure.net/""#, Some("https://vault.azure.net")),
            (r#"Basic realm="x""#, None),
            (r#"Bearer authorization="https://x/t""#, None),
            ("resource", None),
            ("", None),
        ] {
            assert_eq!(resource_in(challenge).as_deref(), expected, "{challenge}");
        }
    }

    #[test]
    fn tokens_are_for_the_domain_that_the_vault_is_in_and_no_other() {
        let is_own = |vault: &str, resource: &str| is_own_domain(&Url::parse(vault).unwrap(), resource);
        for (vault, resource) in [
            ("https://blog.vault.azure.net", "https://vault.azure.net"),
            ("https://blog.vault.usgovcloudapi.net", "https://vault.usgovcloudapi.net"),
            ("http://localhost:9001", "http://localhost:9001"),
        ] {
            assert!(is_own(vault, resource), "{vault} {resource}");
        }
        for (vault, resource) in [
            ("https://blog.vault.azure.net", "https://graph.microsoft.com"),
            ("https://blog.vault.azure.net", "https://blog.vault.azure.net"),
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
}
