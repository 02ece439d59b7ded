//! The two app registrations that a system needs, as Microsoft Graph describes applications (resource type
//! `application`), and how registrations as they are differ from that.

mod described;
mod drift;
mod proof;

use url::Url;
use uuid::Uuid;

pub use described::{APP_ROLES, UNKNOWN_API, described};
pub use drift::{Drift, NotAnExport, Severity, drift};
pub use proof::Proof;

use crate::{
    config::{Cloud, Settings},
    entra::access_token::api_names,
    guid,
    outbound::OutboundError,
};

/// Where Entra calls when somebody signs out elsewhere.
const FRONT_CHANNEL_LOGOUT: &str = "front-channel-logout";

/// What the registrations must hold.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Client id of the API, when the settings tell.
    pub api_client_id: Option<Uuid>,
    /// App ID URI of the API, when the settings tell.
    pub app_id_uri: Option<String>,
    /// Whether tokens of other tenants count, too: they get some only where the API's registration is of any tenant.
    pub is_of_many_tenants: bool,
    /// Name of the scope that the API demands, such as `access_as_user`.
    pub scope: String,
    /// Client id of the site, when the settings tell.
    pub site_client_id: Option<Uuid>,
    /// Where people come back to: after signing in, and after signing out.
    pub redirect_uris: [Url; 2],
    /// Front-channel logout URL. Entra takes https, and http on localhost.
    pub logout_url: Option<Url>,
    /// What the site proves itself with, in order; empty when there is nothing yet.
    pub proofs: Vec<Proof>,
    /// Where the tenant is.
    pub cloud: Cloud,
}

impl Wanted {
    /// What these settings lead to. `public_url` and `redirect_uri` as the site works them out. Reads files, and asks vaults
    /// for certificates.
    ///
    /// # Errors
    /// When the CA file cannot be used.
    pub fn of(settings: &Settings, public_url: &Url, redirect_uri: &Url) -> Result<Self, OutboundError> {
        // The site's settings name the API, too: where only they are, that is who is meant.
        let of_site = settings.client.api_scope.rsplit_once('/');
        let mut names = api_names(&settings.api);
        let mut scope = settings.api.required_scope.clone();
        if let Some((resource, name)) = of_site.filter(|_| names.is_empty()) {
            names = vec![resource.to_owned()];
            name.clone_into(&mut scope);
        }
        let guid_in = |name: &String| guid::parse(name.strip_prefix("api://").unwrap_or(name));
        Ok(Self {
            api_client_id: names.iter().rev().find_map(guid_in),
            app_id_uri: names.into_iter().find(|name| name.contains("://")),
            is_of_many_tenants: !settings.api.tenants.is_empty(),
            scope,
            site_client_id: guid::parse(&settings.client.client_id),
            redirect_uris: [redirect_uri.clone(), public_url.clone()],
            logout_url: public_url.join(FRONT_CHANNEL_LOGOUT).ok(),
            proofs: Proof::all(settings)?,
            cloud: settings.entra.cloud,
        })
    }
}
