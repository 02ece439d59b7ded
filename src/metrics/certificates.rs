//! Certificates and credentials: when they expire, and whether they are accepted. Alerts compare the times of expiry with the
//! current time, so that a process that hangs cannot report an old number of days.

use std::sync::LazyLock;

use super::{
    catalog::Catalog,
    counter::Counter,
    family::{Family, Gauge, LabelValue},
    observed::{Observation, Observed},
    unix_time,
};

static CLIENT: LazyLock<Observed<4>> = LazyLock::new(|| {
    Observed::gauges(
        "blogctl_client_certificate_not_after_timestamp_seconds",
        "When each loaded certificate of client.credential expires, as Unix time; entry counts the entries from 1, and in_use \
         is true for the one that signs",
        ["entry", "source", "thumbprint", "in_use"],
    )
});
static TLS: LazyLock<Family<Gauge, 1>> = LazyLock::new(|| {
    Family::gauges(
        "blogctl_tls_certificate_not_after_timestamp_seconds",
        "When the server's TLS certificate expires, as Unix time",
        ["role"],
    )
});
static TLS_RELOADS: LazyLock<Family<Counter, 2>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_tls_certificate_reloads",
        "Changes of the files of server.tls: replaced, or failed so that the previous certificate stays in use",
        ["role", "outcome"],
    )
});
static HANDSHAKES: LazyLock<Family<Counter, 1>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_tls_handshakes_failed",
        "Connections on which the client did not complete the TLS handshake",
        ["role"],
    )
});
static USES: LazyLock<Family<Counter, 3>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_credential_uses",
        "Requests to Entra ID with each entry of client.credential: accepted, rejected, unusable (no assertion), or unknown \
         (an error that says nothing about the credential)",
        ["entry", "source", "outcome"],
    )
});
static RELOADS: LazyLock<Family<Counter, 1>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_credential_reloads",
        "Checks of the sources of client.credential: replaced, unchanged, or failed so that the previous credential stays in \
         use",
        ["outcome"],
    )
});
static ASSERTIONS: LazyLock<Family<Counter, 2>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_client_assertions",
        "Client assertions by source of the credential: created, or failed",
        ["source", "outcome"],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    CLIENT.describe(catalog);
    TLS.describe(catalog);
    TLS_RELOADS.describe(catalog);
    HANDSHAKES.describe(catalog);
    USES.describe(catalog);
    RELOADS.describe(catalog);
    ASSERTIONS.describe(catalog);
}

/// A loaded client certificate.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The entry of `client.credential`, from 1.
    pub entry: usize,
    /// The kind of the entry, such as `file`.
    pub source: &'static str,
    /// SHA-1 in hex, as the portal shows it.
    pub thumbprint: String,
    /// Whether it signs assertions now.
    pub is_in_use: bool,
    /// Unix time.
    pub not_after: i64,
}

/// Reports the client certificates that `read` returns until the observation is dropped.
pub fn observe_client(read: impl Fn() -> Vec<ClientCertificate> + Send + Sync + 'static) -> Observation {
    CLIENT.observe_all(move || {
        read()
            .into_iter()
            .map(|certificate| {
                let labels: [LabelValue; 4] = [
                    certificate.entry.to_string().into(),
                    certificate.source.into(),
                    certificate.thumbprint.into(),
                    boolean(certificate.is_in_use).into(),
                ];
                (labels, unix_time(certificate.not_after))
            })
            .collect()
    })
}

/// Records when the TLS certificate of a server expires, as Unix time. `role` is `api`, `client` or `idp`.
pub fn set_tls_not_after(role: &'static str, not_after: i64) {
    TLS.with([role.into()]).set(unix_time(not_after));
}

/// What a change of a file led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The new one is in use.
    Replaced,
    /// It is the same.
    Unchanged,
    /// The previous one stays in use.
    Failed,
}

impl Reload {
    fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
        }
    }
}

/// Counts a change of a server's TLS certificate.
pub fn tls_reloaded(role: &'static str, outcome: Reload) {
    TLS_RELOADS.with([role.into(), outcome.as_str().into()]).increment();
}

/// Counts a failed TLS handshake.
pub fn tls_handshake_failed(role: &'static str) {
    HANDSHAKES.with([role.into()]).increment();
}

/// Counts a check of the sources of `client.credential`.
pub fn credential_reloaded(outcome: Reload) {
    RELOADS.with([outcome.as_str().into()]).increment();
}

/// What Entra ID said about a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialUse {
    /// It returned tokens, or an error that comes after this check.
    Accepted,
    /// Its error is about the credential.
    Rejected,
    /// It was not asked: the credential gave no assertion.
    Unusable,
    /// Its error says nothing about the credential, or it did not answer.
    Unknown,
}

/// Counts a request to Entra ID with an entry of `client.credential`, which is counted from 1.
pub fn credential_used(entry: usize, source: &'static str, outcome: CredentialUse) {
    let outcome = match outcome {
        CredentialUse::Accepted => "accepted",
        CredentialUse::Rejected => "rejected",
        CredentialUse::Unusable => "unusable",
        CredentialUse::Unknown => "unknown",
    };
    USES.with([entry.to_string().into(), source.into(), outcome.into()])
        .increment();
}

/// Counts a client assertion.
pub fn assertion(source: &'static str, is_created: bool) {
    let outcome = if is_created { "created" } else { "failed" };
    ASSERTIONS.with([source.into(), outcome.into()]).increment();
}

fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
