//! An authorization request, checked. What it asks for is never acted on before all of it holds.

use std::sync::Arc;

use crate::idp::{
    error::{self, Refusal, invalid_request},
    parameters::Parameters,
    registrations::App,
    requested_claims::RequestedClaims,
    scope::Scope,
    state::Idp,
};

/// A request that holds.
#[derive(Debug)]
pub struct AuthorizationRequest {
    /// The application that asks.
    pub client: Arc<App>,
    /// Where the answer goes.
    pub return_address: ReturnAddress,
    /// What it asks for.
    pub scope: Scope,
    /// For the ID token.
    pub nonce: Option<String>,
    /// `S256` challenge.
    pub code_challenge: Option<String>,
    /// What the user is to be asked.
    pub prompt: Option<Prompt>,
    /// What the access token is to say besides.
    pub claims: RequestedClaims,
    /// Who is expected to sign in: e-mail address, object id, or the ID token's `login_hint`.
    pub login_hint: Option<String>,
}

/// A registered redirect URI and the state to give back there.
#[derive(Debug, Clone)]
pub struct ReturnAddress {
    /// Exactly as registered.
    pub redirect_uri: String,
    /// `state`, as it came.
    pub state: Option<String>,
}

/// What the user is to be asked (OpenID Connect Core §3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// Nothing: an error is the answer when a page would be needed.
    None,
    /// To sign in, signed in or not.
    Login,
    /// Which account.
    SelectAccount,
    /// Whether the application may have what it asks for.
    Consent,
}

/// A request that does not hold, and where that is said.
#[derive(Debug)]
pub enum Rejected {
    /// On the provider's own page: nothing may be sent to a redirect URI that is not known to be the application's.
    Here(Refusal),
    /// To the application.
    ToClient(ReturnAddress, Refusal),
}

impl AuthorizationRequest {
    /// Reads and checks a query string.
    ///
    /// # Errors
    /// See [`Rejected`].
    pub fn read(idp: &Idp, tenant: &str, query: &str) -> Result<Self, Rejected> {
        let here = Rejected::Here;
        idp.authority.check_tenant(tenant).map_err(here)?;
        let parameters = Parameters::parse(query.as_bytes()).map_err(here)?;
        let client_id = parameters.require("client_id").map_err(here)?;
        let client = Arc::clone(
            idp.registrations
                .client(client_id, idp.authority.domain())
                .map_err(here)?,
        );
        let redirect_uri = parameters.get("redirect_uri").ok_or_else(|| here(no_reply_address()))?;
        if !client
            .registration
            .redirect_uris
            .iter()
            .any(|registered| registered == redirect_uri)
        {
            return Err(here(not_registered(redirect_uri, &client)));
        }
        let state = parameters.get("state").map(str::to_owned);
        let return_address = ReturnAddress {
            redirect_uri: redirect_uri.to_owned(),
            state,
        };
        match Self::read_rest(idp, &client, &parameters) {
            Ok(rest) => Ok(rest(client, return_address)),
            Err(refusal) => Err(Rejected::ToClient(return_address, refusal)),
        }
    }

    /// What can be refused by redirect.
    fn read_rest(
        idp: &Idp,
        client: &App,
        parameters: &Parameters,
    ) -> Result<impl FnOnce(Arc<App>, ReturnAddress) -> Self + use<>, Refusal> {
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
        let prompt = parameters.get("prompt").map(Prompt::read).transpose()?;
        let claims = RequestedClaims::read(parameters)?;
        let nonce = parameters.get("nonce").map(str::to_owned);
        let login_hint = parameters.get("login_hint").map(str::to_owned);
        Ok(move |client, return_address| Self {
            client,
            return_address,
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
    fn read(value: &str) -> Result<Self, Refusal> {
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

/// RFC 7636 §4.3, method `S256` only: `plain` protects nothing when the request is seen.
fn code_challenge(parameters: &Parameters, required: bool) -> Result<Option<String>, Refusal> {
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

fn no_reply_address() -> Refusal {
    invalid_request(900_971, "No reply address provided.")
}

fn not_registered(redirect_uri: &str, client: &App) -> Refusal {
    invalid_request(
        50011,
        format!(
            "The redirect URI '{redirect_uri}' specified in the request does not match the redirect URIs configured for the \
             application '{}'. Make sure the redirect URI sent in the request matches one added to your application.",
            client.client_id()
        ),
    )
}

fn unsupported_response_type(other: &str) -> Refusal {
    Refusal::new(
        70005,
        "unsupported_response_type",
        format!(
            "The app requested an unsupported response type '{other}'. The development identity provider knows 'code'."
        ),
    )
}

fn unsupported_response_mode(other: &str) -> Refusal {
    invalid_request(
        70007,
        format!(
            "'{other}' is not a supported value of 'response_mode' here; the development identity provider knows 'query'."
        ),
    )
}
