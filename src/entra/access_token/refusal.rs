//! Why a token was refused, in codes and sentences that hold nothing of the token.

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
    /// `nbf`
    NotBefore,
}

/// Why a token was refused. Each has a stable code that clients and logs may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than any token of Entra's.
    TooLong,
    /// Not a signed JWT.
    Malformed,
    /// `alg` is not RS256.
    WrongAlgorithm,
    /// `crit` in the header.
    CriticalHeader,
    /// No `kid` in the header.
    MissingKeyId,
    /// `kid` names no key of the provider.
    UnknownKey,
    /// The signature does not verify.
    BadSignature,
    /// The payload is no JSON object, or a claim is of the wrong type or occurs twice.
    MalformedClaims,
    /// A claim is missing.
    Missing(Claim),
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
    /// `nbf` is to come.
    NotYetValid,
    /// An application acts by itself, without a user.
    AppOnly,
}

impl Refusal {
    /// Stable code, such as `expired` or `wrong_audience`.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "token_too_long",
            Self::Malformed => "malformed_token",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::CriticalHeader => "critical_header",
            Self::MissingKeyId => "missing_kid",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::MalformedClaims => "malformed_claims",
            Self::Missing(_) => "missing_claim",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::ForGraph => "token_for_graph",
            Self::WrongTenant => "wrong_tenant",
            Self::BadObjectId => "bad_object_id",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::AppOnly => "app_only",
        }
    }
    /// One sentence for a developer: what is wrong and what is expected. Holds nothing of the token.
    pub fn description(self) -> &'static str {
        match self {
            Self::TooLong => "the token is longer than 16 KB",
            Self::Malformed => "the token is not a signed JWT: three parts of base64url without padding are expected",
            Self::WrongAlgorithm => "the token's alg is not RS256",
            Self::CriticalHeader => "the token's header has crit, which is not supported",
            Self::MissingKeyId => "the token's header has no kid",
            Self::UnknownKey => "the token's kid names no signing key of this tenant",
            Self::BadSignature => "the token's signature is not valid",
            Self::MalformedClaims => "the token's claims are not JSON of the expected types, each claim once",
            Self::Missing(Claim::Issuer) => "the token has no iss claim",
            Self::Missing(Claim::Audience) => "the token has no aud claim",
            Self::Missing(Claim::Tenant) => "the token has no tid claim",
            Self::Missing(Claim::Object) => "the token has no oid claim",
            Self::Missing(Claim::Expiry) => "the token has no exp claim",
            Self::Missing(Claim::NotBefore) => "the token has no nbf claim",
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
            Self::AppOnly => "the token is for an application without a user (no scp): a signed-in user is required",
        }
    }
}

impl From<JwsError> for Refusal {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::TooLong => Self::TooLong,
            JwsError::Malformed => Self::Malformed,
            JwsError::Algorithm => Self::WrongAlgorithm,
            JwsError::Critical => Self::CriticalHeader,
            JwsError::MissingKeyId => Self::MissingKeyId,
            JwsError::Signature => Self::BadSignature,
        }
    }
}

/// Why there is no principal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is not valid here: 401.
    #[error("access token refused: {}", .0.description())]
    Refused(Refusal),
    /// The token is valid but lacks the required scope: 403.
    #[error("access token lacks the scope {required}")]
    InsufficientScope {
        /// The scope that `scp` must hold.
        required: String,
    },
    /// No signing keys could be had: 503.
    #[error("signing keys are not available")]
    KeysUnavailable,
}

impl From<Refusal> for TokenError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<JwsError> for TokenError {
    fn from(error: JwsError) -> Self {
        Self::Refused(error.into())
    }
}
