//! Stops a browser that signs in over and over because its session is lost each time, as behind a load balancer whose
//! replicas share no sessions. Entra ID signs the user in without a click, so the browser would loop forever.

use actix_web::{HttpRequest, cookie::Cookie};
use chrono::{DateTime, Duration, Utc};

use crate::web::{cookies::Cookies, sealed_cookies::SealedCookies};

/// So many successful sign-ins within [`WINDOW`] are a loop.
const MAX_SIGN_INS: usize = 3;
/// Short enough that a user does not sign in so often by hand without signing out.
const WINDOW: Duration = Duration::minutes(1);
/// What the name of the cookie ends with.
const NAME: &str = "signed-in";

/// Stores the times of a browser's sign-ins in a cookie of the browser, because what the site stores is what may be
/// lost.
pub struct SignInLoopGuard {
    cookies: SealedCookies,
}

impl SignInLoopGuard {
    /// A guard that stores the times in `cookies`.
    pub fn new(cookies: SealedCookies) -> Self {
        Self { cookies }
    }

    /// Whether the browser, which is not signed in, has just signed in too often.
    pub fn is_looping(&self, request: &HttpRequest) -> bool {
        self.recent(request).len() >= MAX_SIGN_INS
    }

    /// Records a successful sign-in.
    pub fn record_sign_in(&self, request: &HttpRequest) {
        let recent = self.recent(request).into_iter().chain([Utc::now()]);
        let bytes: Vec<u8> = recent.flat_map(|time| time.timestamp_millis().to_be_bytes()).collect();
        if let Some(cookie) = self.cookies.seal(self.cookies.name(NAME), &bytes, WINDOW) {
            Cookies::set(request, cookie);
        }
    }

    /// Deletes the recorded sign-ins: a user who signs out had a working session.
    pub fn reset(&self, request: &HttpRequest) {
        if self.received(request).next().is_some() {
            self.cookies.remove(request, self.cookies.name(NAME));
        }
    }

    fn recent(&self, request: &HttpRequest) -> Vec<DateTime<Utc>> {
        let now = Utc::now();
        let is_recent = |time: &DateTime<Utc>| (Duration::zero()..WINDOW).contains(&(now - *time));
        self.received(request)
            .find_map(|cookie| self.open(&cookie))
            .unwrap_or_default()
            .into_iter()
            .filter(is_recent)
            .collect()
    }

    fn received(&self, request: &HttpRequest) -> impl Iterator<Item = Cookie<'static>> {
        let name = self.cookies.name(NAME);
        Cookies::received(request)
            .into_iter()
            .filter(move |cookie| cookie.name() == name)
    }

    /// `None` when this site did not write the cookie.
    fn open(&self, cookie: &Cookie<'_>) -> Option<Vec<DateTime<Utc>>> {
        let bytes = self.cookies.open(cookie)?;
        let (times, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return None;
        }
        times
            .iter()
            .map(|time| DateTime::from_timestamp_millis(i64::from_be_bytes(*time)))
            .collect()
    }
}
