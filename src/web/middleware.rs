//! What every request passes before and after its page.

pub mod compression;
pub mod error_pages;
