//! The emulator's sign-in sessions, one per browser, and their cookie.

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite},
};
use subtle::ConstantTimeEq;

use super::{expiring_map::ExpiringMap, random};
use crate::serve::cookie_header::cookie;

/// All ports of `localhost` share their cookies, so the names include the application's.
const SESSION_COOKIE: &str = "blogctl_idp_session";
const FORM_COOKIE: &str = "blogctl_idp_form";

const LIFETIME_SECONDS: i64 = 24 * 60 * 60;
const CAPACITY: usize = 10_000;

/// A user who is signed in in one browser.
#[derive(Debug, Clone)]
pub struct Session {
    /// `sid` of ID tokens and of front-channel logout.
    pub sid: String,
    /// Object id of the user.
    pub oid: String,
    /// Client ids of the applications that the user has signed in to.
    pub apps: Vec<String>,
}

/// All sessions, by cookie value.
pub struct Sessions {
    by_cookie: ExpiringMap<Session>,
    secure: bool,
}

impl Sessions {
    /// `secure`: cookies are sent over HTTPS only.
    pub fn new(secure: bool) -> Self {
        Self {
            by_cookie: ExpiringMap::new(CAPACITY),
            secure,
        }
    }

    /// The session of the browser that sent the request.
    pub fn current(&self, request: &HttpRequest, now: i64) -> Option<Session> {
        self.by_cookie.get(cookie(request.headers(), SESSION_COOKIE)?, now)
    }

    /// Signs a user in: a new cookie, and a new session unless the same user had one.
    pub fn start(&self, request: &HttpRequest, oid: &str, now: i64) -> (Session, Cookie<'static>) {
        let before = cookie(request.headers(), SESSION_COOKIE).and_then(|name| self.by_cookie.remove(name));
        // The `sid` survives a repeated sign-in: applications know the session by it.
        let session = before.filter(|session| session.oid == oid).unwrap_or_else(|| Session {
            sid: random::guid(),
            oid: oid.to_owned(),
            apps: Vec::new(),
        });
        let name = random::secret();
        self.by_cookie
            .insert(name.clone(), session.clone(), now + LIFETIME_SECONDS, now);
        (session, self.cookie(SESSION_COOKIE, name))
    }

    /// Records that the user has signed in to an application, which must be notified of the sign-out.
    pub fn add_app(&self, sid: &str, client_id: &str) {
        self.by_cookie.for_each(|session| {
            if session.sid == sid && !session.apps.iter().any(|app| app == client_id) {
                session.apps.push(client_id.to_owned());
            }
        });
    }

    /// Ends the session of this browser. Returns it, and the cookie that clears the browser's.
    pub fn end(&self, request: &HttpRequest, now: i64) -> (Option<Session>, Cookie<'static>) {
        let ended = self.current(request, now);
        if let Some(name) = cookie(request.headers(), SESSION_COOKIE) {
            self.by_cookie.remove(name);
        }
        let mut clearing = self.cookie(SESSION_COOKIE, String::new());
        clearing.make_removal();
        (ended, clearing)
    }

    /// The token that the forms of this browser must carry, and its cookie; new ones if the browser has none.
    pub fn form_token(&self, request: &HttpRequest) -> (String, Cookie<'static>) {
        let known = cookie(request.headers(), FORM_COOKIE).map(str::to_owned);
        let token = known
            .filter(|value| value.len() == random::secret().len())
            .unwrap_or_else(random::secret);
        (token.clone(), self.cookie(FORM_COOKIE, token))
    }

    /// Whether a form with this `token` came from a page that the emulator gave to this browser.
    pub fn is_form_token_valid(request: &HttpRequest, token: Option<&str>) -> bool {
        let (Some(known), Some(token)) = (cookie(request.headers(), FORM_COOKIE), token) else {
            return false;
        };
        !token.is_empty() && bool::from(known.as_bytes().ct_eq(token.as_bytes()))
    }

    fn cookie(&self, name: &'static str, value: String) -> Cookie<'static> {
        Cookie::build(name, value)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.secure)
            .finish()
    }
}
