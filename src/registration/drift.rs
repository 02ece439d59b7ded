//! What of an exported registration is not as the settings need it. Exports are read leniently: `az ad app show`, Graph
//! itself and lists of either leave out or add members as they like.

mod api;
mod credentials;
mod site;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Wanted,
    described::{MANY_TENANTS, ONE_TENANT},
};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Agrees,
    /// Works, but should not be so.
    Warning,
    /// Not as the settings need it.
    Differs,
}

/// One thing compared.
#[derive(Debug, Clone)]
pub struct Drift {
    /// `site` or `api`.
    pub registration: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What the export says.
    pub seen: String,
    /// What it should say; empty when it does.
    pub expected: String,
    /// Where in the portal to mend it; empty when there is nothing to mend.
    pub remedy: String,
}

/// Why there is nothing to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnExport {
    /// It holds other registrations, or none.
    #[error("holds none of the registrations that the settings name")]
    OfOthers,
    /// It is what `blogctl entra manifest` prints.
    #[error("is what blogctl entra manifest prints: how registrations should be, not how they are")]
    Manifest,
    /// It is in the form of Azure AD Graph, which has other names for everything.
    #[error("is in the older form of Azure AD Graph, as old portals and old versions of az export it")]
    OldForm,
}

impl NotAnExport {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::OfOthers => {
                "compare its appId with client.client_id and api.client_id (or the GUID in api.app_id_uri)"
            }
            Self::Manifest | Self::OldForm => "export it with az ad app show --id CLIENT_ID > FILE",
        }
    }
}

/// Compares an export (a registration, an array of them, or `{"value": […]}`) with what is wanted.
///
/// # Errors
/// When it holds neither of the two registrations.
pub fn drift(export: &Value, wanted: &Wanted, now: DateTime<Utc>) -> Result<Vec<Drift>, NotAnExport> {
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
        return Err(NotAnExport::OfOthers);
    }
    if [api, site].iter().flatten().any(|app| is_of_old_form(app)) {
        return Err(NotAnExport::OldForm);
    }
    let mut found = Vec::new();
    match (site, wanted.site_client_id) {
        (Some(app), _) => Compared {
            app,
            registration: "site",
            found: &mut found,
        }
        .site(wanted, api, now),
        (None, Some(id)) => found.push(missing("site", "web site", &id.to_string(), "az ad app show --id")),
        (None, None) => {}
    }
    match (api, wanted.api_client_id, &wanted.app_id_uri) {
        (Some(app), ..) => Compared {
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

/// Entra takes an App ID URI with and without a slash at its end for the same.
fn is_same(uri: &str, other: &str) -> bool {
    uri.trim_end_matches('/') == other.trim_end_matches('/')
}

fn is_of_old_form(app: &Value) -> bool {
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
        remedy: format!("export it with {export} {id}, or all of them with az ad app list"),
    }
}

struct Compared<'a> {
    app: &'a Value,
    registration: &'static str,
    found: &'a mut Vec<Drift>,
}

impl Compared<'_> {
    fn audience(&mut self, is_of_many_tenants: bool) {
        let seen = self.text("/signInAudience");
        let whose = match seen.as_str() {
            ONE_TENANT => "accounts of this tenant only",
            MANY_TENANTS => "accounts of any tenant",
            "AzureADandPersonalMicrosoftAccount" => "accounts of any tenant and personal Microsoft accounts",
            "PersonalMicrosoftAccount" => "personal Microsoft accounts only",
            _ => "accounts of another kind",
        };
        let (wanted, expected, remedy) = if is_of_many_tenants {
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
            remedy,
        );
    }

    /// `serves` is what is lost without it.
    fn optional_claim(&mut self, token: &str, name: &str, portal: &str, serves: &str) {
        let claims = self.array(&format!("/optionalClaims/{token}"));
        let has = claims.iter().any(|claim| member(claim, "name") == name);
        let seen = format!("the optional claim {name} is {}", if has { "there" } else { "missing" });
        self.should(
            has,
            &seen,
            &format!("{name} in {portal} tokens: {serves}"),
            &format!("Token configuration › Add optional claim › {portal}"),
        );
    }

    /// blogctl never uses one, and whoever finds one needs no certificate.
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

    /// Without it the system does not work, or lets in whom it should not.
    fn must(&mut self, agrees: bool, seen: &str, expected: &str, remedy: &str) {
        self.judge(agrees, Severity::Differs, seen, expected, remedy);
    }
    /// The system works without it.
    fn should(&mut self, agrees: bool, seen: &str, expected: &str, remedy: &str) {
        self.judge(agrees, Severity::Warning, seen, expected, remedy);
    }
    fn judge(&mut self, agrees: bool, otherwise: Severity, seen: &str, expected: &str, remedy: &str) {
        if agrees {
            self.push(Severity::Agrees, seen.to_owned(), "", "");
        } else {
            self.push(otherwise, seen.to_owned(), expected, remedy);
        }
    }
    fn push(&mut self, severity: Severity, seen: String, expected: &str, remedy: &str) {
        let (expected, remedy) = (expected.to_owned(), remedy.to_owned());
        self.found.push(Drift {
            registration: self.registration,
            severity,
            seen,
            expected,
            remedy,
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

impl<'a> Compared<'a> {
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

/// `the scopes are a, b`, or what is said when there are none.
fn listed(items: &[String], what: &str, none: &str) -> String {
    match items {
        [] => none.to_owned(),
        [one] => format!("the only {what} is {one}"),
        items => format!("the {what}s are {}", items.join(", ")),
    }
}
