//! Workload identity: a token that the cluster keeps in a file says who this is, and Entra ID takes it in place of a
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

use super::{AzureError, Patience};
use crate::azure::{
    retry::{Answer, Service, is_busy},
    token_cache::Token,
};

/// Longest file that can be a token.
const MAX_BYTES: u64 = 64 * 1024;

/// The file that the cluster writes the token to (`AZURE_FEDERATED_TOKEN_FILE`), anew before each one ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FederatedTokenFile {
    /// Where it is.
    pub path: PathBuf,
}

impl FederatedTokenFile {
    /// The token in it now. Read each time: it is replaced every hour or so.
    ///
    /// # Errors
    /// When it cannot be read, is not a JWT, or its token has expired.
    pub fn read(&self) -> Result<SecretString, AzureError> {
        let wrong = |reason: String| AzureError::TokenFile {
            path: self.path.clone(),
            reason,
        };
        let unreadable = |error| wrong(format!("cannot be read: {error}"));
        let metadata = fs::metadata(&self.path).map_err(unreadable)?;
        // To open a pipe could take for ever.
        if !metadata.is_file() {
            return Err(wrong("is not a file".to_owned()));
        }
        let length = metadata.len();
        if length > MAX_BYTES {
            return Err(wrong(format!("has {length} bytes, more than a token can have")));
        }
        // Of its size at once: a text that grows leaves copies behind, which nothing wipes.
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length).unwrap_or_default() + 1));
        let file = File::open(&self.path).map_err(unreadable)?;
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
        let token = text.trim();
        let claims = claims(token).ok_or_else(|| wrong("does not hold a JWT".to_owned()))?;
        match claims.get("exp").and_then(Value::as_i64) {
            Some(expires_at) if expires_at <= Utc::now().timestamp() => {
                Err(wrong("holds a token that has expired; nobody renews it".to_owned()))
            }
            _ => Ok(SecretString::from(token)),
        }
    }
}

/// Only looked at, to tell mistakes early; who takes the token verifies it.
fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    (parts.next().is_none() && claims.is_object()).then_some(claims)
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    expires_in: i64,
}

/// A token for `resource`, in exchange for the one in the file.
pub(super) fn token(
    agent: &Agent,
    token_endpoint: &Url,
    file: &FederatedTokenFile,
    client_id: &str,
    resource: &str,
    patience: Patience,
) -> Result<Token, AzureError> {
    let service = Service {
        name: "the token endpoint for workload identities",
        hint: "see entra.authority_host and entra.ca_file",
        passes: is_busy,
        reconnects: true,
        first_pause: Duration::from_millis(250),
        longest: Duration::from_secs(20),
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
    let answer = service.ask(agent, patience, request)?;
    if !answer.is_success() {
        return Err(service.refused(&answer, hint(&answer)));
    }
    let TokenAnswer {
        access_token,
        expires_in,
    } = answer
        .json()
        .ok_or_else(|| service.malformed("it is not a token answer"))?;
    Token::until(access_token, Utc::now().timestamp().saturating_add(expires_in))
        .ok_or_else(|| service.malformed("the token has expired already"))
}

fn hint(answer: &Answer) -> &'static str {
    if is_busy(answer.status) {
        "Entra ID is busy: try again in a minute or two"
    } else if answer.says("AADSTS90002") {
        "azure.tenant_id (AZURE_TENANT_ID), else entra.tenant_id, must be the tenant of this identity"
    } else if answer.says("AADSTS700016") {
        "there is no application with this client id (azure.client_id, AZURE_CLIENT_ID) in the tenant \
         (azure.tenant_id, else entra.tenant_id)"
    } else {
        "the federated credential of this client id (azure.client_id) must name the cluster's issuer, and \
         system:serviceaccount:NAMESPACE:NAME as its subject"
    }
}
