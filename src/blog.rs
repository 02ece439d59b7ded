//! Posts and users, and the rules for them. No HTTP and no SQL.

mod excerpt;
pub mod idempotency;
pub mod import;
mod pages;
pub mod post;
pub mod sample;
pub mod service;
pub mod text;
pub mod user;

pub use idempotency::{IdempotencyKey, IdempotentResponse};
pub use pages::MAX_PAGE_BYTES;
pub use post::{AuthorFilter, Cursor, Draft, Filter, Page, Paging, Post, PostChange, Precondition, Version, View};
pub use service::{Blog, BlogError, PostEvent, PostEventKind};
pub use text::{Content, InvalidText, MAX_TITLE_CHARS, Title};
pub use user::{Actor, Author, Rights, TokenName, User, UserKey};

pub use crate::db::DataVersion;
