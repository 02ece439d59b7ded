//! The `oauth2` crate with our HTTP agent, endpoints and errors.

use oauth2::{
    AuthType, AuthUrl, ClientId, EmptyExtraTokenFields, EndpointNotSet, EndpointSet, ExtraTokenFields, HttpRequest,
    HttpResponse, RedirectUrl, RequestTokenError, StandardRevocableToken, StandardTokenIntrospectionResponse,
    StandardTokenResponse, TokenUrl,
    basic::{BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenType},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use ureq::Agent;
use url::Url;

use super::SignInError;
use crate::{
    entra::{Metadata, ProviderError, aadsts::EntraError},
    outbound,
};

/// An `oauth2` client with authorize, token and redirect endpoints set.
pub(super) type OAuthClient = oauth2::Client<
    BasicErrorResponse,
    TokenEndpointResponse,
    StandardTokenIntrospectionResponse<EmptyExtraTokenFields, BasicTokenType>,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// A successful response of the token endpoint.
pub(super) type TokenEndpointResponse = StandardTokenResponse<IdTokenField, BasicTokenType>;

/// The member that OpenID Connect adds (Core 1.0 §3.1.3.3). The crate requires `Serialize`; the secret is left out of it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct IdTokenField {
    #[serde(skip_serializing)]
    pub(super) id_token: Option<SecretString>,
}

impl ExtraTokenFields for IdTokenField {}

pub(super) fn client(client_id: &str, redirect_uri: &Url, metadata: &Metadata) -> OAuthClient {
    oauth2::Client::new(ClientId::new(client_id.to_owned()))
        .set_auth_uri(AuthUrl::from_url(metadata.authorization_endpoint.clone()))
        .set_token_uri(TokenUrl::from_url(metadata.token_endpoint.clone()))
        .set_redirect_uri(RedirectUrl::from_url(redirect_uri.clone()))
        // The client id goes into the body; the assertion replaces the secret.
        .set_auth_type(AuthType::RequestBody)
}

/// Why the token endpoint returned no tokens.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    #[error("the token endpoint responded with an error")]
    Entra(EntraError),
    #[error("HTTP status {0}")]
    Status(u16),
    #[error("HTTP status {0} ({1})")]
    Outage(u16, String),
    #[error(transparent)]
    Http(#[from] ureq::Error),
}

/// Sends the `oauth2` crate's requests with `agent`. Error responses are parsed here, since the crate would drop Entra's codes.
pub(super) fn transport(agent: &Agent) -> impl Fn(HttpRequest) -> Result<HttpResponse, TransportError> {
    |request| {
        let mut response = agent.run(request)?;
        let body = outbound::read_body(&mut response)?;
        let (parts, _) = response.into_parts();
        if !parts.status.is_success() {
            let status = parts.status.as_u16();
            return Err(match EntraError::from_token_endpoint(&body) {
                Some(error) if is_outage(status, &error) => TransportError::Outage(status, error.label()),
                Some(error) => TransportError::Entra(error),
                None => TransportError::Status(status),
            });
        }
        Ok(HttpResponse::from_parts(parts, body))
    }
}

/// Whether Entra is unavailable or too busy, so that the error is not about the request.
fn is_outage(status: u16, error: &EntraError) -> bool {
    status == 429 || status >= 500 || matches!(error.error.as_str(), "temporarily_unavailable" | "server_error")
}

/// Converts the crate's error. Its parse error contains the response with its tokens, so its text is dropped.
pub(super) fn sign_in_error(
    error: RequestTokenError<TransportError, BasicErrorResponse>,
    token_endpoint: &Url,
) -> SignInError {
    let reason = match error {
        RequestTokenError::Request(TransportError::Entra(error)) => return SignInError::Entra(error),
        RequestTokenError::Request(error) => error.to_string(),
        RequestTokenError::ServerResponse(_) | RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            "the response is not a token response".to_owned()
        }
    };
    SignInError::Provider(ProviderError::Unreachable {
        url: token_endpoint.clone(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_distinguished_from_an_error_about_the_request() {
        let error = |body: &str| EntraError::from_token_endpoint(body.as_bytes()).unwrap();
        let unavailable = error(r#"{"error":"temporarily_unavailable","error_description":"AADSTS90033: x"}"#);
        let rejected = error(r#"{"error":"invalid_client","error_description":"AADSTS700027: x"}"#);
        for (status, error, expected) in [
            (400, &unavailable, true),
            (503, &rejected, true),
            (429, &rejected, true),
            (401, &rejected, false),
            (400, &rejected, false),
        ] {
            assert_eq!(is_outage(status, error), expected, "{status} {}", error.error);
        }
    }
}
