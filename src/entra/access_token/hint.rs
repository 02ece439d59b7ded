//! What to do about a rejected token. The matches are exhaustive: a new reason does not compile without a hint.

use super::{Claim, Forbidden, Rejection};

impl Rejection {
    /// The claim or header parameter with the error, if it is in one.
    pub fn claim(self) -> Option<&'static str> {
        Some(match self {
            Self::WrongAlgorithm => "alg",
            Self::WrongType => "typ",
            Self::Nested => "cty",
            Self::IdToken => "nonce",
            Self::IssuedInFuture => "iat",
            Self::CriticalHeader => "crit",
            Self::MissingKeyId | Self::UnknownKey => "kid",
            Self::Missing(Claim::Issuer) | Self::WrongIssuer => "iss",
            Self::Missing(Claim::Audience) | Self::WrongAudience | Self::ForGraph => "aud",
            Self::Missing(Claim::Tenant) | Self::WrongTenant => "tid",
            Self::Missing(Claim::Object) | Self::BadObjectId => "oid",
            Self::Missing(Claim::Expiry) | Self::Expired => "exp",
            Self::NotYetValid => "nbf",
            Self::AppOnly => "scp",
            Self::TooLong | Self::Malformed | Self::Encrypted | Self::BadSignature | Self::MalformedClaims => {
                return None;
            }
        })
    }

    /// What to do, and where. `scope` is the full name of the scope that a client of this API must ask for.
    pub fn hint(self, scope: &str) -> String {
        match self {
            Self::WrongAudience | Self::ForGraph => format!(
                "ask for the scope {scope} (client.api_scope of the site); if the token is for this API, correct \
                 api.app_id_uri (API_APP_ID_URI) or api.client_id"
            ),
            Self::AppOnly => {
                format!("let a user sign in, and ask for {scope}: the client credentials grant has no user")
            }
            Self::Expired => {
                "get a new token; if it is fresh, compare this machine's clock with blogctl doctor".to_owned()
            }
            Self::NotYetValid | Self::IssuedInFuture => {
                "set the clock of this machine (NTP); blogctl doctor compares it with Entra ID's".to_owned()
            }
            Self::WrongIssuer | Self::WrongTenant => {
                "request the token from the tenant of the API, or correct entra.tenant_id (TENANT_ID), entra.cloud or \
                 entra.authority_host of the API"
                    .to_owned()
            }
            Self::UnknownKey => {
                "request the token from the tenant of the API; if it comes from there, check whether entra.jwks_uri \
                 (JWKS_URI) is set to other keys"
                    .to_owned()
            }
            Self::BadSignature => {
                "send the token exactly as it was issued, whole and unchanged; only Entra ID can sign one".to_owned()
            }
            Self::Malformed => {
                "send the access token itself: three parts with dots between them, not JSON, no quotes, no line breaks"
                    .to_owned()
            }
            Self::TooLong => {
                "check that it is one token; fewer group claims make it shorter (Token configuration of the API's \
                 registration)"
                    .to_owned()
            }
            Self::IdToken => format!("ask for the scope {scope}, and send the access_token of the same response"),
            Self::Encrypted | Self::Nested => format!(
                "send the access token that was issued for {scope}; if this is that token, remove token encryption from the \
                 API's app registration (tokenEncryptionKeyId): only signed tokens are accepted"
            ),
            Self::WrongAlgorithm
            | Self::WrongType
            | Self::CriticalHeader
            | Self::MissingKeyId
            | Self::MalformedClaims
            | Self::Missing(_)
            | Self::BadObjectId => {
                format!("Entra ID issues no such access token for this API: get one from Entra ID for {scope}")
            }
        }
    }
}

impl Forbidden {
    /// The claim that does not meet the policy.
    pub fn claim(self) -> &'static str {
        match self {
            Self::ClientApp => "azp",
            Self::ClientAuthentication => "azpacr",
            Self::AppRole => "roles",
            Self::AuthenticationContext => "acrs",
        }
    }

    /// What to do, and where.
    pub fn hint(self) -> &'static str {
        match self {
            Self::ClientApp => {
                "add the application's client id to api.allowed_client_apps, or call from an application listed there"
            }
            Self::ClientAuthentication => {
                "let the application authenticate by certificate (a client assertion), or remove \
                 api.required_client_auth"
            }
            Self::AppRole => {
                "assign one of the roles under Enterprise applications › the API › Users and groups; an application \
                 gets the role as an application permission"
            }
            Self::AuthenticationContext => {
                "let the application declare the client capability cp1 and handle claims challenges"
            }
        }
    }
}
