//! Requests to other servers, by kind of server. Never the host: `entra.authority_host` and vault names belong in the settings.

use std::{sync::LazyLock, time::Duration};

use super::{
    catalog::Catalog,
    family::{Family, LabelValue},
    histogram::Histogram,
};

static DURATIONS: LazyLock<Family<Histogram, 3>> = LazyLock::new(|| {
    Family::durations(
        "http_client_request_duration_seconds",
        "Time from a request to another server to the head of its response; the status is none if there was no response. The \
         targets are api, entra (discovery, keys, tokens), azure (Key Vault and tokens for it) and machine (managed identity)",
        ["target", "http_request_method", "http_response_status_code"],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    DURATIONS.describe(catalog);
}

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The API, from the site.
    Api,
    /// Entra ID.
    Entra,
    /// Azure's services, Key Vault for example.
    Azure,
    /// This machine or its host: the endpoint of managed identities.
    Machine,
    /// Any other.
    Other,
}

impl Target {
    fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Entra => "entra",
            Self::Azure => "azure",
            Self::Machine => "machine",
            Self::Other => "other",
        }
    }
}

/// Records a request. `status` is that of the response, if there was one.
pub fn requested(target: Target, method: &str, status: Option<u16>, duration: Duration) {
    let status = match status {
        None => LabelValue::from("none"),
        // Other servers may send any number.
        Some(status @ 100..=599) => status.to_string().into(),
        Some(_) => "other".into(),
    };
    DURATIONS
        .with([target.as_str().into(), super::http::known_method(method).into(), status])
        .record(duration);
}
