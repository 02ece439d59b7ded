//! Comparison of the API's registration.

use serde_json::Value;

use super::{Comparison, Severity, is_same, listed, member};
use crate::registration::{APP_ROLES, ExpectedRegistrations};

impl Comparison<'_> {
    pub(super) fn api(&mut self, wanted: &ExpectedRegistrations) {
        self.audience(wanted.is_multitenant);
        self.app_id_uri(wanted);
        self.scope(wanted);
        let version = self
            .app
            .pointer("/api/requestedAccessTokenVersion")
            .and_then(Value::as_i64)
            .unwrap_or(1);
        self.should(
            version == 2,
            &format!("the API gets version {version} tokens"),
            "version 2; blogctl also accepts version 1",
            "Manifest › api › requestedAccessTokenVersion: 2",
        );
        self.optional_claim(
            "accessToken",
            "idtyp",
            "Access",
            "it distinguishes applications from users",
        );
        self.roles();
        self.encryption();
        self.secrets();
    }

    fn app_id_uri(&mut self, wanted: &ExpectedRegistrations) {
        let Some(uri) = &wanted.app_id_uri else { return };
        let uris = self.texts("/identifierUris");
        let has = uris.iter().any(|own| is_same(own, uri));
        self.must(
            has,
            &listed(&uris, "Application ID URI", "no Application ID URI is set"),
            uri,
            "Expose an API › Application ID URI",
        );
    }

    fn scope(&mut self, wanted: &ExpectedRegistrations) {
        let scopes = self.array("/api/oauth2PermissionScopes");
        let scope = scopes.iter().find(|scope| member(scope, "value") == wanted.scope);
        let is_enabled = scope.is_some_and(|scope| scope.get("isEnabled").and_then(Value::as_bool).unwrap_or(true));
        let names = || scopes.iter().map(|scope| member(scope, "value")).collect::<Vec<_>>();
        let seen = match scope {
            Some(_) if is_enabled => format!("the scope {} is exposed", wanted.scope),
            Some(_) => format!("the scope {} is disabled", wanted.scope),
            None => listed(&names(), "scope", "no scope is exposed"),
        };
        let hint = if scope.is_some() {
            "Expose an API › the scope › State: Enabled"
        } else {
            "Expose an API › Add a scope"
        };
        self.must(is_enabled, &seen, &format!("the scope {}, enabled", wanted.scope), hint);
        if scope.is_some_and(|scope| member(scope, "type") == "Admin") {
            self.push(
                Severity::Warning,
                format!("only administrators can consent to the scope {}", wanted.scope),
                "users too, or an administrator's consent for all users",
                "Expose an API › the scope › Who can consent: Admins and users",
            );
        }
    }

    fn roles(&mut self) {
        let roles = self.array("/appRoles");
        let found = |name: &str| roles.iter().find(|role| member(role, "value") == name);
        let known = APP_ROLES.map(|(name, _)| (name, found(name)));
        let missing: Vec<_> = known
            .iter()
            .filter(|(_, role)| role.is_none())
            .map(|(name, _)| *name)
            .collect();
        let missing = (!missing.is_empty()).then(|| format!("missing app roles: {}", missing.join(", ")));
        let problems = known.iter().filter_map(|(name, role)| problem_of_role(name, (*role)?));
        let problems: Vec<_> = missing.into_iter().chain(problems).collect();
        if problems.is_empty() {
            return self.push(Severity::Agrees, "the app roles are present".to_owned(), "", "");
        }
        self.push(
            Severity::Warning,
            problems.join("; "),
            "Blog.Reader, Blog.Writer and Blog.Admin, enabled, for users and applications",
            "App roles; needed only where roles decide who may write",
        );
    }

    /// The API has no key to decrypt tokens with.
    fn encryption(&mut self) {
        let key = self.text("/tokenEncryptionKeyId");
        if !key.is_empty() {
            self.must(
                false,
                &format!("the API's tokens are encrypted (tokenEncryptionKeyId {key})"),
                "signed tokens: blogctl rejects encrypted ones",
                "Manifest › tokenEncryptionKeyId: null",
            );
        }
    }
}

fn problem_of_role(name: &str, role: &Value) -> Option<String> {
    if role.get("isEnabled").and_then(Value::as_bool) == Some(false) {
        return Some(format!("the app role {name} is disabled"));
    }
    let types: Vec<_> = role
        .get("allowedMemberTypes")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let missing = [("User", "users"), ("Application", "applications")]
        .into_iter()
        .find(|(own, _)| !types.contains(own));
    missing.map(|(_, whom)| format!("the app role {name} cannot be assigned to {whom}"))
}
