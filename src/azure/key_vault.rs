//! Azure Key Vault: certificates, signatures with keys that never leave the vault, and secrets.

use std::{fmt, sync::OnceLock, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::{Agent, Body, RequestBuilder, http::Response};
use url::Url;

use super::{AzureError, RetryBudget, TokenSource, challenge::Challenge};
use crate::{
    azure::retry::{Service, ServiceResponse, is_transient_status},
    failure_cache::FailureCache,
};

const API_VERSION: &str = "7.4";

/// Inner error codes of a 403 about the state of the object, not about permissions.
const UNUSABLE_VERSION_CODES: [&str; 9] = [
    "KeyDisabled",
    "KeyExpired",
    "KeyNotYetValid",
    "SecretDisabled",
    "SecretExpired",
    "SecretNotYetValid",
    "CertificateDisabled",
    "CertificateExpired",
    "CertificateNotYetValid",
];

/// A vault, and the source of tokens for it.
pub struct KeyVault {
    url: Url,
    agent: Agent,
    tokens: TokenSource,
    /// The vault's first challenge: the resource that tokens must be for.
    challenge: OnceLock<Challenge>,
    /// By permission; under `None` when the vault did not respond at all.
    failures: FailureCache<Option<&'static str>, AzureError>,
}

/// A certificate in the vault: its public part, and the id of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultCertificate {
    /// DER.
    pub der: Vec<u8>,
    /// Id of this version of the key.
    pub key_id: Url,
}

/// The secret of a certificate whose key is exportable: certificate and key.
#[derive(Debug, Clone)]
pub struct VaultSecret {
    /// PFX in base64, or PEM.
    pub value: SecretString,
    /// Whether `value` is PEM.
    pub is_pem: bool,
}

#[derive(Deserialize)]
struct CertificateResponse {
    cer: String,
    kid: Url,
}

#[derive(Deserialize)]
struct SignResponse {
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecretResponse {
    value: SecretString,
    #[serde(default)]
    content_type: String,
}

/// An operation of the vault, and the permission it needs.
struct Operation<'a> {
    /// Name in access policies, such as `certificates/get`.
    permission: &'static str,
    /// Name in Azure RBAC.
    action: &'static str,
    /// The built-in role with the fewest permissions that includes it.
    role: &'static str,
    /// Name or path of the certificate, key or secret.
    object: &'a str,
}

/// Sends a request, with or without a token, within a time limit.
type Send<'a> = &'a dyn Fn(Option<&SecretString>, Duration) -> Result<Response<Body>, ureq::Error>;

impl KeyVault {
    pub(super) fn new(url: Url, agent: Agent, tokens: TokenSource) -> Self {
        Self {
            url,
            agent,
            tokens,
            challenge: OnceLock::new(),
            failures: FailureCache::default(),
        }
    }

    /// The vault's URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The newest version of a certificate.
    ///
    /// # Errors
    /// See [`AzureError`]; the hint of a 403 names the missing permission.
    pub fn certificate(&self, name: &str, budget: RetryBudget) -> Result<VaultCertificate, AzureError> {
        let operation = Operation {
            permission: "certificates/get",
            action: "certificates/read",
            role: "Key Vault Reader",
            object: name,
        };
        let url = self.endpoint(&format!("/certificates/{name}"));
        let response = self.authorized(&operation, budget, &|token, limit| self.get(&url, token, limit))?;
        let found: CertificateResponse = response
            .json()
            .ok_or_else(|| self.malformed("it is not a certificate of Key Vault"))?;
        let der = STANDARD
            .decode(&found.cer)
            .map_err(|_| self.malformed("cer is not base64"))?;
        // Requests to the key carry our token, which must not go to another server.
        if found.kid.origin() != self.url.origin() {
            return Err(self.malformed("its key is not in this vault"));
        }
        Ok(VaultCertificate { der, key_id: found.kid })
    }

    /// Signs a SHA-256 digest with a key in the vault. `alg` is `PS256` or `RS256`.
    ///
    /// # Errors
    /// See [`AzureError`].
    pub fn sign(&self, key_id: &Url, alg: &str, digest: &[u8; 32], budget: RetryBudget) -> Result<Vec<u8>, AzureError> {
        let object = key_id.path();
        let operation = Operation {
            permission: "keys/sign",
            action: "keys/sign/action",
            role: "Key Vault Crypto User",
            object,
        };
        let url = self.endpoint(&format!("{}/sign", object.trim_end_matches('/')));
        let body = json!({ "alg": alg, "value": URL_SAFE_NO_PAD.encode(digest) });
        let response = self.authorized(&operation, budget, &|token, limit| self.post(&url, token, &body, limit))?;
        let SignResponse { value } = response.json().ok_or_else(|| self.malformed("it is not a signature"))?;
        URL_SAFE_NO_PAD
            .decode(value.trim_end_matches('='))
            .map_err(|_| self.malformed("value is not base64url"))
    }

    /// The newest version of a secret. The secret with the name of a certificate holds the certificate and its key.
    ///
    /// # Errors
    /// See [`AzureError`].
    pub fn secret(&self, name: &str, budget: RetryBudget) -> Result<VaultSecret, AzureError> {
        let operation = Operation {
            permission: "secrets/get",
            action: "secrets/getSecret/action",
            role: "Key Vault Certificate User",
            object: name,
        };
        let url = self.endpoint(&format!("/secrets/{name}"));
        let response = self.authorized(&operation, budget, &|token, limit| self.get(&url, token, limit))?;
        let SecretResponse { value, content_type } =
            response.json().ok_or_else(|| self.malformed("it is not a secret"))?;
        Ok(VaultSecret {
            value,
            is_pem: content_type == "application/x-pem-file",
        })
    }

    fn endpoint(&self, path: &str) -> String {
        format!(
            "{}{path}?api-version={API_VERSION}",
            self.url.as_str().trim_end_matches('/')
        )
    }

    fn get(&self, url: &str, token: Option<&SecretString>, limit: Duration) -> Result<Response<Body>, ureq::Error> {
        prepare(self.agent.get(url), token, limit).call()
    }

    /// Without a token, the body is not sent: such a request only fetches the challenge.
    fn post(
        &self,
        url: &str,
        token: Option<&SecretString>,
        body: &Value,
        limit: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let request = prepare(self.agent.post(url), token, limit);
        if token.is_some() {
            request.send_json(body)
        } else {
            request.send_empty()
        }
    }

    /// Sends the request, unless the vault was unreachable or too busy for the same operation a moment ago.
    fn authorized(
        &self,
        operation: &Operation<'_>,
        budget: RetryBudget,
        send: Send<'_>,
    ) -> Result<ServiceResponse, AzureError> {
        let permission = Some(operation.permission);
        if let Some(error) = self.failures.get(&None).or_else(|| self.failures.get(&permission)) {
            return Err(error);
        }
        self.send_with_token(operation, budget, send)
            .inspect_err(|error| match error {
                AzureError::Unreachable { .. } => self.failures.insert(None, error),
                error if error.is_outage() => self.failures.insert(permission, error),
                _ => {}
            })
    }

    /// Sends the request with a token, and once more with a new token after a 401. The very first request has no token: the vault
    /// answers with a challenge that names the resource.
    fn send_with_token(
        &self,
        operation: &Operation<'_>,
        budget: RetryBudget,
        send: Send<'_>,
    ) -> Result<ServiceResponse, AzureError> {
        let name = self.name();
        let service = Service {
            name: &name,
            hint: "check vault_url, the vault's firewall and private endpoint, and HTTPS_PROXY",
            is_transient: is_transient_status,
            retries_connections: true,
            initial_delay: Duration::from_millis(250),
            timeout: Duration::from_secs(20),
        };
        let challenge = match self.challenge.get() {
            Some(challenge) => challenge,
            None => self.read_challenge(&service.send(&self.agent, budget, |limit| send(None, limit))?)?,
        };
        let Challenge { resource, tenant } = challenge;
        let with_token = || {
            let token = self.tokens.token(resource, tenant.as_deref(), budget)?;
            let response = service.send(&self.agent, budget, |limit| send(Some(&token), limit))?;
            Ok((token, response))
        };
        let (token, mut response) = with_token()?;
        if response.status == 401 {
            self.tokens.invalidate(resource, tenant.as_deref(), &token);
            (_, response) = with_token()?;
        }
        if response.is_success() {
            return Ok(response);
        }
        Err(service.error_status(&response, self.hint(operation, &response, tenant.as_deref())))
    }

    /// Reads and keeps the challenge in the response to a request without a token.
    fn read_challenge(&self, response: &ServiceResponse) -> Result<&Challenge, AzureError> {
        let header = response.challenge.as_deref().filter(|_| response.status == 401);
        let header = header.ok_or_else(|| self.malformed("it does not ask for a token"))?;
        let challenge = Challenge::parse(header)
            .ok_or_else(|| self.malformed("its challenge does not name the resource of the token"))?;
        if !challenge.matches_vault(&self.url) {
            return Err(AzureError::ForeignChallenge {
                vault: self.name(),
                resource: challenge.resource,
            });
        }
        Ok(self.challenge.get_or_init(|| challenge))
    }

    fn hint(&self, operation: &Operation<'_>, response: &ServiceResponse, tenant: Option<&str>) -> String {
        let Operation {
            permission,
            action,
            role,
            object,
        } = operation;
        let identity = self.tokens.identity();
        match response.status {
            401 => {
                let tenant = tenant.unwrap_or("ID");
                format!(
                    "{identity} must belong to the vault's tenant, {tenant}: set another one with azure.identity and \
                     azure.client_id, or run az login --tenant {tenant}"
                )
            }
            403 if ["ForbiddenByFirewall", "ForbiddenByConnection"]
                .iter()
                .any(|code| response.has_code(code)) =>
            {
                "allow this machine's network in the vault's firewall, or use the vault's private endpoint".to_owned()
            }
            // No role helps here. Without such an inner code, a 403 means that the identity lacks a permission.
            403 if UNUSABLE_VERSION_CODES.iter().any(|code| response.has_code(code)) => {
                format!("the newest version of {object} is disabled or expired: enable it in the portal, or renew it")
            }
            403 => format!(
                "give {identity} a role with Microsoft.KeyVault/vaults/{action}, such as \"{role}\" on {object} alone, or \
                 the permission {permission} in the vault's access policy; a new role takes some minutes"
            ),
            404 => format!("the vault has no {object}, or it is deleted: compare the name with the portal"),
            429 => "the vault gets too many requests: let fewer programs share it".to_owned(),
            _ => "try again; if this continues, check the state of the vault in the portal".to_owned(),
        }
    }

    fn malformed(&self, what: &'static str) -> AzureError {
        AzureError::Malformed {
            service: self.name(),
            what,
        }
    }

    fn name(&self) -> String {
        format!("the key vault {}", self.url.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for KeyVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyVault")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

fn prepare<B>(request: RequestBuilder<B>, token: Option<&SecretString>, limit: Duration) -> RequestBuilder<B> {
    let request = request.config().timeout_global(Some(limit)).build();
    match token {
        Some(token) => request.header("Authorization", format!("Bearer {}", token.expose_secret())),
        None => request,
    }
}
