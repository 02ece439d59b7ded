//! `blog.toml` and other files with settings.

use std::{fs, path::Path};

use blogctl::config::{Origin, PasswordOrigin};
use serde_json::Value as Json;

use super::{Given, given};

#[test]
fn an_unreadable_file_is_an_error_that_shows_none_of_its_content() {
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
        let reported = format!("{error} {}", error.hint);
        assert!(reported.contains(file) && reported.contains(expected), "{reported}");
        assert!(!reported.contains("hunter2"), "{reported}");
    }
}

#[test]
fn a_named_file_must_exist_and_replaces_blog_toml() {
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
        // blog.toml shows an example, because the default is an empty list.
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

/// A commented-out setting has no space after `#`; prose has one.
fn is_setting(line: &str) -> bool {
    line.strip_prefix('#')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
}

/// Settings without prose directly above them or above their table.
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

/// A missing key in a table equals an empty value.
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

fn path(layers: &Given, name: &str) -> String {
    layers.folder.path().join(name).display().to_string()
}

#[test]
fn passwords_of_database_and_redis_come_from_files() {
    let layers = given().file("postgres", "p/w@:#%41 x\n").file("redis", "s3cret\r\n");
    let (postgres, redis) = (path(&layers, "postgres"), path(&layers, "redis"));
    let loaded = layers
        .flag("database.url", "postgres://blog@db:5432/blog?sslmode=require")
        .flag("database.password_file", &postgres)
        .flag("redis.url", "redis://cache:6379/3")
        .flag("redis.password_file", &redis)
        .load();
    assert_eq!(
        loaded.settings.database.url,
        "postgres://blog@db:5432/blog?sslmode=require"
    );
    let origin = loaded.settings.database.password_origin();
    assert!(matches!(origin, PasswordOrigin::File(path) if path.ends_with("postgres")));
    let origin = loaded.settings.redis.password_origin();
    assert!(matches!(origin, PasswordOrigin::File(path) if path.ends_with("redis")));
    let shown = format!("{loaded:?}");
    assert!(!shown.contains("p%2Fw") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn a_password_file_that_cannot_be_used_is_an_error() {
    let long = "x".repeat(130_000);
    for (setting, url, content, problem) in [
        (
            "database",
            "postgres://blog@db/blog",
            Some(""),
            "does not hold one line",
        ),
        (
            "database",
            "postgres://blog@db/blog",
            Some("one\ntwo"),
            "does not hold one line",
        ),
        (
            "database",
            "postgres://blog@db/blog",
            Some(&*long),
            "larger than 120000 bytes",
        ),
        ("database", "postgres://blog@db/blog", None, "cannot be read"),
        (
            "database",
            "postgres://blog:a@db/blog",
            Some("hunter2"),
            "contains a password, too",
        ),
        (
            "database",
            "postgres://db/blog?user=u&password=a",
            Some("hunter2"),
            "contains a password, too",
        ),
        (
            "database",
            "postgres://blog@db/blog",
            Some(&long[..60_001]),
            "does not hold one line",
        ),
        ("database", "blog.db", Some("hunter2"), "names an SQLite file"),
        ("redis", "redis://:a@cache", Some("hunter2"), "contains a password, too"),
        ("redis", "redis://cache", Some("\n"), "does not hold one line"),
        ("redis", "", Some("hunter2"), "redis.url is not"),
    ] {
        let mut layers = given().variable(&format!("BLOG_{}__URL", setting.to_uppercase()), url);
        if let Some(content) = content {
            layers = layers.file("password", content);
        }
        let file = path(&layers, "password");
        let error = layers.flag(&format!("{setting}.password_file"), &file).the_error();
        assert_eq!(error.setting, format!("{setting}.password_file"), "{url}");
        assert!(error.problem.contains(problem) && !error.hint.is_empty(), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn a_password_has_one_origin_and_a_token_goes_to_a_verified_server_only() {
    let verified = "postgres://blog@db/blog?sslmode=verify-full&sslrootcert=system";
    let (command, azure) = (("database.password_command", "[\"print\"]"), ("database.azure", "true"));
    for (url, flags, setting, problem) in [
        (
            "postgres://blog:hunter2@db/blog?sslmode=verify-full",
            vec![command],
            "database.password_command",
            "contains a password, too",
        ),
        (
            "postgres://blog:hunter2@db/blog?sslmode=verify-full",
            vec![azure],
            "database.azure",
            "contains a password, too",
        ),
        (
            verified,
            vec![command, azure],
            "database.azure",
            "database.password_command is set, too",
        ),
        (
            "postgres://blog@db/blog",
            vec![azure],
            "database.azure",
            "does not verify",
        ),
        (
            "postgres://blog@db/blog?sslmode=require",
            vec![command],
            "database.password_command",
            "does not verify",
        ),
        (
            "postgres://blog@db/blog?sslmode=verify-full&sslmode=prefer",
            vec![command],
            "database.password_command",
            "does not verify",
        ),
        (
            "postgres://blog@localhost,db/blog",
            vec![command],
            "database.password_command",
            "does not verify",
        ),
        (
            "postgres://blog@localhost/blog?hostaddr=10.0.0.1",
            vec![command],
            "database.password_command",
            "does not verify",
        ),
        (
            "postgres://blog@/blog",
            vec![command],
            "database.password_command",
            "does not verify",
        ),
        (
            "postgres://db/blog?sslmode=verify-full",
            vec![azure],
            "database.azure",
            "names no user",
        ),
        ("blog.db", vec![azure], "database.azure", "names an SQLite file"),
        (
            verified,
            vec![
                ("redis.url", "redis://u@cache"),
                ("redis.password_command", "[\"print\"]"),
            ],
            "redis.password_command",
            "has no TLS",
        ),
        (
            verified,
            vec![
                ("redis.url", "rediss://u:hunter2@cache"),
                ("redis.password_command", "[\"print\"]"),
            ],
            "redis.password_command",
            "contains a password, too",
        ),
        (
            verified,
            vec![("redis.url", "rediss://cache"), ("redis.azure", "true")],
            "redis.azure",
            "names no user",
        ),
        (
            verified,
            vec![("redis.azure", "true")],
            "redis.azure",
            "redis.url is not",
        ),
        (
            verified,
            vec![("redis.urls", "redis://a,redis://b")],
            "redis.urls",
            "redis.mode is single",
        ),
        (
            verified,
            vec![("redis.urls", "redis://a,rediss://b"), ("redis.mode", "cluster")],
            "redis.urls",
            "different schemes",
        ),
        (
            verified,
            vec![("redis.url", "redis://a/1"), ("redis.mode", "cluster")],
            "redis.mode",
            "database number",
        ),
        (
            verified,
            vec![("redis.mode", "cluster")],
            "redis.mode",
            "redis.urls is not",
        ),
        (
            verified,
            vec![("redis.url", "redis://a"), ("redis.urls", "redis://b")],
            "redis.urls",
            "only one of them",
        ),
        (
            verified,
            vec![("redis.url", "redis://a"), ("redis.sentinel_user", "u")],
            "redis.sentinel_user",
            "redis.mode is not sentinel",
        ),
        (
            "blog.db",
            vec![command],
            "database.password_command",
            "names an SQLite file",
        ),
        (
            verified,
            vec![("database.password_command", "aws rds generate-db-auth-token")],
            "database.password_command",
            "is \"aws rds",
        ),
    ] {
        let mut layers = given().flag("database.url", url);
        for (name, value) in flags {
            layers = layers.flag(name, value);
        }
        let error = layers.the_error();
        assert_eq!(error.setting, setting, "{url}: {error:?}");
        assert!(error.problem.contains(problem) && !error.hint.is_empty(), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    for url in [
        verified,
        "host=db user=blog sslmode=verify-full sslrootcert=/etc/ca.pem dbname=blog",
        "postgres://blog@localhost:5433/blog",
        "postgres://blog@[::1],127.0.0.1/blog",
        "postgres://blog@/blog?host=/run/postgresql",
        "postgres://db/blog?user=blog&sslmode=verify-full",
    ] {
        let loaded = given()
            .flag("database.url", url)
            .flag("database.password_command", "[\"print\", \"a, b\"]")
            .load();
        let origin = loaded.settings.database.password_origin();
        assert!(
            matches!(&origin, PasswordOrigin::Command(command) if *command == ["print", "a, b"]),
            "{origin:?}"
        );
        let loaded = given()
            .flag("database.url", url)
            .flag("database.azure", "true")
            .flag("azure.client_id", "7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f")
            .load();
        let PasswordOrigin::Azure(identity) = loaded.settings.database.password_origin() else {
            panic!("{url}");
        };
        assert!(identity.azure.client_id.is_some(), "{url}");
    }
}
