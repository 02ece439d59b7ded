//! Why a token was rejected, as codes and sentences that contain no part of the token.

use crate::entra::jws::JwsError;

/// A claim that every token must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// `iss`
    Issuer,
    /// `aud`
    Audience,
    /// `tid`
    Tenant,
    /// `oid`
    Object,
    /// `exp`
    Expiry,
}

/// Why a token was rejected. Clients and logs may rely on the code of each reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// Longer than 16 KB.
    TooLong,
    /// Not a signed JWT.
    Malformed,
    /// Encrypted (JWE), not signed.
    Encrypted,
    /// A token within a token (`cty`).
    Nested,
    /// `typ` is neither `JWT` nor `at+jwt`.
    WrongType,
    /// `alg` is not RS256.
    WrongAlgorithm,
    /// `crit` or `b64` in the header.
    CriticalHeader,
    /// No `kid` in the header.
    MissingKeyId,
    /// `kid` names no key of the provider.
    UnknownKey,
    /// The signature does not verify.
    BadSignature,
    /// The payload is not a JSON object, or a claim has the wrong type or occurs twice.
    MalformedClaims,
    /// A claim is missing.
    Missing(Claim),
    /// An ID token: it says who signed in, and grants no access.
    IdToken,
    /// `iss` is not this tenant's.
    WrongIssuer,
    /// `aud` is not this API.
    WrongAudience,
    /// The token is for Microsoft Graph.
    ForGraph,
    /// `tid` is not this tenant.
    WrongTenant,
    /// `oid` is not a GUID.
    BadObjectId,
    /// `exp` has passed.
    Expired,
    /// `nbf` is in the future.
    NotYetValid,
    /// `iat` is in the future.
    IssuedInFuture,
    /// An application calls without a user.
    AppOnly,
}

impl Rejection {
    stable_codes! {
        Self::TooLong => "token_too_long",
        Self::Malformed => "malformed_token",
        Self::Encrypted => "encrypted_token",
        Self::Nested => "nested_token",
        Self::WrongType => "wrong_type",
        Self::WrongAlgorithm => "wrong_algorithm",
        Self::CriticalHeader => "critical_header",
        Self::MissingKeyId => "missing_kid",
        Self::UnknownKey => "unknown_key",
        Self::BadSignature => "bad_signature",
        Self::MalformedClaims => "malformed_claims",
        Self::Missing(_) => "missing_claim",
        Self::IdToken => "id_token",
        Self::WrongIssuer => "wrong_issuer",
        Self::WrongAudience => "wrong_audience",
        Self::ForGraph => "token_for_graph",
        Self::WrongTenant => "wrong_tenant",
        Self::BadObjectId => "bad_object_id",
        Self::Expired => "expired",
        Self::NotYetValid => "not_yet_valid",
        Self::IssuedInFuture => "issued_in_future",
        Self::AppOnly => "app_only",
    }
    /// One sentence for a developer: what is wrong and what is expected. Contains no part of the token.
    pub fn description(self) -> &'static str {
        match self {
            Self::TooLong => "the token is longer than 16 KB",
            Self::Malformed => "the token is not a signed JWT: three parts of base64url without padding are expected",
            Self::Encrypted => "the token is encrypted (JWE): a signed JWT is expected",
            Self::Nested => "the token holds another token (cty), which is not supported",
            Self::WrongType => "the token's typ is neither JWT nor at+jwt",
            Self::WrongAlgorithm => "the token's alg is not RS256",
            Self::CriticalHeader => "the token's header has crit or b64, which are not supported",
            Self::MissingKeyId => "the token's header has no kid",
            Self::UnknownKey => "the token's kid names no signing key of this tenant",
            Self::BadSignature => "the token's signature is not valid",
            Self::MalformedClaims => "the token's claims are not JSON of the expected types, each claim once",
            Self::Missing(Claim::Issuer) => "the token has no iss claim",
            Self::Missing(Claim::Audience) => "the token has no aud claim",
            Self::Missing(Claim::Tenant) => "the token has no tid claim",
            Self::Missing(Claim::Object) => "the token has no oid claim",
            Self::Missing(Claim::Expiry) => "the token has no exp claim",
            Self::IdToken => "this is an ID token: send the access token that came with it",
            Self::WrongIssuer => "the token's iss is not this API's tenant",
            Self::WrongAudience => {
                "the token's aud is not this API: ask for a scope of this API, such as api://…/access_as_user"
            }
            Self::ForGraph => {
                "this token is for Microsoft Graph: ask for a scope of this API, such as api://…/access_as_user"
            }
            Self::WrongTenant => "the token's tid is not this API's tenant",
            Self::BadObjectId => "the token's oid is not a GUID",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet: compare the clocks",
            Self::IssuedInFuture => "the token's iat is in the future: compare the clocks",
            Self::AppOnly => "the token is for an application without a user (no scp): a signed-in user is required",
        }
    }
}

impl From<JwsError> for Rejection {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::TooLong => Self::TooLong,
            JwsError::Malformed => Self::Malformed,
            JwsError::Encrypted => Self::Encrypted,
            JwsError::Nested => Self::Nested,
            JwsError::Type => Self::WrongType,
            JwsError::Algorithm => Self::WrongAlgorithm,
            JwsError::Critical => Self::CriticalHeader,
            JwsError::MissingKeyId => Self::MissingKeyId,
            JwsError::Signature => Self::BadSignature,
        }
    }
}

/// The policy of the API that a valid token does not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// `azp`/`appid` is not in `api.allowed_client_apps`.
    ClientApp,
    /// The application did not authenticate by certificate (`azpacr`/`appidacr` is not 2).
    ClientAuthentication,
    /// None of the API's app roles is in `roles`.
    AppRole,
    /// `acrs` lacks a value, and the client cannot handle a claims challenge.
    AuthenticationContext,
}

impl Forbidden {
    stable_codes! {
        Self::ClientApp => "client_app_not_allowed",
        Self::ClientAuthentication => "client_auth_not_allowed",
        Self::AppRole => "insufficient_role",
        Self::AuthenticationContext => "insufficient_claims",
    }
    /// One sentence for a developer. Contains no part of the token.
    pub fn description(self) -> &'static str {
        match self {
            Self::ClientApp => "this API does not accept the calling application",
            Self::ClientAuthentication => "the calling application must authenticate by certificate",
            Self::AppRole => "the caller has none of the app roles Blog.Reader, Blog.Writer and Blog.Admin",
            Self::AuthenticationContext => {
                "a stronger sign-in is required, and the calling application does not declare that it can ask for one (cp1)"
            }
        }
    }
}

/// Why there is no principal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is not valid for this API: 401.
    #[error("access token rejected: {}", .0.description())]
    Rejected(Rejection),
    /// The token is valid, but a policy of this API denies access: 403.
    #[error("access denied by policy: {}", .0.description())]
    Forbidden(Forbidden),
    /// The token is valid, but the user must sign in again in the way that `claims` describes: 401 with a claims
    /// challenge.
    #[error("access token lacks the authentication context {acr}")]
    ClaimsRequired {
        /// The value that `acrs` must hold.
        acr: String,
    },
    /// The token is valid but lacks the required scope: 403.
    #[error("access token lacks the scope {required}")]
    InsufficientScope {
        /// The scope that `scp` must hold.
        required: String,
    },
    /// No signing keys are available: 503.
    #[error("signing keys are not available")]
    KeysUnavailable,
}

impl TokenError {
    /// A stable code: that of the rejection or the policy.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.code(),
            Self::Forbidden(forbidden) => forbidden.code(),
            Self::ClaimsRequired { .. } => "insufficient_claims",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }
}

impl From<Rejection> for TokenError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<JwsError> for TokenError {
    fn from(error: JwsError) -> Self {
        Self::Rejected(error.into())
    }
}
