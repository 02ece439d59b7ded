//! The certificate that a server shows at the moment.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};

use crate::certificate::CertificateDetails;

/// Details of the certificate in use. All clones show the same one.
#[derive(Debug, Clone, Default)]
pub struct ServedCertificate(Arc<ArcSwapOption<CertificateDetails>>);

impl ServedCertificate {
    /// Its details; `None` while the server has only a temporary one.
    pub fn details(&self) -> Option<Arc<CertificateDetails>> {
        self.0.load_full()
    }

    /// When it expires.
    pub fn not_after(&self) -> Option<DateTime<Utc>> {
        self.details().map(|details| details.not_after)
    }

    pub(super) fn clear(&self) {
        self.0.store(None);
    }

    pub(super) fn set(&self, details: CertificateDetails) {
        self.0.store(Some(Arc::new(details)));
    }
}
