//! The site's own cookies: those that a request brought, and those that its response sets.

use actix_web::{
    HttpMessage as _, HttpRequest,
    cookie::{Cookie, CookieBuilder, SameSite},
};

/// The attributes that all cookies of the site share.
#[derive(Debug, Clone, Copy)]
pub struct CookieAttributes {
    /// Whether browsers reach the site over HTTPS.
    pub is_secure: bool,
}

impl CookieAttributes {
    /// Name of the session cookie; the names of the site's other cookies start with it. A browser accepts a `__Host-`
    /// cookie only from this host, over HTTPS (RFC 6265bis §4.1.3.2).
    pub fn session_cookie_name(self) -> &'static str {
        if self.is_secure { "__Host-blogctl" } else { "blogctl" }
    }

    /// A cookie for this host only. Scripts cannot read it, and other sites' forms are sent without it.
    pub fn cookie(self, name: String, value: String) -> CookieBuilder<'static> {
        Cookie::build(name, value)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_secure)
    }

    /// The cookie that makes a browser delete the one with this name.
    pub fn removal(self, name: String) -> Cookie<'static> {
        let mut cookie = self.cookie(name, String::new()).finish();
        cookie.make_removal();
        cookie
    }
}

/// The cookies of one request, and the changes that its response makes.
#[derive(Debug, Default)]
pub struct Cookies {
    received: Vec<Cookie<'static>>,
    changes: Vec<Cookie<'static>>,
}

impl Cookies {
    /// Cookies that came with a request.
    pub fn new(received: Vec<Cookie<'static>>) -> Self {
        Self {
            received,
            changes: Vec::new(),
        }
    }

    /// The cookies that came with `request`.
    pub fn received(request: &HttpRequest) -> Vec<Cookie<'static>> {
        request
            .extensions()
            .get::<Self>()
            .map(|cookies| cookies.received.clone())
            .unwrap_or_default()
    }

    /// Sets a cookie with the response to `request`.
    pub fn set(request: &HttpRequest, cookie: Cookie<'static>) {
        let mut extensions = request.extensions_mut();
        if let Some(cookies) = extensions.get_mut::<Self>() {
            cookies.changes.push(cookie);
        } else {
            extensions.insert(Self {
                received: Vec::new(),
                changes: vec![cookie],
            });
        }
    }

    /// Takes the cookies that the response to `request` is to set.
    pub fn take_changes(request: &HttpRequest) -> Vec<Cookie<'static>> {
        request
            .extensions_mut()
            .get_mut::<Self>()
            .map(|cookies| std::mem::take(&mut cookies.changes))
            .unwrap_or_default()
    }
}
