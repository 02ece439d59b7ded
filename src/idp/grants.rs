//! Authorization codes and refresh tokens: what they grant, how long they live, and how often a client can use them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    error::{OAuthError, invalid_grant},
    expiring_map::ExpiringMap,
    random,
    requested_claims::RequestedClaims,
    scope::Scope,
};

/// A code lives ten minutes (`v2-oauth2-auth-code-flow.md`). It is stored longer, to tell a used code from an unknown
/// one.
const CODE_SECONDS: i64 = 10 * 60;
const CODE_REMEMBERED_SECONDS: i64 = 60 * 60;
/// A refresh token lives 90 days (`refresh-tokens.md`).
const REFRESH_SECONDS: i64 = 90 * 24 * 60 * 60;
const CAPACITY: usize = 10_000;

/// What a user has granted to an application.
#[derive(Clone)]
pub struct Grant {
    pub client_id: String,
    /// Object id of the user.
    pub oid: String,
    /// Session id.
    pub sid: String,
    pub scope: Scope,
    /// Additional claims of the access tokens.
    pub claims: RequestedClaims,
    /// The code from which all refresh tokens of this grant descend.
    family: String,
}

/// What an authorization code is bound to.
#[derive(Clone)]
pub struct Code {
    pub grant: Grant,
    /// `nonce` of the authorization request, for the ID token.
    pub nonce: Option<String>,
    redirect_uri: String,
    challenge: Option<String>,
    expires_at: i64,
    redeemed: bool,
}

/// Input for a new code, from an authorization request.
#[derive(Debug)]
pub struct CodeRequest {
    pub client_id: String,
    /// Object id of the user.
    pub oid: String,
    /// Session id.
    pub sid: String,
    pub scope: Scope,
    /// Additional claims of the access token.
    pub claims: RequestedClaims,
    /// For the ID token.
    pub nonce: Option<String>,
    /// Where the code is sent. The token request must repeat it.
    pub redirect_uri: String,
    /// Method `S256`.
    pub code_challenge: Option<String>,
}

/// All issued codes and refresh tokens.
pub struct Grants {
    codes: ExpiringMap<Code>,
    refresh_tokens: ExpiringMap<Grant>,
}

impl Grants {
    pub fn new() -> Self {
        Self {
            codes: ExpiringMap::new(CAPACITY),
            refresh_tokens: ExpiringMap::new(CAPACITY),
        }
    }

    /// Issues an authorization code.
    pub fn issue_code(&self, request: CodeRequest, now: i64) -> String {
        let code = random::secret();
        let CodeRequest {
            client_id,
            oid,
            sid,
            scope,
            claims,
            nonce,
            redirect_uri,
            code_challenge,
        } = request;
        let grant = Grant {
            client_id,
            oid,
            sid,
            scope,
            claims,
            family: code.clone(),
        };
        let expires_at = now + CODE_SECONDS;
        let stored = Code {
            grant,
            nonce,
            redirect_uri,
            challenge: code_challenge,
            expires_at,
            redeemed: false,
        };
        self.codes
            .insert(code.clone(), stored, now + CODE_REMEMBERED_SECONDS, now);
        code
    }

    /// Redeems a code, once.
    ///
    /// # Errors
    /// AADSTS70000 if the code is unknown or belongs to another client, 54005 if it was redeemed before (its refresh
    /// tokens are revoked then: RFC 6749 §4.1.2), 70008 if it expired, 500112 if the redirect URI differs, 501481 if
    /// the PKCE verifier does not match.
    pub fn redeem_code(
        &self,
        code: &str,
        client_id: &str,
        redirect_uri: &str,
        code_verifier: Option<&str>,
        now: i64,
    ) -> Result<Code, OAuthError> {
        let redeemed = self.codes.update(code, now, |stored| {
            stored.check(client_id, redirect_uri, code_verifier, now)?;
            stored.redeemed = true;
            Ok(stored.clone())
        });
        let result = redeemed.unwrap_or_else(|| Err(malformed("authorization code")));
        if result.as_ref().is_err_and(|error| error.code == ALREADY_REDEEMED) {
            self.refresh_tokens.retain(|grant| grant.family != code);
        }
        result
    }

    /// Issues a refresh token.
    pub fn issue_refresh_token(&self, grant: Grant, now: i64) -> String {
        let token = random::secret();
        self.refresh_tokens
            .insert(token.clone(), grant, now + REFRESH_SECONDS, now);
        token
    }

    /// The grant behind a refresh token. The token stays valid: Entra issues a new refresh token on each use and does
    /// not revoke the old one (`refresh-tokens.md`).
    ///
    /// # Errors
    /// AADSTS70000 if the token is unknown or belongs to another client, 700082 if it expired.
    pub fn refresh(&self, token: &str, client_id: &str, now: i64) -> Result<Grant, OAuthError> {
        let grant = self.refresh_tokens.get(token, now).ok_or_else(|| {
            if self.refresh_tokens.is_known(token) {
                refresh_token_expired()
            } else {
                malformed("refresh token")
            }
        })?;
        if grant.client_id == client_id {
            Ok(grant)
        } else {
            Err(malformed("refresh token"))
        }
    }
}

impl Code {
    fn check(&self, client_id: &str, redirect_uri: &str, verifier: Option<&str>, now: i64) -> Result<(), OAuthError> {
        if self.grant.client_id != client_id {
            return Err(malformed("authorization code"));
        }
        if self.redeemed {
            return Err(invalid_grant(
                ALREADY_REDEEMED,
                "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing \
                 refresh token.",
            ));
        }
        if self.expires_at <= now {
            return Err(invalid_grant(
                70008,
                "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive \
                 authorization request for this user and resource.",
            ));
        }
        if self.redirect_uri != redirect_uri {
            return Err(invalid_grant(
                500_112,
                format!(
                    "The reply address '{redirect_uri}' does not match the reply address '{}' provided when requesting \
                     Authorization code.",
                    self.redirect_uri
                ),
            ));
        }
        let fits = match (&self.challenge, verifier) {
            (None, None) => true,
            (Some(challenge), Some(verifier)) => *challenge == s256(verifier),
            // RFC 9700 §4.8.2: a verifier without a challenge indicates a PKCE downgrade attack.
            _ => false,
        };
        if fits { Ok(()) } else { Err(verifier_mismatch()) }
    }
}

const ALREADY_REDEEMED: u32 = 54005;

/// RFC 7636 §4.2, method `S256`.
fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(openssl::sha::sha256(verifier.as_bytes()))
}

fn verifier_mismatch() -> OAuthError {
    invalid_grant(
        501_481,
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    )
}

fn malformed(what: &str) -> OAuthError {
    invalid_grant(
        70000,
        format!("Provided grant is invalid or malformed. The {what} is not one of this application's."),
    )
}

fn refresh_token_expired() -> OAuthError {
    invalid_grant(
        700_082,
        "The refresh token has expired due to inactivity. Send a new interactive authorization request for this user and \
         resource.",
    )
}
