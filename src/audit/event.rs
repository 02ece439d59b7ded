//! What the audit trail records. Each event has only the fields below: ids, codes and counts.

use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::user_key::UserKey;

/// Something that happened. The name of a variant, in snake case, is the `event` of its line. Later versions may have more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The server begins to serve.
    ServerStarted {
        /// Version of blogctl.
        version: &'static str,
        /// SHA-256 of the settings without secrets: changes when a setting changes.
        settings: String,
    },
    /// The server has answered its last request.
    ServerStopped,
    /// A user signed in.
    SignedIn,
    /// A sign-in failed.
    SignInRejected {
        /// Why.
        reason: &'static str,
        /// The number of Entra ID's AADSTS error.
        #[serde(skip_serializing_if = "Option::is_none")]
        aadsts: Option<u32>,
    },
    /// Sessions ended because a user, or Entra ID, signed out.
    SignedOut {
        /// Where.
        scope: SignOutScope,
        /// How many sessions ended in other browsers, if known.
        #[serde(skip_serializing_if = "Option::is_none")]
        sessions: Option<usize>,
    },
    /// The API rejected an access token.
    TokenRejected {
        /// The `code` of the problem document.
        reason: &'static str,
    },
    /// A caller or a user may not do what they requested.
    AccessDenied {
        /// The `code` of the problem document, or the check of the site.
        reason: &'static str,
        /// The post, if the request was about one.
        #[serde(skip_serializing_if = "Option::is_none")]
        post_id: Option<i64>,
    },
    /// The actor created a post.
    PostCreated {
        /// The new post.
        post_id: i64,
    },
    /// A post was changed.
    PostChanged {
        /// The post.
        post_id: i64,
        /// Its author, if an administrator changed it.
        #[serde(skip_serializing_if = "Option::is_none")]
        author: Option<Person>,
    },
    /// A post was deleted.
    PostDeleted {
        /// The post.
        post_id: i64,
        /// Its author, if an administrator deleted it.
        #[serde(skip_serializing_if = "Option::is_none")]
        author: Option<Person>,
    },
    /// A certificate, or another credential, is in use from now on.
    CertificateInUse {
        /// For what.
        usage: CertificateUse,
        /// Where it comes from, such as `file` or `key_vault`.
        #[serde(skip_serializing_if = "Option::is_none")]
        source_kind: Option<String>,
        /// SHA-256 of the certificate, as hex.
        #[serde(skip_serializing_if = "Option::is_none")]
        thumbprint: Option<String>,
        /// When it expires.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "optional_time")]
        not_after: Option<DateTime<Utc>>,
    },
    /// Entra ID rejected the client certificate or the federated token.
    CertificateRejected {
        /// For what.
        usage: CertificateUse,
        /// SHA-256 of the certificate, as hex.
        #[serde(skip_serializing_if = "Option::is_none")]
        thumbprint: Option<String>,
        /// The number of Entra ID's AADSTS error.
        #[serde(skip_serializing_if = "Option::is_none")]
        aadsts: Option<u32>,
    },
    /// A new certificate cannot be used; the previous one stays in use.
    CertificateUnusable {
        /// For what.
        usage: CertificateUse,
        /// Why.
        reason: &'static str,
    },
    /// Events that were not written. The trail writes it itself.
    EventsLost {
        /// `not_written`: the queue was full, or the writing thread failed.
        reason: &'static str,
        /// How many.
        events: u64,
        /// When the first one happened.
        #[serde(serialize_with = "time")]
        since: DateTime<Utc>,
    },
    /// The bytes between the last complete line and this one are not a line: a write was interrupted. The trail writes it itself.
    DamagedTail {
        /// How many bytes, without the line break before this line.
        bytes: u64,
        /// Their SHA-256, so that they cannot be changed later.
        sha256: String,
        /// Whether they ended without a line break, as after a killed process. Otherwise they were changed.
        interrupted: bool,
    },
}

/// Where sessions ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SignOutScope {
    /// In the browser that requested it.
    ThisBrowser,
    /// In all browsers of the user.
    AllBrowsers,
    /// Entra ID reported that its session ended (OpenID Connect Front-Channel Logout).
    Provider,
}

/// What a certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateUse {
    /// The site authenticates to Entra ID.
    Client,
    /// A server authenticates to browsers and clients.
    Tls,
}

/// A user or an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Person {
    /// Tenant id.
    pub tid: Uuid,
    /// Object id.
    pub oid: Uuid,
}

impl From<UserKey> for Person {
    fn from(key: UserKey) -> Self {
        Self {
            tid: key.tenant_id,
            oid: key.object_id,
        }
    }
}

/// Who caused an event, by which request. Everything is absent for an event that no request caused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Origin {
    /// The user or application, if authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Person>,
    /// At most 64 characters; the client may have chosen it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// 32 hex digits, if the request is part of a trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
}

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Success,
    /// A check rejected it.
    Denied,
    /// Something is broken.
    Failure,
}

impl Event {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::ServerStarted { .. }
            | Self::ServerStopped
            | Self::SignedIn
            | Self::SignedOut { .. }
            | Self::PostCreated { .. }
            | Self::PostChanged { .. }
            | Self::PostDeleted { .. }
            | Self::CertificateInUse { .. } => Outcome::Success,
            Self::SignInRejected { .. } | Self::TokenRejected { .. } | Self::AccessDenied { .. } => Outcome::Denied,
            Self::CertificateRejected { .. }
            | Self::CertificateUnusable { .. }
            | Self::EventsLost { .. }
            | Self::DamagedTail { .. } => Outcome::Failure,
        }
    }

    /// Name and reason of an event that a client can cause as often as it likes; such events are counted instead of written one
    /// by one. `None` for all others.
    pub(super) fn repeatable(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::SignInRejected { reason, .. } => Some(("sign_in_rejected", reason)),
            Self::TokenRejected { reason } => Some(("token_rejected", reason)),
            Self::AccessDenied { reason, .. } => Some(("access_denied", reason)),
            Self::CertificateRejected { .. } => Some(("certificate_rejected", "")),
            Self::CertificateUnusable { reason, .. } => Some(("certificate_unusable", reason)),
            _ => None,
        }
    }
}

/// An event with its time and origin.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub time: DateTime<Utc>,
    pub event: Event,
    pub origin: Origin,
    /// How many further events of the same kind this line stands for.
    pub repeats: Option<Repeats>,
}

/// Further events of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Repeats {
    /// How many.
    pub count: u64,
    /// When the first of them happened.
    #[serde(serialize_with = "time")]
    pub since: DateTime<Utc>,
}

impl Record {
    pub fn new(event: Event, origin: Origin) -> Self {
        Self {
            time: Utc::now(),
            event,
            origin,
            repeats: None,
        }
    }
}

/// RFC 3339 in UTC with microseconds.
pub(super) fn time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn optional_time<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => time(at, serializer),
        None => serializer.serialize_none(),
    }
}
