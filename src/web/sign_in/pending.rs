//! Sign-ins that were sent to Entra and have not come back. Each is in a cookie of its own, sealed, in the browser that
//! began it.
//!
//! Not in the session: tabs that begin at the same moment would overwrite each other's, a restart would lose all of them,
//! and strangers who begin sign-ins by the thousand would push other people's out of the site's memory.

use std::time::Duration as StdDuration;

use actix_web::{HttpRequest, cookie::Cookie};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Duration, Utc};
use moka::{policy::EvictionPolicy, sync::Cache};
use openssl::sha::sha256;

use crate::web::{
    cookies::{Cookies, Flags},
    storage::key_ring::KeyRing,
};

/// Most sign-ins under way in one browser, one per tab; the oldest goes first.
const MAX_PENDING: usize = 8;
/// Entra's codes live about ten minutes; so does a sign-in under way.
const LIFETIME: Duration = Duration::minutes(10);
/// Most states that are remembered as used. Beyond that Entra alone sees to it that a code works once.
const MAX_USED: u64 = 100_000;
/// Bytes of `nonce` and of the PKCE verifier.
const SECRET_BYTES: usize = 32;
/// Most cookies of strangers that one answer has the browser forget.
const MAX_REMOVALS: usize = 20;
/// Bytes of the digest of `state` that name a cookie.
const NAME_BYTES: usize = 16;

/// What must be there when the browser comes back.
#[derive(Clone, PartialEq, Eq)]
pub struct Pending {
    /// `nonce` that the ID token must hold.
    pub nonce: String,
    /// PKCE `code_verifier`.
    pub code_verifier: String,
    /// Where to go afterwards.
    pub next: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
}

/// In few bytes, since a browser that opens all its tabs again begins many: microseconds since 1970, the two secrets without their
/// base64url, and the path.
impl Pending {
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

/// Keeps and finds them.
pub struct PendingSignIns {
    keys: KeyRing,
    flags: Flags,
    /// Names of the cookies that have been used: a copy of a cookie is worth nothing then.
    used: Cache<String, ()>,
}

impl PendingSignIns {
    /// Sealed with these keys.
    pub fn new(keys: KeyRing, flags: Flags) -> Self {
        let lifetime = LIFETIME.to_std().unwrap_or(StdDuration::ZERO);
        Self {
            keys,
            flags,
            used: Cache::builder()
                .max_capacity(MAX_USED)
                .eviction_policy(EvictionPolicy::lru())
                .time_to_live(lifetime)
                .build(),
        }
    }

    /// Remembers one in the browser that sent `request`, and has it forget those that are too old or too many.
    /// `None` when it cannot be sealed.
    pub fn begin(&self, request: &HttpRequest, state: &str, pending: &Pending) -> Option<()> {
        let name = self.name_of(state);
        let value = URL_SAFE_NO_PAD.encode(self.keys.seal(&name, &pending.to_bytes()?)?);
        self.leave(MAX_PENDING - 1, request);
        let max_age = actix_web::cookie::time::Duration::seconds(LIFETIME.num_seconds());
        Cookies::set(request, self.flags.cookie(name, value).max_age(max_age).finish());
        Some(())
    }

    /// Takes the one that `state` names: it works once, in this browser, for ten minutes.
    pub fn take(&self, request: &HttpRequest, state: &str) -> Option<Pending> {
        // Many may have begun at once, none of them knowing of the others.
        self.leave(MAX_PENDING, request);
        let name = self.name_of(state);
        let mut cookies = Cookies::of(request)
            .into_iter()
            .filter(|cookie| cookie.name() == name)
            .peekable();
        cookies.peek()?;
        self.remove(request, &name);
        // Another host of the domain may have planted one of the same name.
        let pending = cookies.find_map(|cookie| self.open(&cookie))?;
        self.used.entry(name).or_insert(()).is_fresh().then_some(pending)
    }

    /// The youngest, so many of them.
    fn leave(&self, most: usize, request: &HttpRequest) {
        let prefix = self.prefix();
        let cookies = Cookies::of(request)
            .into_iter()
            .filter(|cookie| cookie.name().starts_with(&prefix));
        let (mut alive, dead): (Vec<_>, Vec<_>) = cookies
            .map(|cookie| (self.open(&cookie), cookie))
            .partition(|(pending, _)| pending.is_some());
        alive.sort_by_key(|(pending, _)| pending.as_ref().map(|pending| pending.started_at));
        let surplus = alive.len().saturating_sub(most);
        for (_, cookie) in dead.iter().chain(alive.iter().take(surplus)).take(MAX_REMOVALS) {
            self.remove(request, cookie.name());
        }
    }

    /// `None` of one that is not ours, or too old.
    fn open(&self, cookie: &Cookie<'_>) -> Option<Pending> {
        let sealed = URL_SAFE_NO_PAD.decode(cookie.value()).ok()?;
        let pending = Pending::from_bytes(&self.keys.open(cookie.name(), &sealed)?)?;
        let age = Utc::now() - pending.started_at;
        (age < LIFETIME).then_some(pending)
    }

    fn remove(&self, request: &HttpRequest, name: &str) {
        let mut cookie = self.flags.cookie(name.to_owned(), String::new()).finish();
        cookie.make_removal();
        Cookies::set(request, cookie);
    }

    fn prefix(&self) -> String {
        format!("{}-sign-in-", self.flags.session_name())
    }

    /// By a digest: `state` itself is in no cookie's name.
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

    fn sign_ins() -> PendingSignIns {
        PendingSignIns::new(KeyRing::new(&[SecretString::from("a key")]), Flags { is_secure: true })
    }

    fn begun(minutes_ago: i64) -> Pending {
        Pending {
            nonce: URL_SAFE_NO_PAD.encode([1; SECRET_BYTES]),
            code_verifier: URL_SAFE_NO_PAD.encode([2; SECRET_BYTES]),
            next: "/posts/new".to_owned(),
            started_at: Utc::now() - Duration::minutes(minutes_ago),
        }
    }

    /// A request with these cookies, and what the answer to it sets.
    fn request(cookies: &[Cookie<'static>]) -> HttpRequest {
        let request = TestRequest::default().to_http_request();
        request.extensions_mut().insert(Cookies::new(cookies.to_vec()));
        request
    }

    /// What a browser holds after the answers to these requests.
    fn kept(before: &[Cookie<'static>], request: &HttpRequest) -> Vec<Cookie<'static>> {
        let mut jar = before.to_vec();
        for cookie in Cookies::changes(request) {
            jar.retain(|known| known.name() != cookie.name());
            if !cookie.value().is_empty() {
                jar.push(cookie);
            }
        }
        jar
    }

    #[test]
    fn one_can_be_taken_once_even_by_who_copied_the_cookie() {
        let sign_ins = sign_ins();
        let first = request(&[]);
        sign_ins.begin(&first, "a", &begun(0)).unwrap();
        let jar = kept(&[], &first);
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
        assert!(kept(&jar, &back).is_empty());
        assert!(sign_ins.take(&request(&jar), "a").is_none());
    }

    #[test]
    fn those_that_begin_at_the_same_moment_are_all_kept() {
        let sign_ins = sign_ins();
        let states = ["a", "b", "c"];
        let mut jar = Vec::new();
        for state in states {
            let request = request(&[]);
            sign_ins.begin(&request, state, &begun(0)).unwrap();
            jar = kept(&jar, &request);
        }
        assert!(
            states
                .iter()
                .all(|state| sign_ins.take(&request(&jar), state).is_some())
        );
    }

    #[test]
    fn one_older_than_ten_minutes_is_gone() {
        let sign_ins = sign_ins();
        for (minutes, is_there) in [(9, true), (10, false)] {
            let first = request(&[]);
            sign_ins.begin(&first, "a", &begun(minutes)).unwrap();
            assert_eq!(
                sign_ins.take(&request(&kept(&[], &first)), "a").is_some(),
                is_there,
                "{minutes}"
            );
        }
    }

    #[test]
    fn the_ninth_pushes_the_oldest_out_and_what_is_none_of_ours() {
        let sign_ins = sign_ins();
        let strange = Cookie::new("__Host-blogctl-sign-in-strange", "text");
        let mut jar = vec![strange];
        for n in 0..9_i64 {
            let request = request(&jar);
            sign_ins.begin(&request, &n.to_string(), &begun(9 - n)).unwrap();
            jar = kept(&jar, &request);
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
        let jar = kept(&[], &first);
        let moved = Cookie::new(sign_ins.name_of("b"), jar[0].value().to_owned());
        assert!(sign_ins.take(&request(&[moved]), "b").is_none());
    }
}
