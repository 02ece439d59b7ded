//! The settings of every role, and their sources: defaults, `blog.toml`, `.env`, the environment, flags.
//!
//! No other module reads the environment. Each setting has one name (`section.key`), and the file of its section declares it:
//! default, accepted values, aliases, documentation.

mod acme;
mod aliases;
mod api;
mod audit;
mod azure;
mod certificate;
mod client;
mod cookie_keys;
mod credential;
mod database;
mod database_address;
mod dotenv;
mod entra;
mod environment;
mod error;
mod idp;
mod loader;
mod log;
mod metrics;
mod origin;
mod password;
mod quote;
mod redact;
mod redis;
mod required;
mod rules;
mod secret_file;
mod secret_text;
mod section;
mod server;
mod server_tls;
mod socket_path;
mod sources;
mod telemetry;
mod text_file;
mod trusted_proxy;
mod validate;
mod value;

pub use acme::AcmeSettings;
pub use aliases::Alias;
pub use api::{ApiSettings, RequiredClientAuth};
pub use audit::AuditSettings;
pub use azure::{AzureIdentity, AzureSettings};
pub use certificate::CertificateSettings;
pub use client::{AssertionForm, ClientSettings};
pub use credential::{CredentialSettings, ManagedIdentitySettings, VaultSettings, WorkloadIdentitySettings};
pub use database::{DatabaseSettings, FileMode, PreparedStatements};
pub use database_address::DatabaseAddress;
pub use dotenv::{DotEnv, parse as parse_dotenv};
pub use entra::{Cloud, EntraSettings};
pub use environment::Environment;
pub use error::{ConfigError, ConfigErrorKind, ConfigErrors};
pub use idp::{
    AppRegistration, AppRole, DEV_API_ID, DEV_CLIENT_ID, DEV_TENANT_ID, FederatedIdentity, IdpSettings, IdpUser,
    SIGNING_KEYS_FILE, TokenVersion,
};
pub use loader::Entry;
pub use log::{LogFormat, LogSettings};
pub use metrics::MetricsSettings;
pub use origin::{OriginError, parse_origin};
pub use password::{IdentitySettings, PasswordOrigin};
pub use quote::{is_path, quotable, quotable_path, quotable_secret_path};
pub use redact::HIDDEN;
pub use redis::{RedisMode, RedisSettings, RedisUrl};
pub use required::{RequiredSetting, Role};
pub use secret_file::{MAX_PASSWORD_BYTES, password_in_file, password_in_text};
pub use secret_text::{SecretKind, secret_kind};
pub use section::{Declaration, Section};
pub use server::ServerSettings;
pub use server_tls::TlsSettings;
pub use sources::{DEFAULT_FILE, FILE_VARIABLE, Flag, Origin, Sources, variable_of};
pub use telemetry::{Compression, OtlpHeaders, Ratio, TelemetrySettings};
pub use text_file::text_in;
pub use trusted_proxy::TrustedProxy;
pub use validate::{A_REDIRECT_PATH, redirect_path, weakness};

use std::sync::Arc;

use loader::Loader;
use openssl::sha::Sha256;
use sources::Collected;

/// All sections, in the order of `blog.toml`. The settings of the client certificate belong to `[client]`.
pub const SECTIONS: &[Section] = &[
    ServerSettings::SECTION,
    TlsSettings::SECTION,
    AcmeSettings::SECTION,
    EntraSettings::SECTION,
    ClientSettings::SECTION,
    CertificateSettings::SECTION,
    RedisSettings::SECTION,
    AzureSettings::SECTION,
    ApiSettings::SECTION,
    DatabaseSettings::SECTION,
    LogSettings::SECTION,
    TelemetrySettings::SECTION,
    AuditSettings::SECTION,
    MetricsSettings::SECTION,
    IdpSettings::SECTION,
];

/// The settings of all roles. A role reads only the sections that it needs.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `[server]`
    pub server: ServerSettings,
    /// `[entra]`
    pub entra: EntraSettings,
    /// `[client]`
    pub client: ClientSettings,
    /// `[redis]`
    pub redis: RedisSettings,
    /// `[azure]`
    pub azure: AzureSettings,
    /// `[api]`
    pub api: ApiSettings,
    /// `[database]`
    pub database: DatabaseSettings,
    /// `[log]`
    pub log: LogSettings,
    /// `[telemetry]`
    pub telemetry: TelemetrySettings,
    /// `[audit]`
    pub audit: AuditSettings,
    /// `[metrics]`
    pub metrics: MetricsSettings,
    /// `[idp]`
    pub idp: IdpSettings,
    /// SHA-256 of all values as `blogctl config` shows them, so without secrets; empty unless the settings were loaded.
    pub fingerprint: String,
}

/// Settings, and where each value comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings in force.
    pub settings: Settings,
    /// The same settings one by one, section by section, with their origins.
    pub entries: Vec<Entry>,
    /// For the log, such as an alias that is ignored because the setting's own name is set, too.
    pub warnings: Vec<String>,
}

impl Settings {
    /// What a token of the identity in `[azure]` depends on.
    pub fn identity(&self) -> Arc<IdentitySettings> {
        Arc::new(IdentitySettings {
            azure: self.azure.clone(),
            entra: self.entra.clone(),
            client_id: self.client.client_id.clone(),
        })
    }

    /// Loads the settings from `sources`, and checks that those which `role` requires are set.
    ///
    /// # Errors
    /// Returns all errors in the settings at once.
    pub fn load(sources: &Sources, role: Role) -> Result<Loaded, ConfigErrors> {
        let (loaded, errors) = Self::load_leniently(sources, role);
        if errors.is_empty() {
            Ok(loaded)
        } else {
            Err(ConfigErrors(errors))
        }
    }

    /// Loads the settings for a caller that needs only some of them: an invalid setting has its default, and its error is
    /// in the list.
    pub fn load_leniently(sources: &Sources, role: Role) -> (Loaded, Vec<ConfigError>) {
        let declarations: Vec<&'static Declaration> = SECTIONS.iter().flat_map(|section| section.settings).collect();
        let collected = Collected::from_sources(sources, &declarations, role);
        let mut loader = Loader::new(collected, declarations);
        let server = ServerSettings::load(&mut loader);
        let mut settings = Self {
            entra: EntraSettings::load(&mut loader, server.environment),
            client: ClientSettings::load(&mut loader, server.environment),
            redis: RedisSettings::load(&mut loader),
            azure: AzureSettings::read(&mut loader),
            api: ApiSettings::read(&mut loader),
            database: DatabaseSettings::load(&mut loader),
            log: LogSettings::read(&mut loader),
            telemetry: TelemetrySettings::load(&mut loader),
            audit: AuditSettings::read(&mut loader),
            metrics: MetricsSettings::read(&mut loader),
            idp: IdpSettings::load(&mut loader),
            server,
            fingerprint: String::new(),
        };
        if settings.database.azure {
            settings.database.identity = Some(settings.identity());
        }
        if settings.redis.azure {
            settings.redis.identity = Some(settings.identity());
        }
        check_managed_identity(&settings, &mut loader);
        for required in role.missing(&settings) {
            loader.require(required.name, required.alternatives, required.description);
        }
        let (entries, errors, warnings) = loader.finish();
        settings.fingerprint = fingerprint(&entries);
        (
            Loaded {
                settings,
                entries,
                warnings,
            },
            errors,
        )
    }
}

/// The hash that the audit trail records at each start. A changed secret does not change it: a hash of a secret would let an
/// attacker test guesses.
fn fingerprint(entries: &[Entry]) -> String {
    let mut hash = Sha256::new();
    for entry in entries {
        // JSON has no raw line break, so no value can look like the next entry.
        hash.update(format!("{}={}\n", entry.name, entry.value).as_bytes());
    }
    hex::encode(hash.finish())
}

/// Entra ID accepts tokens of user-assigned managed identities only, so each managed identity in `client.credential` needs a
/// client ID.
fn check_managed_identity(settings: &Settings, loader: &mut Loader) {
    if settings.azure.client_id.is_some() {
        return;
    }
    let mut credentials = settings.client.credential.iter();
    if let Some(at) = credentials.position(CredentialSettings::is_unnamed_managed_identity) {
        let problem = format!(
            "entry {} has no client ID of a user-assigned identity, and Entra ID accepts tokens of no other identity",
            at + 1
        );
        loader.reject(
            "client.credential",
            &problem,
            "set its client_id, or azure.client_id (AZURE_CLIENT_ID)",
        );
    }
}
