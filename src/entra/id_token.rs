//! ID token validation (OpenID Connect Core 1.0 §3.1.3.7; Microsoft Learn "ID token claims reference").

use uuid::Uuid;

/// The claims of a validated ID token.
#[derive(Debug, Clone)]
pub struct IdTokenClaims {
    /// `tid`
    pub tenant_id: Uuid,
    /// `oid`: with `tid`, how a person is known.
    pub object_id: Uuid,
    /// `sub`
    pub subject: String,
    /// `name`, for display only.
    pub name: Option<String>,
    /// `email`, for display only.
    pub email: Option<String>,
    /// `preferred_username`, for display only.
    pub preferred_username: Option<String>,
    /// `roles`
    pub roles: Vec<String>,
    /// `sid`: the provider's session, for front-channel sign-out.
    pub session_id: Option<String>,
    /// `login_hint`: the value for `logout_hint`.
    pub login_hint: Option<String>,
    /// `iss`
    pub issuer: String,
}
