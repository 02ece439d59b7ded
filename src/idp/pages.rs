//! Renders the pages with their security headers. The templates escape all values.

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

use super::error::OAuthError;
use crate::serve::RequestId;

/// The templates, parsed once.
pub struct Pages(Tera);

/// Sources that the content security policy of a page allows, in addition to the emulator's own styles and images.
#[derive(Debug, Default)]
pub struct CspSources {
    /// Targets of forms, including redirects: Chromium checks `form-action` for each hop.
    pub form_action: Vec<String>,
    /// Frames.
    pub frames: Vec<String>,
}

impl Pages {
    /// # Errors
    /// When a template is malformed.
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

    /// Renders a page with a strict content security policy.
    pub fn render(&self, status: StatusCode, template: &str, context: &Context, allowed: &CspSources) -> HttpResponse {
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
                log::error!("cannot render template {template}: {error}");
                HttpResponse::InternalServerError().body("the page cannot be rendered; see the log")
            }
        }
    }

    /// The error page, for errors that must not be sent to a redirect URI.
    pub fn error(&self, request: &HttpRequest, error: &OAuthError) -> HttpResponse {
        let mut context = Context::new();
        context.insert("code", &error.code);
        context.insert("message", &error.message);
        context.insert("request_id", RequestId::get(request).as_str());
        self.render(error.status(), "error.html", &context, &CspSources::default())
    }
}

/// Redirects with a GET.
pub fn redirect(to: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, to))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .finish()
}

pub fn with_cookie(mut response: HttpResponse, cookie: &Cookie<'_>) -> HttpResponse {
    match response.add_cookie(cookie) {
        Ok(()) => response,
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

/// The CSP source of a URI: its origin, or its scheme if it has no origin.
pub fn csp_source(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    let origin = url.origin();
    Some(if origin.is_tuple() {
        origin.ascii_serialization()
    } else {
        format!("{}:", url.scheme())
    })
}

fn content_security_policy(allowed: &CspSources) -> String {
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
