//! Tokens of the managed identity of a virtual machine, an App Service or a Container App. The endpoint is on the machine
//! itself; only the token is secret.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;
use url::Url;

use super::{AzureError, RetryBudget};
use crate::{
    azure::retry::{Service, ServiceResponse, is_transient_status},
    token_cache::Token,
};

/// Version of the instance metadata service of virtual machines, which has a link-local address.
const IMDS_VERSION: &str = "2018-02-01";
/// Version of the endpoint of App Service and Container Apps (`IDENTITY_ENDPOINT`).
const APP_SERVICE_VERSION: &str = "2019-08-01";

/// The endpoint that issues the tokens.
#[derive(Debug, Clone)]
pub(super) enum Endpoint {
    /// `{base}/metadata/identity/oauth2/token`
    Imds(Url),
    /// `IDENTITY_ENDPOINT`, and `IDENTITY_HEADER`, which proves that the caller runs in the app.
    AppService(Url, SecretString),
}

#[derive(Deserialize)]
struct TokenResponse {
    access_token: SecretString,
    /// Seconds since 1970. IMDS and App Service send the number as a string.
    expires_on: Value,
}

/// A token for `resource` (an App ID URI without `/.default`) of the identity with `client_id`, or of the only identity.
pub(super) fn token(
    agent: &Agent,
    endpoint: &Endpoint,
    resource: &str,
    client_id: Option<&str>,
    budget: RetryBudget,
) -> Result<Token, AzureError> {
    let service = service(endpoint);
    let response = service.send(agent, budget, |limit| {
        request(agent, endpoint, resource, client_id, limit)
    })?;
    if !response.is_success() {
        return Err(service.error_status(&response, hint(endpoint, &response, client_id)));
    }
    let TokenResponse {
        access_token,
        expires_on,
    } = response
        .json()
        .ok_or_else(|| service.malformed("it is not a token response"))?;
    let expires_on = match &expires_on {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    let expires_on = expires_on.ok_or_else(|| service.malformed("expires_on is not a time"))?;
    Token::new(access_token, expires_on).ok_or_else(|| service.malformed("the token has expired already"))
}

fn request(
    agent: &Agent,
    endpoint: &Endpoint,
    resource: &str,
    client_id: Option<&str>,
    limit: Duration,
) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    let (request, version) = match endpoint {
        Endpoint::Imds(base) => {
            let base = base.as_str().trim_end_matches('/');
            let request = agent
                .get(format!("{base}/metadata/identity/oauth2/token"))
                .header("Metadata", "true");
            (request, IMDS_VERSION)
        }
        Endpoint::AppService(url, header) => (
            agent
                .get(url.as_str())
                .header("X-IDENTITY-HEADER", header.expose_secret()),
            APP_SERVICE_VERSION,
        ),
    };
    let request = request.query("api-version", version).query("resource", resource);
    match client_id {
        Some(id) => request.query("client_id", id),
        None => request,
    }
    .config()
    .timeout_global(Some(limit))
    .build()
    .call()
}

fn service(endpoint: &Endpoint) -> Service<'static> {
    match endpoint {
        Endpoint::Imds(_) => Service {
            name: "the managed identity endpoint of virtual machines (IMDS)",
            hint: "managed identities exist on Azure only; on a laptop set azure.identity = \"cli\"",
            // IMDS answers 404 and 410 while it starts or is updated.
            is_transient: |status| matches!(status, 404 | 410) || is_transient_status(status),
            // Outside Azure there is no endpoint: a retry would only make the start slow.
            retries_connections: false,
            // Its documentation asks for at least one second, and says that an update (410) takes up to 70.
            initial_delay: Duration::from_secs(1),
            timeout: Duration::from_secs(80),
        },
        Endpoint::AppService(..) => Service {
            name: "the managed identity endpoint of App Service (IDENTITY_ENDPOINT)",
            hint: "check that the app has a managed identity, and restart the app after you add one",
            is_transient: is_transient_status,
            retries_connections: true,
            initial_delay: Duration::from_millis(250),
            timeout: Duration::from_secs(20),
        },
    }
}

/// Follows Microsoft Learn on the errors of the two endpoints.
fn hint(endpoint: &Endpoint, response: &ServiceResponse, client_id: Option<&str>) -> String {
    match (response.status, endpoint, client_id) {
        (400, ..) if response.has_code("invalid_resource") => {
            "this endpoint issues no tokens for this resource: check vault_url, and that entra.cloud is the machine's cloud"
                .to_owned()
        }
        (400, _, Some(id)) => {
            format!("assign the user-assigned identity with client id {id} to this machine or app, or correct the id")
        }
        (400, _, None) => {
            "enable the system-assigned identity, or name a user-assigned one with azure.client_id".to_owned()
        }
        (401 | 403, Endpoint::AppService(..), _) => {
            "IDENTITY_HEADER is not that of this container: let the platform set it".to_owned()
        }
        (401 | 403, Endpoint::Imds(_), _) => {
            "check azure.imds_url, and that no proxy or firewall answers instead of the metadata service".to_owned()
        }
        (408 | 410 | 429 | 500.., ..) => "the service is busy or being updated: try again in a minute or two".to_owned(),
        _ => "check that the machine or app has a managed identity; a new one can take minutes to work"
            .to_owned(),
    }
}
