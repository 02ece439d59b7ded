//! Tokens of the identity that Azure gives a virtual machine, an App Service or a Container App. The endpoint is on the
//! machine itself; nothing is secret but the token.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use ureq::Agent;
use url::Url;

use super::{AzureError, Patience};
use crate::azure::{
    retry::{Answer, Service, is_busy},
    token_cache::Token,
};

/// On a virtual machine: the instance metadata service, at a link-local address.
const IMDS_VERSION: &str = "2018-02-01";
/// On App Service and Container Apps: what `IDENTITY_ENDPOINT` names.
const APP_SERVICE_VERSION: &str = "2019-08-01";

/// Where the tokens come from.
#[derive(Debug, Clone)]
pub(super) enum Endpoint {
    /// `{base}/metadata/identity/oauth2/token`
    Imds(Url),
    /// `IDENTITY_ENDPOINT`, and `IDENTITY_HEADER`, which proves that the caller is inside.
    AppService(Url, SecretString),
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    /// Seconds since 1970; IMDS and App Service write the number as text.
    expires_on: Value,
}

/// A token for `resource` (an App ID URI, without `/.default`) of the identity with `client_id`, or of the only one there is.
pub(super) fn token(
    agent: &Agent,
    endpoint: &Endpoint,
    resource: &str,
    client_id: Option<&str>,
    patience: Patience,
) -> Result<Token, AzureError> {
    let service = service(endpoint);
    let answer = service.ask(agent, patience, |limit| {
        request(agent, endpoint, resource, client_id, limit)
    })?;
    if !answer.is_success() {
        return Err(service.refused(&answer, hint(endpoint, &answer, client_id)));
    }
    let TokenAnswer {
        access_token,
        expires_on,
    } = answer
        .json()
        .ok_or_else(|| service.malformed("it is not a token answer"))?;
    let expires_on = match &expires_on {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    };
    let expires_on = expires_on.ok_or_else(|| service.malformed("expires_on is not a time"))?;
    Token::until(access_token, expires_on).ok_or_else(|| service.malformed("the token has expired already"))
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
            hint: "a managed identity is there on Azure only; on a laptop set azure.identity = \"cli\"",
            // 404 and 410 are what it says while it starts or is updated.
            passes: |status| matches!(status, 404 | 410) || is_busy(status),
            // Beyond Azure nobody is there: asking again would only make the start slow.
            reconnects: false,
            // Its documentation asks for a second at least, and says that an update (410) takes up to 70.
            first_pause: Duration::from_secs(1),
            longest: Duration::from_secs(80),
        },
        Endpoint::AppService(..) => Service {
            name: "the managed identity endpoint of App Service (IDENTITY_ENDPOINT)",
            hint: "see whether the app has a managed identity, and restart it after one was added",
            passes: is_busy,
            reconnects: true,
            first_pause: Duration::from_millis(250),
            longest: Duration::from_secs(20),
        },
    }
}

/// By what Microsoft Learn says of each error of the two endpoints.
fn hint(endpoint: &Endpoint, answer: &Answer, client_id: Option<&str>) -> String {
    match (answer.status, endpoint, client_id) {
        (400, ..) if answer.says("invalid_resource") => {
            "nobody gives tokens for this resource here: see vault_url, and whether entra.cloud is the machine's own cloud"
                .to_owned()
        }
        (400, _, Some(id)) => {
            format!("assign the user-assigned identity with client id {id} to this machine or app, or correct the id")
        }
        (400, _, None) => {
            "enable the system-assigned identity, or name a user-assigned one with azure.client_id".to_owned()
        }
        (401 | 403, Endpoint::AppService(..), _) => {
            "IDENTITY_HEADER is not the one of this container: let the platform set it".to_owned()
        }
        (401 | 403, Endpoint::Imds(_), _) => {
            "see azure.imds_url, and that no proxy or firewall answers in place of the metadata service".to_owned()
        }
        (408 | 410 | 429 | 500.., ..) => "it is busy or being updated: try again in a minute or two".to_owned(),
        _ => "see whether the machine or app has a managed identity; it can take minutes to work after it was added"
            .to_owned(),
    }
}
