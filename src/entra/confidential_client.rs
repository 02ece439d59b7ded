//! The confidential client: authorization code flow with PKCE, authenticated by certificate
//! (RFC 6749 §4.1, RFC 7636, RFC 7523 §2.2). What it sends and keeps never appears in a message or a log.

mod credential_rotation;
mod oauth;

use std::{fmt, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use credential_rotation::{Credentials, Trouble, Verdict};
use oauth::{OAuthClient, TokenAnswer};
use oauth2::{AuthorizationCode, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, RefreshToken, Scope, TokenResponse};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{
    IdTokenClaims, Metadata, Provider, ProviderError,
    aadsts::{EntraError, Remedy},
    claims_request::{ClaimsChallenge, claims_parameter},
    credential::{AssertionRequest, Credential, CredentialError, CredentialSource},
    id_token::{self, IdTokenError},
};
use crate::config::{AssertionForm, ClientSettings, Settings};

/// RFC 7523 §2.2
const CLIENT_ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Taken for an access token whose answer does not say how long it lives (`expires_in` is only recommended,
/// RFC 6749 §5.1): short, so that it is refreshed rather than refused.
const UNKNOWN_LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// No access token of Entra's lives longer than 28 hours; an answer that says so is wrong.
const LONGEST_LIFETIME: TimeDelta = TimeDelta::days(2);

/// Bytes of `state` and `nonce`.
const RANDOM_BYTES: u32 = 32;

/// What may be asked of the sign-in page.
#[derive(Debug, Clone, Default)]
pub struct SignInHints {
    /// `prompt`: `login`, `select_account`, `none` or `consent`.
    pub prompt: Option<String>,
    /// `login_hint`: whom to sign in.
    pub login_hint: Option<String>,
    /// `domain_hint`: of which organisation, so that Entra need not ask.
    pub domain_hint: Option<String>,
    /// What an API has demanded of the token.
    pub challenge: Option<ClaimsChallenge>,
}

/// What must be kept, on the server, between sending the browser away and its coming back. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct PendingSignIn {
    /// `nonce` that the ID token must hold.
    pub nonce: String,
    /// PKCE `code_verifier`.
    pub code_verifier: SecretString,
}

/// Where to send the browser, and what to remember until it comes back. `Debug` shows nothing of it: who knows `state`
/// can finish the sign-in in another browser.
#[derive(Clone)]
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
    #[error("{}: {}", .0.label(), .0.cause())]
    Entra(EntraError),
    /// Discovery or the token endpoint could not be reached in time, or answered nonsense.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// There is nothing to prove oneself with.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The ID token is not valid.
    #[error("the ID token was refused: {0}")]
    IdToken(#[from] IdTokenError),
}

impl SignInError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Credential(error) => Some(error.hint()),
            _ => None,
        }
    }

    /// With what to do about it, in one line, for the log.
    pub fn with_hint(&self) -> String {
        self.hint()
            .map_or_else(|| self.to_string(), |hint| format!("{self}; hint: {hint}"))
    }
}

/// The application as Entra knows it: client id, credential, redirect URI, scopes.
pub struct ConfidentialClient {
    provider: Arc<Provider>,
    /// Certificates are renewed more often than sites are restarted.
    credentials: Credentials,
    client_id: String,
    redirect_uri: Url,
    api_scope: String,
    form: AssertionForm,
    send_x5c: bool,
}

impl ConfidentialClient {
    /// Takes the first credential that can be used: reads files, and asks Azure for what is there; Entra itself is not
    /// asked. `redirect_uri` is `client.redirect_uri` or what it defaults to.
    ///
    /// # Errors
    /// When no credential can be used.
    pub fn new(provider: Arc<Provider>, settings: &Settings, redirect_uri: Url) -> Result<Self, SignInError> {
        let sources = CredentialSource::all(settings).map_err(ProviderError::from)?;
        Ok(Self::of(
            provider,
            Credentials::load(sources)?,
            &settings.client,
            redirect_uri,
        ))
    }

    /// The application with this credential alone. Asks nobody.
    pub fn with_credential(
        provider: Arc<Provider>,
        settings: &ClientSettings,
        redirect_uri: Url,
        credential: Arc<Credential>,
    ) -> Self {
        Self::of(provider, Credentials::only(credential), settings, redirect_uri)
    }

    fn of(provider: Arc<Provider>, credentials: Credentials, settings: &ClientSettings, redirect_uri: Url) -> Self {
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

    /// What the application proves itself with.
    pub fn credential(&self) -> Arc<Credential> {
        self.credentials.in_use()
    }

    /// For each entry of the list its kind, and why what it holds now cannot be used, if so: `expired`, `key_mismatch` and so
    /// on. Entries after the one in use are not looked at before they are wanted.
    pub fn unusable_entries(&self) -> Vec<(&str, Option<&'static str>)> {
        self.credentials.unusable()
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
            // Never form_post: a cross-site POST comes without the session cookie, which is SameSite=Lax.
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
        let answer = self.authenticated(|metadata, assertion| {
            self.oauth_client(metadata)
                .exchange_code(AuthorizationCode::new(code.expose_secret().to_owned()))
                .set_pkce_verifier(PkceCodeVerifier::new(pending.code_verifier.expose_secret().to_owned()))
                .add_extra_param("scope", scopes.as_str())
                .add_extra_param("client_assertion_type", CLIENT_ASSERTION_TYPE)
                .add_extra_param("client_assertion", assertion.expose_secret())
                .request(&oauth::transport(self.provider.agent()))
                .map_err(|error| oauth::sign_in_error(error, &metadata.token_endpoint))
        })?;
        let id_token = answer.extra_fields().id_token.as_ref().ok_or(IdTokenError::Absent)?;
        let user = id_token::validate(
            &self.provider,
            id_token.expose_secret(),
            &self.client_id,
            &pending.nonce,
        )?;
        Ok(SignIn {
            user,
            tokens: self.token_set(&answer, None),
        })
    }

    /// Trades a refresh token for new tokens. Blocks.
    ///
    /// # Errors
    /// See [`SignInError`].
    pub fn refresh(&self, refresh_token: &SecretString) -> Result<TokenSet, SignInError> {
        let answer = self.authenticated(|metadata, assertion| {
            self.oauth_client(metadata)
                .exchange_refresh_token(&RefreshToken::new(refresh_token.expose_secret().to_owned()))
                .add_scopes(self.scopes().map(|scope| Scope::new(scope.to_owned())))
                // Else the new token would no longer say that challenges are handled.
                .add_extra_param("claims", claims_parameter(None))
                .add_extra_param("client_assertion_type", CLIENT_ASSERTION_TYPE)
                .add_extra_param("client_assertion", assertion.expose_secret())
                .request(&oauth::transport(self.provider.agent()))
                .map_err(|error| oauth::sign_in_error(error, &metadata.token_endpoint))
        })?;
        Ok(self.token_set(&answer, Some(refresh_token)))
    }

    /// Proves who the application is, without any user: asks for a token of its own for the API, and throws it away
    /// unread. Blocks. Of all grants this is the one for which Entra must look at the certificate.
    ///
    /// # Errors
    /// See [`SignInError`]; an [`EntraError`] tells by its code whether the certificate was what it refused.
    pub fn prove(&self) -> Result<(), SignInError> {
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

    /// Where to send the browser to sign out at the provider too. May block (discovery).
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
                // The `login_hint` claim of the ID token, not a user name: it is what ends the right session unasked.
                query.append_pair("logout_hint", login_hint);
            }
        }
        Ok(url)
    }

    /// Where an administrator consents to what the application asks for, on behalf of everybody (Microsoft Learn "Admin consent
    /// URI"). Comes back to the redirect URI with `admin_consent=True`.
    pub fn admin_consent_url(&self) -> Url {
        let mut url = self.provider.authority().admin_consent_url();
        let resource = self.api_resource();
        url.query_pairs_mut()
            .append_pair("client_id", &self.client_id)
            .append_pair("scope", &format!("{resource}/.default"))
            .append_pair("redirect_uri", self.redirect_uri.as_str());
        url
    }

    /// The API's App ID URI: its scope without the last part.
    fn api_resource(&self) -> &str {
        self.api_scope
            .rsplit_once('/')
            .map_or(self.api_scope.as_str(), |(resource, _)| resource)
    }

    fn oauth_client(&self, metadata: &Metadata) -> OAuthClient {
        oauth::client(&self.client_id, &self.redirect_uri, metadata)
    }

    /// Sends a request with a client assertion; once more, with another credential, if there is one that may do better
    /// and Entra's answer is one of the six that mean the certificate. Never on any other, never a third time
    /// (AzureAD/microsoft-identity-web#3652 loops on every `invalid_client`).
    fn authenticated<T>(
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
        let trouble = match (&outcome, &assertion) {
            (Err(SignInError::Entra(answer)), Ok(assertion)) if answer.remedy() == Remedy::Certificate => {
                Trouble::Refused { answer, assertion }
            }
            (_, Err(error)) => Trouble::Unusable(error),
            _ => {
                if verdict(&outcome) == Verdict::Accepted {
                    self.credentials.accepted(&used);
                }
                return outcome;
            }
        };
        let Some(other) = self.credentials.instead_of(&used, &trouble, self.now()) else {
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
                self.credentials.tried(&other, Verdict::Unknown);
                // What the first one met is what is to be mended.
                return outcome;
            }
        };
        self.credentials.tried(&other, verdict(&second));
        second
    }

    /// This machine's time, as the client takes it.
    pub fn now(&self) -> DateTime<Utc> {
        self.provider.clock().now()
    }

    /// Looks at the credential's source again, and at those before it. A new certificate is taken if it is of its key and in
    /// date; otherwise the one in use stays. `true` when a new one is in use now. Reads files; asks a vault once an hour.
    ///
    /// # Errors
    /// Why what is there cannot be used.
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
        credential.assertion(&request, self.provider.clock().now())
    }

    /// `offline_access` brings the refresh token, `openid` the ID token; the API's scope decides whom the access
    /// token is for.
    fn scopes(&self) -> impl Iterator<Item = &str> {
        ["openid", "profile", "offline_access"]
            .into_iter()
            .chain(self.api_scope.split_whitespace())
    }

    /// `previous` is the refresh token used: an answer without a new one leaves it valid (RFC 6749 §6).
    fn token_set(&self, answer: &TokenAnswer, previous: Option<&SecretString>) -> TokenSet {
        let lifetime = answer
            .expires_in()
            .and_then(|lifetime| TimeDelta::from_std(lifetime).ok())
            .filter(|lifetime| *lifetime <= LONGEST_LIFETIME)
            .unwrap_or(UNKNOWN_LIFETIME);
        TokenSet {
            access_token: SecretString::from(answer.access_token().secret().to_owned()),
            expires_at: self.provider.clock().now() + lifetime,
            refresh_token: answer
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

/// What an outcome says of the client's credential: Entra took it when it gave tokens, or refused for a reason that comes after.
fn verdict<T>(outcome: &Result<T, SignInError>) -> Verdict {
    let Err(error) = outcome else { return Verdict::Accepted };
    let SignInError::Entra(answer) = error else {
        return Verdict::Unknown;
    };
    match answer.remedy() {
        Remedy::SignInAgain | Remedy::Consent => Verdict::Accepted,
        Remedy::Certificate => Verdict::Refused,
        Remedy::Configuration | Remedy::Other => Verdict::Unknown,
    }
}
