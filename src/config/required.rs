//! The settings that a role requires. Nothing else decides whether a setting is missing. A role requires only what it needs:
//! the API starts without the settings of the site.

use super::Settings;

/// The role for which settings are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A command that works with the defaults.
    Any,
    /// `serve-api`
    Api,
    /// `serve-client`
    Client,
}

/// A setting without which a role cannot work.
pub struct RequiredSetting {
    /// `section.key`
    pub name: &'static str,
    /// Settings that can replace it.
    pub alternatives: &'static [&'static str],
    /// What the setting is, for messages.
    pub description: &'static str,
    is_missing: fn(&Settings) -> bool,
}

const TENANT: RequiredSetting = RequiredSetting {
    name: "entra.tenant_id",
    alternatives: &[],
    description: "the directory (tenant) ID of the app registrations (blogctl dev needs none)",
    is_missing: |settings| settings.entra.tenant_id.trim().is_empty(),
};

const API: &[RequiredSetting] = &[
    TENANT,
    RequiredSetting {
        name: "api.app_id_uri",
        alternatives: &["api.client_id"],
        description: "the App ID URI of the API's app registration (Expose an API), such as api://GUID",
        is_missing: |settings| settings.api.app_id_uri.trim().is_empty() && settings.api.client_id.is_none(),
    },
];

const CLIENT: &[RequiredSetting] = &[
    TENANT,
    RequiredSetting {
        name: "client.client_id",
        alternatives: &[],
        description: "the application (client) ID of the web site's app registration",
        is_missing: |settings| settings.client.client_id.trim().is_empty(),
    },
    RequiredSetting {
        name: "client.cert_path",
        alternatives: &["client.cert_base64", "client.credential"],
        description: "a PEM or PFX file with the certificate and its private key, such as blogctl cert new creates",
        is_missing: |settings| settings.client.credentials().is_empty(),
    },
    RequiredSetting {
        name: "client.api_scope",
        alternatives: &[],
        description: "the scope of the API, such as api://GUID/access_as_user",
        is_missing: |settings| settings.client.api_scope.trim().is_empty(),
    },
    RequiredSetting {
        name: "client.cookie_key",
        alternatives: &["client.cookie_key_file"],
        description: "32 random characters or more, such as openssl rand -base64 48 prints",
        is_missing: |settings| settings.client.cookie_keys.is_empty(),
    },
];

impl Role {
    /// The settings that the role requires.
    pub fn required(self) -> &'static [RequiredSetting] {
        match self {
            Self::Any => &[],
            Self::Api => API,
            Self::Client => CLIENT,
        }
    }

    /// The required settings that are not set.
    pub fn missing(self, settings: &Settings) -> impl Iterator<Item = &'static RequiredSetting> {
        self.required().iter().filter(|setting| (setting.is_missing)(settings))
    }
}
