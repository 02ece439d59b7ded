//! Parses and checks an authorization request, completely before anything acts on it.

use std::sync::Arc;

use crate::idp::{
    error::{self, OAuthError, invalid_request},
    parameters::Parameters,
    registrations::App,
    requested_claims::RequestedClaims,
    scope::Scope,
    state::Idp,
};

/// A valid request.
#[derive(Debug)]
pub struct AuthorizationRequest {
    pub client: Arc<App>,
    pub redirect_target: RedirectTarget,
    pub scope: Scope,
    /// For the ID token.
    pub nonce: Option<String>,
    /// PKCE challenge, method `S256`.
    pub code_challenge: Option<String>,
    pub prompt: Option<Prompt>,
    /// Additional claims of the access token.
    pub claims: RequestedClaims,
    /// The user who is expected to sign in: e-mail address, object id, or the `login_hint` of an ID token.
    pub login_hint: Option<String>,
}

/// A registered redirect URI and the state to return there.
#[derive(Debug, Clone)]
pub struct RedirectTarget {
    pub redirect_uri: String,
    pub state: Option<String>,
}

/// What to ask the user (OpenID Connect Core §3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// Nothing: if a page would be needed, the response is an error.
    None,
    /// To sign in, even if already signed in.
    Login,
    /// To choose an account.
    SelectAccount,
    /// To consent to the permissions.
    Consent,
}

/// An invalid request, and where to report the error.
#[derive(Debug)]
pub enum Rejection {
    /// On the emulator's own page, because the redirect URI is not known to belong to the application.
    ShowPage(OAuthError),
    /// To the application.
    Redirect(RedirectTarget, OAuthError),
}

impl AuthorizationRequest {
    /// Parses and checks a query string.
    ///
    /// # Errors
    /// See [`Rejection`].
    pub fn parse(idp: &Idp, tenant: &str, query: &str) -> Result<Self, Rejection> {
        let here = Rejection::ShowPage;
        idp.authority.check_tenant(tenant).map_err(here)?;
        let parameters = Parameters::parse(query.as_bytes()).map_err(here)?;
        let client_id = parameters.require("client_id").map_err(here)?;
        let client = Arc::clone(
            idp.registrations
                .client(client_id, idp.authority.domain())
                .map_err(here)?,
        );
        let redirect_uri = parameters
            .get("redirect_uri")
            .ok_or_else(|| here(missing_redirect_uri()))?;
        if !client
            .registration
            .redirect_uris
            .iter()
            .any(|registered| registered == redirect_uri)
        {
            return Err(here(redirect_uri_mismatch(redirect_uri, &client)));
        }
        let state = parameters.get("state").map(str::to_owned);
        let redirect_target = RedirectTarget {
            redirect_uri: redirect_uri.to_owned(),
            state,
        };
        match Self::parse_rest(idp, &client, &parameters) {
            Ok(rest) => Ok(rest(client, redirect_target)),
            Err(error) => Err(Rejection::Redirect(redirect_target, error)),
        }
    }

    /// The part of the request whose errors are reported to the application.
    fn parse_rest(
        idp: &Idp,
        client: &App,
        parameters: &Parameters,
    ) -> Result<impl FnOnce(Arc<App>, RedirectTarget) -> Self + use<>, OAuthError> {
        match parameters.require("response_type")? {
            "code" => {}
            other => return Err(unsupported_response_type(other)),
        }
        match parameters.get("response_mode") {
            None | Some("query") => {}
            Some(other) => return Err(unsupported_response_mode(other)),
        }
        let scope = Scope::parse(
            parameters.require("scope")?,
            &idp.registrations,
            client,
            idp.authority.domain(),
        )?;
        let code_challenge = code_challenge(parameters, idp.require_pkce || client.registration.public_client)?;
        let prompt = parameters.get("prompt").map(Prompt::parse).transpose()?;
        let claims = RequestedClaims::parse(parameters)?;
        let nonce = parameters.get("nonce").map(str::to_owned);
        let login_hint = parameters.get("login_hint").map(str::to_owned);
        Ok(move |client, redirect_target| Self {
            client,
            redirect_target,
            scope,
            nonce,
            code_challenge,
            prompt,
            claims,
            login_hint,
        })
    }
}

impl Prompt {
    fn parse(value: &str) -> Result<Self, OAuthError> {
        match value {
            "none" => Ok(Self::None),
            "login" => Ok(Self::Login),
            "select_account" => Ok(Self::SelectAccount),
            "consent" => Ok(Self::Consent),
            other => Err(invalid_request(
                90023,
                format!("Unsupported 'prompt' value: '{other}'."),
            )),
        }
    }
}

/// RFC 7636 §4.3, method `S256` only: `plain` does not protect against an attacker who sees the request.
fn code_challenge(parameters: &Parameters, required: bool) -> Result<Option<String>, OAuthError> {
    let method = parameters.get("code_challenge_method");
    let Some(challenge) = parameters.get("code_challenge") else {
        return match (method, required) {
            (Some(_), _) => Err(error::missing_parameter("code_challenge")),
            (None, true) => Err(invalid_request(
                9_002_325,
                "Proof Key for Code Exchange is required for authorization code redemption.",
            )),
            (None, false) => Ok(None),
        };
    };
    if method != Some("S256") {
        return Err(invalid_request(501_482, "The 'code_challenge_method' must be 'S256'."));
    }
    let is_base64url = challenge
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if challenge.len() != SHA256_BASE64URL_LENGTH || !is_base64url {
        return Err(invalid_request(
            50147,
            "The size of the code challenge parameter is not valid.",
        ));
    }
    Ok(Some(challenge.to_owned()))
}

const SHA256_BASE64URL_LENGTH: usize = 43;

fn missing_redirect_uri() -> OAuthError {
    invalid_request(900_971, "No reply address provided.")
}

fn redirect_uri_mismatch(redirect_uri: &str, client: &App) -> OAuthError {
    invalid_request(
        50011,
        format!(
            "The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs configured for the \
             application '{}'. Make sure the redirect URI sent in the request matches one added to your application.",
            client.client_id()
        ),
    )
}

fn unsupported_response_type(other: &str) -> OAuthError {
    OAuthError::new(
        70005,
        "unsupported_response_type",
        format!(
            "The app requested an unsupported response type '{other}'. The development identity provider knows 'code'."
        ),
    )
}

fn unsupported_response_mode(other: &str) -> OAuthError {
    invalid_request(
        70007,
        format!(
            "'{other}' is not a supported value of 'response_mode' here; the development identity provider knows 'query'."
        ),
    )
}
