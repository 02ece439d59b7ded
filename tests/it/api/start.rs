//! Starting and restarting.

use blogctl::{
    api::{Server, StartError},
    config::{Flag, Role, Settings, Sources},
    hint::Hint as _,
};
use serde_json::json;

use crate::support::api::{TestApi, each_api};

fn rejection(change: impl FnOnce(&mut Settings)) -> StartError {
    let api = TestApi::start();
    let mut settings = api.settings.clone();
    settings.api.port = 0;
    change(&mut settings);
    Server::bind(&settings).err().expect("it does not start")
}

#[test]
fn posts_survive_a_restart() {
    each_api(|mut api| {
        let id = api.alice().write("Keep", "me");
        let before = api.alice().get(&format!("/v1/posts/{id}"));
        api.restart();
        let after = api.alice().get(&format!("/v1/posts/{id}"));
        assert_eq!((after.status, after.json()), (200, before.json()));
        assert_eq!(after.header("ETag"), before.header("ETag"));
    });
}

#[test]
fn a_missing_sqlite_file_is_created_and_migrated() {
    let api = TestApi::start();
    assert_eq!(api.alice().get("/v1/posts").json(), json!([]));
    assert!(std::path::Path::new(&api.settings.database.url).exists());
}

#[test]
fn a_database_with_pending_migrations_is_rejected_with_the_command_to_apply_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = rejection(|settings| {
        settings.database.url = folder.path().join("new.db").display().to_string();
        settings.database.migrate_at_start = Some(false);
    });
    assert!(matches!(error, StartError::PendingMigrations), "{error}");
    assert!(error.to_string().contains("run blogctl migrate run"), "{error}");
}

#[test]
fn settings_that_would_accept_too_many_tokens_are_rejected() {
    let error = rejection(|settings| {
        settings.api.app_id_uri.clear();
        settings.api.client_id = None;
    });
    assert!(matches!(error, StartError::NoAudience), "{error}");
    let error = rejection(|settings| settings.api.required_scope.clear());
    assert!(matches!(error, StartError::NoRequiredScope), "{error}");
    let error = rejection(|settings| settings.api.cors_origins = vec!["*".to_owned(), "https://a.example".to_owned()]);
    assert!(matches!(error, StartError::CorsOrigin(_)), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn a_port_in_use_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let error = rejection(|settings| settings.api.port = port);
    assert!(matches!(error, StartError::Listen(_)), "{error}");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}

#[test]
fn starting_does_not_wait_for_the_identity_provider() {
    let mut api = TestApi::start();
    // Accepts the connection and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = silent.local_addr().expect("bound").port();
    api.settings.entra.authority_host = Some(format!("http://127.0.0.1:{port}").parse().expect("a URL"));
    api.restart();
    assert_eq!(api.anonymous().get("/health/live").status, 200);
    assert_eq!(
        api.anonymous().get("/health/ready").json()["checks"]["database"]["status"],
        "ok"
    );
}

#[test]
fn every_authority_and_key_address_that_the_settings_accept_starts() {
    let api = TestApi::start();
    for base in [
        "https://login.example",
        "http://localhost:9000",
        "http://LOCALHOST:9000",
        "http://localhost.:9000",
        "http://idp.localhost:9000",
        "http://127.0.0.1:9000",
        "http://127.0.0.2:9000",
        "http://127.1:9000",
        "http://[::1]:9000",
        "http://[::ffff:127.0.0.1]:9000",
    ] {
        let flag = |setting: &str, value: String| Flag {
            name: "test".into(),
            setting: setting.into(),
            value,
        };
        let flags = vec![
            flag("entra.authority_host", base.to_owned()),
            flag(
                "entra.jwks_uri",
                format!("{base}/keys?appid=c11e0000-0000-4000-8000-000000005000"),
            ),
        ];
        let (loaded, errors) = Settings::load_leniently(
            &Sources {
                flags,
                ..Sources::default()
            },
            Role::Any,
        );
        assert!(
            !errors.iter().any(|error| error.setting.starts_with("entra.")),
            "{base}: {errors:?}"
        );
        let mut settings = api.settings.clone();
        settings.api.port = 0;
        settings.entra.authority_host = loaded.settings.entra.authority_host;
        settings.entra.jwks_uri = loaded.settings.entra.jwks_uri;
        let started = actix_web::rt::System::new().block_on(async { Server::bind(&settings).map(drop) });
        assert!(started.is_ok(), "{base}: {:?}", started.err());
    }
}

#[test]
fn an_authority_or_key_address_in_plain_http_elsewhere_is_not_accepted() {
    for base in [
        "http://login.example",
        "http://10.0.0.1:9000",
        "http://localhost.example",
        "http://[::ffff:10.0.0.1]",
    ] {
        for setting in ["entra.authority_host", "entra.jwks_uri"] {
            let flags = vec![Flag {
                name: "test".into(),
                setting: setting.into(),
                value: base.into(),
            }];
            let (_, errors) = Settings::load_leniently(
                &Sources {
                    flags,
                    ..Sources::default()
                },
                Role::Any,
            );
            assert!(
                errors.iter().any(|error| error.setting == setting),
                "{setting} = {base}"
            );
        }
    }
}
