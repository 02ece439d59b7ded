//! The site, as browsers meet it: on real servers, over HTTP.

mod api_failures;
mod attacks;
mod bodies;
mod certificate_forms;
mod certificate_watch;
mod compression;
mod credentials;
mod forms;
mod headers;
mod health;
mod lanes;
mod posts;
mod public_address;
mod redirect_path;
mod refusals;
mod rejected_forms;
mod renewal;
mod replicas;
mod roles;
mod rotation;
mod sent_twice;
mod session;
mod sign_in;
mod start;
mod step_up;
