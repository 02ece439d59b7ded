//! The confidential client: authorization code flow with PKCE, authenticated by certificate
//! (RFC 6749 §4.1, RFC 7636, RFC 7523 §2.2).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use url::Url;

use super::{IdTokenClaims, Provider, ProviderError, aadsts::EntraError, certificate::CertificateError};
use crate::config::ClientSettings;

/// What may be asked of the sign-in page.
#[derive(Debug, Clone, Default)]
pub struct SignInHints {
    /// `prompt`: `login`, `select_account`, `none` or `consent`.
    pub prompt: Option<String>,
    /// `login_hint`: whom to sign in.
    pub login_hint: Option<String>,
}

/// What must be kept, on the server, between sending the browser away and its coming back.
#[derive(Debug, Clone)]
pub struct PendingSignIn {
    /// `nonce` that the ID token must hold.
    pub nonce: String,
    /// PKCE `code_verifier`.
    pub code_verifier: SecretString,
}

/// Where to send the browser, and what to remember until it comes back.
#[derive(Debug, Clone)]
pub struct AuthorizationRequest {
    /// Address of the authorize endpoint with all its parameters.
    pub url: Url,
    /// `state`: the key under which to remember `pending`. 256 random bits, base64url.
    pub state: String,
    /// What to remember.
    pub pending: PendingSignIn,
}

/// The tokens of a signed-in user.
#[derive(Debug, Clone)]
pub struct TokenSet {
    /// For the API.
    pub access_token: SecretString,
    /// When the access token ends.
    pub expires_at: DateTime<Utc>,
    /// Replaced at each use.
    pub refresh_token: Option<SecretString>,
}

/// A completed sign-in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// Who signed in.
    pub user: IdTokenClaims,
    /// Their tokens.
    pub tokens: TokenSet,
}

/// Why a sign-in or refresh did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// Entra answered with an error.
    #[error("{}", .0.cause())]
    Entra(EntraError),
    /// Discovery or the token endpoint could not be reached in time, or answered nonsense.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The ID token is not valid.
    #[error("the ID token was refused: {0}")]
    IdToken(String),
}

/// The application as Entra knows it: client id, certificate, redirect URI, scopes.
pub struct ConfidentialClient {}

impl ConfidentialClient {
    /// Loads and checks the certificate; no network. `redirect_uri` is `client.redirect_uri` or what it defaults to.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub fn new(provider: Arc<Provider>, settings: &ClientSettings, redirect_uri: Url) -> Result<Self, SignInError> {
        let _ = (provider, settings, redirect_uri);
        unimplemented!()
    }
    /// Starts a sign-in. May block (discovery).
    ///
    /// # Errors
    /// When discovery fails.
    pub fn authorization_request(&self, hints: &SignInHints) -> Result<AuthorizationRequest, SignInError> {
        let _ = hints;
        unimplemented!()
    }
    /// Redeems an authorization code and validates the ID token. Blocks.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn redeem_code(&self, code: &SecretString, pending: &PendingSignIn) -> Result<SignIn, SignInError> {
        let _ = (code, pending);
        unimplemented!()
    }
    /// Trades a refresh token for new tokens. Blocks.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn refresh(&self, refresh_token: &SecretString) -> Result<TokenSet, SignInError> {
        let _ = refresh_token;
        unimplemented!()
    }
    /// Where to send the browser to sign out at the provider too. May block (discovery).
    ///
    /// # Errors
    /// When discovery fails.
    pub fn sign_out_url(&self, post_logout_redirect_uri: &Url, login_hint: Option<&str>) -> Result<Url, SignInError> {
        let _ = (post_logout_redirect_uri, login_hint);
        unimplemented!()
    }
}
