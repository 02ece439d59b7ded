//! Azure Key Vault: certificates, signatures by keys that never leave it, and secrets.

use std::{fmt, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use parking_lot::Mutex;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::{Agent, Body, RequestBuilder, http::Response};
use url::Url;

use super::{AzureError, Patience, TokenSource, challenge::Challenge};
use crate::azure::{
    failure_cache::RecentFailures,
    retry::{Answer, Service, is_busy},
};

const API_VERSION: &str = "7.4";

/// A vault, and the tokens that open it.
pub struct KeyVault {
    url: Url,
    agent: Agent,
    tokens: TokenSource,
    /// Whom tokens must be for, as the vault has said.
    challenge: Mutex<Option<Challenge>>,
    /// By permission; `None` when the vault did not answer at all.
    failures: RecentFailures<Option<&'static str>>,
}

/// A certificate as the vault shows it: its public part, and where its key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultCertificate {
    /// The certificate, in DER.
    pub der: Vec<u8>,
    /// This version of its key.
    pub key_id: Url,
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
    /// The same, where the vault goes by roles.
    action: &'static str,
    /// The smallest of Azure's own roles that has it.
    role: &'static str,
    /// What it is about.
    object: &'a str,
}

/// What is sent to an address, with or without a token, within a time.
type Send<'a> = &'a dyn Fn(Option<&SecretString>, Duration) -> Result<Response<Body>, ureq::Error>;

impl KeyVault {
    pub(super) fn new(url: Url, agent: Agent, tokens: TokenSource) -> Self {
        Self {
            url,
            agent,
            tokens,
            challenge: Mutex::default(),
            failures: RecentFailures::default(),
        }
    }

    /// Address of the vault.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The newest version of a certificate.
    ///
    /// # Errors
    /// See [`AzureError`]; a refusal names the permission that is missing.
    pub fn certificate(&self, name: &str, patience: Patience) -> Result<VaultCertificate, AzureError> {
        let operation = Operation {
            permission: "certificates/get",
            action: "certificates/read",
            role: "Key Vault Reader",
            object: name,
        };
        let url = self.at(&format!("/certificates/{name}"));
        let answer = self.authorized(&operation, patience, &|token, limit| self.get(&url, token, limit))?;
        let found: CertificateAnswer = answer
            .json()
            .ok_or_else(|| self.malformed("it is not a certificate of Key Vault"))?;
        let der = STANDARD
            .decode(&found.cer)
            .map_err(|_| self.malformed("cer is not base64"))?;
        // It is asked with our token: in this vault, or not at all.
        if found.kid.origin() != self.url.origin() {
            return Err(self.malformed("its key is not in this vault"));
        }
        Ok(VaultCertificate { der, key_id: found.kid })
    }

    /// Has a digest (SHA-256) signed by a key. `alg` is `PS256` or `RS256`.
    ///
    /// # Errors
    /// See [`AzureError`].
    pub fn sign(&self, key_id: &Url, alg: &str, digest: &[u8; 32], patience: Patience) -> Result<Vec<u8>, AzureError> {
        let object = key_id.path();
        let operation = Operation {
            permission: "keys/sign",
            action: "keys/sign/action",
            role: "Key Vault Crypto User",
            object,
        };
        let url = self.at(&format!("{}/sign", object.trim_end_matches('/')));
        let body = json!({ "alg": alg, "value": URL_SAFE_NO_PAD.encode(digest) });
        let answer = self.authorized(&operation, patience, &|token, limit| {
            self.post(&url, token, &body, limit)
        })?;
        let SignAnswer { value } = answer.json().ok_or_else(|| self.malformed("it is not a signature"))?;
        URL_SAFE_NO_PAD
            .decode(value.trim_end_matches('='))
            .map_err(|_| self.malformed("value is not base64url"))
    }

    /// The newest version of a secret: for the name of a certificate, that with its key.
    ///
    /// # Errors
    /// See [`AzureError`].
    pub fn secret(&self, name: &str, patience: Patience) -> Result<VaultSecret, AzureError> {
        let operation = Operation {
            permission: "secrets/get",
            action: "secrets/getSecret/action",
            role: "Key Vault Certificate User",
            object: name,
        };
        let url = self.at(&format!("/secrets/{name}"));
        let answer = self.authorized(&operation, patience, &|token, limit| self.get(&url, token, limit))?;
        let SecretAnswer { value, content_type } = answer.json().ok_or_else(|| self.malformed("it is not a secret"))?;
        Ok(VaultSecret {
            value,
            is_pem: content_type == "application/x-pem-file",
        })
    }

    fn at(&self, path: &str) -> String {
        format!(
            "{}{path}?api-version={API_VERSION}",
            self.url.as_str().trim_end_matches('/')
        )
    }

    fn get(&self, url: &str, token: Option<&SecretString>, limit: Duration) -> Result<Response<Body>, ureq::Error> {
        prepared(self.agent.get(url), token, limit).call()
    }

    /// Without a token, nothing is sent but the question who may ask.
    fn post(
        &self,
        url: &str,
        token: Option<&SecretString>,
        body: &Value,
        limit: Duration,
    ) -> Result<Response<Body>, ureq::Error> {
        let request = prepared(self.agent.post(url), token, limit);
        if token.is_some() {
            request.send_json(body)
        } else {
            request.send_empty()
        }
    }

    /// Asks, unless the vault was away or too busy for the same a moment ago.
    fn authorized(&self, operation: &Operation<'_>, patience: Patience, send: Send<'_>) -> Result<Answer, AzureError> {
        let permission = Some(operation.permission);
        if let Some(error) = self.failures.of(&None).or_else(|| self.failures.of(&permission)) {
            return Err(error);
        }
        self.ask(operation, patience, send).inspect_err(|error| match error {
            AzureError::Unreachable { .. } => self.failures.keep(None, error),
            error if error.is_outage() => self.failures.keep(permission, error),
            _ => {}
        })
    }

    /// Asks with a token; with a fresh one when the vault refuses the one at hand. The first request of all has none: the
    /// vault answers whom tokens must be for.
    fn ask(&self, operation: &Operation<'_>, patience: Patience, send: Send<'_>) -> Result<Answer, AzureError> {
        let name = self.name();
        let service = Service {
            name: &name,
            hint: "see vault_url, the vault's firewall and private endpoint, and HTTPS_PROXY",
            passes: is_busy,
            reconnects: true,
            first_pause: Duration::from_millis(250),
            longest: Duration::from_secs(20),
        };
        let known = self.challenge.lock().clone();
        let challenge = match known {
            Some(challenge) => challenge,
            None => self.learn(&service.ask(&self.agent, patience, |limit| send(None, limit))?)?,
        };
        let Challenge { resource, tenant } = &challenge;
        let with_token = || {
            let token = self.tokens.token(resource, tenant.as_deref(), patience)?;
            let answer = service.ask(&self.agent, patience, |limit| send(Some(&token), limit))?;
            Ok((token, answer))
        };
        let (token, mut answer) = with_token()?;
        if answer.status == 401 {
            self.tokens.forget(resource, tenant.as_deref(), &token);
            (_, answer) = with_token()?;
        }
        if answer.is_success() {
            return Ok(answer);
        }
        Err(service.refused(&answer, self.hint(operation, &answer, tenant.as_deref())))
    }

    /// From the challenge of a request without a token.
    fn learn(&self, answer: &Answer) -> Result<Challenge, AzureError> {
        let header = answer.challenge.as_deref().filter(|_| answer.status == 401);
        let header = header.ok_or_else(|| self.malformed("it does not ask for a token"))?;
        let challenge =
            Challenge::parse(header).ok_or_else(|| self.malformed("it does not say whom a token must be for"))?;
        if !challenge.is_of(&self.url) {
            return Err(AzureError::ForeignChallenge {
                vault: self.name(),
                resource: challenge.resource,
            });
        }
        *self.challenge.lock() = Some(challenge.clone());
        Ok(challenge)
    }

    fn hint(&self, operation: &Operation<'_>, answer: &Answer, tenant: Option<&str>) -> String {
        let Operation {
            permission,
            action,
            role,
            object,
        } = operation;
        let identity = self.tokens.identity();
        match answer.status {
            401 => {
                let tenant = tenant.unwrap_or("ID");
                format!(
                    "{identity} must be of the vault's own tenant, {tenant}: name another with azure.identity and \
                     azure.client_id, or run az login --tenant {tenant}"
                )
            }
            403 if answer.says("ForbiddenByFirewall") || answer.says("ForbiddenByConnection") => {
                "allow this machine's network in the vault's firewall, or reach it by its private endpoint".to_owned()
            }
            // "Operation sign is not allowed on a disabled key", or an expired one: nobody's role mends that.
            403 if answer.says("is not allowed on a") => {
                format!(
                    "the newest version of {object} is disabled or out of date: enable it in the portal, or renew it"
                )
            }
            403 => format!(
                "give {identity} a role with Microsoft.KeyVault/vaults/{action}, such as \"{role}\" on {object} alone, or \
                 the permission {permission} in the vault's access policy; a new role takes some minutes"
            ),
            404 => format!("there is no {object} in the vault, or it is deleted: compare the name with the portal"),
            429 => "the vault is asked too often; fewer programs may share it".to_owned(),
            _ => "try again; if it goes on, see the state of the vault in the portal".to_owned(),
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

fn prepared<B>(request: RequestBuilder<B>, token: Option<&SecretString>, limit: Duration) -> RequestBuilder<B> {
    let request = request.config().timeout_global(Some(limit)).build();
    match token {
        Some(token) => request.header("Authorization", format!("Bearer {}", token.expose_secret())),
        None => request,
    }
}
