//! Where to mend what a token was refused for. One place for each reason: the compiler asks for a new one's remedy here.

use super::{Claim, Forbidden, Refusal};

impl Refusal {
    /// The claim or header parameter that it is about, if one.
    pub fn concerns(self) -> Option<&'static str> {
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

    /// Who must do what, where. `scope` is the scope in full that a client of this API must ask for.
    pub fn remedy(self, scope: &str) -> String {
        match self {
            Self::WrongAudience | Self::ForGraph => format!(
                "ask for the scope {scope} (client.api_scope of the site); if the token is meant for this API, correct \
                 api.app_id_uri (API_APP_ID_URI) or api.client_id"
            ),
            Self::AppOnly => format!("let a user sign in, and ask for {scope}: client credentials bring no user"),
            Self::Expired => {
                "get a new token; if it is fresh, compare this machine's clock with blogctl doctor".to_owned()
            }
            Self::NotYetValid | Self::IssuedInFuture => {
                "set the clock of this machine (NTP); blogctl doctor compares it with Entra ID's".to_owned()
            }
            Self::WrongIssuer | Self::WrongTenant => {
                "ask the tenant of the API for the token, or correct entra.tenant_id (TENANT_ID), entra.cloud or \
                 entra.authority_host of the API"
                    .to_owned()
            }
            Self::UnknownKey => {
                "ask the tenant of the API for the token; if it does come from there, see whether entra.jwks_uri \
                 (JWKS_URI) is set to other keys"
                    .to_owned()
            }
            Self::BadSignature => {
                "send the token exactly as it was issued, whole and unchanged; nobody but Entra ID can sign one"
                    .to_owned()
            }
            Self::Malformed => {
                "send the access token itself: three parts with dots between them, not JSON, no quotes, no line breaks"
                    .to_owned()
            }
            Self::TooLong => {
                "see whether it is one token; fewer group claims make one shorter (Token configuration of the API's \
                 registration)"
                    .to_owned()
            }
            Self::IdToken => format!("send the access_token of the same answer, asked for with the scope {scope}"),
            Self::Encrypted | Self::Nested => format!(
                "send the access token that was issued for {scope}; if it is the one, take token encryption off the \
                 API's app registration (tokenEncryptionKeyId): signed tokens are taken, and no others"
            ),
            Self::WrongAlgorithm
            | Self::WrongType
            | Self::CriticalHeader
            | Self::MissingKeyId
            | Self::MalformedClaims
            | Self::Missing(_)
            | Self::BadObjectId => {
                format!("Entra ID issues no such access token for this API: get one from it for {scope}")
            }
        }
    }
}

impl Forbidden {
    /// The claim that it is about.
    pub fn concerns(self) -> &'static str {
        match self {
            Self::ClientApp => "azp",
            Self::ClientAuthentication => "azpacr",
            Self::AppRole => "roles",
            Self::AuthenticationContext => "acrs",
        }
    }

    /// Who must do what, where.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::ClientApp => {
                "add the application's client id to api.allowed_client_apps, or call from one that is there"
            }
            Self::ClientAuthentication => {
                "let the application prove itself by certificate (a client assertion), or take \
                 api.required_client_auth away"
            }
            Self::AppRole => {
                "assign one of the roles under Enterprise applications, Users and groups, of the API; an application \
                 gets it as an application permission"
            }
            Self::AuthenticationContext => {
                "let the application declare the client capability cp1 and handle claims challenges"
            }
        }
    }
}
