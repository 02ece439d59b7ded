//! What a role cannot do without. A role demands only what it needs: the API starts without the site's settings.

use super::{Settings, loader::Loader};

/// For what settings are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Any command that can do with the defaults.
    Any,
    /// `serve-api`
    Api,
    /// `serve-client`
    Client,
}

impl Role {
    pub(super) fn demand(self, settings: &Settings, loader: &mut Loader) {
        let mut demand = |is_missing: bool, name, others: &[&str], what| {
            if is_missing {
                loader.demand(name, others, what);
            }
        };
        let Settings { entra, client, api, .. } = settings;
        let tenant = "the directory (tenant) id of the app registrations (blogctl dev needs none)";
        match self {
            Self::Any => {}
            Self::Api => {
                demand(entra.tenant_id.is_empty(), "entra.tenant_id", &[], tenant);
                demand(
                    api.app_id_uri.is_empty() && api.client_id.is_none(),
                    "api.app_id_uri",
                    &["api.client_id"],
                    "the App ID URI of the API's registration (Expose an API), such as api://GUID",
                );
            }
            Self::Client => {
                demand(entra.tenant_id.is_empty(), "entra.tenant_id", &[], tenant);
                demand(
                    client.client_id.is_empty(),
                    "client.client_id",
                    &[],
                    "the application (client) id of the web site's registration",
                );
                demand(
                    client.credentials().is_empty(),
                    "client.cert_path",
                    &["client.cert_base64", "client.credential"],
                    "a PEM or PFX file with the certificate and its key, as blogctl cert new makes it",
                );
                demand(
                    client.api_scope.is_empty(),
                    "client.api_scope",
                    &[],
                    "the API's scope, such as api://GUID/access_as_user",
                );
                demand(
                    client.cookie_keys.is_empty(),
                    "client.cookie_key",
                    &["client.cookie_key_file"],
                    "32 random characters or more, such as openssl rand -base64 48 prints",
                );
            }
        }
    }
}
