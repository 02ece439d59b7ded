//! A user: somebody who has signed in. Known by tenant and object id, never by e-mail or name.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::users::UserRow;

/// How a person is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserKey {
    /// Tenant id.
    pub tid: Uuid,
    /// Object id within the tenant.
    pub oid: Uuid,
}

/// What a token calls its user, and when it was issued: of several tokens the latest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenName<'a> {
    /// For display only; nothing to see means that the token has no name.
    pub name: &'a str,
    /// `iat`: seconds since 1970. `None` is for names that are from no token: they count, and leave the rest as it is.
    pub issued_at: Option<i64>,
}

impl<'a> From<&'a str> for TokenName<'a> {
    fn from(name: &'a str) -> Self {
        Self { name, issued_at: None }
    }
}

impl<'a> From<&'a String> for TokenName<'a> {
    fn from(name: &'a String) -> Self {
        name.as_str().into()
    }
}

/// What a caller may do, each what stands before it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Read.
    Read,
    /// Write posts; change and delete one's own.
    Write,
    /// Change and delete anybody's.
    Manage,
}

/// Who does something, and what they may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// How the person, or the application, is known.
    pub key: UserKey,
    /// What they may do.
    pub rights: Rights,
}

/// A user as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Row id.
    pub id: i64,
    /// Tenant and object id.
    pub key: UserKey,
    /// For display only.
    pub display_name: String,
    /// When first seen.
    pub created_at: DateTime<Utc>,
    /// When last changed.
    pub updated_at: DateTime<Utc>,
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            key: UserKey {
                tid: row.tid,
                oid: row.oid,
            },
            display_name: row.display_name,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
