//! How a person is identified in every room.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Identifies a person, or an application: never by name or e-mail address, which change and can be reassigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UserKey {
    /// `tid`
    pub tenant_id: Uuid,
    /// `oid`: unique within the tenant only.
    pub object_id: Uuid,
}
