//! The `scope` parameter: OpenID Connect's own scopes, and those of one API at most.
//!
//! Nobody is asked for consent here: what an API exposes counts as granted to every application of the tenant.

use std::sync::Arc;

use super::{
    error::{Refusal, invalid_grant},
    registrations::{App, Registrations},
};
use crate::config::TokenVersion;

/// Entra's own API, which a token is for when no other is asked for.
const MICROSOFT_GRAPH: &str = "00000003-0000-0000-c000-000000000000";

/// What a request asks for, checked against the registrations.
#[derive(Debug, Clone)]
pub struct Scope {
    /// `openid`: an ID token.
    pub openid: bool,
    /// `offline_access`: a refresh token.
    pub offline_access: bool,
    /// What the access token is for.
    pub resource: Resource,
    openid_connect: Vec<String>,
}

/// The API that an access token is for.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its registration; none for Microsoft Graph.
    pub api: Option<Arc<App>>,
    /// How the request named it: App ID URI or client id.
    pub identifier: String,
    /// Delegated scopes of it, for `scp`.
    pub scopes: Vec<String>,
    /// Form of its tokens; Microsoft Graph's are v1.
    pub token_version: TokenVersion,
}

impl Scope {
    /// Reads a `scope` parameter.
    ///
    /// # Errors
    /// AADSTS70011 for a scope of no resource, 700022 for two resources, 500011 for an unknown resource, 65001 for a scope
    /// that the resource does not expose.
    pub fn parse(text: &str, registrations: &Registrations, client: &App, tenant: &str) -> Result<Self, Refusal> {
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

    /// What was granted, as `scope` in the token endpoint's answer: full names, OpenID Connect's first.
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

    /// Whether everything asked for here was asked for in `first` as well.
    pub fn is_within(&self, first: &Self) -> bool {
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

/// The API whose `/.default` an application asks for in its own name.
///
/// # Errors
/// AADSTS1002012 when the scope is not exactly one `{resource}/.default`, 500011 when the resource is unknown.
pub fn app_only_resource(text: &str, registrations: &Registrations, tenant: &str) -> Result<Resource, Refusal> {
    let identifier = text
        .trim()
        .strip_suffix("/.default")
        .filter(|rest| !rest.contains(char::is_whitespace));
    let Some(identifier) = identifier else {
        return Err(Refusal::new(
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

/// AADSTS70011, also for a scope beyond the one that was granted.
pub fn not_valid(text: &str) -> Refusal {
    Refusal::new(
        70011,
        "invalid_scope",
        format!(
            "The provided request must include a 'scope' input parameter. The provided value for the input parameter \
             'scope' is not valid. The scope {text} is not valid."
        ),
    )
}

fn two_resources(text: &str) -> Refusal {
    Refusal::new(
        700_022,
        "invalid_scope",
        format!(
            "The provided value for the input parameter 'scope' is not valid because it contains more than one resource. \
             The scope {text} is not valid."
        ),
    )
}

fn unknown_resource(identifier: &str, tenant: &str) -> Refusal {
    Refusal::new(
        500_011,
        "invalid_resource",
        format!(
            "The resource principal named {identifier} was not found in the tenant named {tenant}. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the \
             tenant. You might have sent your authentication request to the wrong tenant."
        ),
    )
}

fn not_consented(client: &App) -> Refusal {
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
