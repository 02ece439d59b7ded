//! The headers that every response of the site has: no scripts, no framing (except one empty response to the
//! authority), no content sniffing, no referrer to other sites, no cached pages.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use super::{addresses::Addresses, paths};
use crate::loopback::is_loopback;

const ALWAYS: [(HeaderName, &str); 7] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // Not `no-referrer`: with it, browsers send `Origin: null` with the site's own forms.
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("x-permitted-cross-domain-policies"), "none"),
    (
        HeaderName::from_static("permissions-policy"),
        "accelerometer=(), camera=(), geolocation=(), gyroscope=(), microphone=(), payment=(), usb=()",
    ),
];

/// The headers of one site.
pub struct SecurityHeaders {
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The policy of the front-channel logout, which the authority shows in a frame.
    framed_policy: HeaderValue,
    redirect_path: String,
}

impl SecurityHeaders {
    /// The headers of a site at these addresses, whose users sign out at these origins of the authority, and whose browsers
    /// remember for `hsts_seconds` to use HTTPS only.
    ///
    /// # Errors
    /// When the authority's origin does not fit into a header, which cannot happen with a parsed URL.
    pub fn new(addresses: &Addresses, authority: &[String], hsts_seconds: u32) -> Result<Self, InvalidHeaderValue> {
        let authority = authority.join(" ");
        let mut headers: Vec<_> = ALWAYS
            .into_iter()
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect();
        headers.push((CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy(&authority))?));
        let framed_policy =
            format!("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {authority}");
        let public_url = &addresses.public_url;
        // Browsers would apply it to every port of localhost.
        if public_url.scheme() == "https" && !is_loopback(public_url) && hsts_seconds > 0 {
            let value = HeaderValue::from_str(&format!("max-age={hsts_seconds}"))?;
            headers.push((STRICT_TRANSPORT_SECURITY, value));
        }
        Ok(Self {
            headers,
            framed_policy: HeaderValue::from_str(&framed_policy)?,
            redirect_path: addresses.redirect_uri.path().to_owned(),
        })
    }

    /// Sets the headers of a response. `path` is percent-decoded, as routes see it.
    pub fn set(&self, headers: &mut HeaderMap, path: &str) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        if path == paths::FRONT_CHANNEL_LOGOUT {
            headers.remove(X_FRAME_OPTIONS);
            headers.insert(CONTENT_SECURITY_POLICY, self.framed_policy.clone());
        }
        if path == self.redirect_path {
            // The address contains `code` and `state`: not even the request for the style sheet may repeat it.
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
        }
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }
}

/// `form-action` includes the authority, because Chromium also applies it to the redirects after a form, and the sign-out form ends at
/// Entra ID.
fn policy(authority: &str) -> String {
    format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {authority}; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn only_a_public_site_on_https_tells_browsers_to_stay_there() {
        let authority = ["https://login.microsoftonline.com".to_owned()];
        let hsts = |url: &str, seconds| {
            let addresses = Addresses {
                public_url: Url::parse(url).unwrap(),
                redirect_uri: Url::parse(url).unwrap(),
            };
            let headers = SecurityHeaders::new(&addresses, &authority, seconds).unwrap();
            headers
                .headers
                .iter()
                .find(|(name, _)| name == STRICT_TRANSPORT_SECURITY)
                .map(|(_, value)| value.to_str().unwrap().to_owned())
        };
        assert_eq!(hsts("https://blog.example.com/", 300).as_deref(), Some("max-age=300"));
        assert_eq!(hsts("https://blog.example.com/", 0), None);
        assert_eq!(hsts("https://localhost:5000/", 300), None);
        assert_eq!(hsts("http://localhost:5000/", 300), None);
    }

    #[test]
    fn the_policy_allows_no_script_and_forms_to_the_authority_only() {
        let policy = policy("https://login.microsoftonline.com");
        assert!(policy.starts_with("default-src 'none';"));
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"));
        assert!(policy.contains("form-action 'self' https://login.microsoftonline.com;"));
    }
}
