//! The settings of every role, and where they come from: defaults, `blog.toml`, `.env`, the environment, flags.
//!
//! Nobody else reads the environment. A setting has one name (`section.key`), and is documented where it is
//! declared, in the file of its section.

mod aliases;
mod api;
mod azure;
mod client;
mod cookie_keys;
mod credential;
mod database;
mod database_address;
mod dotenv;
mod entra;
mod error;
mod idp;
mod loader;
mod log;
mod origin;
mod quote;
mod redact;
mod redis;
mod required;
mod secret_file;
mod secret_text;
mod server;
mod sources;
mod text_file;
mod validate;
mod value;

pub use api::{ApiSettings, RequiredClientAuth};
pub use azure::{AzureIdentity, AzureSettings};
pub use client::{AssertionForm, CertificateSettings, ClientSettings};
pub use credential::{CredentialSettings, ManagedIdentitySettings, VaultSettings, WorkloadIdentitySettings};
pub use database::{DatabaseSettings, FileMode, PreparedStatements};
pub use database_address::DatabaseAddress;
pub use dotenv::{DotEnv, parse as parse_dotenv};
pub use entra::{Cloud, EntraSettings};
pub use error::{Mistake, Mistakes};
pub use idp::{
    AppRegistration, AppRole, DEV_API_ID, DEV_CLIENT_ID, DEV_TENANT_ID, FederatedIdentity, IdpSettings, IdpUser,
    SIGNING_KEYS_FILE, TokenVersion,
};
pub use loader::Entry;
pub use log::{LogFormat, LogSettings};
pub use origin::{OriginError, parse_origin};
pub use quote::{is_path, quotable, quotable_path, quotable_secret_path};
pub use redact::HIDDEN;
pub use redis::{RedisSettings, RedisUrl};
pub use required::Role;
pub use secret_text::{SecretKind, secret_kind};
pub use server::{Environment, ServerSettings};
pub use sources::{DEFAULT_FILE, FILE_VARIABLE, Flag, Sources, variable_of};
pub use text_file::text_in;
pub use validate::{A_REDIRECT_PATH, redirect_path, weakness};

use loader::Loader;
use sources::Collected;

/// Every setting of every role. A role reads only the sections that concern it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `[server]`: what both servers do the same.
    pub server: ServerSettings,
    /// `[entra]`: which tenant of which cloud, and how to reach it.
    pub entra: EntraSettings,
    /// `[client]`: the web site.
    pub client: ClientSettings,
    /// `[azure]`: which identity this machine has in Azure.
    pub azure: AzureSettings,
    /// `[redis]`: what replicas of the web site share.
    pub redis: RedisSettings,
    /// `[api]`: the REST API.
    pub api: ApiSettings,
    /// `[database]`: where the API keeps posts.
    pub database: DatabaseSettings,
    /// `[log]`: what is logged.
    pub log: LogSettings,
    /// `[idp]`: the development identity provider.
    pub idp: IdpSettings,
}

/// Settings, and where each came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings in force.
    pub settings: Settings,
    /// Each of them with its origin, section by section.
    pub entries: Vec<Entry>,
    /// What is worth a line in the log, such as an older name that is set beside the new one.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads the settings from `sources`, and checks them for `role`.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(sources: &Sources, role: Role) -> Result<Loaded, Mistakes> {
        let (loaded, mistakes) = Self::load_leniently(sources, role);
        if mistakes.is_empty() {
            Ok(loaded)
        } else {
            Err(Mistakes(mistakes))
        }
    }

    /// The same for who can do with a part of the settings: what is wrong has its default, and is told beside.
    pub fn load_leniently(sources: &Sources, role: Role) -> (Loaded, Vec<Mistake>) {
        let mut loader = Loader::new(Collected::from(sources));
        let server = ServerSettings::read(&mut loader);
        let settings = Self {
            entra: EntraSettings::read(&mut loader),
            client: ClientSettings::read(&mut loader, server.environment),
            azure: AzureSettings::read(&mut loader),
            redis: RedisSettings::read(&mut loader),
            api: ApiSettings::read(&mut loader),
            database: DatabaseSettings::read(&mut loader),
            log: LogSettings::read(&mut loader),
            idp: IdpSettings::read(&mut loader),
            server,
        };
        // An identity that Azure gives the machine itself cannot have its tokens exchanged; the list goes on only where that is
        // known.
        if settings.azure.client_id.is_none()
            && let Some(at) = settings
                .client
                .credential
                .iter()
                .position(CredentialSettings::names_no_identity)
        {
            let problem = format!(
                "entry {} names no user-assigned identity, and Entra ID takes tokens of no other",
                at + 1
            );
            loader.refuse(
                "client.credential",
                &problem,
                "set its client_id, or azure.client_id (AZURE_CLIENT_ID)",
            );
        }
        role.demand(&settings, &mut loader);
        let (entries, mistakes, warnings) = loader.finish();
        (
            Loaded {
                settings,
                entries,
                warnings,
            },
            mistakes,
        )
    }
}
