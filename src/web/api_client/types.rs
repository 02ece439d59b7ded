//! The API's JSON, as far as this site uses it.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use url::form_urlencoded;
use uuid::Uuid;

use crate::{guid, web::session::UserKey};

/// Who wrote a post.
#[derive(Debug, Clone, Deserialize)]
pub struct Author {
    /// Tenant id. An API of an earlier version does not send it.
    #[serde(default)]
    pub tid: Option<String>,
    /// Object id. An imported post may have an author without one.
    pub oid: Option<String>,
    /// For display.
    pub display_name: Option<String>,
}

impl Author {
    /// Whether the author is `user`. An object id is unique only within its tenant, so both ids must match if the API
    /// sends both.
    pub fn is(&self, user: UserKey) -> bool {
        let is = |text: &str, id: Uuid| guid::parse(text) == Some(id);
        self.oid.as_deref().is_some_and(|oid| is(oid, user.object_id))
            && self.tid.as_deref().is_none_or(|tid| is(tid, user.tenant_id))
    }
}

/// A post.
#[derive(Debug, Clone, Deserialize)]
pub struct Post {
    /// Row id.
    pub id: u64,
    /// Title.
    pub title: String,
    /// Content, plain text.
    pub content: String,
    /// Whether `content` is only the beginning; possible when an excerpt was requested.
    #[serde(default)]
    pub truncated: bool,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Who wrote it.
    pub author: Option<Author>,
}

/// A post and the version that was read.
#[derive(Debug, Clone)]
pub struct VersionedPost {
    /// The post.
    pub post: Post,
    /// `ETag`; empty when the API sent none.
    pub etag: String,
}

/// The fields to create or change a post.
#[derive(Debug, Clone)]
pub struct NewPost {
    /// Title.
    pub title: String,
    /// Content.
    pub content: String,
}

/// Which posts to list.
#[derive(Debug, Clone, Default)]
pub struct PostQuery {
    /// How many.
    pub limit: u32,
    /// Cursor of the previous page.
    pub after: Option<String>,
    /// Only posts of the user.
    pub only_mine: bool,
    /// Characters of each content to return. An API of an earlier version returns all of it.
    pub excerpt: u32,
}

impl PostQuery {
    pub(super) fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("limit", &self.limit.to_string())
            .append_pair("excerpt", &self.excerpt.to_string());
        if let Some(after) = &self.after {
            query.append_pair("after", after);
        }
        if self.only_mine {
            query.append_pair("author", "me");
        }
        format!("/v1/posts?{}", query.finish())
    }
}

/// What the user may do in the blog. The API says it in every response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Read.
    Read,
    /// Write posts, and change and delete their own.
    Write,
    /// Change and delete all posts.
    Manage,
}

impl Rights {
    pub(super) fn parse(value: &str) -> Option<Self> {
        match value {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            "manage" => Some(Self::Manage),
            _ => None,
        }
    }

    /// Whether the API accepts a new post.
    pub fn may_write(self) -> bool {
        self >= Self::Write
    }

    /// Whether the API accepts a change of a post.
    pub fn may_change(self, is_own: bool) -> bool {
        self >= if is_own { Self::Write } else { Self::Manage }
    }
}

/// A page of posts, newest first.
#[derive(Debug, Clone)]
pub struct PostList {
    /// The posts.
    pub posts: Vec<Post>,
    /// Number of all posts, if the API says it.
    pub total: Option<u64>,
    /// Cursor of the next page.
    pub next: Option<String>,
}

/// `GET /v1/profile`
#[derive(Debug, Clone, Deserialize)]
pub struct Profile {
    /// Object id.
    pub oid: String,
    /// For display.
    pub name: Option<String>,
    /// For display.
    pub email: Option<String>,
    /// For display.
    pub preferred_username: Option<String>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, Deserialize)]
pub struct FieldError {
    /// `title` or `content`.
    pub field: String,
    /// Message for the user.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_identified_by_tenant_and_object_id() {
        let user = UserKey {
            tenant_id: Uuid::from_u128(1),
            object_id: Uuid::from_u128(2),
        };
        let [tenant, oid, other] = [1, 2, 3].map(|n| Uuid::from_u128(n).to_string());
        let is = |tid: Option<&String>, oid: Option<&String>| {
            Author {
                tid: tid.cloned(),
                oid: oid.cloned(),
                display_name: None,
            }
            .is(user)
        };
        assert!(is(Some(&tenant), Some(&oid)));
        assert!(is(Some(&tenant.to_uppercase()), Some(&oid.to_uppercase())));
        assert!(is(None, Some(&oid)), "an earlier API");
        for (tid, oid) in [
            (Some(&other), Some(&oid)),
            (Some(&tenant), Some(&other)),
            (Some(&tenant), None),
            (Some(&tenant), Some(&oid.replace('-', ""))),
            (Some(&"invalid_response".to_owned()), Some(&oid)),
            (Some(&String::new()), Some(&oid)),
        ] {
            assert!(!is(tid, oid), "{tid:?} {oid:?}");
        }
    }
}
