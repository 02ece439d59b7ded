//! The signing keys of the provider (JWKS), cached by `kid`.
