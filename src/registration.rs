//! The two app registrations that a system needs, as Graph JSON (resource type `application`), and how existing registrations
//! drift from them.

mod described;
mod drift;
mod proof;

use url::Url;
use uuid::Uuid;

pub use described::{APP_ROLES, UNKNOWN_API, describe};
pub use drift::{Drift, NotAnExport, Severity, find_drift};
pub use proof::ExpectedCredential;

use crate::{
    config::{Cloud, Settings},
    entra::access_token::api_names,
    guid,
    outbound::OutboundError,
};

/// Path that Entra calls when the user signs out of another application.
const FRONT_CHANNEL_LOGOUT: &str = "front-channel-logout";

/// The expected content of the registrations.
#[derive(Debug, Clone)]
pub struct ExpectedRegistrations {
    /// Client id of the API, if the settings have it.
    pub api_client_id: Option<Uuid>,
    /// App ID URI of the API, if the settings have it.
    pub app_id_uri: Option<String>,
    /// Whether the API accepts tokens of other tenants, which need a multitenant registration.
    pub is_multitenant: bool,
    /// Name of the scope that the API requires, such as `access_as_user`.
    pub scope: String,
    /// Client id of the site, if the settings have it.
    pub site_client_id: Option<Uuid>,
    /// Where the browser returns after sign-in, and after sign-out.
    pub redirect_uris: [Url; 2],
    /// Front-channel logout URL. Entra accepts https, and http on localhost.
    pub logout_url: Option<Url>,
    /// The site's credentials, in order; empty if none is configured.
    pub credentials: Vec<ExpectedCredential>,
    /// The tenant's cloud.
    pub cloud: Cloud,
}

impl ExpectedRegistrations {
    /// The registrations that follow from these settings. `public_url` and `redirect_uri` are the site's effective ones. Reads files,
    /// and asks vaults for certificates.
    ///
    /// # Errors
    /// When the CA file cannot be used.
    pub fn from_settings(settings: &Settings, public_url: &Url, redirect_uri: &Url) -> Result<Self, OutboundError> {
        // The site's settings also name the API; they are used if the API's own settings do not.
        let site_scope = settings.client.api_scope.rsplit_once('/');
        let mut names = api_names(&settings.api);
        let mut scope = settings.api.required_scope.clone();
        if let Some((resource, name)) = site_scope.filter(|_| names.is_empty()) {
            names = vec![resource.to_owned()];
            name.clone_into(&mut scope);
        }
        let guid_in = |name: &String| guid::parse(name.strip_prefix("api://").unwrap_or(name));
        Ok(Self {
            api_client_id: names.iter().rev().find_map(guid_in),
            app_id_uri: names.into_iter().find(|name| name.contains("://")),
            is_multitenant: !settings.api.tenants.is_empty(),
            scope,
            site_client_id: guid::parse(&settings.client.client_id),
            redirect_uris: [redirect_uri.clone(), public_url.clone()],
            logout_url: public_url.join(FRONT_CHANNEL_LOGOUT).ok(),
            credentials: ExpectedCredential::from_settings(settings)?,
            cloud: settings.entra.cloud,
        })
    }
}
