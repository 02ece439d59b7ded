//! The tokens that the metadata service has issued, each valid for one resource and one hour.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use openssl::{error::ErrorStack, rand::rand_bytes};
use parking_lot::Mutex;

const LIFETIME: Duration = Duration::from_hours(1);
/// One program requests one token per hour, so this limit is reached only through an error.
const MAX_TOKENS: usize = 1000;

#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, (String, Instant)>>);

impl Tokens {
    /// Issues a token for `resource`. Also returns when it expires, in seconds since 1970.
    pub(super) fn issue(&self, resource: &str) -> Result<(String, u64), ErrorStack> {
        let mut bytes = [0; 32];
        rand_bytes(&mut bytes)?;
        let token = hex::encode(bytes);
        let mut issued = self.0.lock();
        let now = Instant::now();
        issued.retain(|_, (_, until)| *until > now);
        if issued.len() >= MAX_TOKENS {
            issued.clear();
        }
        issued.insert(token.clone(), (resource.to_owned(), now + LIFETIME));
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((token, (since_1970 + LIFETIME).as_secs()))
    }

    /// Whether the token was issued for `resource` and has not expired.
    pub(super) fn is_valid(&self, token: &str, resource: &str) -> bool {
        let issued = self.0.lock();
        issued
            .get(token)
            .is_some_and(|(issued_for, until)| issued_for == resource && *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_for_its_resource_only() {
        let tokens = Tokens::default();
        let (token, _) = tokens.issue("http://localhost:1").unwrap();
        assert!(tokens.is_valid(&token, "http://localhost:1"));
        assert!(!tokens.is_valid(&token, "http://localhost:2") && !tokens.is_valid("x", "http://localhost:1"));
    }
}
