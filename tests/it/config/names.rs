//! Names of settings: older ones, unknown ones, and variables that only look like settings.

use blogctl::config::{Environment, Origin};

use super::{GUID, given};

#[test]
fn every_older_name_is_accepted() {
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
fn the_older_debug_variable_sets_only_the_log_level() {
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
fn the_new_name_overrides_the_older_one_with_a_warning() {
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
fn an_unknown_name_is_an_error_that_suggests_the_nearest() {
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
fn a_name_with_a_single_underscore_causes_a_warning() {
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
