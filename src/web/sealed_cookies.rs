//! Cookies that only this site can read or change, and that are valid only under their own name.

use actix_web::{
    HttpRequest,
    cookie::{Cookie, time},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Duration;
use zeroize::Zeroizing;

use super::{
    cookies::{CookieAttributes, Cookies},
    storage::KeyRing,
};

/// Seals, opens and removes cookies.
#[derive(Clone)]
pub struct SealedCookies {
    keys: KeyRing,
    attributes: CookieAttributes,
}

impl SealedCookies {
    /// Cookies sealed with `keys`.
    pub fn new(keys: KeyRing, attributes: CookieAttributes) -> Self {
        Self { keys, attributes }
    }

    /// The full name of the cookie that this site calls `suffix`.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.attributes.session_cookie_name())
    }

    /// A cookie that holds `plain`. `None` when it cannot be sealed.
    pub fn seal(&self, name: String, plain: &[u8], lifetime: Duration) -> Option<Cookie<'static>> {
        let value = URL_SAFE_NO_PAD.encode(self.keys.seal(&name, plain)?);
        let max_age = time::Duration::seconds(lifetime.num_seconds());
        Some(self.attributes.cookie(name, value).max_age(max_age).finish())
    }

    /// What a cookie holds. `None` when this site did not seal it, or not under this name.
    pub fn open(&self, cookie: &Cookie<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let sealed = URL_SAFE_NO_PAD.decode(cookie.value()).ok()?;
        self.keys.open(cookie.name(), &sealed)
    }

    /// Removes a cookie with the response to `request`.
    pub fn remove(&self, request: &HttpRequest, name: String) {
        Cookies::set(request, self.attributes.removal(name));
    }
}
