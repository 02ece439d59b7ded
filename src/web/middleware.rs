//! What a request passes through before it reaches a page, and its response afterwards. `server` has the order.

pub mod compression;
pub mod cookies;
pub mod error_pages;
pub mod security_headers;
