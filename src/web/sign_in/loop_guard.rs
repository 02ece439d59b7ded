//! Notices that a browser signs in again and again because its session is lost each time, as behind a load balancer whose
//! replicas share no sessions. Entra lets it through without a click, so it would go round for ever.

use actix_web::{HttpRequest, cookie::Cookie};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};

use crate::web::{
    cookies::{Cookies, Flags},
    storage::key_ring::KeyRing,
};

/// So many sign-ins that have all succeeded within [`WINDOW`] were of no use.
const MAX_SIGN_INS: usize = 3;
/// Nobody signs in so often within this by hand, and does not sign out.
const WINDOW: Duration = Duration::minutes(1);

/// When the sign-ins of a browser succeeded, in a cookie of its own: what the site remembers is what may be lost.
pub struct LostSessions {
    keys: KeyRing,
    flags: Flags,
}

impl LostSessions {
    /// Sealed with these keys.
    pub fn new(keys: KeyRing, flags: Flags) -> Self {
        Self { keys, flags }
    }

    /// Whether the browser that sent `request`, and is not signed in, has just signed in too often.
    pub fn is_going_round(&self, request: &HttpRequest) -> bool {
        self.recent(request).len() >= MAX_SIGN_INS
    }

    /// Notes that a sign-in has succeeded.
    pub fn note_sign_in(&self, request: &HttpRequest) {
        let recent = self.recent(request).into_iter().chain([Utc::now()]);
        let bytes: Vec<u8> = recent.flat_map(|time| time.timestamp_millis().to_be_bytes()).collect();
        let Some(sealed) = self.keys.seal(&self.name(), &bytes) else {
            return;
        };
        let max_age = actix_web::cookie::time::Duration::seconds(WINDOW.num_seconds());
        let cookie = self.flags.cookie(self.name(), URL_SAFE_NO_PAD.encode(sealed));
        Cookies::set(request, cookie.max_age(max_age).finish());
    }

    /// Forgets them: somebody who signs out was signed in.
    pub fn forget(&self, request: &HttpRequest) {
        if self.cookies(request).next().is_some() {
            let mut cookie = self.flags.cookie(self.name(), String::new()).finish();
            cookie.make_removal();
            Cookies::set(request, cookie);
        }
    }

    fn recent(&self, request: &HttpRequest) -> Vec<DateTime<Utc>> {
        let now = Utc::now();
        let is_recent = |time: &DateTime<Utc>| (Duration::zero()..WINDOW).contains(&(now - *time));
        self.cookies(request)
            .find_map(|cookie| self.open(&cookie))
            .unwrap_or_default()
            .into_iter()
            .filter(is_recent)
            .collect()
    }

    fn cookies(&self, request: &HttpRequest) -> impl Iterator<Item = Cookie<'static>> {
        let name = self.name();
        Cookies::of(request)
            .into_iter()
            .filter(move |cookie| cookie.name() == name)
    }

    /// `None` of one that is not ours.
    fn open(&self, cookie: &Cookie<'_>) -> Option<Vec<DateTime<Utc>>> {
        let sealed = URL_SAFE_NO_PAD.decode(cookie.value()).ok()?;
        let bytes = self.keys.open(cookie.name(), &sealed)?;
        let (times, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return None;
        }
        times
            .iter()
            .map(|time| DateTime::from_timestamp_millis(i64::from_be_bytes(*time)))
            .collect()
    }

    fn name(&self) -> String {
        format!("{}-signed-in", self.flags.session_name())
    }
}
