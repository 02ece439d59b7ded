//! The headers that every answer of the site has, whatever it is: no script at all, no framing (but for one empty answer
//! to the authority), no sniffing, no referrer to other sites, no copy of a page in any cache.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue,
        REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
    middleware::Next,
    web,
};
use url::Url;

use super::{pages::front_channel_logout, state::Site};

const ALWAYS: [(HeaderName, &str); 7] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    // Not `no-referrer`: browsers then send `Origin: null` with our own forms.
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
    ordinary: Vec<(HeaderName, HeaderValue)>,
    /// The policy of the one answer that the authority shows in a frame.
    framed: HeaderValue,
}

impl SecurityHeaders {
    /// For a site at `public_url` whose users are signed out at `authority`.
    ///
    /// # Errors
    /// When the authority's origin does not fit into a header; no parsed URL's does that.
    pub fn new(public_url: &Url, authority: &Url) -> Result<Self, InvalidHeaderValue> {
        let mut headers: Vec<_> = ALWAYS
            .into_iter()
            .map(|(name, value)| (name, HeaderValue::from_static(value)))
            .collect();
        headers.push((CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy(authority))?));
        let framed = format!(
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {}",
            authority.origin().ascii_serialization()
        );
        if public_url.scheme() == "https" {
            headers.push((STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")));
        }
        Ok(Self {
            ordinary: headers,
            framed: HeaderValue::from_str(&framed)?,
        })
    }

    /// `path` is percent-decoded, as routes see it.
    fn add_to(&self, headers: &mut HeaderMap, path: &str, redirect_path: &str) {
        for (name, value) in &self.ordinary {
            headers.insert(name.clone(), value.clone());
        }
        if path == front_channel_logout::PATH {
            headers.remove(X_FRAME_OPTIONS);
            headers.insert(CONTENT_SECURITY_POLICY, self.framed.clone());
        }
        if path == redirect_path {
            // Its address holds `code` and `state`; not even the style sheet's request may repeat it.
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
        }
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }
}

/// Middleware (for `actix_web::middleware::from_fn`).
///
/// # Errors
/// Those of the service it wraps.
pub async fn add(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let site = request.app_data::<web::Data<Site>>().cloned();
    let mut response = next.call(request).await?;
    if let Some(site) = site {
        let path = response.request().match_info().as_str().to_owned();
        site.headers.add_to(response.headers_mut(), &path, &site.redirect_path);
    }
    Ok(response)
}

/// Chromium applies `form-action` to the redirects that follow a form, too: signing out is a form that ends at Entra.
fn policy(authority: &Url) -> String {
    format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' {}; base-uri 'none'; \
         frame-ancestors 'none'",
        authority.origin().ascii_serialization()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_site_on_https_asks_for_https_for_ever() {
        let authority = Url::parse("https://login.microsoftonline.com/t/v2.0").unwrap();
        let has_hsts = |url: &str| {
            let headers = SecurityHeaders::new(&Url::parse(url).unwrap(), &authority).unwrap();
            headers
                .ordinary
                .iter()
                .any(|(name, _)| name == STRICT_TRANSPORT_SECURITY)
        };
        assert!(has_hsts("https://blog.example.com/"));
        assert!(!has_hsts("http://localhost:5000/"));
    }

    #[test]
    fn the_policy_allows_no_script_and_forms_to_the_authority_only() {
        let policy = policy(&Url::parse("https://login.microsoftonline.com/t/v2.0").unwrap());
        assert!(policy.starts_with("default-src 'none';"));
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"));
        assert!(policy.contains("form-action 'self' https://login.microsoftonline.com;"));
    }
}
