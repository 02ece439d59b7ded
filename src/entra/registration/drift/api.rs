//! The API's registration.

use serde_json::Value;

use super::{Compared, Severity, listed, member};
use crate::entra::registration::{APP_ROLES, Wanted};

impl Compared<'_> {
    pub(super) fn api(&mut self, wanted: &Wanted) {
        self.audience();
        self.app_id_uri(wanted);
        self.scope(wanted);
        let version = self.app.pointer("/api/requestedAccessTokenVersion").and_then(Value::as_i64).unwrap_or(1);
        self.should(
            version == 2,
            &format!("the API is issued version {version} tokens"),
            "version 2; blogctl takes version 1 as well",
            "Manifest › api › requestedAccessTokenVersion: 2",
        );
        self.optional_claim("accessToken", "idtyp", "Access", "it tells applications from users");
        self.roles();
        self.secrets();
    }

    fn app_id_uri(&mut self, wanted: &Wanted) {
        let Some(uri) = &wanted.app_id_uri else { return };
        let uris = self.texts("/identifierUris");
        let plain = |text: &str| text.trim_end_matches('/').to_owned();
        let has = uris.iter().any(|own| plain(own) == plain(uri));
        self.must(
            has,
            &listed(&uris, "Application ID URI", "no Application ID URI is set"),
            uri,
            "Expose an API › Application ID URI",
        );
    }

    fn scope(&mut self, wanted: &Wanted) {
        let scopes = self.array("/api/oauth2PermissionScopes");
        let scope = scopes.iter().find(|scope| member(scope, "value") == wanted.scope);
        let is_enabled = scope.is_some_and(|scope| scope.get("isEnabled").and_then(Value::as_bool).unwrap_or(true));
        let names = || scopes.iter().map(|scope| member(scope, "value")).collect::<Vec<_>>();
        let seen = match scope {
            Some(_) if is_enabled => format!("the scope {} is exposed", wanted.scope),
            Some(_) => format!("the scope {} is disabled", wanted.scope),
            None => listed(&names(), "scope", "no scope is exposed"),
        };
        self.must(is_enabled, &seen, &format!("the scope {}, enabled", wanted.scope), "Expose an API › Add a scope");
    }

    fn roles(&mut self) {
        let roles: Vec<_> = self.array("/appRoles").iter().map(|role| member(role, "value")).collect();
        let known = APP_ROLES.iter().map(|(role, _)| *role);
        let missing: Vec<_> = known.filter(|role| !roles.iter().any(|own| own == role)).collect();
        if missing.is_empty() {
            return self.push(Severity::Agrees, "the app roles are there".to_owned(), "", "");
        }
        self.push(
            Severity::Warning,
            format!("there is no app role {}", missing.join(", ")),
            "Blog.Reader, Blog.Writer and Blog.Admin",
            "App roles › Create app role; needed only where roles decide who may write",
        );
    }
}
