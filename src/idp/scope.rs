//! The `scope` parameter: OpenID Connect's own scopes, and the scopes of at most one API.
//!
//! The emulator does not manage consent: every scope that an API exposes counts as granted to every application of the
//! tenant.

use std::sync::Arc;

use super::{
    error::{OAuthError, invalid_grant},
    registrations::{App, Registrations},
};
use crate::config::TokenVersion;

/// Microsoft Graph: the resource of a token whose request names no other.
const MICROSOFT_GRAPH: &str = "00000003-0000-0000-c000-000000000000";

/// The requested scopes, checked against the registrations.
#[derive(Debug, Clone)]
pub struct Scope {
    /// `openid`: an ID token is requested.
    pub openid: bool,
    /// `offline_access`: a refresh token is requested.
    pub offline_access: bool,
    pub resource: Resource,
    openid_connect: Vec<String>,
}

/// The API that an access token is for.
#[derive(Debug, Clone)]
pub struct Resource {
    /// `None` for Microsoft Graph.
    pub api: Option<Arc<App>>,
    /// The App ID URI or client id in the request.
    pub identifier: String,
    /// Delegated scopes, for `scp`.
    pub scopes: Vec<String>,
    /// Format of its tokens; v1 for Microsoft Graph.
    pub token_version: TokenVersion,
}

impl Scope {
    /// Parses a `scope` parameter.
    ///
    /// # Errors
    /// AADSTS70011 for a scope without a resource, 700022 for two resources, 500011 for an unknown resource, 65001 for
    /// a scope that the resource does not expose.
    pub fn parse(text: &str, registrations: &Registrations, client: &App, tenant: &str) -> Result<Self, OAuthError> {
        let mut openid_connect = Vec::new();
        let mut resource: Option<Resource> = None;
        for scope in text.split_ascii_whitespace() {
            if matches!(scope, "openid" | "profile" | "email" | "offline_access") {
                openid_connect.push(scope.to_owned());
                continue;
            }
            let (identifier, name) = scope
                .rsplit_once('/')
                .filter(|(_, name)| !name.is_empty())
                .ok_or_else(|| not_valid(text))?;
            let api = registrations
                .api(identifier)
                .ok_or_else(|| unknown_resource(identifier, tenant))?;
            let known = resource.get_or_insert_with(|| Resource {
                api: Some(Arc::clone(api)),
                identifier: identifier.to_owned(),
                scopes: Vec::new(),
                token_version: api.registration.token_version,
            });
            if known.api.as_ref().map(|api| api.client_id()) != Some(api.client_id()) {
                return Err(two_resources(text));
            }
            match name {
                ".default" => known.scopes.extend(api.registration.scopes.iter().cloned()),
                exposed if api.registration.scopes.iter().any(|scope| scope == exposed) => {
                    known.scopes.push(exposed.to_owned());
                }
                _ => return Err(not_consented(client)),
            }
        }
        if openid_connect.is_empty() && resource.is_none() {
            return Err(not_valid(text));
        }
        let mut resource = resource.unwrap_or_else(|| Resource {
            api: None,
            identifier: MICROSOFT_GRAPH.to_owned(),
            scopes: openid_connect
                .iter()
                .filter(|scope| *scope != "offline_access")
                .cloned()
                .collect(),
            token_version: TokenVersion::V1,
        });
        resource.scopes.sort_unstable();
        resource.scopes.dedup();
        let asks = |name: &str| openid_connect.iter().any(|scope| scope == name);
        Ok(Self {
            openid: asks("openid"),
            offline_access: asks("offline_access"),
            resource,
            openid_connect,
        })
    }

    /// The granted scopes, as in the token response: full names, OpenID Connect's first.
    pub fn granted(&self) -> String {
        let mut scopes = self.openid_connect.clone();
        if self.resource.api.is_some() {
            scopes.extend(
                self.resource
                    .scopes
                    .iter()
                    .map(|scope| format!("{}/{scope}", self.resource.identifier)),
            );
        }
        scopes.join(" ")
    }

    /// Whether `first` contains every scope of this one.
    pub fn is_subset_of(&self, first: &Self) -> bool {
        let same_api = match (&self.resource.api, &first.resource.api) {
            (None, _) => true,
            (Some(own), Some(other)) => own.client_id() == other.client_id(),
            (Some(_), None) => false,
        };
        let all_in = |own: &[String], other: &[String]| own.iter().all(|scope| other.contains(scope));
        same_api
            && all_in(&self.openid_connect, &first.openid_connect)
            && (self.resource.api.is_none() || all_in(&self.resource.scopes, &first.resource.scopes))
    }
}

/// The API whose `/.default` an application requests without a user.
///
/// # Errors
/// AADSTS1002012 unless the scope is exactly one `{resource}/.default`, 500011 if the resource is unknown.
pub fn app_only_resource(text: &str, registrations: &Registrations, tenant: &str) -> Result<Resource, OAuthError> {
    let identifier = text
        .trim()
        .strip_suffix("/.default")
        .filter(|rest| !rest.contains(char::is_whitespace));
    let Some(identifier) = identifier else {
        return Err(OAuthError::new(
            1_002_012,
            "invalid_scope",
            format!(
                "The provided value for scope {text} is not valid. Client credential flows must have a scope value with \
                 /.default suffixed to the resource identifier (application ID URI)."
            ),
        ));
    };
    let api = registrations
        .api(identifier)
        .ok_or_else(|| unknown_resource(identifier, tenant))?;
    Ok(Resource {
        api: Some(Arc::clone(api)),
        identifier: identifier.to_owned(),
        scopes: Vec::new(),
        token_version: api.registration.token_version,
    })
}

/// AADSTS70011, also for a scope that exceeds the granted one.
pub fn not_valid(text: &str) -> OAuthError {
    OAuthError::new(
        70011,
        "invalid_scope",
        format!(
            "The provided request must include a 'scope' input parameter. The provided value for the input parameter \
             'scope' is not valid. The scope {text} is not valid."
        ),
    )
}

fn two_resources(text: &str) -> OAuthError {
    OAuthError::new(
        700_022,
        "invalid_scope",
        format!(
            "The provided value for the input parameter 'scope' is not valid because it contains more than one resource. \
             The scope {text} is not valid."
        ),
    )
}

fn unknown_resource(identifier: &str, tenant: &str) -> OAuthError {
    OAuthError::new(
        500_011,
        "invalid_resource",
        format!(
            "The resource principal named {identifier} was not found in the tenant named {tenant}. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the \
             tenant. You might have sent your authentication request to the wrong tenant."
        ),
    )
}

fn not_consented(client: &App) -> OAuthError {
    invalid_grant(
        65001,
        format!(
            "The user or administrator has not consented to use the application with ID '{}' named '{}'. Send an interactive \
             authorization request for this user and resource.",
            client.client_id(),
            client.registration.name
        ),
    )
}
