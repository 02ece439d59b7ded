//! The cookies of a browser, by name. As in a real browser, cookies of one host are shared by all its ports.
//!
//! ```ignore
//! let jar = CookieJar::default();
//! jar.store_from(response.headers());
//! request.header("Cookie", jar.header());
//! ```

use std::{collections::BTreeMap, sync::Mutex};

use ureq::http::HeaderMap;

#[derive(Debug, Default)]
pub struct CookieJar(Mutex<BTreeMap<String, String>>);

impl Clone for CookieJar {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.with(|cookies| cookies.clone())))
    }
}

impl CookieJar {
    pub fn get(&self, name: &str) -> Option<String> {
        self.with(|cookies| cookies.get(name).cloned())
    }

    pub fn set(&self, name: &str, value: &str) {
        self.with(|cookies| cookies.insert(name.to_owned(), value.to_owned()));
    }

    pub fn forget(&self, name: &str) {
        self.with(|cookies| cookies.remove(name));
    }

    /// The value of the `Cookie` header.
    pub fn header(&self) -> String {
        self.with(|cookies| {
            cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join("; ")
        })
    }

    /// Applies the `Set-Cookie` headers of a response, and returns them.
    pub fn store_from(&self, answer: &HeaderMap) -> Vec<String> {
        let values = answer
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().expect("text").to_owned());
        let set_cookies: Vec<String> = values.collect();
        for cookie in &set_cookies {
            let (name, value) = cookie
                .split(';')
                .next()
                .and_then(|pair| pair.split_once('='))
                .expect("a cookie");
            if value.is_empty() || cookie.contains("Max-Age=0") {
                self.forget(name);
            } else {
                self.set(name, value);
            }
        }
        set_cookies
    }

    fn with<T>(&self, use_them: impl FnOnce(&mut BTreeMap<String, String>) -> T) -> T {
        use_them(&mut self.0.lock().expect("a jar"))
    }
}
