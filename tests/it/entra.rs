//! What `src/entra` promises, against a scripted provider and tokens that OpenSSL made.

mod access_token;
mod assertion;
mod certificate;
mod certificate_forms;
mod hostile_provider;
mod id_token;
mod properties;
mod provider;
mod rejections;
mod sign_in;
mod signing_keys;
