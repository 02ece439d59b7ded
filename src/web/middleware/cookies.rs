//! Passes on the site's own cookies only, and sets those of the response.
//!
//! Other hosts of the same domain can plant cookies with the same names, or malformed ones. This middleware removes
//! everything that is not the site's own before other code reads it. Of several session cookies, the first that one of
//! the keys opens counts. One that only an older key opens is passed on sealed with the newest key.

use actix_web::{
    Error, HttpMessage as _,
    body::{BoxBody, MessageBody},
    cookie::{Cookie, CookieJar, time},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE},
    middleware::Next,
    web,
};

use super::error_pages;
use crate::{
    redis::time_budget,
    serve::cookie_header,
    web::{
        cookies::{CookieAttributes, Cookies},
        paths,
        session_store::{SessionFailure, track_failures},
        storage::KeyRing,
    },
};

/// Middleware (for `actix_web::middleware::from_fn`), outside the session middleware: filters the cookies of the
/// request, sets those of the response, and replaces the response when the changes of the request to its session could
/// not be saved.
///
/// # Errors
/// Those of the wrapped service.
pub async fn filter_cookies(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let attributes = request.app_data::<web::Data<CookieAttributes>>().cloned();
    let keys = request.app_data::<web::Data<KeyRing>>().cloned();
    if let (Some(attributes), Some(keys)) = (attributes, keys) {
        replace_cookies(&mut request, **attributes, &keys);
    }
    let (response, failure) = time_budget::with_budget(track_failures(next.call(request))).await;
    let mut response = response?.map_into_boxed_body();
    match failure {
        Some(SessionFailure::NotWritten) => {
            let page = error_pages::session_not_saved(response.request()).await;
            response = ServiceResponse::new(response.into_parts().0, page);
        }
        // The session middleware would set the cookie of the ended session, and replace that of a newer one.
        Some(SessionFailure::Ended) => retain_removals(response.headers_mut()),
        Some(SessionFailure::NotRead) | None => {}
    }
    for cookie in Cookies::take_changes(response.request()) {
        if let Ok(value) = HeaderValue::try_from(cookie.encoded().to_string()) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    Ok(response)
}

/// Replaces the `Cookie` header by one with the site's own cookies.
fn replace_cookies(request: &mut ServiceRequest, attributes: CookieAttributes, keys: &KeyRing) {
    let mut own = own_cookies(request.headers(), attributes, keys);
    if !paths::needs_session(request.match_info().as_str()) {
        // Health checks and static files work without loading a session.
        own.retain(|cookie| cookie.name() != attributes.session_cookie_name());
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
    request.extensions_mut().insert(Cookies::new(own));
}

/// Keeps only the `Set-Cookie` headers that remove a cookie.
fn retain_removals(headers: &mut HeaderMap) {
    let set: Vec<HeaderValue> = headers.remove(SET_COOKIE).collect();
    for value in set {
        let cookie = value.to_str().ok().and_then(|text| Cookie::parse(text).ok());
        if cookie.is_some_and(|cookie| cookie.max_age() == Some(time::Duration::ZERO)) {
            headers.append(SET_COOKIE, value);
        }
    }
}

fn own_cookies(headers: &HeaderMap, attributes: CookieAttributes, keys: &KeyRing) -> Vec<Cookie<'static>> {
    let session = attributes.session_cookie_name();
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

/// The session cookie, sealed with the newest key. `None` when none of the keys opens it.
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

    const ATTRIBUTES: CookieAttributes = CookieAttributes { is_secure: false };

    fn ring(texts: &[&str]) -> KeyRing {
        KeyRing::new(&texts.iter().map(|text| SecretString::from(*text)).collect::<Vec<_>>())
    }

    /// The session cookie as a browser sends it back.
    fn sealed(keys: &KeyRing, id: &str) -> String {
        let mut jar = CookieJar::new();
        jar.private_mut(keys.first().unwrap())
            .add(Cookie::new("blogctl", id.to_owned()));
        jar.get("blogctl").unwrap().encoded().stripped().to_string()
    }

    /// The session ids that pass, as the newest key reads them, and the names of the other cookies that pass.
    fn passed(line: &str, keys: &KeyRing) -> (Vec<String>, Vec<String>) {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, line.parse().unwrap());
        let (session, others): (Vec<_>, Vec<_>) = own_cookies(&headers, ATTRIBUTES, keys)
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
        assert_eq!(own_cookies(&headers, ATTRIBUTES, &keys).len(), 1);
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
