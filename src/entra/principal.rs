//! The caller, from the claims of a valid access token. Only token validation can create a [`Principal`].

use uuid::Uuid;

use super::AppRole;

/// Whether the application calls on behalf of a user, or without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// A signed-in user, by delegated permission (`scp`).
    Delegated,
    /// An application without a user (`roles` only).
    AppOnly,
}

/// The validated caller.
#[derive(Debug, Clone)]
pub struct Principal {
    pub(super) tenant_id: Uuid,
    pub(super) object_id: Uuid,
    pub(super) app_id: Option<Uuid>,
    pub(super) kind: PrincipalKind,
    pub(super) scopes: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) app_role: Option<AppRole>,
    pub(super) issued_at: Option<i64>,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) preferred_username: Option<String>,
}

impl Principal {
    /// `tid`.
    pub fn tenant_id(&self) -> Uuid {
        self.tenant_id
    }
    /// `oid`: with `tid`, it identifies a person.
    pub fn object_id(&self) -> Uuid {
        self.object_id
    }
    /// `azp` or `appid`: the calling application.
    pub fn app_id(&self) -> Option<Uuid> {
        self.app_id
    }
    /// Delegated or app-only.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }
    /// The values of `scp`.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }
    /// The values of `roles`.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }
    /// The highest app role of this API, if app roles decide what the caller may do; otherwise `None`.
    pub fn app_role(&self) -> Option<AppRole> {
        self.app_role
    }
    /// `iat`: when the token was issued, in seconds since 1970.
    pub fn issued_at(&self) -> Option<i64> {
        self.issued_at
    }
    /// `name`, for display only.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
    /// `email`, for display only.
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }
    /// `preferred_username` (v2) or `upn`/`unique_name` (v1), for display only.
    pub fn preferred_username(&self) -> Option<&str> {
        self.preferred_username.as_deref()
    }
}
