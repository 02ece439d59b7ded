//! Why the site does not start.

use std::{borrow::Cow, fmt, io};

use super::templates::TemplateError;
use crate::{
    audit::AuditError,
    entra::{ProviderError, confidential_client::SignInError},
    hint::Hint,
    redis::RedisSetupError,
    serve::ListenError,
    telemetry::TelemetryError,
    tls::TlsError,
};

/// Why the site does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// HTTPS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It listens on a Unix socket only, so that no port suggests how browsers reach it.
    #[error(
        "the site listens on a Unix socket, and neither client.public_url nor client.redirect_uri says how browsers reach it"
    )]
    NoPublicUrl,
    /// Settings are missing or invalid: all of them, one per line.
    #[error("{}", list(.0))]
    Settings(Vec<SettingError>),
    /// The settings name no authority, or its CA file cannot be used.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The Entra ID client cannot be created, because its certificate cannot be used.
    #[error(transparent)]
    Client(#[from] SignInError),
    /// Spans cannot be sent.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The Redis settings cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisSetupError),
    /// The system starts no threads.
    #[error("cannot start threads: {0}")]
    Threads(io::Error),
    /// The audit trail cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A template is broken: a defect of the program.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// An address does not fit into a header.
    #[error("an address in the settings does not fit into a header: {0}")]
    Header(String),
    /// The socket cannot be used.
    #[error("the listening socket cannot be used: {0}")]
    Socket(io::Error),
}

impl StartError {
    /// What the operator can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Listen(error) => return error.hint("client.port"),
            Self::Tls(error) => return Hint::hint(error).map(Cow::into_owned),
            Self::NoPublicUrl => {
                "set client.public_url to the address of the reverse proxy, such as https://blog.example.com"
            }
            Self::Settings(_) => {
                "set them in blog.toml, or in the environment as BLOG_CLIENT__… (client.client_id is BLOG_CLIENT__CLIENT_ID)"
            }
            Self::Audit(error) => return Hint::hint(error).map(Cow::into_owned),
            Self::Client(SignInError::Credential(error)) => return Some(error.hint()),
            Self::Provider(_) | Self::Client(_) => "see entra.tenant_id, entra.authority_host and entra.ca_file",
            Self::Telemetry(_) => {
                "entra.ca_file is a PEM file with the certificates to trust in addition to the system's"
            }
            Self::Redis(RedisSetupError::Password(error)) => return Hint::hint(error).map(Cow::into_owned),
            Self::Redis(_) => "see redis.url and redis.ca_file, a PEM file with the certificates to trust",
            Self::Header(_) => "see client.public_url and entra.authority_host",
            Self::Template(_) | Self::Socket(_) | Self::Threads(_) => return None,
        };
        Some(hint.to_owned())
    }
}

impl Hint for StartError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Self::hint(self).map(Cow::Owned)
    }
}

/// A setting that is missing or invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// Such as `client.client_id`.
    pub setting: &'static str,
    /// What is wrong with it, and what is expected.
    pub problem: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.problem)
    }
}

fn list(errors: &[SettingError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
