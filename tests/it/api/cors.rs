//! Cross-origin requests by scripts of other sites (CORS).

use crate::support::{
    api::{ApiResponse, TestApi},
    binary::{CommandOutput, blogctl},
};

const ORIGIN: &str = "https://app.example";

fn preflight(api: &TestApi, origin: &str, method: &str) -> ApiResponse {
    api.anonymous()
        .call("OPTIONS", "/v1/posts/1")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header(
            "Access-Control-Request-Headers",
            "authorization, content-type, if-match",
        )
        .send()
}

#[test]
fn no_origin_may_call_unless_it_is_listed() {
    let api = TestApi::start();
    preflight(&api, ORIGIN, "PUT").problem(401, "missing_token");
    let answer = api.alice().call("GET", "/v1/posts").header("Origin", ORIGIN).send();
    assert_eq!((answer.status, answer.header("Access-Control-Allow-Origin")), (200, ""));
}

#[test]
fn a_listed_origin_may_call_and_read_errors() {
    let api = TestApi::with(|settings| settings.api.cors_origins = vec![format!("{ORIGIN}/")]);
    let allowed = preflight(&api, ORIGIN, "PUT");
    assert_eq!(allowed.status, 200, "{allowed:?}");
    assert_eq!(allowed.header("Access-Control-Allow-Origin"), ORIGIN);
    assert!(allowed.header("Access-Control-Allow-Methods").contains("PUT"));
    assert!(
        allowed
            .header("Access-Control-Allow-Headers")
            .to_lowercase()
            .contains("authorization")
    );
    assert_eq!(allowed.header("Access-Control-Allow-Credentials"), "");

    for client in [api.alice(), api.anonymous()] {
        let answer = client.call("GET", "/v1/posts").header("Origin", ORIGIN).send();
        assert_eq!(answer.header("Access-Control-Allow-Origin"), ORIGIN, "{answer:?}");
        let exposed = answer.header("Access-Control-Expose-Headers").to_lowercase();
        for name in ["etag", "link", "x-total-count", "x-request-id", "www-authenticate"] {
            assert!(exposed.contains(name), "{name}: {exposed}");
        }
        assert!(
            answer
                .headers
                .get_all("Vary")
                .iter()
                .any(|vary| vary.to_str().expect("text").contains("Origin"))
        );
    }

    let rejected = preflight(&api, "https://evil.example", "PUT");
    rejected.problem(400, "cors");
    assert_eq!(rejected.header("Access-Control-Allow-Origin"), "");
    preflight(&api, ORIGIN, "PATCH").problem(400, "cors");
    let other = api
        .alice()
        .call("GET", "/v1/posts")
        .header("Origin", "https://evil.example")
        .send();
    assert_eq!(other.header("Access-Control-Allow-Origin"), "");
}

#[test]
fn all_origins_may_be_allowed_but_never_with_credentials() {
    let api = TestApi::with(|settings| settings.api.cors_origins = vec!["*".to_owned()]);
    for answer in [
        preflight(&api, "https://any.example", "DELETE"),
        api.alice()
            .call("GET", "/v1/posts")
            .header("Origin", "https://any.example")
            .send(),
    ] {
        assert_eq!(
            (answer.status, answer.header("Access-Control-Allow-Origin")),
            (200, "*")
        );
        assert_eq!(answer.header("Access-Control-Allow-Credentials"), "");
    }
}

#[test]
fn an_origin_that_no_browser_sends_prevents_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    for (entry, reason, remedy) in [
        ("https://*.example.com", "entry 1 has a wildcard", "or set * alone"),
        (
            "https://a.example, *.a.example",
            "entry 2 has a wildcard",
            "list each origin",
        ),
        ("https://a.example,*", "entry 2 has a wildcard", "or set * alone"),
        ("null", "entry 1 is null", "list its origin"),
        ("https://a.example/app", "entry 1 has a path", "list origins such as"),
        (
            "https://user:hunter2@a.example",
            "entry 1 has a user name or a password",
            "list origins such as",
        ),
        ("a.example", "entry 1 is not an origin", "list origins such as"),
    ] {
        for command in ["serve-api", "config"] {
            let output = CommandOutput::from_command(blogctl(folder.path()).arg(command).env("CORS_ORIGINS", entry));
            assert_eq!(output.code, Some(2), "{command} {entry}: {output:?}");
            assert!(
                output.stderr.contains(reason) && output.stderr.contains(remedy),
                "{command} {entry}: {output:?}"
            );
            assert!(
                !output.stderr.contains("hunter2") && !output.stdout.contains("hunter2"),
                "{output:?}"
            );
        }
    }
}

#[test]
fn an_origin_may_have_a_slash_upper_case_letters_or_its_default_port() {
    for entry in ["https://app.example/", "HTTPS://APP.example", "https://app.example:443"] {
        let folder = tempfile::tempdir().expect("a folder");
        let output = CommandOutput::from_command(blogctl(folder.path()).arg("config").env("CORS_ORIGINS", entry));
        assert_eq!(output.code, Some(0), "{entry}: {output:?}");
        let api = TestApi::with(|settings| settings.api.cors_origins = vec![entry.to_owned()]);
        assert_eq!(
            preflight(&api, ORIGIN, "PUT").header("Access-Control-Allow-Origin"),
            ORIGIN,
            "{entry}"
        );
    }
}
