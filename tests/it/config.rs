//! Settings: which source takes precedence, which errors are reported, and what is never shown.

use std::{fs, path::Path};

use blogctl::config::{
    ConfigError, ConfigErrors, CredentialSettings, Environment, Flag, Loaded, Origin, Role, Settings, Sources,
};
use serde_json::Value as Json;
use tempfile::TempDir;

const GUID: &str = "7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f";

/// Sources in a folder of their own.
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
fn each_layer_beats_the_one_below() {
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
        assert!(origin.contains(layer), "{origin} tells of {layer}");
    }
}

#[test]
fn all_errors_are_reported_at_once_each_with_its_origin() {
    let given = given()
        .file(
            "blog.toml",
            "[client]\nport = \"fifty\"\n[api]\nprot = 8000\n[entra]\ncloud = \"moon\"",
        )
        .file(".env", "BLOG_API__MAX_BODY_BYTES=1")
        .variable("TENANT_ID", "contoso")
        .variable("BLOG_SERVER__WORKRS", "3")
        .flag("entra.authority_host", "http://sts.example");
    let told = ConfigErrors(given.errors())
        .to_string()
        .replace(&format!("{}/", given.folder.path().display()), "");
    insta::assert_snapshot!(told, @r#"
    7 settings are invalid

      entra.tenant_id is "contoso" (environment variable TENANT_ID)
        hint: must be a GUID such as 7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f

      entra.cloud is "moon" (blog.toml)
        hint: must be public, us-government or china

      entra.authority_host is "http://sts.example" (flag --set)
        hint: must be an https URL (http is taken on localhost only) with nothing after host and port

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
fn every_older_name_is_taken() {
    let loaded = given()
        .variable("TENANT_ID", GUID)
        .variable("CLIENT_ID", GUID)
        .variable("CLIENT_CERT_PATH", "cert/app.pem")
        .variable("CLIENT_CERT_THUMBPRINT", &"AB:".repeat(20))
        .variable("REDIRECT_URI", "https://blog.example/callback")
        .variable("API_SCOPE", "api://blog/access_as_user")
        .variable("API_BASE_URL", "https://api.example")
        .variable("FLASK_SECRET_KEY", "Zk3vQ9rT1xWb7LdMnc5HyEuP0sGaJ6fRoi8KXtVBw2Cq")
        .variable("FLASK_PORT", "5050")
        .variable("API_APP_ID_URI", "api://blog")
        .variable("REQUIRED_SCOPE", "blog.write")
        .variable("JWKS_URI", "https://login.example/keys")
        .variable("DATABASE_URL", "sqlite:///./blog.db")
        .variable("CORS_ORIGINS", "https://a.example, https://b.example")
        .variable("ENVIRONMENT", "Development")
        .variable("LOG_LEVEL", "WARNING")
        .load();
    let shown: Vec<String> = loaded
        .entries
        .iter()
        .filter(|entry| entry.origin != Origin::Default)
        .map(|entry| format!("{} = {} ({})", entry.name, entry.value, entry.origin))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    server.environment = "development" (environment variable ENVIRONMENT)
    entra.tenant_id = "7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f" (environment variable TENANT_ID)
    entra.jwks_uri = "https://login.example/keys" (environment variable JWKS_URI)
    client.port = 5050 (environment variable FLASK_PORT)
    client.redirect_uri = "https://blog.example/callback" (environment variable REDIRECT_URI)
    client.client_id = "7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f" (environment variable CLIENT_ID)
    client.api_scope = "api://blog/access_as_user" (environment variable API_SCOPE)
    client.api_base_url = "https://api.example/" (environment variable API_BASE_URL)
    client.cookie_key = "********" (environment variable FLASK_SECRET_KEY)
    client.cert_path = "cert/app.pem" (environment variable CLIENT_CERT_PATH)
    client.cert_thumbprint = "AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:" (environment variable CLIENT_CERT_THUMBPRINT)
    api.app_id_uri = "api://blog" (environment variable API_APP_ID_URI)
    api.required_scope = "blog.write" (environment variable REQUIRED_SCOPE)
    api.cors_origins = ["https://a.example","https://b.example"] (environment variable CORS_ORIGINS)
    database.url = "sqlite:///./blog.db" (environment variable DATABASE_URL)
    log.level = "warn" (environment variable LOG_LEVEL)
    "#);
    assert_eq!(loaded.settings.server.environment, Environment::Development);
}

#[test]
fn debug_means_the_debug_level_and_nothing_else_matters_in_it() {
    for (value, level) in [
        ("true", "debug"),
        ("1", "debug"),
        ("false", "info"),
        ("express:*", "info"),
        ("", "info"),
    ] {
        assert_eq!(
            given().variable("DEBUG", value).load().settings.log.level,
            level,
            "DEBUG={value}"
        );
    }
    let both = given().variable("DEBUG", "true").variable("LOG_LEVEL", "error");
    assert_eq!(both.load().settings.log.level, "error");
}

#[test]
fn the_new_name_beats_the_older_one_with_a_warning() {
    let loaded = given()
        .variable("BLOG_CLIENT__PORT", "1")
        .variable("FLASK_PORT", "2")
        .load();
    assert_eq!(loaded.settings.client.port, 1);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(loaded.warnings[0].contains("FLASK_PORT") && loaded.warnings[0].contains("BLOG_CLIENT__PORT"));
}

#[test]
fn an_older_name_that_is_empty_is_not_set() {
    let loaded = given().variable("FLASK_PORT", "").variable("TENANT_ID", " ").load();
    assert_eq!(
        (loaded.settings.client.port, loaded.settings.entra.tenant_id.as_str()),
        (5000, "")
    );
}

#[test]
fn an_unknown_name_is_an_error_that_suggests_the_most_similar_one() {
    for (content, expected) in [
        ("[client]\nclient_idd = \"\"", "did you mean client.client_id?"),
        ("[clinet]\nport = 1", "did you mean client.port?"),
        ("tenant_id = \"\"", "did you mean entra.tenant_id?"),
        ("[zzz]\nqqqqqqqqqqqqqqq = 1", "blogctl config lists all settings"),
    ] {
        assert_eq!(
            given().file("blog.toml", content).the_error().hint,
            expected,
            "{content}"
        );
    }
    let hint = given().variable("BLOG_CLIENT__PROT", "1").the_error().hint;
    assert_eq!(hint, "did you mean BLOG_CLIENT__PORT?");
}

#[test]
fn variables_of_a_kubernetes_service_called_blog_are_not_settings() {
    let loaded = given()
        .variable("BLOG_PORT", "tcp://10.0.0.1:80")
        .variable("BLOG_SERVICE_HOST", "10.0.0.1")
        .load();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn a_name_with_one_underscore_for_two_is_warned_about() {
    let loaded = given().variable("BLOG_CLIENT_PORT", "1").load();
    assert_eq!(loaded.settings.client.port, 5000);
    assert!(
        loaded
            .warnings
            .iter()
            .any(|warning| warning.contains("BLOG_CLIENT__PORT")),
        "{:?}",
        loaded.warnings
    );
}

#[test]
fn lists_are_arrays_comma_lists_or_json() {
    let expected = ["https://a.example", "https://b.example"];
    for layers in [
        given().file(
            "blog.toml",
            "[api]\ncors_origins = [\"https://a.example\", \"https://b.example\"]",
        ),
        given().variable("BLOG_API__CORS_ORIGINS", "https://a.example,https://b.example,"),
        given().variable("CORS_ORIGINS", r#"["https://a.example", "https://b.example"]"#),
    ] {
        assert_eq!(layers.load().settings.api.cors_origins, expected);
    }
}

#[test]
fn users_of_the_identity_provider_come_from_tables_or_json() {
    let tables = format!("[[idp.users]]\noid = \"{GUID}\"\nname = \"Zoe\"\nemail = \"zoe@x.example\"");
    let json = format!(r#"[{{"oid":"{GUID}","name":"Zoe","email":"zoe@x.example"}}]"#);
    for layers in [
        given().file("blog.toml", tables),
        given().variable("BLOG_IDP__USERS", &json),
    ] {
        let users = layers.load().settings.idp.users;
        assert_eq!(users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["Zoe"]);
    }
}

#[test]
fn what_does_not_make_sense_is_refused() {
    for (setting, value) in [
        ("entra.tenant_id", "contoso.onmicrosoft.com"),
        ("entra.tenant_id", "{7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f}"),
        ("entra.authority_host", "http://login.example"),
        ("entra.authority_host", "https://login.example/tenant"),
        ("entra.jwks_uri", "http://login.example/keys"),
        ("entra.timeout_seconds", "0"),
        ("client.port", "65536"),
        ("client.port", "-1"),
        ("client.host", "http://localhost"),
        ("client.public_url", "http://blog.example"),
        ("client.public_url", "https://blog.example/sub"),
        ("client.redirect_uri", "http://blog.example/callback"),
        ("client.redirect_uri", "javascript:alert(1)"),
        ("client.client_id", "blog"),
        ("client.cert_thumbprint", "AB:CD"),
        ("client.api_scope", "api://a/x api://b/y"),
        ("client.api_base_url", "http://api.example"),
        ("client.api_base_url", "https://user:pass@api.example"),
        ("client.cookie_key", "too short"),
        ("client.send_x5c", "perhaps"),
        ("client.session_idle_minutes", "0"),
        ("api.app_id_uri", "blog"),
        ("api.required_scope", "api://blog/access_as_user"),
        ("api.cors_origins", "https://a.example/app"),
        ("api.cors_origins", "https://*.a.example"),
        ("api.cors_origins", "null"),
        ("api.cors_origins", "*,https://a.example"),
        ("api.max_content_chars", "0"),
        ("api.tenants", "contoso.com"),
        ("api.clock_skew_seconds", "301"),
        ("api.allowed_client_apps", "blog"),
        ("api.required_client_auth", "secret"),
        ("api.required_acrs", "c100"),
        ("api.limit_reads_burst", "0"),
        ("client.allow_plain_http", "perhaps"),
        ("client.expiry_warning_days", "30,soon"),
        ("client.expiry_warning_days", "99999"),
        ("client.credential", "cert/client.pem"),
        ("client.credential", r#"[{"source":"vault"}]"#),
        ("client.credential", r#"[{"source":"file"}]"#),
        (
            "client.credential",
            r#"[{"source":"file","cert_path":"a","cert_base64":"AAAA"}]"#,
        ),
        (
            "client.credential",
            r#"[{"source":"file","cert_path":"a","cert_thumbprint":"zz"}]"#,
        ),
        ("client.credential", r#"[{"source":"file","cert_path":"a","path":"b"}]"#),
        (
            "client.credential",
            r#"[{"source":"key_vault_sign","vault_url":"https://v.example"}]"#,
        ),
        (
            "client.credential",
            r#"[{"source":"key_vault_sign","vault_url":"http://v.example","certificate":"a"}]"#,
        ),
        (
            "client.credential",
            r#"[{"source":"key_vault_sign","vault_url":"https://v.example/x","certificate":"a"}]"#,
        ),
        (
            "client.credential",
            r#"[{"source":"key_vault_sign","vault_url":"https://v.example","certificate":"../a"}]"#,
        ),
        (
            "client.credential",
            r#"[{"source":"managed_identity","client_id":"mine"}]"#,
        ),
        ("client.cookie_key", "change-me change-me change-me change-me"),
        ("client.cookie_key", "abababababababababababababababababab"),
        ("client.cookie_key_file", "/nowhere/cookie.key"),
        ("azure.identity", "me"),
        ("azure.client_id", "mine"),
        ("azure.identity_endpoint", "169.254.1.1"),
        ("azure.imds_url", "ftp://localhost"),
        ("server.max_connections", "0"),
        ("server.head_seconds", "0"),
        ("server.body_seconds", "301"),
        ("server.send_seconds", "0"),
        ("server.drain_seconds", "301"),
        ("server.max_connections_per_address", "0"),
        ("server.request_mib", "0"),
        ("server.request_mib_per_address", "65537"),
        ("server.response_mib", "0"),
        ("server.response_mib_per_address", "0"),
        ("server.trusted_proxies", "10.0.0.0/33"),
        ("entra.keys_max_age_hours", "0"),
        ("log.format", "xml"),
        ("database.url", "mysql://localhost/blog"),
        ("database.pool_size", "0"),
        ("database.prepared_statements", "maybe"),
        ("database.deadline_seconds", "0"),
        ("database.statement_timeout_seconds", "301"),
        ("database.connect_timeout_seconds", "1"),
        ("database.search_connections", "0"),
        ("database.search_deadline_seconds", "301"),
        ("database.file_mode", "0777"),
        ("log.level", "loud"),
        ("idp.tenant_id", ""),
        ("idp.users", "[]"),
        ("idp.users", r#"[{"oid":"1","name":"A","email":"a@x"}]"#),
        (
            "idp.users",
            r#"[{"oid":"7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f","name":"A","email":"a@x","x":1}]"#,
        ),
        ("idp.apps", r#"[{"client_id":"1"}]"#),
        (
            "idp.apps",
            r#"[{"client_id":"7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f","redirect_uris":["x"]}]"#,
        ),
    ] {
        let error = given().flag(setting, value).the_error();
        assert_eq!(
            (error.setting.as_str(), error.origin.as_deref()),
            (setting, Some("flag --set")),
            "{value}"
        );
        assert!(!error.hint.is_empty(), "{setting} {value}");
    }
}

#[test]
fn a_password_in_a_wrong_address_is_not_repeated() {
    let vault = |url: &str| format!(r#"[{{"source":"key_vault_sign","vault_url":"{url}","certificate":"a"}}]"#);
    for url in [
        "https://u:s3cretpw@host.example",
        "https://u:s3cretpw/?#@host.example",
        "https://s3cretpw@host.example",
    ] {
        for (setting, value) in [
            ("client.public_url", url.to_owned()),
            ("client.redirect_uri", url.to_owned()),
            ("client.api_base_url", url.to_owned()),
            ("entra.authority_host", url.to_owned()),
            ("entra.jwks_uri", url.to_owned()),
            ("azure.imds_url", url.to_owned()),
            ("azure.identity_endpoint", url.to_owned()),
            ("server.cors_origins", url.to_owned()),
            ("api.app_id_uri", format!("{url} x")),
            ("client.credential", vault(url)),
        ] {
            let error = given().flag(setting, &value).the_error();
            assert!(!format!("{error:?}").contains("s3cretpw"), "{setting}: {error:?}");
        }
    }
    let long = format!("https://{}:s3cretpw@host.example", "u".repeat(90));
    let error = given().flag("client.public_url", &long).the_error();
    assert!(error.problem.contains("https://********@host.example"), "{error:?}");
}

#[test]
fn of_two_places_for_the_same_thing_neither_is_guessed() {
    let both = given()
        .flag("client.cert_path", "a.pem")
        .flag("client.cert_base64", "AAAA");
    assert_eq!(both.the_error().setting, "client.cert_base64");
    let both = given()
        .flag("client.key_path", "a.pem")
        .flag("client.key_base64", "AAAA");
    assert_eq!(both.the_error().setting, "client.key_base64");
    let both = given()
        .flag("client.key_passphrase", "a")
        .flag("client.key_passphrase_file", "b");
    assert_eq!(both.the_error().setting, "client.key_passphrase_file");
}

#[test]
fn credentials_are_a_list_in_a_file_and_json_in_the_environment() {
    let tables = r#"
        [[client.credential]]
        source = "key_vault_sign"
        vault_url = "https://blog.vault.azure.net"
        certificate = "blog-site"
        [[client.credential]]
        source = "file"
        cert_path = "cert/client.pem"
        key_passphrase = "open sesame"
    "#;
    let json = r#"[{"source":"key_vault_sign","vault_url":"https://blog.vault.azure.net/","certificate":"blog-site"},
                   {"source":"file","cert_path":"cert/client.pem","key_passphrase":"open sesame"}]"#;
    for layers in [
        given().file("blog.toml", tables),
        given().variable("BLOG_CLIENT__CREDENTIAL", json),
    ] {
        let loaded = layers.load();
        let sources: Vec<_> = loaded
            .settings
            .client
            .credentials()
            .iter()
            .map(CredentialSettings::source)
            .collect();
        assert_eq!(sources, ["key_vault_sign", "file"]);
        let shown = loaded
            .entries
            .iter()
            .find(|entry| entry.name == "client.credential")
            .expect("there");
        assert!(!shown.value.to_string().contains("sesame"), "{}", shown.value);
        assert_eq!(shown.value[1]["key_passphrase"], "********");
    }
    let one = given().flag("client.cert_path", "a.pem").load().settings.client;
    assert_eq!(one.credentials().len(), 1, "the short form is a list of one");
    let both = given().file("blog.toml", tables).flag("client.cert_path", "a.pem");
    assert_eq!(both.the_error().setting, "client.credential");
}

#[test]
fn of_a_wrong_credential_names_are_told_and_values_are_not() {
    for wrong in [
        r#"[{"source":"fil","key_passphrase":"sesame"}]"#,
        r#"[{"source":"file","cert_path":"a","key_passphrase":12345678}]"#,
        r#"[{"source":"file","cert_path":["sesame"],"key_passphrase":"sesame"}]"#,
        r#"["sesame"]"#,
        "[sesame",
    ] {
        let error = given().variable("BLOG_CLIENT__CREDENTIAL", wrong).the_error();
        let told = format!("{error:?}");
        assert!(
            !told.contains("sesame") && !told.contains("12345678"),
            "{wrong}: {told}"
        );
        assert!(error.hint.contains("key_vault_sign, key_vault_certificate"), "{told}");
    }
    for wrong in [
        "credential = 12345678",
        "credential = [12345678]",
        "credential = { key_passphrase = 12345678 }",
    ] {
        let error = given().file("blog.toml", format!("[client]\n{wrong}")).the_error();
        assert!(!format!("{error:?}").contains("12345678"), "{wrong}: {error:?}");
    }
    let table = "[[client.credential]]\nsource = \"file\"\ncert_path = \"a\"\nkey_passphrase = 12345678";
    let error = given().file("blog.toml", table).the_error();
    assert!(!format!("{error:?}").contains("12345678"), "{error:?}");
    for (wrong, name) in [
        (
            r#"[{"source":"key_vault_sign","vault_url":"https://v.example"}]"#,
            "`certificate`",
        ),
        (r#"[{"source":"file","cert_pth":"a"}]"#, "`cert_pth`"),
    ] {
        let error = given().variable("BLOG_CLIENT__CREDENTIAL", wrong).the_error();
        assert!(error.hint.contains(name), "{error:?}");
    }
}

#[test]
fn a_managed_identity_must_be_named_somewhere() {
    const ID: &str = "7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f";
    let unnamed = || given().file("blog.toml", "[[client.credential]]\nsource = \"managed_identity\"\n");
    let error = unnamed().the_error();
    assert!(
        error.setting == "client.credential" && error.problem.contains("entry 1"),
        "{error:?}"
    );
    assert_eq!(
        unnamed()
            .variable("AZURE_CLIENT_ID", ID)
            .load()
            .settings
            .client
            .credential
            .len(),
        1
    );
    let named = format!("[[client.credential]]\nsource = \"managed_identity\"\nclient_id = \"{ID}\"\n");
    assert_eq!(
        given().file("blog.toml", named).load().settings.client.credential.len(),
        1
    );
}

#[test]
fn the_cookie_key_may_be_in_a_file_and_in_development_it_may_be_simple() {
    const RANDOM: &str = "Zk3vQ9rT1xWb7LdMnc5HyEuP0sGaJ6fRoi8KXtVBw2Cq";
    let in_file = |text: &str| {
        let layers = given().file("cookie.key", format!("{text}\n"));
        let path = layers.sources.folder.clone().expect("a folder").join("cookie.key");
        layers.flag("client.cookie_key_file", &path.display().to_string())
    };
    let texts = |layers: &Given| -> Vec<String> {
        let keys = layers.load().settings.client.cookie_keys;
        keys.iter()
            .map(|key| secrecy::ExposeSecret::expose_secret(key).to_owned())
            .collect()
    };
    assert_eq!(texts(&in_file(RANDOM)), [RANDOM], "without the line end");
    assert_eq!(in_file("short").the_error().setting, "client.cookie_key_file");
    assert_eq!(
        in_file(&"change-me ".repeat(4)).the_error().setting,
        "client.cookie_key_file"
    );
    let both = in_file(RANDOM).flag("client.cookie_key", RANDOM);
    assert_eq!(both.the_error().setting, "client.cookie_key_file");
    let simple = in_file(&"change-me ".repeat(4)).flag("server.environment", "development");
    assert_eq!(simple.load().settings.client.cookie_keys.len(), 1);

    let older: String = RANDOM.chars().rev().collect();
    let two = format!("{RANDOM}\r\n\n  {older}");
    assert_eq!(
        texts(&in_file(&two)),
        [RANDOM, &older],
        "a key a line, the newest first"
    );
    assert_eq!(
        in_file(&format!("{RANDOM}\nshort")).the_error().setting,
        "client.cookie_key_file"
    );
    let array = given().file(
        "blog.toml",
        format!("[client]\ncookie_key = [\"{RANDOM}\", \"{older}\"]"),
    );
    assert_eq!(texts(&array), [RANDOM, &older]);
    let variable = given().variable("BLOG_CLIENT__COOKIE_KEY", &format!("[\"{RANDOM}\", \"{older}\"]"));
    assert_eq!(texts(&variable), [RANDOM, &older]);
    let comma = format!("{RANDOM},{older}");
    assert_eq!(
        texts(&given().variable("FLASK_SECRET_KEY", &comma)),
        [comma],
        "a comma may be part of a key"
    );
    for bad in ["[1, 2]", "[\"hunter2", &format!("[\"{RANDOM}\", \"short\"]")] {
        let error = given().variable("BLOG_CLIENT__COOKIE_KEY", bad).the_error();
        assert_eq!(error.setting, "client.cookie_key");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn what_azure_sets_in_a_container_is_read() {
    let settings = given()
        .variable(
            "AZURE_FEDERATED_TOKEN_FILE",
            "/var/run/secrets/azure/tokens/azure-identity-token",
        )
        .variable("IDENTITY_ENDPOINT", "http://169.254.129.3:8081/msi/token")
        .variable("IDENTITY_HEADER", "a header")
        .variable("AZURE_TENANT_ID", "11111111-2222-4333-8444-555555555555")
        .variable("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/")
        .load()
        .settings
        .azure;
    assert!(settings.federated_token_file.is_some() && settings.identity_header.is_some());
    assert!(settings.tenant_id.is_some() && settings.authority_host.is_some());
    assert_eq!(settings.identity_endpoint.expect("set").port(), Some(8081));
}

#[test]
fn a_site_on_plain_http_must_be_meant() {
    let base = given().flag("client.public_url", "http://blog.internal");
    assert_eq!(base.the_error().setting, "client.public_url");
    let settings = base.flag("client.allow_plain_http", "true").load().settings;
    assert_eq!(
        settings.client.public_url.expect("set").as_str(),
        "http://blog.internal/"
    );
    let error = given()
        .flag("client.public_url", "ftp://blog")
        .flag("client.allow_plain_http", "true")
        .the_error();
    assert_eq!(error.setting, "client.public_url");
}

#[test]
fn the_redirect_uri_must_be_on_the_public_url() {
    let error = given()
        .flag("client.public_url", "https://a.example")
        .flag("client.redirect_uri", "https://b.example/callback")
        .the_error();
    assert_eq!(error.setting, "client.redirect_uri");
}

#[test]
fn the_redirect_uri_may_have_any_path_that_no_page_of_the_site_has() {
    for path in ["/callback", "/getAToken", "/signin-oidc", "/auth/redirect"] {
        let uri = format!("https://blog.example{path}");
        let settings = given().flag("client.redirect_uri", &uri).load().settings;
        assert_eq!(settings.client.redirect_uri.expect("set").path(), path);
    }
    for path in [
        "",
        "/",
        "/login",
        "/posts",
        "/posts/new",
        "/static/x",
        "/health",
        "/a%20b",
    ] {
        let uri = format!("https://blog.example{path}");
        let error = given().flag("client.redirect_uri", &uri).the_error();
        assert_eq!(error.setting, "client.redirect_uri", "{path}");
        assert!(
            error.problem.contains("receive the response of a sign-in") && error.hint.contains("/getAToken"),
            "{error:?}"
        );
    }
}

#[test]
fn plain_http_to_the_api_is_for_development_only() {
    let base = given().flag("client.api_base_url", "http://api:8000");
    assert_eq!(base.the_error().setting, "client.api_base_url");
    assert!(
        base.flag("server.environment", "development")
            .load()
            .settings
            .client
            .api_base_url
            .as_str()
            .contains("api")
    );
}

#[test]
fn a_role_demands_only_what_it_needs() {
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
    assert_eq!(names(wrong.errors_for(Role::Api)), ["entra.tenant_id"], "told once");
}

#[test]
fn what_is_wrong_in_another_place_is_not_told_as_missing_here() {
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
fn a_missing_setting_is_told_with_every_way_to_set_it() {
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
fn a_file_that_cannot_be_read_is_an_error_that_shows_none_of_its_content() {
    let secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
    for (file, content, expected) in [
        (
            "blog.toml",
            format!("[client]\ncookie_key = \"{secret}").into_bytes(),
            "line 2, column",
        ),
        (
            "blog.toml",
            b"[client]\ncookie_key = \"hunter2\xff\"".to_vec(),
            "is not valid UTF-8",
        ),
        (
            ".env",
            format!("A=1\nBLOG_CLIENT__COOKIE_KEY=\"{secret}").into_bytes(),
            "line 2",
        ),
        (
            ".env",
            b"BLOG_CLIENT__COOKIE_KEY=hunter2\xff".to_vec(),
            "is not valid UTF-8",
        ),
    ] {
        let error = given().file(file, content).the_error();
        let told = format!("{error} {}", error.hint);
        assert!(told.contains(file) && told.contains(expected), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn a_named_file_must_be_there_and_is_read_in_place_of_blog_toml() {
    let mut layers = given()
        .file("blog.toml", "[client]\nport = 1")
        .file("other.toml", "[client]\nport = 2");
    layers.sources.file = Some("other.toml".into());
    assert_eq!(layers.load().settings.client.port, 2);
    layers.sources.file = Some("missing.toml".into());
    assert!(layers.the_error().setting.ends_with("missing.toml"));

    let by_variable = given()
        .file("other.toml", "[client]\nport = 3")
        .variable("BLOG_CONFIG", "other.toml");
    assert_eq!(by_variable.load().settings.client.port, 3);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    let mut layers = given();
    layers
        .sources
        .environment
        .push(("FLASK_PORT".into(), std::ffi::OsString::from_vec(vec![0xff])));
    assert_eq!(layers.the_error().setting, "client.port");
}

#[test]
fn secrets_are_shown_neither_by_debug_nor_in_an_error() {
    let secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
    let loaded = given()
        .variable("FLASK_SECRET_KEY", secret)
        .variable("BLOG_CLIENT__KEY_PASSPHRASE", secret)
        .variable("DATABASE_URL", &format!("postgres://blog:{secret}@db.example/blog"))
        .load();
    let told = format!("{loaded:?}");
    assert!(!told.contains("hunter2"), "{told}");

    let wrong = given()
        .variable("FLASK_SECRET_KEY", "hunter2")
        .variable("DATABASE_URL", "mysql://blog:hunter2@db.example/blog")
        .errors();
    assert_eq!(wrong.len(), 2);
    assert!(!format!("{wrong:?}").contains("hunter2"), "{wrong:?}");
}

#[test]
fn blog_toml_has_every_setting_with_its_default_and_a_sentence() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("blog.toml")).expect("blog.toml");
    assert_eq!(undocumented(&text), [""; 0]);
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| if is_setting(line) { &line[1..] } else { line })
        .collect();

    let loaded = given().file("blog.toml", uncommented.join("\n")).load();

    let defaults = given().load();
    for (entry, default) in loaded.entries.iter().zip(&defaults.entries) {
        assert_ne!(entry.origin, Origin::Default, "{} is not in blog.toml", entry.name);
        // An example, since a list of none teaches nothing.
        if entry.name != "client.credential" {
            assert_eq!(
                without_empty(&entry.value),
                without_empty(&default.value),
                "{}",
                entry.name
            );
        }
    }
}

/// A commented-out setting: `#` with no space behind it. Prose has one.
fn is_setting(line: &str) -> bool {
    line.strip_prefix('#')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
}

/// Settings without prose right above them, or above their table.
fn undocumented(text: &str) -> Vec<&str> {
    let mut above = "";
    let mut undocumented = Vec::new();
    for line in text.lines() {
        if is_setting(line) && !(above.starts_with("# ") || is_setting(above) || above == "#") {
            undocumented.push(line);
        }
        above = line;
    }
    undocumented
}

/// What a table leaves out is the same as what is empty in it.
fn without_empty(value: &Json) -> Json {
    match value {
        Json::Object(fields) => {
            let full = |(_, value): &(&String, &Json)| !value.is_null() && **value != Json::Array(Vec::new());
            Json::Object(
                fields
                    .iter()
                    .filter(full)
                    .map(|(k, v)| (k.clone(), without_empty(v)))
                    .collect(),
            )
        }
        Json::Array(items) => Json::Array(items.iter().map(without_empty).collect()),
        other => other.clone(),
    }
}
