//! A seal in the query of a form's address. It names the author of the form before the body is read.
//!
//! A user who writes for an hour may send the form after their session has ended; the site then saves the text as a
//! draft. For that it must read a long body without a session, which it does only with a seal. A seal can only come
//! from a page that this site has shown to the author. It names the author and their sign-in, is valid only at the path
//! of its form, and expires after a week, or earlier by *sign out everywhere*.

use actix_web::HttpRequest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use url::form_urlencoded;
use uuid::Uuid;

use super::{
    session::{Account, UserKey},
    storage::KeyRing,
};

/// The query parameter with the seal.
const PARAMETER: &str = "form";
/// How long a form may be open before it is sent.
pub const LIFETIME: TimeDelta = TimeDelta::days(7);

/// Names the author of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormSeal {
    /// The author.
    pub author: UserKey,
    /// When the author signed in to the session in which the form was shown.
    pub signed_in_at: DateTime<Utc>,
    shown_at: DateTime<Utc>,
}

impl FormSeal {
    /// The seal of a form that is shown now.
    pub fn new(account: &Account) -> Self {
        Self {
            author: account.user(),
            signed_in_at: account.signed_in_at,
            shown_at: Utc::now(),
        }
    }

    /// The address that the form at `path` is sent to, with the seal.
    pub fn action(&self, keys: &KeyRing, path: &str) -> String {
        let sealed = keys.seal(&name(path), &self.to_bytes()).unwrap_or_default();
        format!("{path}?{PARAMETER}={}", URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The seal in the address of `request`. `None` when there is none, or when it is invalid, for another path, or
    /// expired.
    pub fn from_request(keys: &KeyRing, request: &HttpRequest) -> Option<Self> {
        let query = form_urlencoded::parse(request.query_string().as_bytes());
        let (_, text) = query.into_iter().find(|(name, _)| name == PARAMETER)?;
        let bytes = keys.open(
            &name(request.match_info().as_str()),
            &URL_SAFE_NO_PAD.decode(text.as_bytes()).ok()?,
        )?;
        let seal = Self::from_bytes(&bytes)?;
        (Utc::now() - seal.shown_at < LIFETIME).then_some(seal)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let UserKey { tenant_id, object_id } = self.author;
        let times = [self.signed_in_at, self.shown_at].map(|time| time.timestamp_micros().to_be_bytes());
        [
            tenant_id.as_bytes().as_slice(),
            object_id.as_bytes(),
            times.as_flattened(),
        ]
        .concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tenant_id, rest) = bytes.split_first_chunk()?;
        let (object_id, rest) = rest.split_first_chunk()?;
        let (signed_in_at, rest) = rest.split_first_chunk()?;
        let time = |bytes| DateTime::from_timestamp_micros(i64::from_be_bytes(bytes));
        Some(Self {
            author: UserKey {
                tenant_id: Uuid::from_bytes(*tenant_id),
                object_id: Uuid::from_bytes(*object_id),
            },
            signed_in_at: time(*signed_in_at)?,
            shown_at: time(rest.try_into().ok()?)?,
        })
    }
}

/// The name that a seal is bound to.
fn name(path: &str) -> String {
    format!("form at {path}")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use secrecy::SecretString;

    use super::*;

    fn ring(text: &str) -> KeyRing {
        KeyRing::new(&[SecretString::from(text)])
    }

    fn seal(age: TimeDelta) -> FormSeal {
        let [signed_in_at, shown_at] = [1, 0].map(|seconds| {
            let at = Utc::now() - age - TimeDelta::seconds(seconds);
            DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap()
        });
        let author = UserKey {
            tenant_id: Uuid::from_u128(1),
            object_id: Uuid::from_u128(2),
        };
        FormSeal {
            author,
            signed_in_at,
            shown_at,
        }
    }

    fn read(keys: &KeyRing, address: &str) -> Option<FormSeal> {
        FormSeal::from_request(keys, &TestRequest::with_uri(address).to_http_request())
    }

    #[test]
    fn a_seal_names_the_author_at_its_own_path_for_a_week() {
        let (own, strange) = (ring("own"), ring("strange"));
        let address = seal(TimeDelta::zero()).action(&own, "/posts/new");
        assert!(address.len() < 200, "{address}");
        let read_back = read(&own, &address).unwrap();
        assert_eq!(read_back.author, seal(TimeDelta::zero()).author);
        assert!(read_back.signed_in_at < read_back.shown_at);
        assert!(
            read(&own, &address.replace("/new?", "/7/edit?")).is_none(),
            "another form"
        );
        assert!(read(&strange, &address).is_none());
        for made_up in [
            "/posts/new",
            "/posts/new?form=",
            "/posts/new?form=AAAA",
            "/posts/new?form=%ff&form=!",
        ] {
            assert!(read(&own, made_up).is_none(), "{made_up}");
        }
        let kept_open = |days| read(&own, &seal(TimeDelta::days(days)).action(&own, "/posts/new")).is_some();
        assert!(kept_open(6) && !kept_open(7));
    }
}
