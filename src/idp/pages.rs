//! The pages that people see, and the headers that keep them safe. All values are escaped by the templates.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::Cookie,
    http::{
        StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
};
use tera::{Context, Tera};
use url::Url;

use super::error::Refusal;
use crate::serve::RequestId;

/// The templates, parsed once.
pub struct Pages(Tera);

/// What a page may do beside showing itself with the site's own style.
#[derive(Debug, Default)]
pub struct Allowed {
    /// Sources that its forms may lead to, redirects included: Chromium checks `form-action` along the whole way.
    pub form_action: Vec<String>,
    /// Sources that it may show in frames.
    pub frames: Vec<String>,
}

impl Pages {
    /// Parses the templates.
    ///
    /// # Errors
    /// When one is not well formed.
    pub fn new() -> Result<Self, tera::Error> {
        let mut tera = Tera::new();
        tera.add_raw_templates([
            ("base.html", include_str!("../../templates/idp/base.html")),
            ("home.html", include_str!("../../templates/idp/home.html")),
            ("sign_in.html", include_str!("../../templates/idp/sign_in.html")),
            ("error.html", include_str!("../../templates/idp/error.html")),
            ("signed_out.html", include_str!("../../templates/idp/signed_out.html")),
        ])?;
        Ok(Self(tera))
    }

    /// Renders a page into an answer with a strict content security policy.
    pub fn answer(&self, status: StatusCode, template: &str, context: &Context, allowed: &Allowed) -> HttpResponse {
        match self.0.render(template, context) {
            Ok(html) => HttpResponse::build(status)
                .content_type("text/html; charset=utf-8")
                .insert_header((CONTENT_SECURITY_POLICY, content_security_policy(allowed)))
                .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .insert_header((X_FRAME_OPTIONS, "DENY"))
                // `no-referrer` would make browsers send `Origin: null` with the sign-in form.
                .insert_header((REFERRER_POLICY, "same-origin"))
                .insert_header((CACHE_CONTROL, "no-store"))
                .body(html),
            Err(error) => {
                log::error!("template {template} cannot be rendered: {error}");
                HttpResponse::InternalServerError().body("the page cannot be shown; the log says why")
            }
        }
    }

    /// The provider's own error page, for what must not be sent to a redirect URI.
    pub fn error(&self, request: &HttpRequest, refusal: &Refusal) -> HttpResponse {
        let mut context = Context::new();
        context.insert("code", &refusal.code);
        context.insert("message", &refusal.message);
        context.insert("request_id", RequestId::of(request).as_str());
        self.answer(refusal.status(), "error.html", &context, &Allowed::default())
    }
}

/// Sends the browser elsewhere with a GET.
pub fn redirect(to: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, to))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .finish()
}

/// Adds a cookie.
pub fn with_cookie(mut response: HttpResponse, cookie: &Cookie<'_>) -> HttpResponse {
    match response.add_cookie(cookie) {
        Ok(()) => response,
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// The CSP source for where a URI leads: its origin, or its scheme when it has none.
pub fn csp_source(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    let origin = url.origin();
    Some(if origin.is_tuple() {
        origin.ascii_serialization()
    } else {
        format!("{}:", url.scheme())
    })
}

fn content_security_policy(allowed: &Allowed) -> String {
    let list = |sources: &[String]| {
        if sources.is_empty() {
            "'none'".to_owned()
        } else {
            sources.join(" ")
        }
    };
    format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action {}; \
         frame-src {}",
        list(&allowed.form_action),
        list(&allowed.frames)
    )
}
