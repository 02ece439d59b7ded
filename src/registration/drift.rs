//! Compares an exported registration with the expected one. Exports are read leniently: `az ad app show`, Graph and lists of either
//! omit and add members.

mod api;
mod credentials;
mod site;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{
    ExpectedRegistrations,
    described::{MANY_TENANTS, ONE_TENANT},
};

/// The severity of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// No difference.
    Agrees,
    /// Works, but should be changed.
    Warning,
    /// Does not work with the settings, or grants too much.
    Differs,
}

/// The result of one comparison.
#[derive(Debug, Clone)]
pub struct Drift {
    /// `site` or `api`.
    pub registration: &'static str,
    /// Severity of the difference.
    pub severity: Severity,
    /// The content of the export.
    pub seen: String,
    /// The expected content; empty without a difference.
    pub expected: String,
    /// Where to change it in the portal; empty without a difference.
    pub hint: String,
}

/// Why an export cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnExport {
    /// It contains other registrations, or none.
    #[error("contains none of the registrations that the settings name")]
    OtherRegistrations,
    /// It is the output of `blogctl entra manifest`.
    #[error("is the output of blogctl entra manifest: the expected registrations, not the existing ones")]
    Manifest,
    /// It has the format of Azure AD Graph, whose members have other names.
    #[error("has the old format of Azure AD Graph, which old portals and old versions of az export")]
    OldForm,
}

impl NotAnExport {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::OtherRegistrations => {
                "compare its appId with client.client_id and api.client_id (or the GUID in api.app_id_uri)"
            }
            Self::Manifest | Self::OldForm => "export it with az ad app show --id CLIENT_ID > FILE",
        }
    }
}

/// Compares an export (a registration, an array of them, or `{"value": […]}`) with the expected registrations.
///
/// # Errors
/// When it contains neither of the two registrations.
pub fn find_drift(
    export: &Value,
    wanted: &ExpectedRegistrations,
    now: DateTime<Utc>,
) -> Result<Vec<Drift>, NotAnExport> {
    if ["api", "site"]
        .iter()
        .all(|name| export.get(name).is_some_and(Value::is_object))
    {
        return Err(NotAnExport::Manifest);
    }
    let apps: Vec<&Value> = match export.get("value").unwrap_or(export) {
        Value::Array(apps) => apps.iter().collect(),
        app => vec![app],
    };
    let find = |id: Uuid| {
        let id = id.to_string();
        apps.iter()
            .copied()
            .find(|app| member(app, "appId").eq_ignore_ascii_case(&id))
    };
    let find_by_uri = |uri: &String| {
        apps.iter()
            .copied()
            .find(|app| identifier_uris(app).any(|own| is_same(own, uri)))
    };
    let site = wanted.site_client_id.and_then(find);
    let api = match (wanted.api_client_id, &wanted.app_id_uri) {
        (Some(id), _) => find(id),
        (None, uri) => uri.as_ref().and_then(find_by_uri),
    };
    if api.is_none() && site.is_none() {
        return Err(NotAnExport::OtherRegistrations);
    }
    if [api, site].iter().flatten().any(|app| has_old_format(app)) {
        return Err(NotAnExport::OldForm);
    }
    let mut found = Vec::new();
    match (site, wanted.site_client_id) {
        (Some(app), _) => Comparison {
            app,
            registration: "site",
            found: &mut found,
        }
        .site(wanted, api, now),
        (None, Some(id)) => found.push(missing("site", "web site", &id.to_string(), "az ad app show --id")),
        (None, None) => {}
    }
    match (api, wanted.api_client_id, &wanted.app_id_uri) {
        (Some(app), ..) => Comparison {
            app,
            registration: "api",
            found: &mut found,
        }
        .api(wanted),
        (None, Some(id), _) => found.push(missing("api", "API", &id.to_string(), "az ad app show --id")),
        (None, None, Some(uri)) => found.push(missing("api", "API", uri, "az ad app list --identifier-uri")),
        (None, None, None) => {}
    }
    Ok(found)
}

fn identifier_uris(app: &Value) -> impl Iterator<Item = &str> {
    app.get("identifierUris")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Entra ignores a trailing slash of an App ID URI.
fn is_same(uri: &str, other: &str) -> bool {
    uri.trim_end_matches('/') == other.trim_end_matches('/')
}

fn has_old_format(app: &Value) -> bool {
    [
        "replyUrlsWithType",
        "replyUrls",
        "accessTokenAcceptedVersion",
        "oauth2Permissions",
    ]
    .iter()
    .any(|name| app.get(name).is_some())
}

fn missing(registration: &'static str, name: &str, id: &str, export: &str) -> Drift {
    Drift {
        registration,
        severity: Severity::Warning,
        seen: format!("the {name}'s registration ({id}) is not in this export"),
        expected: "both registrations".to_owned(),
        hint: format!("export it with {export} {id}, or all of them with az ad app list"),
    }
}

struct Comparison<'a> {
    app: &'a Value,
    registration: &'static str,
    found: &'a mut Vec<Drift>,
}

impl Comparison<'_> {
    fn audience(&mut self, is_multitenant: bool) {
        let seen = self.text("/signInAudience");
        let whose = match seen.as_str() {
            ONE_TENANT => "accounts of this tenant only",
            MANY_TENANTS => "accounts of any tenant",
            "AzureADandPersonalMicrosoftAccount" => "accounts of any tenant and personal Microsoft accounts",
            "PersonalMicrosoftAccount" => "personal Microsoft accounts only",
            _ => "accounts of an unknown type",
        };
        let (wanted, expected, hint) = if is_multitenant {
            (
                MANY_TENANTS,
                "accounts of any tenant (AzureADMultipleOrgs), since api.tenants names further ones",
                "Authentication › Supported account types: multitenant; then consent in each of those tenants",
            )
        } else {
            (
                ONE_TENANT,
                "accounts of this tenant only (AzureADMyOrg)",
                "Authentication › Supported account types: single tenant",
            )
        };
        self.must(
            seen == wanted,
            &format!("{whose} can sign in ({})", or_none(&seen)),
            expected,
            hint,
        );
    }

    /// `serves` says what the claim is for.
    fn optional_claim(&mut self, token: &str, name: &str, portal: &str, serves: &str) {
        let claims = self.array(&format!("/optionalClaims/{token}"));
        let has = claims.iter().any(|claim| member(claim, "name") == name);
        let seen = format!(
            "the optional claim {name} is {}",
            if has { "present" } else { "missing" }
        );
        self.should(
            has,
            &seen,
            &format!("{name} in {portal} tokens: {serves}"),
            &format!("Token configuration › Add optional claim › {portal}"),
        );
    }

    /// blogctl never uses a client secret, and an attacker who has one needs no certificate.
    fn secrets(&mut self) {
        let seen = match self.array("/passwordCredentials").len() {
            0 => return,
            1 => "there is 1 client secret".to_owned(),
            count => format!("there are {count} client secrets"),
        };
        let expected = "none: a certificate is the only credential";
        self.push(
            Severity::Warning,
            seen,
            expected,
            "Certificates & secrets › Client secrets: delete them",
        );
    }

    /// For content without which the system does not work, or grants too much.
    fn must(&mut self, agrees: bool, seen: &str, expected: &str, hint: &str) {
        self.compare(agrees, Severity::Differs, seen, expected, hint);
    }
    /// For content that the system can work without.
    fn should(&mut self, agrees: bool, seen: &str, expected: &str, hint: &str) {
        self.compare(agrees, Severity::Warning, seen, expected, hint);
    }
    fn compare(&mut self, agrees: bool, otherwise: Severity, seen: &str, expected: &str, hint: &str) {
        if agrees {
            self.push(Severity::Agrees, seen.to_owned(), "", "");
        } else {
            self.push(otherwise, seen.to_owned(), expected, hint);
        }
    }
    fn push(&mut self, severity: Severity, seen: String, expected: &str, hint: &str) {
        let (expected, hint) = (expected.to_owned(), hint.to_owned());
        self.found.push(Drift {
            registration: self.registration,
            severity,
            seen,
            expected,
            hint,
        });
    }
    fn text(&self, pointer: &str) -> String {
        self.app
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }
    fn texts(&self, pointer: &str) -> Vec<String> {
        self.array(pointer)
            .iter()
            .filter_map(|value| value.as_str())
            .map(str::to_owned)
            .collect()
    }
}

impl<'a> Comparison<'a> {
    fn array(&self, pointer: &str) -> Vec<&'a Value> {
        self.app
            .pointer(pointer)
            .and_then(Value::as_array)
            .map(|items| items.iter().collect())
            .unwrap_or_default()
    }
}

fn member(object: &Value, name: &str) -> String {
    object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn or_none(text: &str) -> String {
    if text.is_empty() {
        "not set".to_owned()
    } else {
        text.to_owned()
    }
}

/// `the scopes are a, b`, or `none` if the list is empty.
fn listed(items: &[String], what: &str, none: &str) -> String {
    match items {
        [] => none.to_owned(),
        [one] => format!("the only {what} is {one}"),
        items => format!("the {what}s are {}", items.join(", ")),
    }
}
