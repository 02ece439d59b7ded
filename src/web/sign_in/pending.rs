//! Sign-ins that browsers have begun at Entra ID and not completed. Each is in a sealed cookie of the browser that
//! began it.
//!
//! They are not in the session: tabs that begin at the same moment would overwrite each other's sign-ins, a restart
//! would lose all of them, and strangers who begin sign-ins by the thousand would push other users' sign-ins out of
//! memory.

use std::time::Duration as StdDuration;

use actix_web::{HttpRequest, cookie::Cookie};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use moka::{policy::EvictionPolicy, sync::Cache};
use openssl::sha::sha256;

use crate::web::{cookies::Cookies, sealed_cookies::SealedCookies};

/// Most pending sign-ins in one browser, one per tab; the oldest goes first.
const MAX_PENDING: usize = 8;
/// Entra ID's codes live about ten minutes, and so does a pending sign-in.
const LIFETIME: Duration = Duration::minutes(10);
/// Most used states that the site remembers. Beyond that, only Entra ID ensures that a code works once.
const MAX_USED: u64 = 100_000;
/// Length of `nonce` and of the PKCE verifier, in bytes.
const SECRET_BYTES: usize = 32;
/// Most invalid or surplus cookies that one response removes.
const MAX_REMOVALS: usize = 20;
/// Length of the digest of `state` in a cookie's name, in bytes.
const NAME_BYTES: usize = 16;

/// What the callback needs to complete a sign-in.
#[derive(Clone, PartialEq, Eq)]
pub struct PendingCookie {
    /// `nonce` that the ID token must contain.
    pub nonce: String,
    /// PKCE `code_verifier`.
    pub code_verifier: String,
    /// The page to open afterwards.
    pub next: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
}

/// Encoded in few bytes, because a browser that restores its tabs begins many sign-ins: microseconds since 1970, the
/// two secrets without their base64url, and the path.
impl PendingCookie {
    fn to_bytes(&self) -> Option<Vec<u8>> {
        let secret = |text: &str| {
            URL_SAFE_NO_PAD
                .decode(text)
                .ok()
                .filter(|bytes| bytes.len() == SECRET_BYTES)
        };
        let (nonce, verifier) = (secret(&self.nonce)?, secret(&self.code_verifier)?);
        Some(
            [
                &self.started_at.timestamp_micros().to_be_bytes(),
                nonce.as_slice(),
                &verifier,
                self.next.as_bytes(),
            ]
            .concat(),
        )
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, rest) = bytes.split_first_chunk()?;
        let (nonce, rest) = rest.split_at_checked(SECRET_BYTES)?;
        let (verifier, next) = rest.split_at_checked(SECRET_BYTES)?;
        Some(Self {
            nonce: URL_SAFE_NO_PAD.encode(nonce),
            code_verifier: URL_SAFE_NO_PAD.encode(verifier),
            next: String::from_utf8(next.to_vec()).ok()?,
            started_at: DateTime::from_timestamp_micros(i64::from_be_bytes(*time))?,
        })
    }
}

/// Stores and finds pending sign-ins.
pub struct PendingSignIns {
    cookies: SealedCookies,
    /// Names of the cookies that were used: a copy of such a cookie is worthless.
    used: Cache<String, ()>,
}

impl PendingSignIns {
    /// Pending sign-ins in `cookies`.
    pub fn new(cookies: SealedCookies) -> Self {
        let lifetime = LIFETIME.to_std().unwrap_or(StdDuration::ZERO);
        Self {
            cookies,
            used: Cache::builder()
                .max_capacity(MAX_USED)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(lifetime)
                .build(),
        }
    }

    /// Stores a sign-in in the browser that sent `request`, and removes those that are too old or too many. `None` when
    /// it cannot be sealed.
    pub fn begin(&self, request: &HttpRequest, state: &str, pending: &PendingCookie) -> Option<()> {
        let cookie = self.cookies.seal(self.name_of(state), &pending.to_bytes()?, LIFETIME)?;
        self.retain_newest(MAX_PENDING - 1, request);
        Cookies::set(request, cookie);
        Some(())
    }

    /// Takes the sign-in that `state` names. It works once, in this browser, for ten minutes.
    pub fn take(&self, request: &HttpRequest, state: &str) -> Option<PendingCookie> {
        // Several tabs may have begun at once, without knowing of each other.
        self.retain_newest(MAX_PENDING, request);
        let name = self.name_of(state);
        let mut cookies = Cookies::received(request)
            .into_iter()
            .filter(|cookie| cookie.name() == name)
            .peekable();
        cookies.peek()?;
        self.cookies.remove(request, name.clone());
        // Another host of the domain may have planted a cookie with the same name.
        let pending = cookies.find_map(|cookie| self.open(&cookie))?;
        self.used.entry(name).or_insert(()).is_fresh().then_some(pending)
    }

    /// Removes invalid cookies, and all valid ones but the newest `most`.
    fn retain_newest(&self, most: usize, request: &HttpRequest) {
        let prefix = self.prefix();
        let cookies = Cookies::received(request)
            .into_iter()
            .filter(|cookie| cookie.name().starts_with(&prefix));
        let (mut valid, invalid): (Vec<_>, Vec<_>) = cookies
            .map(|cookie| (self.open(&cookie), cookie))
            .partition(|(pending, _)| pending.is_some());
        valid.sort_by_key(|(pending, _)| pending.as_ref().map(|pending| pending.started_at));
        let surplus = valid.len().saturating_sub(most);
        for (_, cookie) in invalid.iter().chain(valid.iter().take(surplus)).take(MAX_REMOVALS) {
            self.cookies.remove(request, cookie.name().to_owned());
        }
    }

    /// `None` when this site did not write the cookie, or it is too old.
    fn open(&self, cookie: &Cookie<'_>) -> Option<PendingCookie> {
        let pending = PendingCookie::from_bytes(&self.cookies.open(cookie)?)?;
        let age = Utc::now() - pending.started_at;
        (age < LIFETIME).then_some(pending)
    }

    fn prefix(&self) -> String {
        self.cookies.name("sign-in-")
    }

    /// The name contains a digest of `state`, never `state` itself.
    fn name_of(&self, state: &str) -> String {
        let digest = sha256(state.as_bytes());
        let (start, _) = digest.split_at(NAME_BYTES);
        format!("{}{}", self.prefix(), URL_SAFE_NO_PAD.encode(start))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{HttpMessage as _, test::TestRequest};
    use secrecy::SecretString;

    use super::*;
    use crate::web::{cookies::CookieAttributes, storage::KeyRing};

    fn sign_ins() -> PendingSignIns {
        let keys = KeyRing::new(&[SecretString::from("a key")]);
        PendingSignIns::new(SealedCookies::new(keys, CookieAttributes { is_secure: true }))
    }

    fn begun(minutes_ago: i64) -> PendingCookie {
        PendingCookie {
            nonce: URL_SAFE_NO_PAD.encode([1; SECRET_BYTES]),
            code_verifier: URL_SAFE_NO_PAD.encode([2; SECRET_BYTES]),
            next: "/posts/new".to_owned(),
            started_at: Utc::now() - Duration::minutes(minutes_ago),
        }
    }

    fn request(cookies: &[Cookie<'static>]) -> HttpRequest {
        let request = TestRequest::default().to_http_request();
        request.extensions_mut().insert(Cookies::new(cookies.to_vec()));
        request
    }

    /// The cookies that a browser stores after the response to this request.
    fn stored(before: &[Cookie<'static>], request: &HttpRequest) -> Vec<Cookie<'static>> {
        let mut jar = before.to_vec();
        for cookie in Cookies::take_changes(request) {
            jar.retain(|known| known.name() != cookie.name());
            if !cookie.value().is_empty() {
                jar.push(cookie);
            }
        }
        jar
    }

    #[test]
    fn a_pending_sign_in_works_once_even_with_a_copied_cookie() {
        let sign_ins = sign_ins();
        let first = request(&[]);
        sign_ins.begin(&first, "a", &begun(0)).unwrap();
        let jar = stored(&[], &first);
        assert!(sign_ins.take(&request(&jar), "b").is_none(), "another state");
        assert!(sign_ins.take(&request(&[]), "a").is_none(), "another browser");
        assert!(jar[0].value().len() < 200, "{}", jar[0].value().len());
        let back = request(&jar);
        let taken = sign_ins.take(&back, "a").unwrap();
        let begun = begun(0);
        assert_eq!(
            (taken.nonce, taken.code_verifier, taken.next),
            (begun.nonce, begun.code_verifier, begun.next)
        );
        assert!(stored(&jar, &back).is_empty());
        assert!(sign_ins.take(&request(&jar), "a").is_none());
    }

    #[test]
    fn sign_ins_that_begin_at_the_same_moment_are_all_stored() {
        let sign_ins = sign_ins();
        let states = ["a", "b", "c"];
        let mut jar = Vec::new();
        for state in states {
            let request = request(&[]);
            sign_ins.begin(&request, state, &begun(0)).unwrap();
            jar = stored(&jar, &request);
        }
        assert!(
            states
                .iter()
                .all(|state| sign_ins.take(&request(&jar), state).is_some())
        );
    }

    #[test]
    fn a_sign_in_older_than_ten_minutes_is_gone() {
        let sign_ins = sign_ins();
        for (minutes, is_there) in [(9, true), (10, false)] {
            let first = request(&[]);
            sign_ins.begin(&first, "a", &begun(minutes)).unwrap();
            assert_eq!(
                sign_ins.take(&request(&stored(&[], &first)), "a").is_some(),
                is_there,
                "{minutes}"
            );
        }
    }

    #[test]
    fn the_ninth_sign_in_pushes_out_the_oldest_and_foreign_cookies() {
        let sign_ins = sign_ins();
        let strange = Cookie::new("__Host-blogctl-sign-in-strange", "text");
        let mut jar = vec![strange];
        for n in 0..9_i64 {
            let request = request(&jar);
            sign_ins.begin(&request, &n.to_string(), &begun(9 - n)).unwrap();
            jar = stored(&jar, &request);
        }
        assert_eq!(jar.len(), 8);
        assert!(sign_ins.take(&request(&jar), "0").is_none());
        assert!((1..9).all(|n| sign_ins.take(&request(&jar), &n.to_string()).is_some()));
    }

    #[test]
    fn a_cookie_serves_under_its_own_name_only() {
        let sign_ins = sign_ins();
        let first = request(&[]);
        sign_ins.begin(&first, "a", &begun(0)).unwrap();
        let jar = stored(&[], &first);
        let moved = Cookie::new(sign_ins.name_of("b"), jar[0].value().to_owned());
        assert!(sign_ins.take(&request(&[moved]), "b").is_none());
    }
}
