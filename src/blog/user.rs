//! Users, and what they may do.

use chrono::{DateTime, Utc};

use crate::db::users::UserRow;
pub use crate::user_key::UserKey;

/// The user's name in a token, and when the token was issued: of several tokens, the latest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenName<'a> {
    /// For display only. Without visible characters, the token has no name.
    pub name: &'a str,
    /// `iat`: seconds since 1970. `None` for a name that comes from no token: it is always stored, and no token is
    /// recorded for it.
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

/// The author of a new post. The first post makes the caller a user; a changed name is taken over as by
/// [`super::Blog::ensure_user`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Author<'a> {
    /// Tenant and object id.
    pub key: UserKey,
    /// The name in the caller's token.
    pub name: TokenName<'a>,
}

impl From<&User> for Author<'_> {
    /// The user under the stored name.
    fn from(user: &User) -> Self {
        Self {
            key: user.key,
            name: "".into(),
        }
    }
}

/// What a caller may do. Each level includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Read posts.
    Read,
    /// Create posts; change and delete one's own.
    Write,
    /// Change and delete every post.
    Manage,
}

/// A caller, and what they may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The person or the application.
    pub key: UserKey,
    /// What they may do.
    pub rights: Rights,
}

/// A stored user.
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
                tenant_id: row.tid,
                object_id: row.oid,
            },
            display_name: row.display_name,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
