//! The pages, one per file: query and form, handlers, view model, helpers.

pub mod callback;
pub mod delete_post;
pub mod edit_post;
pub mod front_channel_logout;
pub mod health;
pub mod home;
pub mod login;
pub mod logout;
pub mod new_post;
pub mod post;
pub mod post_form;
pub mod posts;
pub mod profile;
pub mod robots;
pub mod static_file;
