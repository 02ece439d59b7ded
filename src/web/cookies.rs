//! The site's own cookies in a request, and those that its answer sets.
//!
//! Other hosts of the same domain can plant cookies, of the same name or in forms that do not even parse. What is not the
//! site's own is left out before anything looks at it: of several session cookies the first that one of the keys opens
//! counts, and one that only an older key opens is passed on as the newest key would have made it.

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::{BoxBody, MessageBody},
    cookie::{Cookie, CookieBuilder, CookieJar, SameSite},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE},
    middleware::Next,
    web,
};

use super::{
    middleware::error_pages,
    routes,
    session_store::{Trouble, noting_trouble},
    state::Site,
    storage::key_ring::KeyRing,
    storage::redis::time_budget,
};
use crate::serve::cookie_header;

/// What all cookies of the site have in common.
#[derive(Debug, Clone, Copy)]
pub struct Flags {
    /// Whether browsers reach the site over HTTPS.
    pub is_secure: bool,
}

impl Flags {
    /// Name of the session cookie; the others' begin with it. A `__Host-` cookie comes from this host over HTTPS only
    /// (RFC 6265bis §4.1.3.2).
    pub fn session_name(self) -> &'static str {
        if self.is_secure { "__Host-blogctl" } else { "blogctl" }
    }

    /// A cookie of this browser, for this host, closed to scripts and to other sites' requests.
    pub fn cookie(self, name: String, value: String) -> CookieBuilder<'static> {
        Cookie::build(name, value)
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_secure)
    }
}

/// Those of one request, and the changes that its answer makes.
#[derive(Debug, Default)]
pub struct Cookies {
    given: Vec<Cookie<'static>>,
    changes: Vec<Cookie<'static>>,
}

impl Cookies {
    #[cfg(test)]
    pub fn new(given: Vec<Cookie<'static>>) -> Self {
        Self {
            given,
            changes: Vec::new(),
        }
    }

    /// Those that came with `request`.
    pub fn of(request: &HttpRequest) -> Vec<Cookie<'static>> {
        request
            .extensions()
            .get::<Self>()
            .map(|cookies| cookies.given.clone())
            .unwrap_or_default()
    }

    /// Sets one with the answer to `request`.
    pub fn set(request: &HttpRequest, cookie: Cookie<'static>) {
        let mut extensions = request.extensions_mut();
        if let Some(cookies) = extensions.get_mut::<Self>() {
            cookies.changes.push(cookie);
        } else {
            extensions.insert(Self {
                given: Vec::new(),
                changes: vec![cookie],
            });
        }
    }

    /// What is to be set so far.
    #[cfg(test)]
    pub fn changes(request: &HttpRequest) -> Vec<Cookie<'static>> {
        request
            .extensions()
            .get::<Self>()
            .map(|cookies| cookies.changes.clone())
            .unwrap_or_default()
    }
}

/// Middleware (for `actix_web::middleware::from_fn`), outside of the session's: cookies in and out, and a page when what a
/// request changed in its session is lost.
///
/// # Errors
/// Those of the service it wraps.
pub async fn sort_out(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Some(site) = request.app_data::<web::Data<Site>>().cloned() {
        let mut own = own_cookies(request.headers(), site.cookies, &site.keys);
        if !routes::needs_session(request.match_info().as_str()) {
            // Health is told, and styles are sent, without looking a session up.
            own.retain(|cookie| cookie.name() != site.cookies.session_name());
        }
        let line = own
            .iter()
            .map(|cookie| cookie.encoded().stripped().to_string())
            .collect::<Vec<_>>()
            .join("; ");
        request.headers_mut().remove(COOKIE);
        if let Ok(line) = HeaderValue::try_from(line)
            && !line.is_empty()
        {
            request.headers_mut().insert(COOKIE, line);
        }
        request.extensions_mut().insert(Cookies {
            given: own,
            changes: Vec::new(),
        });
    }
    let (response, trouble) = time_budget::of_request(noting_trouble(next.call(request))).await;
    let mut response = response?.map_into_boxed_body();
    if trouble == Some(Trouble::NotWritten) {
        let page = error_pages::session_lost(response.request()).await;
        response = ServiceResponse::new(response.into_parts().0, page);
    }
    if trouble == Some(Trouble::Ended) {
        // The session middleware would set the cookie of a session that is no more, in place of a younger one's.
        keep_removals(response.headers_mut());
    }
    let changes = response
        .request()
        .extensions_mut()
        .remove::<Cookies>()
        .unwrap_or_default()
        .changes;
    for cookie in changes {
        if let Ok(value) = HeaderValue::try_from(cookie.encoded().to_string()) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    Ok(response)
}

/// Leaves only those `Set-Cookie` headers that take a cookie away.
fn keep_removals(headers: &mut HeaderMap) {
    let set: Vec<HeaderValue> = headers.remove(SET_COOKIE).collect();
    for value in set {
        if value.to_str().is_ok_and(|text| text.contains("Max-Age=0")) {
            headers.append(SET_COOKIE, value);
        }
    }
}

fn own_cookies(headers: &HeaderMap, flags: Flags, keys: &KeyRing) -> Vec<Cookie<'static>> {
    let session = flags.session_name();
    let further = format!("{session}-");
    let (of_session, others): (Vec<_>, Vec<_>) = cookie_header::cookies(headers)
        .filter(|(name, _)| *name == session || name.starts_with(&further))
        .filter_map(|(name, value)| Cookie::parse_encoded(format!("{name}={value}")).ok())
        .partition(|cookie| cookie.name() == session);
    let mut own: Vec<_> = of_session
        .into_iter()
        .find_map(|cookie| by_newest_key(cookie, keys))
        .into_iter()
        .chain(others)
        .collect();
    own.sort_by(|a, b| (a.name(), a.value()).cmp(&(b.name(), b.value())));
    own.dedup();
    own
}

/// `None` of a session cookie that none of the keys made.
fn by_newest_key(cookie: Cookie<'static>, keys: &KeyRing) -> Option<Cookie<'static>> {
    let newest = keys.first()?;
    let name = cookie.name().to_owned();
    let mut jar = CookieJar::new();
    jar.add_original(cookie.clone());
    if jar.private(newest).get(&name).is_some() {
        return Some(cookie);
    }
    let plain = keys.older().iter().find_map(|key| jar.private(key).get(&name))?;
    jar.private_mut(newest).add(plain);
    jar.get(&name).cloned()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::COOKIE;
    use secrecy::SecretString;

    use super::*;

    const FLAGS: Flags = Flags { is_secure: false };

    fn ring(texts: &[&str]) -> KeyRing {
        KeyRing::new(&texts.iter().map(|text| SecretString::from(*text)).collect::<Vec<_>>())
    }

    /// As a browser sends it back.
    fn sealed(keys: &KeyRing, id: &str) -> String {
        let mut jar = CookieJar::new();
        jar.private_mut(keys.first().unwrap())
            .add(Cookie::new("blogctl", id.to_owned()));
        jar.get("blogctl").unwrap().encoded().stripped().to_string()
    }

    /// The session ids that pass, as the newest key reads them; and the names of what else passes.
    fn passed(line: &str, keys: &KeyRing) -> (Vec<String>, Vec<String>) {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, line.parse().unwrap());
        let (session, others): (Vec<_>, Vec<_>) = own_cookies(&headers, FLAGS, keys)
            .into_iter()
            .partition(|cookie| cookie.name() == "blogctl");
        let ids = session.into_iter().map(|cookie| {
            let mut jar = CookieJar::new();
            jar.add_original(cookie);
            jar.private(keys.first().unwrap())
                .get("blogctl")
                .unwrap()
                .value()
                .to_owned()
        });
        (
            ids.collect(),
            others.into_iter().map(|cookie| cookie.name().to_owned()).collect(),
        )
    }

    #[test]
    fn a_cookie_of_an_older_key_passes_as_one_of_the_newest() {
        let (old, both, new) = (ring(&["old"]), ring(&["new", "older", "old"]), ring(&["new"]));
        let line = sealed(&old, "id");
        assert_eq!(passed(&line, &both).0, ["id"]);
        assert!(passed(&line, &new).0.is_empty());
        assert_eq!(passed(&sealed(&both, "id"), &new).0, ["id"]);
    }

    #[test]
    fn cookies_that_are_no_text_do_not_hide_ones_own() {
        let keys = ring(&["key"]);
        let own = sealed(&keys, "mine");
        let mut headers = HeaderMap::new();
        for line in [
            b"lang=fran\xe7ais; ".as_slice(),
            &[own.as_bytes(), b"; lang=fran\xc3\xa7ais"].concat(),
            b"\xff",
        ] {
            headers.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        assert_eq!(own_cookies(&headers, FLAGS, &keys).len(), 1);
    }

    #[test]
    fn planted_cookies_neither_pass_nor_hide_ones_own() {
        let keys = ring(&["key"]);
        let own = sealed(&keys, "mine");
        for line in [
            format!("blogctl=planted; {own}"),
            format!("{own}; {own}"),
            format!(
                "blogctl={}; {own}",
                sealed(&ring(&["another"]), "x").split_once('=').unwrap().1
            ),
            format!("x; =; ;;; %zz=%zz; blogctl; {own}"),
            format!("{own}; blogctl=planted"),
            format!("other=1; {own}"),
        ] {
            assert_eq!(passed(&line, &keys), (vec!["mine".to_owned()], Vec::new()), "{line}");
        }
        assert_eq!(
            passed("blogctl-sign-in-a=1; Blogctl=2; blogctl_idp=3", &keys),
            (Vec::new(), vec!["blogctl-sign-in-a".to_owned()])
        );
    }
}
