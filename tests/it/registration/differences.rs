//! `blogctl entra diff`: how exported registrations differ from the settings.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use super::System;
use crate::support::{
    certificates::TestCertificate,
    entra::{API, SITE, keys},
};

#[test]
fn an_expired_certificate_is_a_difference_even_if_uploaded() {
    let system = System::new();
    let export = json!(system.exported());
    system.certificate_in("client.pem", (-40, -3));
    let ended = system.diff(&export);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stdout.contains("has expired") && ended.stdout.contains("blogctl cert new"),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_registration_from_the_manifest_has_no_differences() {
    let system = System::new();
    let [api, site] = system.exported();
    for export in [json!([api, site]), json!({ "value": [site, api] })] {
        let ended = system.diff(&export);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(
            !ended.stdout.contains('✗') && !ended.stdout.contains('!'),
            "{}",
            ended.stdout
        );
        assert!(
            ended
                .stdout
                .starts_with("Comparing the app registrations of the web site (")
                && ended.stdout.contains(SITE)
        );
    }
    for (export, missing, id) in [(site, "API", API), (api, "web site", SITE)] {
        let ended = system.diff(&export);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let expected = format!(
            "! {}the {missing}'s registration ({id}) is not in this export",
            if missing == "API" { "API       " } else { "Web site  " }
        );
        assert!(ended.stdout.contains(&expected), "{expected}: {}", ended.stdout);
        assert_eq!(ended.stdout.matches('!').count(), 1, "{}", ended.stdout);
    }
}

/// Registrations made by hand after docs/own-tenant.md, without its optional parts for the API, with all members that az
/// prints, so that the names match those of Entra ID.
#[test]
fn exports_of_manual_registrations_are_understood() {
    let system = System::new();
    let ends = (Utc::now() + TimeDelta::days(90)).to_rfc3339();
    let sha1 = system
        .certificate
        .digest(openssl::hash::MessageDigest::sha1())
        .expect("a digest");
    let filled = |text: &str| -> Value {
        let text = text
            .replace("@SITE@", SITE)
            .replace("@API@", API)
            .replace("@ENDS@", &ends);
        serde_json::from_str(&text.replace("@THUMBPRINT@", &hex::encode_upper(sha1))).expect("JSON")
    };
    let (site, api) = (filled(include_str!("site.json")), filled(include_str!("api.json")));
    let ended = system.diff(&json!([api, site]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = ended.stdout.replace(&hex::encode_upper(sha1), "THUMBPRINT");
    insta::assert_snapshot!("registration_by_hand", text);
}

#[test]
fn a_certificate_is_recognised_by_each_identifier_format() {
    let system = System::new();
    let [_, mut site] = system.exported();
    for digest in [
        openssl::hash::MessageDigest::sha1(),
        openssl::hash::MessageDigest::sha256(),
    ] {
        let digest = system.certificate.digest(digest).expect("a digest");
        for id in [STANDARD.encode(digest), hex::encode_upper(digest), hex::encode(digest)] {
            site["keyCredentials"][0]["customKeyIdentifier"] = json!(id);
            assert_eq!(system.diff(&site).code, Some(0), "{id}");
        }
    }
    site["keyCredentials"][0]["customKeyIdentifier"] = json!(STANDARD.encode([7; 20]));
    assert_eq!(system.diff(&site).code, Some(1));
}

#[test]
fn each_difference_is_reported_with_its_place_in_the_portal() {
    let system = System::new();
    let ago = (Utc::now() - TimeDelta::days(3)).to_rfc3339();
    let soon = (Utc::now() + TimeDelta::days(3)).to_rfc3339();
    let to_come = (Utc::now() + TimeDelta::days(1)).to_rfc3339();
    for (pointer, value, expected_text, remedy) in [
        (
            "/1/web/redirectUris",
            json!(["https://old.example/callback"]),
            "the only redirect URI is https://old.example/callback",
            "platform Web",
        ),
        (
            "/1/isFallbackPublicClient",
            json!(true),
            "public client flows are allowed",
            "Allow public client flows: No",
        ),
        (
            "/1/requiredResourceAccess",
            json!([]),
            "permission for the API is missing",
            "API permissions",
        ),
        (
            "/1/keyCredentials",
            json!([]),
            "no certificate is uploaded",
            "Upload certificate",
        ),
        (
            "/1/keyCredentials/0/endDateTime",
            json!(ago),
            "has expired",
            "blogctl cert new",
        ),
        (
            "/1/keyCredentials/0/startDateTime",
            json!(to_come),
            "is not valid yet",
            "clock",
        ),
        (
            "/1/signInAudience",
            json!("AzureADMultipleOrgs"),
            "accounts of any tenant can sign in (AzureADMultipleOrgs)",
            "single tenant",
        ),
        (
            "/0/identifierUris",
            json!([]),
            "no Application ID URI is set",
            "Expose an API",
        ),
        (
            "/0/api/oauth2PermissionScopes",
            json!([]),
            "no scope is exposed",
            "Add a scope",
        ),
        (
            "/0/api/oauth2PermissionScopes/0/isEnabled",
            json!(false),
            "is disabled",
            "State: Enabled",
        ),
        (
            "/1/keyCredentials/0/usage",
            json!("Sign"),
            "no certificate is uploaded",
            "Upload certificate",
        ),
        (
            "/0/api/oauth2PermissionScopes/0/id",
            json!(SITE),
            "permission for the API is missing",
            "API permissions",
        ),
    ] {
        let mut export = json!(system.exported());
        *export.pointer_mut(pointer).expect(pointer) = value;
        let ended = system.diff(&export);
        assert_eq!(ended.code, Some(1), "{pointer}: {ended:?}");
        assert!(
            ended.stdout.contains(expected_text) && ended.stdout.contains(remedy),
            "{pointer}: {}",
            ended.stdout
        );
    }
    for (pointer, value, expected_text) in [
        ("/1/web/logoutUrl", json!(null), "front-channel logout URL is not set"),
        ("/1/optionalClaims", json!(null), "optional claim sid is missing"),
        (
            "/1/optionalClaims",
            json!({ "idToken": [{ "name": "sid" }] }),
            "optional claim email is missing",
        ),
        (
            "/0/api/requestedAccessTokenVersion",
            json!(null),
            "the API gets version 1 tokens",
        ),
        (
            "/0/optionalClaims/accessToken",
            json!([]),
            "optional claim idtyp is missing",
        ),
        ("/1/passwordCredentials", json!([{ "hint": "abc" }]), "1 client secret"),
        ("/0/appRoles", json!([]), "missing app roles: Blog.Reader"),
        (
            "/0/appRoles/1/isEnabled",
            json!(false),
            "the app role Blog.Writer is disabled",
        ),
        (
            "/0/appRoles/2/allowedMemberTypes",
            json!(["User"]),
            "Blog.Admin cannot be assigned to applications",
        ),
        (
            "/0/api/oauth2PermissionScopes/0/type",
            json!("Admin"),
            "only administrators can consent",
        ),
        (
            "/1/web/implicitGrantSettings/enableIdTokenIssuance",
            json!(true),
            "the implicit grant is on",
        ),
        ("/1/keyCredentials/0/endDateTime", json!(soon), "expires in 2 days"),
    ] {
        let mut export = json!(system.exported());
        let (parent, name) = pointer.rsplit_once('/').expect("a path");
        export.pointer_mut(parent).expect(parent)[name] = value;
        let ended = system.diff(&export);
        assert_eq!(ended.code, Some(0), "a warning: {ended:?}");
        assert!(
            ended.stdout.contains("! ") && ended.stdout.contains(expected_text),
            "{pointer}: {}",
            ended.stdout
        );
    }
}

#[test]
fn unrequested_configuration_is_reported() {
    let system = System::new();
    let [api, site] = system.exported();
    let (mut encrypted, mut open) = (api.clone(), site);
    encrypted["tokenEncryptionKeyId"] = json!(SITE);
    let ended = system.diff(&encrypted);
    assert!(
        ended.code == Some(1) && ended.stdout.contains("the API's tokens are encrypted"),
        "{ended:?}"
    );

    open["web"]["redirectUris"]
        .as_array_mut()
        .expect("URIs")
        .push(json!("https://*.example/callback"));
    open["spa"] = json!({ "redirectUris": ["http://blog.example.com/callback", "http://127.0.0.1:5000/callback"] });
    let other = TestCertificate::new("other", &keys()[1].key).make();
    let digest = other.digest(openssl::hash::MessageDigest::sha1()).expect("a digest");
    let ends = Utc::now() + TimeDelta::days(90);
    let key = |ends: &str| json!({ "customKeyIdentifier": STANDARD.encode(digest), "endDateTime": ends });
    let list = open["keyCredentials"].as_array_mut().expect("keys");
    list.extend([key(&ends.to_rfc3339()), key("soon"), key("2020-01-01T00:00:00Z")]);
    let ended = system.diff(&json!([api, open]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let thumbprint = hex::encode_upper(digest);
    for expected_text in [
        "sign-ins may also end at https://*.example/callback, with any value for its *",
        "sign-ins may also end at http://blog.example.com/callback, without TLS",
        "sign-ins may also end at http://127.0.0.1:5000/callback\n",
        &format!("do not have: {thumbprint}, valid until {}", ends.format("%Y-%m-%d")),
        &format!("do not have: {thumbprint}, valid until an unknown date"),
        &format!("an expired certificate is still uploaded: {thumbprint}"),
    ] {
        assert!(
            ended.stdout.contains(expected_text),
            "{expected_text}: {}",
            ended.stdout
        );
    }
}

#[test]
fn a_multi_tenant_api_is_registered_as_such() {
    let system = System::new().with("tenants = [\"99999999-2222-4333-8444-555555555555\"]\n");
    let [api, site] = system.exported();
    assert_eq!(
        (&api["signInAudience"], &site["signInAudience"]),
        (&json!("AzureADMultipleOrgs"), &json!("AzureADMyOrg"))
    );
    assert_eq!(system.diff(&json!([api, site])).code, Some(0));
    let mut alone = api;
    alone["signInAudience"] = json!("AzureADMyOrg");
    let ended = system.diff(&json!([alone, site]));
    assert!(
        ended.code == Some(1) && ended.stdout.contains("multitenant"),
        "{ended:?}"
    );
}

#[test]
fn an_api_known_only_by_its_uri_is_found_by_it() {
    let system = System::new();
    let path = system.folder.path().join("blog.toml");
    let settings = fs::read_to_string(&path).expect("settings");
    fs::write(path, settings.replace(&format!("api://{API}"), "api://blog")).expect("written");
    let manifest = system.entra(&["manifest"]);
    assert!(
        manifest.stderr.contains("replace @API_CLIENT_ID@"),
        "{}",
        manifest.stderr
    );
    let [mut api, mut site] = system.exported();
    site["requiredResourceAccess"][0]["resourceAppId"] = json!(API);
    assert_eq!(system.diff(&json!([site, api])).code, Some(0));
    let alone = system.diff(&site);
    assert!(
        alone.stdout.contains("az ad app list --identifier-uri api://blog"),
        "{}",
        alone.stdout
    );
    assert!(
        alone.stdout.contains("the permission for the API cannot be compared"),
        "{}",
        alone.stdout
    );
    api["api"]["oauth2PermissionScopes"] = json!([]);
    let ended = system.diff(&json!([site, api]));
    assert!(
        ended.code == Some(1) && ended.stdout.contains("no scope is exposed"),
        "{ended:?}"
    );
    site["requiredResourceAccess"] = json!([]);
    let ended = system.diff(&json!([site, api]));
    assert!(
        ended.stdout.contains("permission for the API is missing"),
        "{}",
        ended.stdout
    );
}

#[test]
fn an_invalid_export_is_reported() {
    let system = System::new();
    for (text, expected_text) in [
        ("", "is not JSON"),
        ("ERROR: Resource does not exist", "is not JSON"),
        ("[]", "none of the registrations"),
        ("7", "none of the registrations"),
        (
            "{\"appId\": \"00000000-1111-4222-8333-444444444444\"}",
            "none of the registrations",
        ),
        (
            &json!({ "appId": SITE, "replyUrlsWithType": [] }).to_string(),
            "old format of Azure AD Graph",
        ),
        (
            &json!([{ "appId": API, "accessTokenAcceptedVersion": 2 }]).to_string(),
            "old format of Azure AD Graph",
        ),
        (
            &system.manifest().to_string(),
            "is the output of blogctl entra manifest",
        ),
    ] {
        fs::write(system.folder.path().join("export.json"), text).expect("written");
        let ended = system.entra(&["diff", "export.json"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.stderr.contains(expected_text) && ended.stderr.contains("hint:"),
            "{ended:?}"
        );
    }
    assert_eq!(system.entra(&["diff", "missing.json"]).code, Some(1));
    assert_eq!(system.entra(&["diff"]).code, Some(2));
}
