//! `blogctl entra manifest` and `blogctl entra diff`: registrations made from the settings match them, and every change is
//! reported.

mod differences;
mod script;

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use openssl::x509::X509;
use script::{run_script, uploaded};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    binary::CommandOutput,
    certificates::{TestCertificate, file, key_pem, pem},
    entra::{API, SITE, keys},
};

/// A folder with settings of a production site, and its certificate.
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

    /// With more settings.
    fn with(self, more: &str) -> Self {
        let path = self.folder.path().join("blog.toml");
        let settings = fs::read_to_string(&path).expect("settings");
        fs::write(path, format!("{settings}{more}")).expect("written");
        self
    }

    /// With a list of credentials instead of the file.
    fn with_credentials(self, list: &str) -> Self {
        let path = self.folder.path().join("blog.toml");
        let settings = fs::read_to_string(&path).expect("settings");
        fs::write(path, settings.replace("cert_path = \"client.pem\"\n", "")).expect("written");
        self.with(list)
    }

    /// Writes a key and its certificate, valid for these days, to this file.
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
        let output = self.entra(&["manifest", "--format", "az"]);
        assert_eq!(output.code, Some(0), "{output:?}");
        output.stdout
    }

    fn entra(&self, arguments: &[&str]) -> CommandOutput {
        let output = CommandOutput::run(self.folder.path(), &[&["entra"], arguments].concat());
        let key = String::from_utf8(key_pem(&keys()[0].key)).expect("PEM");
        let line = key.lines().nth(15).expect("a line of the private exponent");
        assert!(
            !output.stdout.contains(line) && !output.stdout.contains("PRIVATE"),
            "the private key is not printed"
        );
        output
    }

    fn manifest(&self) -> Value {
        let output = self.entra(&["manifest"]);
        assert_eq!(output.code, Some(0), "{output:?}");
        serde_json::from_str(&output.stdout).expect("JSON")
    }

    /// Both registrations as Entra ID exports them.
    fn exported(&self) -> [Value; 2] {
        let manifest = self.manifest();
        let with_id = |name: &str, id: &str| {
            let mut app = manifest[name].clone();
            app["appId"] = json!(id);
            app
        };
        let mut site = with_id("site", SITE);
        // The certificate is returned only on request.
        for key in site["keyCredentials"].as_array_mut().expect("keys") {
            key["key"] = Value::Null;
        }
        [with_id("api", API), site]
    }

    fn diff(&self, export: &Value) -> CommandOutput {
        fs::write(self.folder.path().join("export.json"), export.to_string()).expect("written");
        self.entra(&["diff", "export.json"])
    }
}

#[test]
fn the_manifest_has_the_format_of_graph() {
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

#[test]
fn an_unusable_credential_does_not_hide_the_others() {
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
    for expected_text in [
        "managed_identity",
        "has expired and is omitted",
        "missing.pem cannot be read",
    ] {
        assert!(
            manifest.stderr.contains(expected_text),
            "{expected_text}: {}",
            manifest.stderr
        );
    }
    let described: Value = serde_json::from_str(&manifest.stdout).expect("JSON");
    let keys = described["site"]["keyCredentials"].as_array().expect("keys").iter();
    let keys: Vec<_> = keys
        .map(|key| key["key"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(keys, both.each_ref().map(|der| STANDARD.encode(der)));

    let script = system.script();
    for expected_text in [
        "# The certificate CN=other expired on",
        "# Not uploaded: file (missing.pem)",
        "managed_identity",
    ] {
        assert!(script.contains(expected_text), "{expected_text}: {script}");
    }
    run_script(&system);
    assert_eq!(uploaded(&system), both);

    let output = system.diff(&json!(system.exported()));
    assert_eq!(output.code, Some(0), "{output:?}");
    for expected_text in [
        "! Web site  the site authenticates with a federated token",
        "has expired",
        "missing.pem",
    ] {
        assert!(
            output.stdout.contains(expected_text),
            "{expected_text}: {}",
            output.stdout
        );
    }
    assert_eq!(output.stdout.matches("is uploaded").count(), 2, "{}", output.stdout);
}

#[test]
fn a_chain_without_a_key_stands_for_its_leaf() {
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
fn a_site_without_a_certificate_learns_what_its_federated_credential_needs() {
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
        let output = system.diff(&json!(system.exported()));
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.stdout.contains("Federated credentials") && output.stdout.contains(audience.trim_matches('"')));
    }
}
