//! Settings: which source takes precedence, which errors are reported, and what is never shown.

mod credentials;
mod files;
mod names;
mod tls;
mod values;

use std::fs;

use blogctl::config::{ConfigError, ConfigErrors, Flag, Loaded, Role, Settings, Sources};
use tempfile::TempDir;

const GUID: &str = "7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f";

/// Sources in a new folder.
struct Given {
    folder: TempDir,
    sources: Sources,
}

fn given() -> Given {
    let folder = tempfile::tempdir().expect("a folder");
    let sources = Sources {
        folder: Some(folder.path().to_owned()),
        ..Sources::default()
    };
    Given { folder, sources }
}

impl Given {
    fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.folder.path().join(name), content).expect("written");
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, setting: &str, value: &str) -> Self {
        let (name, setting, value) = ("--set".to_owned(), setting.to_owned(), value.to_owned());
        self.sources.flags.push(Flag { name, setting, value });
        self
    }

    fn load(&self) -> Loaded {
        Settings::load(&self.sources, Role::Any).expect("good settings")
    }

    fn errors(&self) -> Vec<ConfigError> {
        self.errors_for(Role::Any)
    }

    fn errors_for(&self, role: Role) -> Vec<ConfigError> {
        Settings::load(&self.sources, role).expect_err("wrong settings").0
    }

    fn the_error(&self) -> ConfigError {
        let mut errors = self.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.remove(0)
    }
}

fn origin(loaded: &Loaded, name: &str) -> String {
    let entry = loaded.entries.iter().find(|entry| entry.name == name);
    entry.expect("a setting").origin.to_string()
}

#[test]
fn each_layer_overrides_the_one_below() {
    let mut layers = given();
    for (port, layer) in [
        (5000, "default"),
        (1, "blog.toml"),
        (2, ".env"),
        (3, "environment"),
        (4, "flag"),
    ] {
        layers = match layer {
            "blog.toml" => layers.file("blog.toml", "[client]\nport = 1"),
            ".env" => layers.file(".env", "BLOG_CLIENT__PORT=2"),
            "environment" => layers.variable("BLOG_CLIENT__PORT", "3"),
            "flag" => layers.flag("client.port", "4"),
            _ => layers,
        };
        let loaded = layers.load();
        assert_eq!(loaded.settings.client.port, port, "{layer}");
        let origin = origin(&loaded, "client.port");
        assert!(origin.contains(layer), "{origin} names {layer}");
    }
}

#[test]
fn all_errors_are_reported_at_once_with_their_origin() {
    let given = given()
        .file(
            "blog.toml",
            "[client]\nport = \"fifty\"\n[api]\nprot = 8000\n[entra]\ncloud = \"moon\"",
        )
        .file(".env", "BLOG_API__MAX_BODY_BYTES=1")
        .variable("TENANT_ID", "contoso")
        .variable("BLOG_SERVER__WORKRS", "3")
        .flag("entra.authority_host", "http://sts.example");
    let reported = ConfigErrors(given.errors())
        .to_string()
        .replace(&format!("{}/", given.folder.path().display()), "");
    insta::assert_snapshot!(reported, @r#"
    7 settings are invalid

      entra.tenant_id is "contoso" (environment variable TENANT_ID)
        hint: must be a GUID such as 7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f

      entra.cloud is "moon" (blog.toml)
        hint: must be public, us-government or china

      entra.authority_host is "http://sts.example" (flag --set)
        hint: must be an https URL (http on localhost only; in development on any host) with nothing after host and port

      client.port is "fifty" (blog.toml)
        hint: must be a whole number from 0 to 65535

      api.max_body_bytes is "1" (BLOG_API__MAX_BODY_BYTES in .env)
        hint: must be a whole number from 1024 to 67108864

      api.prot is not a setting (blog.toml)
        hint: did you mean api.port?

      server.workrs is not a setting (environment variable BLOG_SERVER__WORKRS)
        hint: did you mean BLOG_SERVER__WORKERS?
    "#);
}

#[test]
fn a_role_requires_only_the_settings_that_it_needs() {
    let names = |errors: Vec<ConfigError>| errors.into_iter().map(|error| error.setting).collect::<Vec<_>>();
    given().load();
    assert_eq!(
        names(given().errors_for(Role::Api)),
        ["entra.tenant_id", "api.app_id_uri"]
    );
    assert_eq!(
        names(given().errors_for(Role::Client)),
        [
            "entra.tenant_id",
            "client.client_id",
            "client.cert_path",
            "client.api_scope",
            "client.cookie_key"
        ]
    );
    let wrong = given()
        .variable("TENANT_ID", "contoso")
        .variable("API_APP_ID_URI", "api://blog");
    assert_eq!(names(wrong.errors_for(Role::Api)), ["entra.tenant_id"], "reported once");
}

#[test]
fn an_invalid_setting_is_not_reported_as_missing() {
    for (setting, value, phantom) in [
        ("client.cookie_key_file", "/nowhere/cookie.key", "client.cookie_key"),
        ("client.credential", r#"[{"source":"vault"}]"#, "client.cert_path"),
        ("api.client_id", "blog", "api.app_id_uri"),
    ] {
        let role = if setting.starts_with("api") {
            Role::Api
        } else {
            Role::Client
        };
        let errors = given().flag(setting, value).errors_for(role);
        let names: Vec<_> = errors.iter().map(|error| error.setting.as_str()).collect();
        assert!(names.contains(&setting) && !names.contains(&phantom), "{names:?}");
    }
}

#[test]
fn a_missing_setting_is_reported_with_every_way_to_set_it() {
    let error = given().errors_for(Role::Api).remove(0);
    for part in [
        "[entra]",
        "tenant_id",
        "BLOG_ENTRA__TENANT_ID",
        "TENANT_ID",
        "blogctl dev",
    ] {
        assert!(error.hint.contains(part), "{part} in {}", error.hint);
    }
}

#[test]
fn secrets_appear_neither_in_debug_output_nor_in_errors() {
    let secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
    let loaded = given()
        .variable("FLASK_SECRET_KEY", secret)
        .variable("BLOG_CLIENT__KEY_PASSPHRASE", secret)
        .variable("DATABASE_URL", &format!("postgres://blog:{secret}@db.example/blog"))
        .load();
    let reported = format!("{loaded:?}");
    assert!(!reported.contains("hunter2"), "{reported}");

    let wrong = given()
        .variable("FLASK_SECRET_KEY", "hunter2")
        .variable("DATABASE_URL", "mysql://blog:hunter2@db.example/blog")
        .errors();
    assert_eq!(wrong.len(), 2);
    assert!(!format!("{wrong:?}").contains("hunter2"), "{wrong:?}");
}
