//! The confidential client: authorization code flow with PKCE, authenticated by certificate
//! (RFC 6749 §4.1, RFC 7636, RFC 7523 §2.2). Its tokens, codes and assertions never appear in a message or a log.

mod credential_pool;
mod credential_rotation;
mod oauth;

use std::{fmt, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use credential_pool::Outcome;
use credential_rotation::{CredentialFailure, CredentialRotation};
use oauth::{OAuthClient, TokenEndpointResponse};
use oauth2::{AuthorizationCode, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RefreshToken, Scope, TokenResponse};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{
    IdTokenClaims, Metadata, Provider, ProviderError,
    aadsts::{EntraError, ErrorCategory},
    claims_request::{ClaimsChallenge, claims_parameter},
    credential::{AssertionRequest, Credential, CredentialError, CredentialSource},
    id_token::{self, IdTokenError},
};
use crate::{
    audit::AuditLog,
    config::{AssertionForm, ClientSettings, Settings},
    metrics::certificates::{ClientCertificate, CredentialUse},
};

/// RFC 7523 §2.2
const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Assumed lifetime of an access token when the response has no `expires_in`, which is only recommended (RFC 6749 §5.1). Short,
/// so that the token is refreshed before the API rejects it.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// No access token of Entra's lives longer than 28 hours. A longer `expires_in` is wrong and is ignored.
const MAX_LIFETIME: TimeDelta = TimeDelta::days(2);

/// Bytes of `state` and `nonce`.
const RANDOM_BYTES: u32 = 32;

/// Optional parameters of the authorize endpoint.
#[derive(Debug, Clone, Default)]
pub struct SignInHints {
    /// `prompt`: `login`, `select_account`, `none` or `consent`.
    pub prompt: Option<String>,
    /// `login_hint`: the user to sign in.
    pub login_hint: Option<String>,
    /// `domain_hint`: the user's organisation, so that Entra need not ask.
    pub domain_hint: Option<String>,
    /// The claims that an API demands of the token.
    pub challenge: Option<ClaimsChallenge>,
}

/// What the server must store until the browser comes back from the sign-in. `Debug` shows none of it.
#[derive(Clone)]
pub struct PendingSignIn {
    /// The `nonce` that the ID token must contain.
    pub nonce: String,
    /// PKCE `code_verifier`.
    pub code_verifier: SecretString,
}

/// Where to send the browser, and what to store until it comes back. `Debug` shows none of it: an attacker who knows `state`
/// can finish the sign-in in another browser.
#[derive(Clone)]
pub struct AuthorizationRequest {
    /// Address of the authorize endpoint with all its parameters.
    pub url: Url,
    /// `state`: the key under which to store `pending`. 256 random bits, base64url.
    pub state: String,
    /// To be stored.
    pub pending: PendingSignIn,
}

/// The tokens of a signed-in user.
#[derive(Debug, Clone)]
pub struct TokenSet {
    /// Access token for the API.
    pub access_token: SecretString,
    /// When the access token expires.
    pub expires_at: DateTime<Utc>,
    /// Each use returns a new refresh token.
    pub refresh_token: Option<SecretString>,
}

/// A completed sign-in.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The signed-in user.
    pub user: IdTokenClaims,
    /// The user's tokens.
    pub tokens: TokenSet,
}

/// Why a sign-in or refresh failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// Entra responded with an error.
    #[error("{}: {}", .0.label(), .0.cause())]
    Entra(EntraError),
    /// Discovery or the token endpoint did not respond in time, or sent an invalid response.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The application has no usable credential.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The ID token is not valid.
    #[error("the ID token was rejected: {0}")]
    IdToken(#[from] IdTokenError),
}

impl SignInError {
    /// What the operator can do, if that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Credential(error) => Some(error.hint()),
            _ => None,
        }
    }

    /// Message and hint in one line, for the log.
    pub fn with_hint(&self) -> String {
        self.hint()
            .map_or_else(|| self.to_string(), |hint| format!("{self}; hint: {hint}"))
    }
}

/// The application as Entra knows it: client id, credential, redirect URI, scopes.
pub struct ConfidentialClient {
    provider: Arc<Provider>,
    /// Changes while the site runs: certificates are renewed more often than sites are restarted.
    credentials: CredentialRotation,
    client_id: String,
    redirect_uri: Url,
    api_scope: String,
    form: AssertionForm,
    send_x5c: bool,
}

impl ConfidentialClient {
    /// Starts with the first usable credential. Reads files and asks Azure, but sends nothing to Entra. `redirect_uri` is
    /// `client.redirect_uri` or its default.
    ///
    /// # Errors
    /// When no credential is usable.
    pub fn new(provider: Arc<Provider>, settings: &Settings, redirect_uri: Url) -> Result<Self, SignInError> {
        let sources = CredentialSource::from_settings(settings).map_err(ProviderError::from)?;
        Ok(Self::with_rotation(
            provider,
            CredentialRotation::load(sources)?,
            &settings.client,
            redirect_uri,
        ))
    }

    /// The application with this credential alone. No I/O.
    pub fn with_credential(
        provider: Arc<Provider>,
        settings: &ClientSettings,
        redirect_uri: Url,
        credential: Arc<Credential>,
    ) -> Self {
        Self::with_rotation(provider, CredentialRotation::fixed(credential), settings, redirect_uri)
    }

    fn with_rotation(
        provider: Arc<Provider>,
        credentials: CredentialRotation,
        settings: &ClientSettings,
        redirect_uri: Url,
    ) -> Self {
        Self {
            provider,
            credentials,
            client_id: settings.client_id.clone(),
            redirect_uri,
            api_scope: settings.api_scope.clone(),
            form: settings.assertion,
            send_x5c: settings.send_x5c,
        }
    }

    /// Records changes of the credential in an audit trail.
    #[must_use]
    pub fn with_audit(mut self, audit: AuditLog) -> Self {
        self.credentials.set_audit(audit);
        self
    }

    /// Records the credential in use: when the site starts.
    pub fn record_credential_in_use(&self) {
        self.credentials.record_in_use();
    }

    /// Records that the new content of the credential's source cannot be used.
    pub fn record_unusable(&self, error: &CredentialError) {
        self.credentials.record_unusable(error);
    }

    /// The credential in use.
    pub fn credential(&self) -> Arc<Credential> {
        self.credentials.in_use()
    }

    /// The kind of each entry of `client.credential`, and why its current content is unusable, such as `expired` or `key_mismatch`.
    /// Entries after the one in use are not read before they are needed.
    pub fn unusable_entries(&self) -> Vec<(&str, Option<&'static str>)> {
        self.credentials.unusable()
    }

    /// The certificates that this process knows, for the metrics.
    pub fn certificates(&self) -> Vec<ClientCertificate> {
        self.credentials.certificates()
    }

    /// Starts a sign-in. May block (discovery).
    ///
    /// # Errors
    /// When discovery fails.
    pub fn authorization_request(&self, hints: &SignInHints) -> Result<AuthorizationRequest, SignInError> {
        let metadata = self.provider.metadata()?;
        let client = self.oauth_client(&metadata);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random_len(RANDOM_BYTES).into_secret();
        let mut request = client
            .authorize_url(|| CsrfToken::new_random_len(RANDOM_BYTES))
            .add_scopes(self.scopes().map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .add_extra_param("nonce", nonce.as_str())
            // Never form_post: a cross-site POST has no session cookie, which is SameSite=Lax.
            .add_extra_param("response_mode", "query")
            .add_extra_param("claims", claims_parameter(hints.challenge.as_ref()));
        if let Some(prompt) = &hints.prompt {
            request = request.add_extra_param("prompt", prompt.as_str());
        }
        if let Some(login_hint) = &hints.login_hint {
            request = request.add_extra_param("login_hint", login_hint.as_str());
        }
        if let Some(domain_hint) = &hints.domain_hint {
            request = request.add_extra_param("domain_hint", domain_hint.as_str());
        }
        let (url, state) = request.url();
        let pending = PendingSignIn {
            nonce,
            code_verifier: SecretString::from(verifier.into_secret()),
        };
        Ok(AuthorizationRequest {
            url,
            state: state.into_secret(),
            pending,
        })
    }

    /// Redeems an authorization code and validates the ID token. Blocks.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn redeem_code(&self, code: &SecretString, pending: &PendingSignIn) -> Result<SignIn, SignInError> {
        let scopes = self.scopes().collect::<Vec<_>>().join(" ");
        let response = self.send_authenticated(|metadata, assertion| {
            self.oauth_client(metadata)
                .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
                .set_pkce_verifier(PkceCodeVerifier::new(pending.code_verifier.expose_secret().to_owned()))
                .add_extra_param("scope", scopes.as_str())
                .add_extra_param("client_assertion_type", CLIENT_ASSERTION_TYPE)
                .add_extra_param("client_assertion", assertion.expose_secret())
                .request(&oauth::transport(self.provider.agent()))
                .map_err(|error| oauth::sign_in_error(error, &metadata.token_endpoint))
        })?;
        let id_token = response.extra_fields().id_token.as_ref().ok_or(IdTokenError::Absent)?;
        let user = id_token::validate(
            &self.provider,
            id_token.expose_secret(),
            &self.client_id,
            &pending.nonce,
        )?;
        Ok(SignIn {
            user,
            tokens: self.token_set(&response, None),
        })
    }

    /// Exchanges a refresh token for new tokens. Blocks.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn refresh(&self, refresh_token: &SecretString) -> Result<TokenSet, SignInError> {
        let response = self.send_authenticated(|metadata, assertion| {
            self.oauth_client(metadata)
                .exchange_refresh_token(&RefreshToken::new(refresh_token.expose_secret().to_owned()))
                .add_scopes(self.scopes().map(|scope| Scope::new(scope.to_owned())))
                // Without it, the new token would not declare that the client handles challenges.
                .add_extra_param("claims", claims_parameter(None))
                .add_extra_param("client_assertion_type", CLIENT_ASSERTION_TYPE)
                .add_extra_param("client_assertion", assertion.expose_secret())
                .request(&oauth::transport(self.provider.agent()))
                .map_err(|error| oauth::sign_in_error(error, &metadata.token_endpoint))
        })?;
        Ok(self.token_set(&response, Some(refresh_token)))
    }

    /// Checks that Entra accepts the credential: requests an app-only token for the API and drops it unread. Blocks. This is the
    /// grant for which Entra always checks the certificate.
    ///
    /// # Errors
    /// See [`SignInError`]. The category of an [`EntraError`] says whether Entra rejected the certificate.
    pub fn verify_credential(&self) -> Result<(), SignInError> {
        let metadata = self.provider.metadata()?;
        let assertion = self.assertion(&metadata, &self.credential())?;
        let resource = self.api_resource();
        self.oauth_client(&metadata)
            .exchange_client_credentials()
            .add_scope(Scope::new(format!("{resource}/.default")))
            .add_extra_param("client_assertion_type", CLIENT_ASSERTION_TYPE)
            .add_extra_param("client_assertion", assertion.expose_secret())
            .request(&oauth::transport(self.provider.agent()))
            .map_err(|error| oauth::sign_in_error(error, &metadata.token_endpoint))?;
        Ok(())
    }

    /// Where to send the browser to sign out at the provider as well. May block (discovery).
    ///
    /// # Errors
    /// When discovery fails.
    pub fn sign_out_url(&self, post_logout_redirect_uri: &Url, login_hint: Option<&str>) -> Result<Url, SignInError> {
        let mut url = self.provider.metadata()?.end_session_endpoint.clone();
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("client_id", &self.client_id);
            query.append_pair("post_logout_redirect_uri", post_logout_redirect_uri.as_str());
            if let Some(login_hint) = login_hint {
                // The `login_hint` claim of the ID token, not a user name: it lets Entra end the right session without a question.
                query.append_pair("logout_hint", login_hint);
            }
        }
        Ok(url)
    }

    /// Where an administrator grants the application's permissions for all users (Microsoft Learn "Admin consent URI"). The browser
    /// comes back to the redirect URI with `admin_consent=True`.
    pub fn admin_consent_url(&self) -> Url {
        let mut url = self.provider.authority().admin_consent_url();
        let resource = self.api_resource();
        url.query_pairs_mut()
            .append_pair("client_id", &self.client_id)
            .append_pair("scope", &format!("{resource}/.default"))
            .append_pair("redirect_uri", self.redirect_uri.as_str());
        url
    }

    /// The API's App ID URI: the scope without its last path segment.
    fn api_resource(&self) -> &str {
        self.api_scope
            .rsplit_once('/')
            .map_or(self.api_scope.as_str(), |(resource, _)| resource)
    }

    fn oauth_client(&self, metadata: &Metadata) -> OAuthClient {
        oauth::client(&self.client_id, &self.redirect_uri, metadata)
    }

    /// Sends a request with a client assertion. Sends it once more with another credential, if one may work and Entra's error is
    /// one of the six about the certificate, or the first credential gave no assertion. Never after another error, and never a
    /// third time (AzureAD/microsoft-identity-web#3652 loops on every `invalid_client`).
    fn send_authenticated<T>(
        &self,
        request: impl Fn(&Metadata, &SecretString) -> Result<T, SignInError>,
    ) -> Result<T, SignInError> {
        let metadata = self.provider.metadata()?;
        let used = self.credential();
        let assertion = self.assertion(&metadata, &used);
        let outcome = match &assertion {
            Ok(assertion) => request(&metadata, assertion),
            Err(error) => Err(error.clone().into()),
        };
        self.credentials.count_use(&used, use_of(&outcome));
        let failure = match (&outcome, &assertion) {
            (Err(SignInError::Entra(error)), Ok(assertion)) if error.category() == ErrorCategory::Certificate => {
                CredentialFailure::Rejected { error, assertion }
            }
            (_, Err(error)) => CredentialFailure::Unusable(error),
            _ => {
                if credential_outcome(&outcome) == Outcome::Accepted {
                    self.credentials.record_accepted(&used);
                }
                return outcome;
            }
        };
        let Some(other) = self.credentials.fallback_for(&used, &failure, self.now()) else {
            return outcome;
        };
        let second = match self.assertion(&metadata, &other.credential) {
            Ok(assertion) => request(&metadata, &assertion),
            Err(error) => {
                log::warn!(
                    "{} could not be used either: {}",
                    other.credential.name(),
                    error.with_hint()
                );
                self.credentials.count_use(&other.credential, CredentialUse::Unusable);
                self.credentials.record_outcome(&other, Outcome::Unknown);
                // The first error is the one that the operator must resolve.
                return outcome;
            }
        };
        self.credentials.count_use(&other.credential, use_of(&second));
        self.credentials.record_outcome(&other, credential_outcome(&second));
        second
    }

    /// The time on the client's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.provider.clock().now()
    }

    /// Reads the source of the credential again, and the entries before it. A new usable credential is taken into use; otherwise the
    /// current one stays. `true` when a new one is in use. Reads files; asks a vault once in `azure.vault_check_minutes`.
    ///
    /// # Errors
    /// Why the new content cannot be used.
    pub fn reload_credential(&self) -> Result<bool, CredentialError> {
        self.credentials.reload(self.provider.clock().now())
    }

    fn assertion(&self, metadata: &Metadata, credential: &Credential) -> Result<SecretString, CredentialError> {
        let request = AssertionRequest {
            form: self.form,
            send_x5c: self.send_x5c,
            client_id: &self.client_id,
            audience: &metadata.token_endpoint,
        };
        let assertion = credential.assertion(&request, self.provider.clock().now());
        self.credentials.count_assertion(credential, assertion.is_ok());
        assertion
    }

    /// `offline_access` asks for the refresh token, `openid` for the ID token. The API's scope determines the audience of the
    /// access token.
    fn scopes(&self) -> impl Iterator<Item = &str> {
        ["openid", "profile", "offline_access"]
            .into_iter()
            .chain(self.api_scope.split_whitespace())
    }

    /// `previous` is the used refresh token: it stays valid when the response has no new one (RFC 6749 §6).
    fn token_set(&self, response: &TokenEndpointResponse, previous: Option<&SecretString>) -> TokenSet {
        let lifetime = response
            .expires_in()
            .and_then(|lifetime| TimeDelta::from_std(lifetime).ok())
            .filter(|lifetime| *lifetime <= MAX_LIFETIME)
            .unwrap_or(DEFAULT_LIFETIME);
        TokenSet {
            access_token: SecretString::from(response.access_token().secret().to_owned()),
            expires_at: self.provider.clock().now() + lifetime,
            refresh_token: response
                .refresh_token()
                .map(|token| SecretString::from(token.secret().to_owned()))
                .or_else(|| previous.cloned()),
        }
    }
}

impl fmt::Debug for PendingSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingSignIn").finish_non_exhaustive()
    }
}

impl fmt::Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRequest").finish_non_exhaustive()
    }
}

/// The outcome of a request, for the metrics.
fn use_of<T>(outcome: &Result<T, SignInError>) -> CredentialUse {
    match (outcome, credential_outcome(outcome)) {
        (Err(SignInError::Credential(_)), _) => CredentialUse::Unusable,
        (_, Outcome::Accepted) => CredentialUse::Accepted,
        (_, Outcome::Rejected) => CredentialUse::Rejected,
        (_, Outcome::Unknown) => CredentialUse::Unknown,
    }
}

/// Whether Entra accepted the credential. It did when it returned tokens, and when its error is about a later check.
fn credential_outcome<T>(outcome: &Result<T, SignInError>) -> Outcome {
    let Err(error) = outcome else { return Outcome::Accepted };
    let SignInError::Entra(error) = error else {
        return Outcome::Unknown;
    };
    match error.category() {
        ErrorCategory::SignInAgain | ErrorCategory::Consent => Outcome::Accepted,
        ErrorCategory::Certificate => Outcome::Rejected,
        ErrorCategory::Configuration | ErrorCategory::Other => Outcome::Unknown,
    }
}
