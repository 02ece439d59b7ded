//! Values of settings: which are valid, and which contradict each other.

use super::{GUID, Given, given};

#[test]
fn lists_are_arrays_comma_separated_texts_or_json() {
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
fn invalid_values_are_rejected() {
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
fn a_password_in_an_invalid_address_is_not_repeated() {
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
fn two_sources_for_the_same_value_are_an_error() {
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
fn the_cookie_key_may_be_in_a_file_and_may_be_simple_in_development() {
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
fn a_site_on_plain_http_must_be_explicitly_allowed() {
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
fn plain_http_to_other_hosts_is_for_development_only() {
    for (setting, value) in [
        ("client.api_base_url", "http://api:8000/"),
        ("entra.authority_host", "http://idp:9000/"),
        ("entra.jwks_uri", "http://idp:9000/keys"),
    ] {
        for environment in ["production", "staging", ""] {
            let error = given()
                .variable("ENVIRONMENT", environment)
                .flag(setting, value)
                .the_error();
            assert_eq!(error.setting, setting, "{environment}");
            assert!(error.hint.contains("in development on any host"), "{error:?}");
        }
        let loaded = given()
            .flag("server.environment", "development")
            .flag(setting, value)
            .load();
        let entry = loaded
            .entries
            .iter()
            .find(|entry| entry.name == setting)
            .expect(setting);
        assert_eq!(entry.value, value, "{setting}");
    }
    for (setting, value) in [
        ("entra.authority_host", "http://u:p@idp:9000"),
        ("entra.authority_host", "ftp://idp:9000"),
        ("entra.jwks_uri", "http://idp:9000/#keys"),
        ("client.api_base_url", "ftp://api"),
        ("client.public_url", "http://site:5000"),
        ("client.redirect_uri", "http://site:5000/callback"),
        ("azure.authority_host", "http://idp:9000"),
        ("azure.identity_endpoint", "http://idp:9000/token?x"),
    ] {
        let error = given()
            .flag("server.environment", "development")
            .flag(setting, value)
            .the_error();
        assert_eq!(error.setting, setting, "{value}");
    }
}
