//! Authorization codes and refresh tokens: what they stand for, how long they live, how often they can be used.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    error::{Refusal, invalid_grant},
    expiring_map::ExpiringMap,
    random,
    requested_claims::RequestedClaims,
    scope::Scope,
};

/// A code lives ten minutes (`v2-oauth2-auth-code-flow.md`), and is remembered longer, to tell used from unknown.
const CODE_SECONDS: i64 = 10 * 60;
const CODE_REMEMBERED_SECONDS: i64 = 60 * 60;
/// A refresh token lives 90 days (`refresh-tokens.md`).
const REFRESH_SECONDS: i64 = 90 * 24 * 60 * 60;
const CAPACITY: usize = 10_000;

/// What a user allowed an application.
#[derive(Clone)]
pub struct Grant {
    /// The application.
    pub client_id: String,
    /// The user.
    pub oid: String,
    /// The sign-in session.
    pub sid: String,
    /// What was asked for.
    pub scope: Scope,
    /// What its access tokens are to say besides.
    pub claims: RequestedClaims,
    /// The code that all refresh tokens of this grant come from.
    family: String,
}

/// What an authorization code is bound to.
#[derive(Clone)]
pub struct Code {
    /// What it is exchanged for.
    pub grant: Grant,
    /// `nonce` of the authorization request, for the ID token.
    pub nonce: Option<String>,
    redirect_uri: String,
    challenge: Option<String>,
    expires_at: i64,
    redeemed: bool,
}

/// What an authorization request asks a code for.
#[derive(Debug)]
pub struct CodeRequest {
    /// The application.
    pub client_id: String,
    /// The user.
    pub oid: String,
    /// The sign-in session.
    pub sid: String,
    /// What was asked for.
    pub scope: Scope,
    /// What the access token is to say besides.
    pub claims: RequestedClaims,
    /// `nonce`, for the ID token.
    pub nonce: Option<String>,
    /// Where the code is sent, and what must be sent with it.
    pub redirect_uri: String,
    /// `code_challenge` (S256), if any.
    pub code_challenge: Option<String>,
}

/// Every code and refresh token that is out.
pub struct Grants {
    codes: ExpiringMap<Code>,
    refresh_tokens: ExpiringMap<Grant>,
}

impl Grants {
    /// None yet.
    pub fn new() -> Self {
        Self {
            codes: ExpiringMap::new(CAPACITY),
            refresh_tokens: ExpiringMap::new(CAPACITY),
        }
    }

    /// A new authorization code.
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
        let held = Code {
            grant,
            nonce,
            redirect_uri,
            challenge: code_challenge,
            expires_at,
            redeemed: false,
        };
        self.codes
            .insert(code.clone(), held, now + CODE_REMEMBERED_SECONDS, now);
        code
    }

    /// Exchanges a code, once, for what it stands for.
    ///
    /// # Errors
    /// AADSTS70000 when it is unknown or another client's, 54005 when it was used before (then the refresh tokens from its
    /// first use are withdrawn: RFC 6749 §4.1.2), 70008 when it expired, 500112 when the redirect URI differs, 501481 when
    /// the PKCE verifier does not fit.
    pub fn redeem_code(
        &self,
        code: &str,
        client_id: &str,
        redirect_uri: &str,
        code_verifier: Option<&str>,
        now: i64,
    ) -> Result<Code, Refusal> {
        let redeemed = self.codes.update(code, now, |held| {
            held.check(client_id, redirect_uri, code_verifier, now)?;
            held.redeemed = true;
            Ok(held.clone())
        });
        let result = redeemed.unwrap_or_else(|| Err(malformed("authorization code")));
        if result.as_ref().is_err_and(|refusal| refusal.code == ALREADY_REDEEMED) {
            self.refresh_tokens.retain(|grant| grant.family != code);
        }
        result
    }

    /// A new refresh token.
    pub fn issue_refresh_token(&self, grant: Grant, now: i64) -> String {
        let token = random::secret();
        self.refresh_tokens
            .insert(token.clone(), grant, now + REFRESH_SECONDS, now);
        token
    }

    /// What a refresh token stands for. It stays valid: Entra replaces refresh tokens on each use without revoking the
    /// old ones (`refresh-tokens.md`).
    ///
    /// # Errors
    /// AADSTS70000 when it is unknown or another client's, 700082 when it expired.
    pub fn refresh(&self, token: &str, client_id: &str, now: i64) -> Result<Grant, Refusal> {
        let grant = self.refresh_tokens.get(token, now).ok_or_else(|| {
            if self.refresh_tokens.has_held(token) {
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
    fn check(&self, client_id: &str, redirect_uri: &str, verifier: Option<&str>, now: i64) -> Result<(), Refusal> {
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
            // RFC 9700 §4.8.2: a verifier without a challenge is a sign of a downgraded request.
            _ => false,
        };
        if fits { Ok(()) } else { Err(wrong_verifier()) }
    }
}

const ALREADY_REDEEMED: u32 = 54005;

/// RFC 7636 §4.2, method `S256`.
fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(openssl::sha::sha256(verifier.as_bytes()))
}

fn wrong_verifier() -> Refusal {
    invalid_grant(
        501_481,
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    )
}

fn malformed(what: &str) -> Refusal {
    invalid_grant(
        70000,
        format!("Provided grant is invalid or malformed. The {what} is not one of this application's."),
    )
}

fn refresh_token_expired() -> Refusal {
    invalid_grant(
        700_082,
        "The refresh token has expired due to inactivity. Send a new interactive authorization request for this user and \
         resource.",
    )
}
