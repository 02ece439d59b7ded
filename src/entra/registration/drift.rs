//! What of an exported registration is not as the settings need it. Exports are read leniently: `az ad app show`, Graph
//! itself and lists of either leave out or add members as they like.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{APP_ROLES, Wanted};

/// A certificate that expires sooner is told.
const WARN_DAYS: i64 = 30;

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

/// Compares an export (a registration, an array of them, or `{"value": […]}`) with what is wanted; `None` when it holds
/// neither of the two registrations.
pub fn drift(export: &Value, wanted: &Wanted, now: DateTime<Utc>) -> Option<Vec<Drift>> {
    let apps: Vec<&Value> = match export.get("value").unwrap_or(export) {
        Value::Array(apps) => apps.iter().collect(),
        app => vec![app],
    };
    let find = |id: Option<uuid::Uuid>| {
        let id = id?.to_string();
        apps.iter()
            .copied()
            .find(|app| app.get("appId").and_then(Value::as_str).is_some_and(|own| own.eq_ignore_ascii_case(&id)))
    };
    let (api, site) = (find(wanted.api_client_id), find(wanted.site_client_id));
    if api.is_none() && site.is_none() {
        return None;
    }
    let mut found = Vec::new();
    if let Some(app) = site {
        Compared { app, registration: "site", found: &mut found }.site(wanted, api, now);
    }
    if let Some(app) = api {
        Compared { app, registration: "api", found: &mut found }.api(wanted);
    }
    Some(found)
}

struct Compared<'a> {
    app: &'a Value,
    registration: &'static str,
    found: &'a mut Vec<Drift>,
}

impl Compared<'_> {
    fn site(&mut self, wanted: &Wanted, api: Option<&Value>, now: DateTime<Utc>) {
        self.audience();
        self.redirect_uris(wanted);
        if let Some(logout_url) = &wanted.logout_url {
            let seen = self.text("/web/logoutUrl");
            self.must(
                seen == logout_url.as_str(),
                &format!("the front-channel logout URL is {}", or_none(&seen)),
                logout_url.as_str(),
                "Authentication › Front-channel logout URL",
            );
        }
        let is_public = self.app.pointer("/isFallbackPublicClient").and_then(Value::as_bool).unwrap_or(false);
        self.must(
            !is_public,
            if is_public { "public client flows are allowed" } else { "it is a confidential client" },
            "no public client flows",
            "Authentication › Allow public client flows: No",
        );
        self.permission(wanted, api);
        for name in ["login_hint", "sid"] {
            self.optional_claim("idToken", name, "ID");
        }
        self.certificate(wanted, now);
        self.secrets();
    }

    fn api(&mut self, wanted: &Wanted) {
        self.audience();
        if let Some(uri) = &wanted.app_id_uri {
            let uris = self.texts("/identifierUris");
            let plain = |text: &str| text.trim_end_matches('/').to_owned();
            let has = uris.iter().any(|own| plain(own) == plain(uri));
            self.must(
                has,
                &format!("the Application ID URI is {}", list(&uris)),
                uri,
                "Expose an API › Application ID URI",
            );
        }
        let scopes = self.array("/api/oauth2PermissionScopes");
        let scope = scopes.iter().find(|scope| member(scope, "value") == wanted.scope);
        let is_enabled = scope.is_some_and(|scope| scope.get("isEnabled").and_then(Value::as_bool).unwrap_or(true));
        let seen = match scope {
            Some(_) if is_enabled => format!("the scope {} is exposed", wanted.scope),
            Some(_) => format!("the scope {} is disabled", wanted.scope),
            None => format!(
                "the scopes are {}",
                list(&scopes.iter().map(|scope| member(scope, "value")).collect::<Vec<_>>())
            ),
        };
        self.must(is_enabled, &seen, &format!("the scope {}, enabled", wanted.scope), "Expose an API › Add a scope");
        let version = self.app.pointer("/api/requestedAccessTokenVersion").and_then(Value::as_i64).unwrap_or(1);
        self.must(
            version == 2,
            &format!("access tokens are of version {version}"),
            "version 2",
            "Manifest › api › requestedAccessTokenVersion: 2 (blogctl takes version 1 as well)",
        );
        self.optional_claim("accessToken", "idtyp", "Access");
        let roles: Vec<_> = self.array("/appRoles").iter().map(|role| member(role, "value")).collect();
        let missing: Vec<_> =
            APP_ROLES.iter().map(|(role, _)| (*role).to_owned()).filter(|role| !roles.contains(role)).collect();
        if missing.is_empty() {
            self.agrees("the app roles are there");
        } else {
            self.push(
                Severity::Warning,
                format!("there is no app role {}", list(&missing)),
                "Blog.Reader, Blog.Writer and Blog.Admin",
                "App roles › Create app role; needed only where roles decide who may write",
            );
        }
        self.secrets();
    }

    fn audience(&mut self) {
        let seen = self.text("/signInAudience");
        self.must(
            seen == "AzureADMyOrg",
            &format!("accounts of {} sign in", or_none(&seen)),
            "AzureADMyOrg: this tenant only",
            "Authentication › Supported account types: single tenant",
        );
    }

    fn redirect_uris(&mut self, wanted: &Wanted) {
        let registered = self.texts("/web/redirectUris");
        for uri in &wanted.redirect_uris {
            let is_elsewhere = ["/spa/redirectUris", "/publicClient/redirectUris"]
                .iter()
                .any(|platform| self.texts(platform).iter().any(|own| own == uri.as_str()));
            // Entra drops the slash behind a bare host, and compares without it.
            let has = registered
                .iter()
                .any(|own| own == uri.as_str() || (uri.path() == "/" && format!("{own}/") == uri.as_str()));
            let seen = match (has, is_elsewhere) {
                (true, _) => format!("the redirect URI {uri} is registered"),
                (false, true) => format!("the redirect URI {uri} is registered on another platform than Web"),
                (false, false) => format!("the redirect URIs are {}", list(&registered)),
            };
            self.must(
                has,
                &seen,
                &format!("{uri} on the platform Web"),
                "Authentication › Redirect URI configuration › Web",
            );
        }
    }

    fn permission(&mut self, wanted: &Wanted, api: Option<&Value>) {
        let Some(api_client_id) = wanted.api_client_id.map(|id| id.to_string()) else { return };
        // With the API's own export the very scope can be told; without, any delegated permission for it will do.
        let scope_id = api.and_then(|api| {
            let scopes = api.pointer("/api/oauth2PermissionScopes")?.as_array()?;
            scopes.iter().find(|scope| member(scope, "value") == wanted.scope).map(|scope| member(scope, "id"))
        });
        let is_it = |access: &Value| {
            member(access, "type") == "Scope"
                && scope_id.as_ref().is_none_or(|id| member(access, "id").eq_ignore_ascii_case(id))
        };
        let has = self.array("/requiredResourceAccess").iter().any(|resource| {
            member(resource, "resourceAppId").eq_ignore_ascii_case(&api_client_id)
                && resource.get("resourceAccess").and_then(Value::as_array).is_some_and(|list| list.iter().any(is_it))
        });
        let seen = if has { "the permission for the API is there" } else { "the permission for the API is missing" };
        self.must(
            has,
            seen,
            &format!("the delegated permission {} of {api_client_id}", wanted.scope),
            "API permissions › Add a permission › My APIs",
        );
    }

    fn optional_claim(&mut self, token: &str, name: &str, portal: &str) {
        let claims = self.array(&format!("/optionalClaims/{token}"));
        let has = claims.iter().any(|claim| member(claim, "name") == name);
        let seen = if has {
            format!("the optional claim {name} is there")
        } else {
            format!("the optional claim {name} is missing")
        };
        self.must(
            has,
            &seen,
            &format!("{name} in {portal} tokens"),
            &format!("Token configuration › Add optional claim › {portal}"),
        );
    }

    fn certificate(&mut self, wanted: &Wanted, now: DateTime<Utc>) {
        const WHERE: &str = "Certificates & secrets › Certificates › Upload certificate (the file without the key)";
        let keys = self.array("/keyCredentials");
        for key in &keys {
            let ends = DateTime::parse_from_rfc3339(&member(key, "endDateTime")).ok();
            if ends.is_some_and(|ends| ends < now) {
                let seen = format!("an expired certificate is still there: {}", identified(key));
                self.push(
                    Severity::Warning,
                    seen,
                    "certificates in date",
                    "Certificates & secrets › Certificates: delete it",
                );
            }
        }
        let Some((details, der)) = &wanted.certificate else {
            self.push(
                Severity::Warning,
                "there is no certificate here to compare with".to_owned(),
                "the one that client.cert_path names",
                "blogctl cert check tells what is wrong with it",
            );
            return;
        };
        let thumbprints = &details.thumbprints;
        let sha1 = thumbprints.sha1_hex();
        // Graph gives SHA-1 or SHA-256 in base64, az has given both in hex, too.
        let base64 = [thumbprints.custom_key_identifier(), STANDARD.encode(thumbprints.sha256)];
        let hex = [&sha1, &thumbprints.sha256_hex()];
        let is_it = |key: &&Value| {
            let id = member(key, "customKeyIdentifier");
            member(key, "key") == STANDARD.encode(der)
                || base64.contains(&id)
                || hex.iter().any(|own| own.eq_ignore_ascii_case(&id))
        };
        let uploaded = keys.iter().copied().find(is_it);
        let Some(uploaded) = uploaded else {
            let others: Vec<_> = keys.iter().map(|key| identified(key)).collect();
            self.must(
                false,
                &format!("the certificates are {}", list(&others)),
                &format!("the one in use, thumbprint {sha1}"),
                WHERE,
            );
            return;
        };
        let ends = DateTime::parse_from_rfc3339(&member(uploaded, "endDateTime")).ok();
        let starts = DateTime::parse_from_rfc3339(&member(uploaded, "startDateTime")).ok();
        let days = ends.map(|ends| (ends.to_utc() - now).num_days());
        if ends.is_some_and(|ends| ends < now) {
            self.must(
                false,
                "the certificate in use has expired",
                "one in date",
                "make another with blogctl cert new, and upload it",
            );
        } else if starts.is_some_and(|starts| starts > now) {
            self.must(
                false,
                "the certificate in use is not valid yet",
                "one in date",
                "wait, or use another; compare the clock",
            );
        } else if let Some(days) = days.filter(|days| *days < WARN_DAYS) {
            self.push(
                Severity::Warning,
                format!("the certificate in use expires in {days} days"),
                "30 days or more",
                "make another with blogctl cert new, and upload it beside this one",
            );
        } else {
            self.agrees(&format!("the certificate {sha1} is uploaded"));
        }
    }

    /// blogctl never uses one, and whoever finds one needs no certificate.
    fn secrets(&mut self) {
        let count = self.array("/passwordCredentials").len();
        if count > 0 {
            self.push(
                Severity::Warning,
                match count {
                    1 => "there is 1 client secret".to_owned(),
                    count => format!("there are {count} client secrets"),
                },
                "none: a certificate is the only credential",
                "Certificates & secrets › Client secrets: delete them",
            );
        }
    }

    fn must(&mut self, agrees: bool, seen: &str, expected: &str, remedy: &str) {
        if agrees {
            self.agrees(seen);
        } else {
            self.push(Severity::Differs, seen.to_owned(), expected, remedy);
        }
    }
    fn agrees(&mut self, seen: &str) {
        self.push(Severity::Agrees, seen.to_owned(), "", "");
    }
    fn push(&mut self, severity: Severity, seen: String, expected: &str, remedy: &str) {
        let (expected, remedy) = (expected.to_owned(), remedy.to_owned());
        self.found.push(Drift { registration: self.registration, severity, seen, expected, remedy });
    }
    fn text(&self, pointer: &str) -> String {
        self.app.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
    fn texts(&self, pointer: &str) -> Vec<String> {
        self.array(pointer).iter().filter_map(|value| value.as_str()).map(str::to_owned).collect()
    }
}

impl<'a> Compared<'a> {
    fn array(&self, pointer: &str) -> Vec<&'a Value> {
        self.app.pointer(pointer).and_then(Value::as_array).map(|items| items.iter().collect()).unwrap_or_default()
    }
}

fn member(object: &Value, name: &str) -> String {
    object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// How people can tell which certificate it is.
fn identified(key: &Value) -> String {
    let id = member(key, "customKeyIdentifier");
    let id = match STANDARD.decode(&id) {
        Ok(bytes) if matches!(bytes.len(), 20 | 32) => hex::encode_upper(bytes),
        _ => id,
    };
    if id.is_empty() { or_none(&member(key, "displayName")) } else { id }
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "not set".to_owned() } else { text.to_owned() }
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}
