//! The settings that restrict which callers with a valid token may use this API. By default, only users with the required scope
//! may.

use uuid::Uuid;

use super::claims::Claims;
use crate::{
    config::{ApiSettings, RequiredClientAuth},
    entra::{
        AppRole, PrincipalKind,
        access_token::error::{Forbidden, Rejection, TokenError},
    },
    guid,
};

/// The policies of one API.
pub(super) struct Policy {
    required_scope: String,
    require_app_roles: bool,
    allow_app_only: bool,
    only_certificates: bool,
    allowed_client_apps: Vec<Uuid>,
    required_acrs: Vec<String>,
}

impl Policy {
    pub(super) fn new(settings: &ApiSettings) -> Self {
        Self {
            required_scope: settings.required_scope.clone(),
            require_app_roles: settings.require_app_roles,
            allow_app_only: settings.allow_app_only,
            only_certificates: settings.required_client_auth == RequiredClientAuth::Certificate,
            allowed_client_apps: settings
                .allowed_client_apps
                .iter()
                .filter_map(|id| guid::parse(id))
                .collect(),
            required_acrs: settings.required_acrs.clone(),
        }
    }

    /// Checks that the caller may use the API. Returns the app role if app roles decide what the caller may do, otherwise `None`.
    pub(super) fn authorize(&self, claims: &Claims) -> Result<Option<AppRole>, TokenError> {
        let kind = claims.kind();
        if kind == PrincipalKind::AppOnly && !self.allow_app_only {
            return Err(Rejection::AppOnly.into());
        }
        if !self.allowed_client_apps.is_empty()
            && !claims
                .app_id()
                .is_some_and(|app| self.allowed_client_apps.contains(&app))
        {
            return Err(TokenError::Forbidden(Forbidden::ClientApp));
        }
        if self.only_certificates && !claims.client_used_certificate() {
            return Err(TokenError::Forbidden(Forbidden::ClientAuthentication));
        }
        if kind == PrincipalKind::Delegated {
            if !claims.scopes().contains(&self.required_scope) {
                return Err(TokenError::InsufficientScope {
                    required: self.required_scope.clone(),
                });
            }
            self.check_authentication_context(claims)?;
        }
        // An application has no scopes, so roles always decide what it may do.
        if kind == PrincipalKind::Delegated && !self.require_app_roles {
            return Ok(None);
        }
        let role = claims
            .roles
            .iter()
            .flatten()
            .filter_map(|role| AppRole::parse(role))
            .max();
        role.map(Some).ok_or(TokenError::Forbidden(Forbidden::AppRole))
    }

    /// For users only: an application has no stronger sign-in. A client that does not handle claims challenges gets a 403,
    /// since it would take a challenge for an invalid token and loop (Microsoft Learn "Claims challenges, claims requests and
    /// client capabilities").
    fn check_authentication_context(&self, claims: &Claims) -> Result<(), TokenError> {
        match self
            .required_acrs
            .iter()
            .find(|acr| !claims.meets_authentication_context(acr))
        {
            None => Ok(()),
            Some(acr) if claims.client_handles_challenges() => Err(TokenError::ClaimsRequired { acr: acr.clone() }),
            Some(_) => Err(TokenError::Forbidden(Forbidden::AuthenticationContext)),
        }
    }
}
