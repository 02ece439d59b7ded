//! The settings of every role, and where they come from: defaults, `blog.toml`, `.env`, the environment, flags.
//!
//! Nobody else reads the environment. A setting has one name (`section.key`), and is documented where it is
//! declared, in the file of its section.

mod api;
mod client;
mod database;
mod entra;
mod idp;
mod log;
mod server;

pub use api::ApiSettings;
pub use client::{AssertionForm, CertificateSettings, ClientSettings};
pub use database::DatabaseSettings;
pub use entra::{Cloud, EntraSettings};
pub use idp::{AppRegistration, AppRole, DEV_API_ID, DEV_CLIENT_ID, DEV_TENANT_ID, IdpSettings, IdpUser, TokenVersion};
pub use log::LogSettings;
pub use server::{Environment, ServerSettings};

/// Every setting of every role. A role reads only the sections that concern it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `[server]`: what both servers do the same.
    pub server: ServerSettings,
    /// `[entra]`: which tenant of which cloud, and how to reach it.
    pub entra: EntraSettings,
    /// `[client]`: the web site.
    pub client: ClientSettings,
    /// `[api]`: the REST API.
    pub api: ApiSettings,
    /// `[database]`: where the API keeps posts.
    pub database: DatabaseSettings,
    /// `[log]`: what is logged.
    pub log: LogSettings,
    /// `[idp]`: the development identity provider.
    pub idp: IdpSettings,
}
