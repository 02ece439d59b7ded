//! `blogctl entra manifest` and `blogctl entra diff`: registrations made from the settings agree with them, and each
//! thing that is changed in one is told.

use std::{fs, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{TimeDelta, Utc};
use openssl::x509::X509;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    binary::Ended,
    certificates::{TestCertificate, file, key_pem, pem},
    entra::{API, SITE, keys},
};

/// A folder with settings of a site in production, and its certificate.
struct System {
    folder: TempDir,
    certificate: X509,
}

impl System {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = &keys()[0].key;
        let certificate = TestCertificate { valid: (-1, 90), ..TestCertificate::new("site", key) }.make();
        file(folder.path(), "client.pem", &[&key_pem(key), &pem(&certificate)]);
        let settings = format!(
            "[client]\npublic_url = \"https://blog.example.com\"\nclient_id = \"{SITE}\"\ncert_path = \"client.pem\"\n\
             [api]\napp_id_uri = \"api://{API}\"\n"
        );
        fs::write(folder.path().join("blog.toml"), settings).expect("written");
        Self { folder, certificate }
    }

    fn entra(&self, arguments: &[&str]) -> Ended {
        let ended = Ended::of(self.folder.path(), &[&["entra"], arguments].concat());
        let key = String::from_utf8(key_pem(&keys()[0].key)).expect("PEM");
        let line = key.lines().nth(15).expect("a line of the private exponent");
        assert!(!ended.stdout.contains(line) && !ended.stdout.contains("PRIVATE"), "the key is nobody's");
        ended
    }

    fn manifest(&self) -> Value {
        let ended = self.entra(&["manifest"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str(&ended.stdout).expect("JSON")
    }

    /// Both registrations as Entra would export them.
    fn exported(&self) -> [Value; 2] {
        let manifest = self.manifest();
        let with_id = |name: &str, id: &str| {
            let mut app = manifest[name].clone();
            app["appId"] = json!(id);
            app
        };
        let mut site = with_id("site", SITE);
        // Nobody gets the certificate back without asking for it.
        site["keyCredentials"][0]["key"] = Value::Null;
        [with_id("api", API), site]
    }

    fn diff(&self, export: &Value) -> Ended {
        fs::write(self.folder.path().join("export.json"), export.to_string()).expect("written");
        self.entra(&["diff", "export.json"])
    }
}

#[test]
fn the_manifest_is_what_graph_takes() {
    let system = System::new();
    let mut manifest = system.manifest();
    let key = manifest["site"]["keyCredentials"][0].take();
    assert_eq!(key["key"], STANDARD.encode(system.certificate.to_der().expect("DER")));
    let sha1 = system.certificate.digest(openssl::hash::MessageDigest::sha1()).expect("a digest");
    assert_eq!(key["customKeyIdentifier"], STANDARD.encode(sha1));
    insta::assert_snapshot!("registration_manifest", serde_json::to_string_pretty(&manifest).expect("JSON"));
}

#[test]
fn the_script_is_one_that_a_shell_takes_and_says_what_to_set() {
    let system = System::new();
    let script = system.entra(&["manifest", "--format", "az"]).stdout;
    let folder = system.folder.path();
    fs::write(folder.join("register.sh"), &script).expect("written");
    // An az that gives client ids as Entra does, and keeps what it was given.
    let az = format!(
        r#"#!/bin/sh
echo "$@" >> calls
case "$*" in
*site-of-api.json*) cp "${{9#@}}" site.json; echo {SITE};;
*api.json*) echo {API};;
*credential*) for part in "$@"; do case "$part" in @*) cp "${{part#@}}" cert.pem;; esac; done;;
*tenantId*) echo 11111111-2222-4333-8444-555555555555;;
esac
"#
    );
    fs::write(folder.join("az"), az).expect("written");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a path"));
    let made = Command::new("chmod").args(["+x", "az"]).current_dir(folder).status().expect("chmod");
    assert!(made.success());
    let ran = Command::new("sh").arg("register.sh").current_dir(folder).env("PATH", path).output().expect("sh");
    let (told, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{errors}");
    let calls = fs::read_to_string(folder.join("calls")).expect("calls");
    assert!(told.contains(&format!("api_scope = \"api://{API}/access_as_user\"")), "{told} {calls}");
    assert!(told.contains(&format!("client_id = \"{SITE}\"")), "{told}");
    assert!(calls.contains(&format!("--identifier-uris api://{API}")), "{calls}");
    let site: Value = serde_json::from_slice(&fs::read(folder.join("site.json")).expect("sent")).expect("JSON");
    assert_eq!(site["requiredResourceAccess"][0]["resourceAppId"], API);
    let uploaded = X509::from_pem(&fs::read(folder.join("cert.pem")).expect("sent")).expect("a certificate");
    assert_eq!(uploaded.to_der().expect("DER"), system.certificate.to_der().expect("DER"));
}

#[test]
fn what_the_manifest_makes_does_not_differ() {
    let system = System::new();
    let [api, site] = system.exported();
    for export in [json!([api, site]), json!({ "value": [site, api] }), site.clone(), api.clone()] {
        let ended = system.diff(&export);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(!ended.stdout.contains('✗') && !ended.stdout.contains('!'), "{}", ended.stdout);
    }
}

#[test]
fn a_certificate_is_known_by_each_identifier_that_tools_print() {
    let system = System::new();
    let [_, mut site] = system.exported();
    for digest in [openssl::hash::MessageDigest::sha1(), openssl::hash::MessageDigest::sha256()] {
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
fn each_difference_is_told_with_its_place_in_the_portal() {
    let system = System::new();
    let ago = (Utc::now() - TimeDelta::days(3)).to_rfc3339();
    let soon = (Utc::now() + TimeDelta::days(3)).to_rfc3339();
    let to_come = (Utc::now() + TimeDelta::days(1)).to_rfc3339();
    for (pointer, value, said, remedy) in [
        (
            "/1/web/redirectUris",
            json!(["https://old.example/callback"]),
            "the redirect URIs are https://old.example/callback",
            "platform Web",
        ),
        ("/1/web/logoutUrl", json!(null), "front-channel logout URL is not set", "Authentication"),
        ("/1/isFallbackPublicClient", json!(true), "public client flows are allowed", "Allow public client flows: No"),
        ("/1/requiredResourceAccess", json!([]), "permission for the API is missing", "API permissions"),
        ("/1/optionalClaims", json!(null), "optional claim sid is missing", "Token configuration"),
        ("/1/keyCredentials", json!([]), "the certificates are none", "Upload certificate"),
        ("/1/keyCredentials/0/endDateTime", json!(ago), "has expired", "blogctl cert new"),
        ("/1/keyCredentials/0/startDateTime", json!(to_come), "is not valid yet", "clock"),
        ("/1/signInAudience", json!("AzureADMultipleOrgs"), "AzureADMultipleOrgs", "single tenant"),
        ("/0/identifierUris", json!([]), "Application ID URI is none", "Expose an API"),
        ("/0/api/oauth2PermissionScopes", json!([]), "the scopes are none", "Add a scope"),
        ("/0/api/oauth2PermissionScopes/0/isEnabled", json!(false), "is disabled", "Expose an API"),
        ("/0/api/oauth2PermissionScopes/0/id", json!(SITE), "permission for the API is missing", "API permissions"),
        ("/0/api/requestedAccessTokenVersion", json!(null), "of version 1", "Manifest"),
        ("/0/optionalClaims/accessToken", json!([]), "optional claim idtyp is missing", "Access"),
    ] {
        let mut export = json!(system.exported());
        *export.pointer_mut(pointer).expect(pointer) = value;
        let ended = system.diff(&export);
        assert_eq!(ended.code, Some(1), "{pointer}: {ended:?}");
        assert!(ended.stdout.contains(said) && ended.stdout.contains(remedy), "{pointer}: {}", ended.stdout);
    }
    for (pointer, value, said) in [
        ("/1/passwordCredentials", json!([{ "hint": "abc" }]), "1 client secret"),
        ("/0/appRoles", json!([]), "no app role Blog.Reader"),
        ("/1/keyCredentials/0/endDateTime", json!(soon), "expires in 2 days"),
    ] {
        let mut export = json!(system.exported());
        let (parent, name) = pointer.rsplit_once('/').expect("a path");
        export.pointer_mut(parent).expect(parent)[name] = value;
        let ended = system.diff(&export);
        assert_eq!(ended.code, Some(0), "a warning: {ended:?}");
        assert!(ended.stdout.contains("! ") && ended.stdout.contains(said), "{pointer}: {}", ended.stdout);
    }
}

#[test]
fn what_is_no_export_is_told() {
    let system = System::new();
    for (text, said) in [
        ("", "is not JSON"),
        ("ERROR: Resource does not exist", "is not JSON"),
        ("[]", "none of the registrations"),
        ("7", "none of the registrations"),
        ("{\"appId\": \"00000000-1111-4222-8333-444444444444\"}", "none of the registrations"),
    ] {
        fs::write(system.folder.path().join("export.json"), text).expect("written");
        let ended = system.entra(&["diff", "export.json"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(said) && ended.stderr.contains("hint:"), "{ended:?}");
    }
    assert_eq!(system.entra(&["diff", "missing.json"]).code, Some(1));
    assert_eq!(system.entra(&["diff"]).code, Some(2));
}
