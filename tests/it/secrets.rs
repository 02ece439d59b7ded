//! Secrets in the wrong places: every setting with every kind of secret, and every command that reads settings. No output
//! may contain a part of a secret.

use std::{fmt::Write as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use blogctl::config::{Flag, Origin, Role, Settings, Sources, variable_of};
use openssl::{pkcs12::Pkcs12, symm::Cipher};

use crate::support::{
    binary::{CommandOutput, blogctl},
    certificates::{TestCertificate, key_pem, pem},
    entra::keys,
};

/// A secret as users paste it, with its name.
struct Secret {
    name: &'static str,
    text: String,
    /// Whether it differs from every harmless value. A password can be a common word.
    is_certain: bool,
}

/// Longest part of a secret that may occur by chance.
const WINDOW: usize = 12;

impl Secret {
    /// The part of the secret in `output`, if any.
    fn leaked_in<'o>(&self, output: &'o str) -> Option<&'o str> {
        let compact: Vec<char> = self.text.chars().collect();
        compact
            .windows(WINDOW.min(compact.len()))
            .step_by(WINDOW / 2)
            .find_map(|window| {
                let part: String = window.iter().collect();
                let is_telling = part.chars().filter(char::is_ascii_alphanumeric).count() >= 8
                    && !HARMLESS.iter().any(|known| known.contains(&part));
                let at = output.find(&part).filter(|_| is_telling)?;
                output.get(at..at + part.len())
            })
    }
}

/// Parts that every secret of a kind contains, and that a message may contain.
const HARMLESS: [&str; 8] = [
    "access_token",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----",
    "-----BEGIN CERTIFICATE-----",
    "-----END CERTIFICATE-----",
    "DefaultEndpointsProtocol=https",
    "https://blog.example/callback#",
    "http://localhost:5000/callback?",
];

fn in_hex(bytes: &[u8], sign: &str) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(sign)
}

fn secrets() -> Vec<Secret> {
    let key = &keys()[0].key;
    let certificate = TestCertificate::new("site", key).make();
    let both = [pem(&certificate), key_pem(key)].concat();
    let both = String::from_utf8(both).expect("text");
    let mut builder = Pkcs12::builder();
    let pfx = builder
        .pkey(key)
        .cert(&certificate)
        .build2("hunter2")
        .expect("a PFX")
        .to_der()
        .expect("DER");
    let encrypted = key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"hunter2")
        .expect("PEM");
    let der = key.private_key_to_der().expect("DER");
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6Ik1yNS1BVWliZkJpaTdOZDFqQmViYXhib1hXMCJ9.eyJhdWQiOiJhcGk6Ly9ibG9nIiwib2lkIjoiMSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ";
    let certain = |name, text: String| Secret {
        name,
        text,
        is_certain: true,
    };
    vec![
        certain("PEM", both.clone()),
        certain("PEM with \\n", both.replace('\n', "\\n")),
        certain("PEM in one line", both.replace('\n', " ")),
        certain("encrypted PEM", String::from_utf8(encrypted).expect("text")),
        certain("PEM in base64", STANDARD.encode(&both)),
        certain("PFX in base64", STANDARD.encode(pfx)),
        certain("key in base64", STANDARD.encode(key.private_key_to_der().expect("DER"))),
        certain("token", token.to_owned()),
        certain("header", format!("Bearer {token}")),
        certain(
            "URL with token",
            format!("https://blog.example/callback#access_token={token}"),
        ),
        certain(
            "ADO.NET",
            "Server=tcp:h;Database=b;User Id=u;Password=S3cretS3cretS3cret;".to_owned(),
        ),
        certain("libpq", "host=h user=u password=S3cretS3cretS3cret".to_owned()),
        certain(
            "Azure storage",
            "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=S3cretS3cretS3cretS3cret==".to_owned(),
        ),
        certain(
            "libpq with blanks",
            "host = h user = u password = S3cretS3cretS3cret".to_owned(),
        ),
        certain("YAML", "user: u\npassword: S3cretS3cretS3cret\n".to_owned()),
        certain("JSON", r#"{"user": "u", "password": "S3cretS3cretS3cret"}"#.to_owned()),
        certain("full width", "Ｐassword：S3cretS3cretS3cret".to_owned()),
        certain("curl", "curl -u u:S3cretS3cretS3cret https://h".to_owned()),
        certain("redis-cli", "redis-cli -h h -a S3cretS3cretS3cret".to_owned()),
        certain("pgpass", "h:5432:b:u:S3cretS3cretS3cret".to_owned()),
        certain("URL without slashes", "redis:S3cretS3cretS3cret@h:6379".to_owned()),
        certain("Oracle", "u/S3cretS3cretS3cret@h:1521/b".to_owned()),
        certain(
            "callback",
            "http://localhost:5000/callback?code=S3cretS3cretS3cret".to_owned(),
        ),
        certain(
            "basic",
            "Authorization: Basic dXNlcjpTM2NyZXRTM2NyZXRTM2NyZXQ=".to_owned(),
        ),
        certain("hex with colons", in_hex(&der, ":")),
        certain("hex with blanks", in_hex(&der, " ")),
        certain("hex in one row", format!("0x{}", in_hex(&der, ""))),
        certain("client secret", "Xy18Q~S3cretS3cretS3cretS3cretS3cret~x".to_owned()),
        certain("refresh token", format!("1.AXoA{}", "S3cretX9qZ-_".repeat(12))),
        certain("cookie key", "Zk3vQ9rT1xWb7LdMnc5HyEuP0sGaJ6fRoi8KXtVBw2Cq".to_owned()),
        certain("password of a manager", "x9$Kq!2vT@w7#LmZ^4".to_owned()),
        Secret {
            name: "password",
            text: "Tr0ub4dor&3 horse".to_owned(),
            is_certain: false,
        },
        Secret {
            name: "words",
            text: "correct horse battery staple".to_owned(),
            is_certain: false,
        },
    ]
}

/// The source of a value.
const LAYERS: [&str; 4] = ["environment", ".env", "blog.toml", "flag"];

fn sources(folder: &Path, layer: &str, setting: &str, value: &str) -> Sources {
    let mut sources = Sources {
        folder: Some(folder.to_owned()),
        ..Sources::default()
    };
    for file in [".env", "blog.toml"] {
        let _ = std::fs::remove_file(folder.join(file));
    }
    let (section, key) = setting.rsplit_once('.').expect("a section");
    match layer {
        "environment" => sources.environment.push((variable_of(setting).into(), value.into())),
        ".env" => {
            let escaped = value.replace('\\', "\\\\").replace('\'', "\\'");
            std::fs::write(folder.join(".env"), format!("{}='{escaped}'\n", variable_of(setting))).expect("written");
        }
        "blog.toml" => {
            // TOML has the escapes of JSON.
            let text = format!("[{section}]\n{key} = {}\n", serde_json::json!(value));
            std::fs::write(folder.join("blog.toml"), text).expect("written");
        }
        _ => {
            sources.flags.push(Flag {
                name: "--set".to_owned(),
                setting: setting.to_owned(),
                value: value.to_owned(),
            });
        }
    }
    sources
}

/// All output about settings: errors, warnings, values and origins; only those values that were set.
fn reported(sources: &Sources) -> String {
    let mut reported = String::new();
    for role in [Role::Any, Role::Api, Role::Client] {
        let (loaded, errors) = Settings::load_leniently(sources, role);
        for error in errors {
            let _ = writeln!(reported, "{error}\n{}", error.hint);
        }
        for warning in loaded.warnings {
            let _ = writeln!(reported, "{warning}");
        }
        for entry in loaded
            .entries
            .into_iter()
            .filter(|entry| entry.origin != Origin::Default)
        {
            let _ = writeln!(reported, "{} {} {}", entry.name, entry.value, entry.origin);
        }
    }
    reported
}

/// The names of all settings.
fn settings() -> Vec<&'static str> {
    let loaded = Settings::load(&Sources::default(), Role::Any).expect("defaults");
    loaded.entries.iter().map(|entry| entry.name).collect()
}

#[test]
fn no_setting_in_any_layer_reveals_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = settings();
    assert!(settings.len() > 80, "{}", settings.len());
    for secret in secrets() {
        for setting in &settings {
            for layer in LAYERS {
                let reported = reported(&sources(folder.path(), layer, setting, &secret.text));
                let leaked = secret.leaked_in(&reported);
                assert_eq!(leaked, None, "{} in {setting} by {layer}:\n{reported}", secret.name);
            }
        }
    }
}

#[test]
fn no_entry_of_a_list_reveals_a_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    for secret in secrets() {
        let text = serde_json::json!(secret.text);
        for (setting, value) in [
            (
                "client.credential",
                format!(r#"[{{"source":"file","cert_path":{text}}}]"#),
            ),
            (
                "client.credential",
                format!(r#"[{{"source":"file","cert_path":"a","key_path":{text}}}]"#),
            ),
            (
                "client.credential",
                format!(r#"[{{"source":"file","cert_path":"a","key_passphrase_file":{text}}}]"#),
            ),
            (
                "client.credential",
                format!(r#"[{{"source":"file","cert_path":"a","cert_thumbprint":{text}}}]"#),
            ),
            (
                "client.credential",
                format!(r#"[{{"source":"file","cert_base64":{text}}}]"#),
            ),
            (
                "client.credential",
                format!(r#"[{{"source":"workload_identity","token_file":{text}}}]"#),
            ),
            (
                "client.credential",
                format!(r#"[{{"source":"managed_identity","client_id":{text}}}]"#),
            ),
            (
                "client.credential",
                format!(r#"[{{"source":"key_vault_sign","vault_url":{text},"certificate":"a"}}]"#),
            ),
            (
                "client.credential",
                format!(r#"[{{"source":"key_vault_sign","vault_url":"https://v","certificate":{text}}}]"#),
            ),
            ("client.credential", format!(r#"[{{"source":{text}}}]"#)),
            ("client.credential", format!("[{text}]")),
            (
                "idp.users",
                format!(r#"[{{"oid":{text},"name":{text},"email":{text}}}]"#),
            ),
            ("idp.users", format!("[{text}]")),
            ("idp.apps", format!(r#"[{{"client_id":{text}}}]"#)),
            (
                "idp.apps",
                format!(r#"[{{"client_id":"7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f","certificates":[{text}]}}]"#),
            ),
            (
                "idp.apps",
                format!(r#"[{{"client_id":"7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f","redirect_uris":[{text}]}}]"#),
            ),
            ("api.cors_origins", format!("[{text}]")),
            ("server.trusted_proxies", format!("10.0.0.0/8,{}", secret.text)),
            ("client.cookie_key", format!("[{text}]")),
        ] {
            let reported = reported(&sources(folder.path(), "environment", setting, &value));
            assert_eq!(
                secret.leaked_in(&reported),
                None,
                "{} in {setting}={value}:\n{reported}",
                secret.name
            );
        }
    }
}

/// Settings that name a file, and the setting for the content of such a file.
const PATHS: [(&str, &str); 9] = [
    ("client.cert_path", "client.cert_base64"),
    ("client.key_path", "client.key_base64"),
    ("client.key_passphrase_file", "client.key_passphrase"),
    ("client.cookie_key_file", "client.cookie_key"),
    ("entra.ca_file", "save the current value to a file"),
    ("entra.keys_cache_file", "save the current value to a file"),
    ("redis.ca_file", "save the current value to a file"),
    ("azure.federated_token_file", "save the current value to a file"),
    ("idp.state_dir", "save the current value to a file"),
];

#[test]
fn file_content_instead_of_a_path_is_rejected_with_the_right_setting() {
    let folder = tempfile::tempdir().expect("a folder");
    for secret in secrets() {
        for (setting, advice) in PATHS {
            let outcome = Settings::load(&sources(folder.path(), "environment", setting, &secret.text), Role::Any);
            let errors = outcome.expect_err(secret.name).0;
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert_eq!(errors[0].setting, setting);
            assert!(
                errors[0].hint.contains(advice),
                "{} in {setting}: {errors:?}",
                secret.name
            );
        }
    }
}

#[test]
fn a_path_instead_of_file_content_is_rejected_or_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("client-and-its-private-key-for-the-blog");
    std::fs::write(&path, "").expect("written");
    let path = path.display().to_string();
    for (setting, path_setting) in [
        ("client.cert_base64", "client.cert_path"),
        ("client.key_base64", "client.key_path"),
    ] {
        for value in [&path, "cert/client.pem", "./client.pfx", "~/client", "C:\\client"] {
            let outcome = Settings::load(&sources(folder.path(), "flag", setting, value), Role::Any);
            let errors = outcome.expect_err(value).0;
            assert!(
                errors[0].setting == setting && errors[0].hint.contains(path_setting),
                "{errors:?}"
            );
        }
    }
    for (setting, path_setting) in [
        ("client.key_passphrase", "client.key_passphrase_file"),
        ("client.cookie_key", "client.cookie_key_file"),
    ] {
        let (loaded, _) = Settings::load_leniently(&sources(folder.path(), "flag", setting, &path), Role::Any);
        assert!(
            loaded.warnings.iter().any(|warning| warning.contains(path_setting)),
            "{setting}: {:?}",
            loaded.warnings
        );
    }
}

/// Every command that reads settings or a file, and needs no network.
const COMMANDS: [&[&str]; 13] = [
    &["config"],
    &["config", "--json"],
    &["doctor", "--timeout", "1"],
    &["doctor", "--timeout", "1", "--json"],
    &["cert", "check"],
    &["cert", "thumbprint"],
    &["cert", "thumbprint", "nothing.pem"],
    &["cert", "renew"],
    &["serve-client", "--port", "0"],
    &["serve-api", "--port", "0"],
    &["serve-idp", "--port", "0"],
    &["entra", "manifest"],
    &["openapi"],
];

#[test]
fn no_command_prints_a_secret_that_stands_in_a_path_setting() {
    let secrets = secrets();
    for (row, (setting, _)) in PATHS.iter().enumerate() {
        for (column, arguments) in COMMANDS.iter().enumerate() {
            // Each setting with each command and each secret.
            for secret in secrets.iter().skip((row + column) % 6).step_by(6) {
                let folder = tempfile::tempdir().expect("a folder");
                let mut command = blogctl(folder.path());
                command.args(*arguments).args([
                    "--set",
                    "entra.authority_host=http://localhost:1",
                    "--set",
                    "log.level=info",
                ]);
                let output = CommandOutput::from_command(command.env(variable_of(setting), &secret.text));
                let printed = format!("{}{}", output.stdout, output.stderr);
                assert_eq!(
                    secret.leaked_in(&printed),
                    None,
                    "{} in {setting}, {arguments:?}:\n{printed}",
                    secret.name
                );
                let made: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").flatten().collect();
                assert!(made.is_empty(), "{setting}, {arguments:?} made {made:?}");
            }
        }
    }
}

#[test]
fn no_command_prints_a_secret_from_an_argument() {
    let folder = tempfile::tempdir().expect("a folder");
    for secret in secrets() {
        let text = secret.text.as_str();
        for arguments in [
            &["cert", "check", text][..],
            &["cert", "check", "a.pem", "--key", text],
            &["cert", "thumbprint", text],
            &["cert", "new", "--passphrase-file", text],
            &["cert", "new", "--san", text],
            &["doctor", "--token", text],
            &["doctor", "--role", text],
            &[
                "migrate",
                "import",
                text,
                "--set",
                "entra.tenant_id=7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f",
                "--set",
                "database.url=./x.db",
            ],
            &["entra", "diff", text],
            &["config", "--config", text],
            &["config", "--set", text],
            &["config", text],
            &["serve-api", "--port", text],
            &["serve-api", "--host", text],
            &[text],
        ] {
            let output = CommandOutput::run(folder.path(), arguments);
            let printed = format!("{}{}", output.stdout, output.stderr);
            // The name of a certificate may have any form.
            assert!(
                output.code > Some(0) || arguments.contains(&"--san"),
                "{}: {:?}",
                secret.name,
                arguments.first()
            );
            assert_eq!(
                secret.leaked_in(&printed),
                None,
                "{}: {:?}:\n{printed}",
                secret.name,
                arguments.first()
            );
            if secret.is_certain && arguments == ["doctor", "--token", text] {
                assert_eq!(output.code, Some(2), "{}:\n{printed}", secret.name);
            }
        }
    }
}

#[test]
fn reverting_without_a_database_creates_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = CommandOutput::run(folder.path(), &["migrate", "revert", "--yes"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("the database does not exist yet"), "{output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn every_command_with_json_output_reports_failures_in_the_same_format() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, code) in [
        (&["config", "--json", "--set", "client.port=none"][..], 2),
        (&["config", "--json", "--nonsense"], 2),
        (&["cert", "thumbprint", "--json", "missing.pem"], 1),
        (&["entra", "diff", "--json", "missing.json"], 1),
        (&["doctor", "--json", "--token", "missing.txt"], 2),
        (&["migrate", "status", "--json", "--set", "log.level=loud"], 2),
    ] {
        let output = CommandOutput::run(folder.path(), arguments);
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        let reported: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
        assert_eq!(reported["error"]["exit_code"], code, "{arguments:?}: {reported}");
        assert!(
            reported["error"]["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{reported}"
        );
        assert!(
            reported["error"].get("hint").is_some() && !output.stderr.contains("error:"),
            "{output:?}"
        );
    }
}

#[test]
fn an_empty_or_blank_variable_counts_as_not_set() {
    let folder = tempfile::tempdir().expect("a folder");
    for setting in settings() {
        for blank in ["", " ", " \t "] {
            for layer in ["environment", ".env", "blog.toml"] {
                let loaded = Settings::load(&sources(folder.path(), layer, setting, blank), Role::Any).expect(setting);
                let entry = loaded
                    .entries
                    .iter()
                    .find(|entry| entry.name == setting)
                    .expect("there");
                assert_eq!(entry.value, entry.default, "{setting} = {blank:?} by {layer}");
            }
        }
    }
}
