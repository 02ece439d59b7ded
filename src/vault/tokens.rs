//! The tokens that the metadata service has given, each for one resource and for an hour.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use openssl::{error::ErrorStack, rand::rand_bytes};
use parking_lot::Mutex;

const LIFETIME: Duration = Duration::from_hours(1);
/// One program asks for one an hour; more are a mistake.
const MOST: usize = 1000;

#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, (String, Instant)>>);

impl Tokens {
    /// A new one for `resource`, and its end in seconds since 1970.
    pub(super) fn issue(&self, resource: &str) -> Result<(String, u64), ErrorStack> {
        let mut bytes = [0; 32];
        rand_bytes(&mut bytes)?;
        let token = hex::encode(bytes);
        let mut given = self.0.lock();
        let now = Instant::now();
        given.retain(|_, (_, until)| *until > now);
        if given.len() >= MOST {
            given.clear();
        }
        given.insert(token.clone(), (resource.to_owned(), now + LIFETIME));
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((token, (since_1970 + LIFETIME).as_secs()))
    }

    /// Whether it was given for `resource`, and has not ended.
    pub(super) fn is_good(&self, token: &str, resource: &str) -> bool {
        let given = self.0.lock();
        given
            .get(token)
            .is_some_and(|(of, until)| of == resource && *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_resource_only() {
        let tokens = Tokens::default();
        let (token, _) = tokens.issue("http://localhost:1").unwrap();
        assert!(tokens.is_good(&token, "http://localhost:1"));
        assert!(!tokens.is_good(&token, "http://localhost:2") && !tokens.is_good("x", "http://localhost:1"));
    }
}
