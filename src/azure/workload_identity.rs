//! Workload identity: the cluster writes a token that identifies the pod to a file, and Entra ID accepts that token instead of a
//! signature (Microsoft Learn "Workload identity federation", "Use Microsoft Entra Workload ID with AKS").

use std::{
    fs::{self, File},
    io::Read as _,
    path::PathBuf,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;
use url::Url;
use zeroize::Zeroizing;

use super::{AzureError, RetryBudget};
use crate::{
    azure::retry::{Service, ServiceResponse, is_transient_status},
    token_cache::Token,
};

/// Longest token file that is read.
const MAX_BYTES: u64 = 64 * 1024;

/// The file to which the cluster writes the token (`AZURE_FEDERATED_TOKEN_FILE`). It replaces the token before it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederatedTokenFile {
    /// Path of the file.
    pub path: PathBuf,
}

impl FederatedTokenFile {
    /// Reads the token. Every call reads the file, since the cluster replaces the token about every hour.
    ///
    /// # Errors
    /// When the file cannot be read or holds no JWT, or the token has expired.
    pub fn read(&self) -> Result<SecretString, AzureError> {
        let unusable = |reason: String| AzureError::TokenFile {
            path: self.path.clone(),
            reason,
        };
        let unreadable = |error| unusable(format!("cannot be read: {error}"));
        let metadata = fs::metadata(&self.path).map_err(unreadable)?;
        // Opening a pipe could block forever.
        if !metadata.is_file() {
            return Err(unusable("is not a file".to_owned()));
        }
        let length = metadata.len();
        if length > MAX_BYTES {
            return Err(unusable(format!("has {length} bytes, which is too long for a token")));
        }
        // Allocated at full size: a growing buffer would leave copies of the token behind that are never wiped.
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length).unwrap_or_default() + 1));
        let file = File::open(&self.path).map_err(unreadable)?;
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        let token = text.trim();
        let claims = unverified_claims(token).ok_or_else(|| unusable("does not hold a JWT".to_owned()))?;
        match claims.get("exp").and_then(Value::as_i64) {
            Some(expires_at) if expires_at <= Utc::now().timestamp() => Err(unusable(
                "holds an expired token: the cluster does not renew it".to_owned(),
            )),
            _ => Ok(SecretString::from(token)),
        }
    }
}

/// Decodes the claims without verifying them, to report errors early. The server that the token is for verifies it.
pub(crate) fn unverified_claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    (parts.next().is_none() && claims.is_object()).then_some(claims)
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: SecretString,
    expires_in: i64,
}

/// Exchanges the token in the file for a token for `resource`.
pub(super) fn token(
    agent: &Agent,
    token_endpoint: &Url,
    file: &FederatedTokenFile,
    client_id: &str,
    resource: &str,
    budget: RetryBudget,
) -> Result<Token, AzureError> {
    let service = Service {
        name: "the token endpoint for workload identities",
        hint: "check entra.authority_host and entra.ca_file",
        is_transient: is_transient_status,
        retries_connections: true,
        initial_delay: Duration::from_millis(250),
        timeout: Duration::from_secs(20),
    };
    let assertion = file.read()?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client_id),
        ("scope", &format!("{resource}/.default")),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion.expose_secret()),
    ];
    let request = |limit| {
        let request = agent
            .post(token_endpoint.as_str())
            .config()
            .timeout_global(Some(limit))
            .build();
        request.send_form(form)
    };
    let response = service.send(agent, budget, request)?;
    if !response.is_success() {
        return Err(service.error_status(&response, hint(&response)));
    }
    let TokenResponse {
        access_token,
        expires_in,
    } = response
        .json()
        .ok_or_else(|| service.malformed("it is not a token response"))?;
    Token::new(access_token, Utc::now().timestamp().saturating_add(expires_in))
        .ok_or_else(|| service.malformed("the token has expired already"))
}

fn hint(response: &ServiceResponse) -> &'static str {
    if is_transient_status(response.status) {
        "Entra ID is busy: try again in a minute or two"
    } else if response.has_aadsts_code(90_002) {
        "azure.tenant_id (AZURE_TENANT_ID), else entra.tenant_id, must be the tenant of this identity"
    } else if response.has_aadsts_code(700_016) {
        "set azure.client_id (AZURE_CLIENT_ID) to an application of the tenant (azure.tenant_id, else entra.tenant_id): \
         this tenant has none with this client id"
    } else {
        "the federated credential of this client id (azure.client_id) must name the cluster's issuer, and \
         system:serviceaccount:NAMESPACE:NAME as its subject"
    }
}
