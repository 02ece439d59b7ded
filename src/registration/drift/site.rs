//! Comparison of the site's registration.

use chrono::{DateTime, Utc};
use serde_json::Value;
use url::Url;

use super::{Comparison, Severity, listed, member, or_none};
use crate::{loopback::is_loopback, registration::ExpectedRegistrations};

/// Optional claims of ID tokens, and the purpose of each.
const CLAIMS: [(&str, &str); 3] = [
    ("email", "the site shows the address"),
    ("login_hint", "sign-out does not ask for the account"),
    ("sid", "a sign-out from another application ends the session here"),
];

impl Comparison<'_> {
    pub(super) fn site(&mut self, wanted: &ExpectedRegistrations, api: Option<&Value>, now: DateTime<Utc>) {
        self.audience(false);
        self.redirect_uris(wanted);
        self.further_redirect_uris(wanted);
        self.implicit_grant();
        if let Some(logout_url) = &wanted.logout_url {
            let seen = self.text("/web/logoutUrl");
            self.should(
                seen == logout_url.as_str(),
                &format!("the front-channel logout URL is {}", or_none(&seen)),
                &format!("{logout_url}: a sign-out from another application ends the session here"),
                if logout_url.scheme() == "http" {
                    "Manifest › web › logoutUrl: the portal's form does not accept an http address"
                } else {
                    "Authentication › Front-channel logout URL"
                },
            );
        }
        let is_public = self
            .app
            .pointer("/isFallbackPublicClient")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        self.must(
            !is_public,
            if is_public {
                "public client flows are allowed"
            } else {
                "it is a confidential client"
            },
            "no public client flows",
            "Authentication › Allow public client flows: No",
        );
        self.permission(wanted, api);
        for (name, serves) in CLAIMS {
            self.optional_claim("idToken", name, "ID", serves);
        }
        self.credentials(wanted, now);
        self.secrets();
    }

    fn redirect_uris(&mut self, wanted: &ExpectedRegistrations) {
        let registered = self.texts("/web/redirectUris");
        for uri in &wanted.redirect_uris {
            let is_elsewhere = ["/spa/redirectUris", "/publicClient/redirectUris"]
                .iter()
                .any(|platform| self.texts(platform).iter().any(|own| own == uri.as_str()));
            let has = registered.iter().any(|own| is_uri(own, uri));
            let seen = match (has, is_elsewhere) {
                (true, _) => format!("the redirect URI {uri} is registered"),
                (false, true) => format!("the redirect URI {uri} is registered on another platform than Web"),
                (false, false) => listed(&registered, "redirect URI", "no redirect URI is registered"),
            };
            self.must(
                has,
                &seen,
                &format!("{uri} on the platform Web"),
                "Authentication › Redirect URI configuration › Web",
            );
        }
    }

    /// Entra sends the browser, with its code, to any registered URI that a link names.
    fn further_redirect_uris(&mut self, wanted: &ExpectedRegistrations) {
        let platforms = ["/web/redirectUris", "/spa/redirectUris", "/publicClient/redirectUris"];
        let registered = platforms
            .iter()
            .flat_map(|platform| self.texts(platform))
            .collect::<Vec<_>>();
        for uri in registered {
            if wanted.redirect_uris.iter().any(|own| is_uri(&uri, own)) {
                continue;
            }
            let danger = if uri.contains('*') {
                ", with any value for its *"
            } else if uri.starts_with("http://") && !Url::parse(&uri).is_ok_and(|uri| is_loopback(&uri)) {
                ", without TLS"
            } else {
                ""
            };
            self.push(
                Severity::Warning,
                format!("sign-ins may also end at {uri}{danger}"),
                "only the redirect URIs of these settings",
                "Authentication › Redirect URI configuration: delete it, unless another deployment uses it",
            );
        }
    }

    fn implicit_grant(&mut self) {
        let is_on = |name: &str| {
            self.app
                .pointer(&format!("/web/implicitGrantSettings/{name}"))
                .and_then(Value::as_bool)
                .unwrap_or(false)
        };
        if is_on("enableIdTokenIssuance") || is_on("enableAccessTokenIssuance") {
            self.push(
                Severity::Warning,
                "the implicit grant is on".to_owned(),
                "off: it puts tokens into URLs, and blogctl never uses it",
                "Authentication › Implicit grant and hybrid flows: neither",
            );
        }
    }

    fn permission(&mut self, wanted: &ExpectedRegistrations, api: Option<&Value>) {
        let of_export = || api.map(|api| member(api, "appId"));
        let Some(api_client_id) = wanted.api_client_id.map(|id| id.to_string()).or_else(of_export) else {
            return self.push(
                Severity::Warning,
                "the permission for the API cannot be compared".to_owned(),
                "an export that includes the API's registration, or api.client_id",
                "export all of them with az ad app list",
            );
        };
        // With the API's own export, the scope itself is compared; otherwise any delegated permission for the API is accepted.
        let scope_id = api.and_then(|api| {
            let scopes = api.pointer("/api/oauth2PermissionScopes")?.as_array()?;
            scopes
                .iter()
                .find(|scope| member(scope, "value") == wanted.scope)
                .map(|scope| member(scope, "id"))
        });
        let is_it = |access: &Value| {
            member(access, "type") == "Scope"
                && scope_id
                    .as_ref()
                    .is_none_or(|id| member(access, "id").eq_ignore_ascii_case(id))
        };
        let has = self.array("/requiredResourceAccess").iter().any(|resource| {
            member(resource, "resourceAppId").eq_ignore_ascii_case(&api_client_id)
                && resource
                    .get("resourceAccess")
                    .and_then(Value::as_array)
                    .is_some_and(|list| list.iter().any(is_it))
        });
        let seen = if has {
            "the permission for the API is present"
        } else {
            "the permission for the API is missing"
        };
        self.must(
            has,
            seen,
            &format!("the delegated permission {} of {api_client_id}", wanted.scope),
            "API permissions › Add a permission › My APIs",
        );
    }
}

/// Entra removes the slash after a bare host, and compares without it.
fn is_uri(registered: &str, uri: &Url) -> bool {
    registered == uri.as_str() || (uri.path() == "/" && format!("{registered}/") == uri.as_str())
}
