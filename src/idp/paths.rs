//! The fixed paths, each in one place.

/// Control interface, for tests.
pub const CONTROL: &str = "/_control";

// Below `/{tenant}/`.
pub const OPENID_CONFIGURATION: &str = "v2.0/.well-known/openid-configuration";
pub const KEYS: &str = "discovery/v2.0/keys";
pub const AUTHORIZE: &str = "oauth2/v2.0/authorize";
pub const TOKEN: &str = "oauth2/v2.0/token";
pub const LOGOUT: &str = "oauth2/v2.0/logout";
/// Target of the account picker's form.
pub const LOGIN: &str = "login";

/// Whether `path` belongs to the control interface.
pub fn is_control(path: &str) -> bool {
    path.strip_prefix(CONTROL)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
