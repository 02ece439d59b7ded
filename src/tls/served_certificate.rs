//! The certificate that a server shows at the moment.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};

use crate::{
    audit::{AuditLog, CertificateUse, Event, Origin},
    certificate::CertificateDetails,
};

/// Details of the certificate in use. All clones show the same one.
#[derive(Debug, Clone, Default)]
pub struct ServedCertificate(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    details: ArcSwapOption<CertificateDetails>,
    /// Where changes are recorded, once the server runs.
    audit: OnceLock<AuditLog>,
}

impl ServedCertificate {
    /// Its details; `None` while the server has only a temporary one.
    pub fn details(&self) -> Option<Arc<CertificateDetails>> {
        self.0.details.load_full()
    }

    /// When it expires.
    pub fn not_after(&self) -> Option<DateTime<Utc>> {
        self.details().map(|details| details.not_after)
    }

    pub(super) fn clear(&self) {
        self.0.details.store(None);
    }

    pub(super) fn set(&self, details: CertificateDetails) {
        self.0.details.store(Some(Arc::new(details)));
        self.record_in_use();
    }

    /// Records the certificate in an audit trail, and each one that replaces it.
    pub fn record_in(&self, audit: &AuditLog) {
        // The second trail of a server would be a defect; the first one stays.
        if self.0.audit.set(audit.clone()).is_ok() {
            self.record_in_use();
        }
    }

    fn record_in_use(&self) {
        if let (Some(audit), Some(details)) = (self.0.audit.get(), self.details()) {
            let event = Event::CertificateInUse {
                usage: CertificateUse::Tls,
                source_kind: None,
                thumbprint: Some(details.thumbprints.sha256_hex()),
                not_after: Some(details.not_after),
            };
            audit.record(event, Origin::default());
        }
    }

    /// Records that a new certificate, or new client CAs, cannot be used.
    pub(super) fn record_failure(&self) {
        if let Some(audit) = self.0.audit.get() {
            let event = Event::CertificateUnusable {
                usage: CertificateUse::Tls,
                reason: "reload_failed",
            };
            audit.record(event, Origin::default());
        }
    }
}
