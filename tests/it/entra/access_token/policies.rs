//! Rules of the settings: calling applications, authentication contexts and app roles.

use blogctl::{
    config::ApiSettings,
    entra::{AppRole, TokenError},
};
use serde_json::{Value, json};

use super::{Fixture, OTHER_TENANT};
use crate::support::entra::SITE;

type Change = fn(&mut ApiSettings);
type RoleOrCode = Result<Option<AppRole>, &'static str>;

#[test]
fn a_token_that_violates_a_policy_is_rejected() {
    let sites = |settings: &mut ApiSettings| settings.allowed_client_apps = vec![SITE.to_owned()];
    let others = |settings: &mut ApiSettings| settings.allowed_client_apps = vec![OTHER_TENANT.to_owned()];
    let certificates =
        |settings: &mut ApiSettings| settings.required_client_auth = blogctl::config::RequiredClientAuth::Certificate;
    let c1 = |settings: &mut ApiSettings| settings.required_acrs = vec!["c1".to_owned()];
    let rows: [(&str, Change, Value, &str); 13] = [
        ("the listed application", sites, json!({}), "ok"),
        ("another application", others, json!({}), "client_app_not_allowed"),
        ("no application", sites, json!({"azp": null}), "client_app_not_allowed"),
        (
            "an application by certificate",
            certificates,
            json!({"azpacr": "2"}),
            "ok",
        ),
        (
            "by certificate, v1",
            certificates,
            json!({"azpacr": null, "appidacr": "2"}),
            "ok",
        ),
        (
            "an application by secret",
            certificates,
            json!({"azpacr": "1"}),
            "client_auth_not_allowed",
        ),
        (
            "a public client",
            certificates,
            json!({"azpacr": "0"}),
            "client_auth_not_allowed",
        ),
        (
            "an application with an unknown method",
            certificates,
            json!({"azpacr": null}),
            "client_auth_not_allowed",
        ),
        (
            "secret in v2, certificate in v1",
            certificates,
            json!({"azpacr": "1", "appidacr": "2"}),
            "client_auth_not_allowed",
        ),
        ("the context", c1, json!({"acrs": ["p1", "c1"]}), "ok"),
        (
            "another context",
            c1,
            json!({"acrs": ["c11"], "xms_cc": ["cp1"]}),
            "insufficient_claims",
        ),
        (
            "no context, a capable client",
            c1,
            json!({"xms_cc": ["CP1", "cp1"]}),
            "insufficient_claims",
        ),
        ("no context, a plain client", c1, json!({}), "insufficient_claims"),
    ];
    for (name, change, claims, expected) in rows {
        let fixture = Fixture::with(change);
        let token = fixture.token(|own| {
            for (name, value) in claims.as_object().expect("an object") {
                own[name.as_str()] = value.clone();
            }
        });
        if expected == "ok" {
            assert_eq!(fixture.outcome(&token), "ok", "{name}");
        } else {
            fixture.attack(name, &token, expected);
        }
        if let Err(error) = fixture.validator.validate(&token) {
            let is_challenge = matches!(error, TokenError::ClaimsRequired { .. });
            assert_eq!(
                is_challenge,
                claims["xms_cc"].is_array(),
                "{name}: only who can handle it is challenged"
            );
        }
    }
}

#[test]
fn app_roles_decide_if_required_and_always_for_applications() {
    let users = |settings: &mut ApiSettings| settings.require_app_roles = true;
    let apps = |settings: &mut ApiSettings| settings.allow_app_only = true;
    let both = |settings: &mut ApiSettings| (settings.require_app_roles, settings.allow_app_only) = (true, true);
    let rows: [(&str, Change, Value, RoleOrCode); 11] = [
        ("a user without need of a role", apps, json!({}), Ok(None)),
        (
            "a reader",
            users,
            json!({"roles": ["Blog.Reader"]}),
            Ok(Some(AppRole::Reader)),
        ),
        (
            "the highest of several",
            users,
            json!({"roles": ["Blog.Admin", "Blog.Reader"]}),
            Ok(Some(AppRole::Admin)),
        ),
        (
            "a user without a role",
            users,
            json!({"roles": null}),
            Err("insufficient_role"),
        ),
        (
            "a user with another role",
            users,
            json!({"roles": ["blog.reader"]}),
            Err("insufficient_role"),
        ),
        (
            "a role, but not the scope",
            users,
            json!({"roles": ["Blog.Admin"], "scp": "x"}),
            Err("insufficient_scope"),
        ),
        (
            "an application",
            users,
            json!({"roles": ["Blog.Admin"], "scp": null}),
            Err("app_only"),
        ),
        (
            "an application with a role",
            apps,
            json!({"roles": ["Blog.Writer"], "scp": null}),
            Ok(Some(AppRole::Writer)),
        ),
        (
            "an application without",
            apps,
            json!({"roles": null, "scp": null}),
            Err("insufficient_role"),
        ),
        (
            "an application, role named as the scope",
            apps,
            json!({"roles": ["access_as_user"], "scp": null}),
            Err("insufficient_role"),
        ),
        (
            "an application with a scope",
            both,
            json!({"roles": null, "idtyp": "app"}),
            Err("insufficient_role"),
        ),
    ];
    for (name, change, claims, expected) in rows {
        let fixture = Fixture::with(change);
        let token = fixture.token(|own| {
            for (name, value) in claims.as_object().expect("an object") {
                own[name.as_str()] = value.clone();
            }
        });
        match expected {
            Ok(role) => assert_eq!(
                fixture.validator.validate(&token).expect(name).app_role(),
                role,
                "{name}"
            ),
            Err(code) => fixture.attack(name, &token, code),
        }
    }
}
