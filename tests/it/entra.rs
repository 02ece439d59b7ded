//! The guarantees of `src/entra`, against a scripted provider and tokens made with OpenSSL.

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
