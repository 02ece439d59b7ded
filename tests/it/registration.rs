//! `blogctl entra manifest` and `blogctl entra diff`: registrations made from the settings agree with them, and each
//! thing that is changed in one is told.

use std::{
    fs,
    process::{Command, Output},
};

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
        let certificate = TestCertificate {
            valid: (-1, 90),
            ..TestCertificate::new("site", key)
        }
        .make();
        file(folder.path(), "client.pem", &[&key_pem(key), &pem(&certificate)]);
        let settings = format!(
            "[client]\npublic_url = \"https://blog.example.com\"\nclient_id = \"{SITE}\"\ncert_path = \"client.pem\"\n\
             [api]\napp_id_uri = \"api://{API}\"\n"
        );
        fs::write(folder.path().join("blog.toml"), settings).expect("written");
        Self { folder, certificate }
    }

    /// With further settings.
    fn with(self, more: &str) -> Self {
        let path = self.folder.path().join("blog.toml");
        let settings = fs::read_to_string(&path).expect("settings");
        fs::write(path, format!("{settings}{more}")).expect("written");
        self
    }

    /// With a list of credentials in place of the file.
    fn with_credentials(self, list: &str) -> Self {
        let path = self.folder.path().join("blog.toml");
        let settings = fs::read_to_string(&path).expect("settings");
        fs::write(path, settings.replace("cert_path = \"client.pem\"\n", "")).expect("written");
        self.with(list)
    }

    /// A key and a certificate of it in this file, which is valid for these days.
    fn certificate_in(&self, name: &str, valid: (i64, i64)) -> X509 {
        let key = &keys()[1].key;
        let certificate = TestCertificate {
            valid,
            ..TestCertificate::new("other", key)
        }
        .make();
        file(self.folder.path(), name, &[&key_pem(key), &pem(&certificate)]);
        certificate
    }

    fn script(&self) -> String {
        let ended = self.entra(&["manifest", "--format", "az"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    }

    fn entra(&self, arguments: &[&str]) -> Ended {
        let ended = Ended::of(self.folder.path(), &[&["entra"], arguments].concat());
        let key = String::from_utf8(key_pem(&keys()[0].key)).expect("PEM");
        let line = key.lines().nth(15).expect("a line of the private exponent");
        assert!(
            !ended.stdout.contains(line) && !ended.stdout.contains("PRIVATE"),
            "the key is nobody's"
        );
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
        for key in site["keyCredentials"].as_array_mut().expect("keys") {
            key["key"] = Value::Null;
        }
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
    let sha1 = system
        .certificate
        .digest(openssl::hash::MessageDigest::sha1())
        .expect("a digest");
    assert_eq!(key["customKeyIdentifier"], STANDARD.encode(sha1));
    insta::assert_snapshot!(
        "registration_manifest",
        serde_json::to_string_pretty(&manifest).expect("JSON")
    );
}

/// Runs `register.sh` with an az that gives client ids as Entra does, and keeps what it was given. `case` comes before what
/// this az knows.
fn run_az(system: &System, case: &str) -> Output {
    let folder = system.folder.path();
    let az = format!(
        r#"#!/bin/sh
echo "$@" >> calls
case "$*" in
{case}
"cloud show"*) echo https://graph.of.cloud/;;
*site-of-api.json*) cp "${{9#@}}" site.json; echo {SITE};;
*api.json*) echo {API};;
*tenantId*) echo 11111111-2222-4333-8444-555555555555;;
esac
"#
    );
    fs::write(folder.join("az"), az).expect("written");
    let _ = fs::remove_file(folder.join("calls"));
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a path"));
    let made = Command::new("chmod")
        .args(["+x", "az"])
        .current_dir(folder)
        .status()
        .expect("chmod");
    assert!(made.success());
    Command::new("sh")
        .arg("register.sh")
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .expect("sh")
}

/// Runs the script. What it told, and each call of az.
fn run_script(system: &System) -> (String, String) {
    let folder = system.folder.path();
    fs::write(folder.join("register.sh"), system.script()).expect("written");
    let ran = run_az(system, "");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let told = String::from_utf8(ran.stdout).expect("text");
    (told, fs::read_to_string(folder.join("calls")).expect("calls"))
}

/// What the script has sent for the site.
fn sent(system: &System) -> Value {
    serde_json::from_slice(&fs::read(system.folder.path().join("site.json")).expect("sent")).expect("JSON")
}

/// The certificates in it, in DER.
fn uploaded(system: &System) -> Vec<Vec<u8>> {
    let sent = sent(system);
    let keys = sent["keyCredentials"].as_array().expect("keys").iter();
    keys.map(|key| STANDARD.decode(key["key"].as_str().expect("text")).expect("base64"))
        .collect()
}

#[test]
fn the_script_is_one_that_a_shell_takes_and_says_what_to_set() {
    let system = System::new();
    let (told, calls) = run_script(&system);
    assert!(
        told.contains(&format!("api_scope = \"api://{API}/access_as_user\"")),
        "{told} {calls}"
    );
    assert!(
        told.contains(&format!("client_id = \"{SITE}\"")) && !told.contains("cloud ="),
        "{told}"
    );
    assert!(calls.contains(&format!("--identifier-uris api://{API}")), "{calls}");
    assert!(
        calls.contains("--url https://graph.of.cloud/v1.0/applications "),
        "{calls}"
    );
    assert_eq!(sent(&system)["requiredResourceAccess"][0]["resourceAppId"], API);
    assert_eq!(uploaded(&system), [system.certificate.to_der().expect("DER")]);
}

#[test]
fn no_setting_is_run_by_the_shell_and_each_is_printed_as_it_is() {
    for hostile in [
        "$(touch${IFS}PWNED)",
        "`touch${IFS}PWNED`",
        "';touch${IFS}PWNED;'",
        "\";touch${IFS}PWNED;\"",
        "&touch${IFS}PWNED&",
        "${undefined_variable}",
        "a\\\"b\\",
        "\"",
        "%s%n*~",
    ] {
        let system = System::new();
        let path = system.folder.path().join("blog.toml");
        let text = fs::read_to_string(&path).expect("settings");
        let (site, _) = text.split_once("[api]").expect("the API's settings");
        let scope = format!("api://blog/{}", hostile.replace('/', ""));
        let mut settings: toml::Table = site.parse().expect("TOML");
        let client = settings["client"].as_table_mut().expect("a table");
        client.insert("api_scope".to_owned(), format!("{scope}/s{hostile}").into());
        fs::write(&path, settings.to_string()).expect("written");
        let (told, calls) = run_script(&system);
        assert!(!system.folder.path().join("PWNED").exists(), "{hostile}: {told}");
        let told: toml::Table = told
            .parse()
            .unwrap_or_else(|error| panic!("{hostile}: {error}: {told}"));
        assert_eq!(
            told["client"]["api_scope"].as_str(),
            Some(&*format!("{scope}/s{hostile}")),
            "{hostile}"
        );
        assert_eq!(told["api"]["app_id_uri"].as_str(), Some(&*scope), "{hostile}");
        assert!(
            calls.contains(&format!("--identifier-uris {scope}\n")),
            "{hostile}: {calls}"
        );
    }
}

#[test]
fn a_registration_that_is_not_known_everywhere_yet_is_waited_for() {
    let system = System::new();
    let script = system.script().replace("sleep 5", "sleep 0");
    fs::write(system.folder.path().join("register.sh"), script).expect("written");
    let failing = |times: usize| {
        let case = format!(
            "*\"sp create\"*) if [ $(grep -c 'sp create' calls) -le {times} ]; then echo not found >&2; exit 1; fi;;"
        );
        run_az(&system, &case)
    };
    assert!(failing(5).status.success());
    let ended = failing(100);
    assert!(!ended.status.success());
    let told = String::from_utf8(ended.stderr).expect("text");
    assert!(
        told.contains(&format!("The API's registration is {API}")),
        "what is to be deleted: {told}"
    );
    assert_eq!(told.matches("once more").count(), 5, "{told}");
}

#[test]
fn an_az_that_fails_ends_the_script_before_anything_is_made() {
    let system = System::new();
    fs::write(system.folder.path().join("register.sh"), system.script()).expect("written");
    let ended = run_az(&system, "\"cloud show\"*) exit 1;;");
    assert!(!ended.status.success());
    let calls = fs::read_to_string(system.folder.path().join("calls")).expect("calls");
    assert!(!calls.contains("POST"), "{calls}");
}

#[test]
fn the_script_is_for_the_cloud_of_the_settings() {
    for (cloud, name) in [("us-government", "AzureUSGovernment"), ("china", "AzureChinaCloud")] {
        let system = System::new().with(&format!("[entra]\ncloud = \"{cloud}\"\n"));
        let script = system.script();
        assert!(script.contains(&format!("az cloud set --name {name}")), "{script}");
        assert!(
            run_script(&system).0.contains(&format!("cloud = \"{cloud}\"")),
            "{script}"
        );
    }
    assert!(!System::new().script().contains("az cloud set"));
}

#[test]
fn an_app_id_uri_that_was_chosen_stays_and_one_that_names_a_registration_is_made_anew() {
    for (uri, made) in [
        ("api://blog.contoso.com".to_owned(), "api://blog.contoso.com".to_owned()),
        (
            "https://contoso.com/blog".to_owned(),
            "https://contoso.com/blog".to_owned(),
        ),
        (
            "api://00000000-1111-4222-8333-444444444444".to_owned(),
            format!("api://{API}"),
        ),
    ] {
        let system = System::new();
        let path = system.folder.path().join("blog.toml");
        let settings = fs::read_to_string(&path).expect("settings");
        fs::write(path, settings.replace(&format!("api://{API}"), &uri)).expect("written");
        let (told, calls) = run_script(&system);
        assert!(calls.contains(&format!("--identifier-uris {made}\n")), "{uri}: {calls}");
        assert!(told.contains(&format!("app_id_uri = \"{made}\"")), "{uri}: {told}");
        assert!(
            told.contains(&format!("api_scope = \"{made}/access_as_user\"")),
            "{uri}: {told}"
        );
    }
}

#[test]
fn one_credential_that_cannot_be_used_here_keeps_nobody_from_the_others() {
    let system = System::new().with_credentials(
        "[[client.credential]]\nsource = \"managed_identity\"\nclient_id = \"7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f\"\n\
         [[client.credential]]\nsource = \"file\"\ncert_path = \"expired.pem\"\n\
         [[client.credential]]\nsource = \"file\"\ncert_path = \"missing.pem\"\n\
         [[client.credential]]\nsource = \"file\"\ncert_path = \"client.pem\"\n\
         [[client.credential]]\nsource = \"file\"\ncert_path = \"next.pem\"\n",
    );
    system.certificate_in("expired.pem", (-40, -3));
    let next = system.certificate_in("next.pem", (-1, 90));
    let both = [&system.certificate, &next].map(|one| one.to_der().expect("DER"));

    let manifest = system.entra(&["manifest"]);
    assert_eq!(manifest.code, Some(0), "{manifest:?}");
    for said in [
        "managed_identity",
        "has expired, and is left out",
        "missing.pem cannot be read",
    ] {
        assert!(manifest.stderr.contains(said), "{said}: {}", manifest.stderr);
    }
    let described: Value = serde_json::from_str(&manifest.stdout).expect("JSON");
    let keys = described["site"]["keyCredentials"].as_array().expect("keys").iter();
    let keys: Vec<_> = keys
        .map(|key| key["key"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(keys, both.each_ref().map(|der| STANDARD.encode(der)));

    let script = system.script();
    for said in [
        "# The certificate CN=other expired on",
        "# Not uploaded: file (missing.pem)",
        "managed_identity",
    ] {
        assert!(script.contains(said), "{said}: {script}");
    }
    run_script(&system);
    assert_eq!(uploaded(&system), both);

    let ended = system.diff(&json!(system.exported()));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for said in [
        "! Web site  the site proves itself by a federated token",
        "has expired",
        "missing.pem",
    ] {
        assert!(ended.stdout.contains(said), "{said}: {}", ended.stdout);
    }
    assert_eq!(ended.stdout.matches("is uploaded").count(), 2, "{}", ended.stdout);
}

#[test]
fn an_expired_certificate_alone_is_a_difference_even_when_it_is_uploaded() {
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
fn of_a_file_with_a_chain_but_no_key_the_leaf_is_meant() {
    let system = System::new();
    let issuer = TestCertificate::new("issuer", &keys()[1].key).make();
    let by = Some((&issuer, &keys()[1].key));
    let leaf = TestCertificate {
        issuer: by,
        ..TestCertificate::new("leaf", &keys()[0].key)
    }
    .make();
    file(system.folder.path(), "client.pem", &[&pem(&issuer), &pem(&leaf)]);
    let manifest = system.manifest();
    assert_eq!(
        manifest["site"]["keyCredentials"].as_array().expect("keys").len(),
        1,
        "{manifest}"
    );
    assert_eq!(
        manifest["site"]["keyCredentials"][0]["key"],
        STANDARD.encode(leaf.to_der().expect("DER"))
    );
}

#[test]
fn a_site_without_a_certificate_is_told_what_its_federated_credential_needs() {
    for (cloud, host, audience) in [
        ("public", "login.microsoftonline.com", "api://AzureADTokenExchange\""),
        (
            "us-government",
            "login.microsoftonline.us",
            "api://AzureADTokenExchangeUSGov\"",
        ),
        (
            "china",
            "login.partner.microsoftonline.cn",
            "api://AzureADTokenExchangeChina\"",
        ),
    ] {
        let tenant = "11111111-2222-4333-8444-555555555555";
        let system = System::new().with_credentials(&format!(
            "[[client.credential]]\nsource = \"workload_identity\"\n\
             [[client.credential]]\nsource = \"managed_identity\"\nclient_id = \"7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f\"\n\
             [entra]\ntenant_id = \"{tenant}\"\ncloud = \"{cloud}\"\n"
        ));
        let script = system.script();
        assert!(
            script.contains("#   az ad app federated-credential create --id \"$site\" --parameters '{"),
            "{script}"
        );
        assert!(
            script.contains("\"issuer\":\"ISSUER\"") && script.contains(audience),
            "{script}"
        );
        assert!(
            script.contains(&format!("\"issuer\":\"https://{host}/{tenant}/v2.0\"")),
            "{script}"
        );
        assert!(!script.contains("There is no certificate yet"), "{script}");
        let ended = system.diff(&json!(system.exported()));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("Federated credentials") && ended.stdout.contains(audience.trim_matches('"')));
    }
}

#[test]
fn what_the_manifest_makes_does_not_differ() {
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
                .starts_with("Comparing the registrations of the web site (")
                && ended.stdout.contains(SITE)
        );
    }
    for (export, missing, id) in [(site, "API", API), (api, "web site", SITE)] {
        let ended = system.diff(&export);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let said = format!(
            "! {}the {missing}'s registration ({id}) is not in this export",
            if missing == "API" { "API       " } else { "Web site  " }
        );
        assert!(ended.stdout.contains(&said), "{said}: {}", ended.stdout);
        assert_eq!(ended.stdout.matches('!').count(), 1, "{}", ended.stdout);
    }
}

/// Registrations made by hand after docs/own-tenant.md without what is optional for the API there, in all the members
/// that az prints: what is read of them must have the names that Entra gives it.
#[test]
fn what_az_prints_of_registrations_made_by_hand_is_understood() {
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
    let (site, api) = (
        filled(include_str!("registration/site.json")),
        filled(include_str!("registration/api.json")),
    );
    let ended = system.diff(&json!([api, site]));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let text = ended.stdout.replace(&hex::encode_upper(sha1), "THUMBPRINT");
    insta::assert_snapshot!("registration_by_hand", text);
}

#[test]
fn a_certificate_is_known_by_each_identifier_that_tools_print() {
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
fn each_difference_is_told_with_its_place_in_the_portal() {
    let system = System::new();
    let ago = (Utc::now() - TimeDelta::days(3)).to_rfc3339();
    let soon = (Utc::now() + TimeDelta::days(3)).to_rfc3339();
    let to_come = (Utc::now() + TimeDelta::days(1)).to_rfc3339();
    for (pointer, value, said, remedy) in [
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
            ended.stdout.contains(said) && ended.stdout.contains(remedy),
            "{pointer}: {}",
            ended.stdout
        );
    }
    for (pointer, value, said) in [
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
            "the API is issued version 1 tokens",
        ),
        (
            "/0/optionalClaims/accessToken",
            json!([]),
            "optional claim idtyp is missing",
        ),
        ("/1/passwordCredentials", json!([{ "hint": "abc" }]), "1 client secret"),
        ("/0/appRoles", json!([]), "no app role Blog.Reader"),
        (
            "/0/appRoles/1/isEnabled",
            json!(false),
            "the app role Blog.Writer is disabled",
        ),
        (
            "/0/appRoles/2/allowedMemberTypes",
            json!(["User"]),
            "Blog.Admin cannot be given to applications",
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
            ended.stdout.contains("! ") && ended.stdout.contains(said),
            "{pointer}: {}",
            ended.stdout
        );
    }
}

#[test]
fn what_nobody_has_asked_for_is_told() {
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
    for said in [
        "sign-ins may end at https://*.example/callback, too, whatever stands for its *",
        "sign-ins may end at http://blog.example.com/callback, too, without TLS",
        "sign-ins may end at http://127.0.0.1:5000/callback, too\n",
        &format!("do not have: {thumbprint}, valid until {}", ends.format("%Y-%m-%d")),
        &format!("do not have: {thumbprint}, valid until nobody knows when"),
        &format!("an expired certificate is still there: {thumbprint}"),
    ] {
        assert!(ended.stdout.contains(said), "{said}: {}", ended.stdout);
    }
}

#[test]
fn an_api_of_many_tenants_is_registered_for_them() {
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
fn an_api_that_the_settings_know_by_its_uri_alone_is_found_by_it() {
    let system = System::new();
    let path = system.folder.path().join("blog.toml");
    let settings = fs::read_to_string(&path).expect("settings");
    fs::write(path, settings.replace(&format!("api://{API}"), "api://blog")).expect("written");
    let manifest = system.entra(&["manifest"]);
    assert!(
        manifest.stderr.contains("in the place of @API_CLIENT_ID@"),
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
fn what_is_no_export_is_told() {
    let system = System::new();
    for (text, said) in [
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
            "older form of Azure AD Graph",
        ),
        (
            &json!([{ "appId": API, "accessTokenAcceptedVersion": 2 }]).to_string(),
            "older form of Azure AD Graph",
        ),
        (&system.manifest().to_string(), "is what blogctl entra manifest prints"),
    ] {
        fs::write(system.folder.path().join("export.json"), text).expect("written");
        let ended = system.entra(&["diff", "export.json"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.stderr.contains(said) && ended.stderr.contains("hint:"),
            "{ended:?}"
        );
    }
    assert_eq!(system.entra(&["diff", "missing.json"]).code, Some(1));
    assert_eq!(system.entra(&["diff"]).code, Some(2));
}
