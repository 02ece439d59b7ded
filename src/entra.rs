//! Everything that knows the protocols of Microsoft Entra ID. This room knows no web server and no database. Calls that may
//! reach the network block, and their documentation says so.

pub mod aadsts;
pub mod access_token;
mod app_role;
pub mod assertion;
pub mod authority;
mod claims_request;
pub mod clock;
pub mod confidential_client;
pub mod credential;
pub mod id_token;
mod jws;
pub mod principal;
pub mod provider;
pub mod signing_keys;

pub use access_token::{AccessTokenValidator, BearerToken, Forbidden, Rejection, TokenError};
pub use app_role::AppRole;
pub use authority::Authority;
pub use claims_request::ClaimsChallenge;
pub use confidential_client::{AuthorizationRequest, ConfidentialClient, PendingSignIn, SignIn, SignInHints, TokenSet};
pub use credential::{Credential, CredentialError, CredentialSource};
pub use id_token::IdTokenClaims;
pub use principal::{Principal, PrincipalKind};
pub use provider::{Metadata, Provider, ProviderError};
