//! What a post and a user are, and who may do what. No HTTP and no SQL in here.

mod excerpt;
pub mod idempotency;
pub mod import;
mod pages;
pub mod post;
pub mod sample;
pub mod service;
pub mod text;
pub mod user;

pub use idempotency::{CreatedOnce, IdempotencyKey};
pub use pages::MAX_PAGE_BYTES;
pub use post::{Cursor, Draft, Expected, Filter, Page, Paging, Post, PostChange, Version, View};
pub use service::{Blog, BlogError};
pub use text::{Content, InvalidText, MAX_TITLE_CHARS, Title};
pub use user::{Actor, Rights, TokenName, User, UserKey};

pub use crate::db::Stamp;
