//! The web site as browsers see it: on real servers, over HTTP.

mod api_failures;
mod attacks;
mod blocking_pools;
mod bodies;
mod certificate_forms;
mod certificate_watch;
mod compression;
mod credentials;
mod error_pages;
mod forms;
mod headers;
mod health;
mod posts;
mod public_address;
mod redirect_path;
mod rejected_forms;
mod renewal;
mod repeated_submit;
mod replicas;
mod roles;
mod rotation;
mod session;
mod sign_in;
mod start;
mod step_up;
