//! Links that begin a sign-in.

use url::form_urlencoded;

use super::return_path::ReturnPath;

/// `state` of the link on which an administrator consents. It belongs to no sign-in of this browser, and nothing depends on it.
pub const ADMIN_CONSENT_STATE: &str = "admin-consent";

/// Address of the sign-in that leads to `next`.
pub fn sign_in_href(next: Option<&ReturnPath>) -> String {
    let Some(next) = next else { return "/login".to_owned() };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("next", next.as_str())
        .finish();
    format!("/login?{query}")
}

/// Address of the sign-in that lets the user pick another account.
pub fn another_account_href(next: Option<&ReturnPath>) -> String {
    let href = sign_in_href(next);
    let separator = if next.is_some() { '&' } else { '?' };
    format!("{href}{separator}switch=1")
}

/// Address of the sign-in that asks the user for consent again, instead of only reporting that it is missing.
pub fn consent_href(next: &ReturnPath) -> String {
    format!("{}&prompt=consent", sign_in_href(Some(next)))
}
