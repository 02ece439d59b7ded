//! The settings that `dev` sets. The servers in this process and those started with `--print-env` get the same list, so that they
//! behave in the same way.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::json;

use super::folder;
use crate::config::{
    AppRegistration, DEV_API_ID, DEV_CLIENT_ID, DEV_TENANT_ID, Flag, IdpSettings, Role, SIGNING_KEYS_FILE, Settings,
    Sources,
};

/// Enough for one user, and few threads on a laptop.
const WORKERS: u16 = 2;
/// After Ctrl-C, the user should not wait for a browser's idle connections.
const SHUTDOWN_SECONDS: u16 = 2;

/// Name of the certificate in the vault.
pub const VAULT_CERTIFICATE: &str = "blog-site";

/// Folder and ports of the servers.
pub struct Plan {
    /// Absolute path of the folder.
    pub data_dir: PathBuf,
    /// The port of each server.
    pub ports: Ports,
}

/// Ports of the three servers.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Port of the Entra ID emulator.
    pub idp: u16,
    /// Port of the API.
    pub api: u16,
    /// Port of the web site.
    pub client: u16,
    /// Port of the Key Vault emulator, if the private key is in one.
    pub vault: Option<u16>,
}

impl Plan {
    /// URL of the web site.
    pub fn client_url(&self) -> String {
        format!("http://localhost:{}", self.ports.client)
    }

    /// URL of the API.
    pub fn api_url(&self) -> String {
        format!("http://localhost:{}", self.ports.api)
    }

    /// URL of the Entra ID emulator.
    pub fn idp_url(&self) -> String {
        format!("http://localhost:{}", self.ports.idp)
    }

    /// URL of the Key Vault emulator.
    pub fn vault_url(&self) -> Option<String> {
        self.ports.vault.map(|port| format!("http://localhost:{port}"))
    }

    /// Every setting that `dev` sets, with its value, but not `[log]`. Reads the cookie key from the folder.
    ///
    /// # Errors
    /// If the folder is not prepared, or a path in it is not UTF-8.
    pub fn values(&self, own: &Settings) -> anyhow::Result<Vec<(&'static str, String)>> {
        let utf8 = |path: &Path| {
            path.to_str()
                .map(str::to_owned)
                .with_context(|| format!("the path {} is not UTF-8", path.display()))
        };
        let file = |name: &str| utf8(&self.data_dir.join(name));
        let cookie_key = self.data_dir.join(folder::COOKIE_KEY);
        let cookie_key =
            fs::read_to_string(&cookie_key).with_context(|| format!("cannot read {}", cookie_key.display()))?;
        let mut values = vec![
            ("server.environment", "development".to_owned()),
            ("server.workers", WORKERS.to_string()),
            ("server.shutdown_seconds", SHUTDOWN_SECONDS.to_string()),
            ("entra.tenant_id", DEV_TENANT_ID.to_owned()),
            ("entra.authority_host", self.idp_url()),
            ("client.port", self.ports.client.to_string()),
            ("client.client_id", DEV_CLIENT_ID.to_owned()),
            ("client.api_scope", format!("api://{DEV_API_ID}/access_as_user")),
            ("client.api_base_url", self.api_url()),
            ("client.cookie_key", cookie_key.trim().to_owned()),
            ("api.port", self.ports.api.to_string()),
            ("api.app_id_uri", format!("api://{DEV_API_ID}")),
            ("api.client_id", DEV_API_ID.to_owned()),
            ("database.url", file(folder::DATABASE)?),
            ("api.rate_limits", own.api.rate_limits.to_string()),
            ("api.require_app_roles", own.api.require_app_roles.to_string()),
            ("idp.port", self.ports.idp.to_string()),
            ("idp.tenant_id", DEV_TENANT_ID.to_owned()),
            ("idp.strict", "true".to_owned()),
            ("idp.access_token_seconds", own.idp.access_token_seconds.to_string()),
            ("idp.state_dir", utf8(&self.data_dir)?),
            ("idp.signing_keys_file", file(SIGNING_KEYS_FILE)?),
            ("idp.users", json!(own.idp.users).to_string()),
            ("idp.apps", json!(self.apps()).to_string()),
        ];
        match self.vault_url() {
            None => values.push(("client.cert_path", file(folder::KEY_AND_CERTIFICATE)?)),
            Some(url) => {
                let entry = json!([{ "source": "key_vault_sign", "vault_url": url, "certificate": VAULT_CERTIFICATE }]);
                values.push(("client.credential", entry.to_string()));
                values.push(("azure.identity", "managed".to_owned()));
                values.push(("azure.imds_url", url));
            }
        }
        Ok(values)
    }

    /// The settings with these values and the defaults.
    ///
    /// # Errors
    /// Those of [`Self::values`].
    pub fn settings(&self, own: &Settings) -> anyhow::Result<Settings> {
        let flag = |(setting, value): (&'static str, String)| Flag {
            name: "dev".to_owned(),
            setting: setting.to_owned(),
            value,
        };
        let flags = self.values(own)?.into_iter().map(flag).collect();
        Ok(Settings::load(
            &Sources {
                flags,
                ..Sources::default()
            },
            Role::Client,
        )?
        .settings)
    }

    /// The default app registrations of the emulator, with this certificate and these URLs.
    fn apps(&self) -> Vec<AppRegistration> {
        let mut apps = IdpSettings::default().apps;
        for app in apps.iter_mut().filter(|app| app.client_id == DEV_CLIENT_ID) {
            app.certificates = vec![self.data_dir.join(folder::CERTIFICATE)];
            app.redirect_uris = vec![format!("{}/callback", self.client_url())];
            app.post_logout_redirect_uris = vec![format!("{}/", self.client_url())];
            app.front_channel_logout_uri = Some(format!("{}/front-channel-logout", self.client_url()));
        }
        apps
    }
}
