//! Scripts of other sites.

use crate::support::api::{Answer, TestApi};

const ORIGIN: &str = "https://app.example";

fn preflight(api: &TestApi, origin: &str, method: &str) -> Answer {
    api.nobody()
        .call("OPTIONS", "/v1/posts/1")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", "authorization, content-type, if-match")
        .send()
}

#[test]
fn no_site_may_call_unless_it_is_listed() {
    let api = TestApi::start();
    assert_ne!(preflight(&api, ORIGIN, "PUT").status, 200);
    let answer = api.alice().call("GET", "/v1/posts").header("Origin", ORIGIN).send();
    assert_eq!((answer.status, answer.header("Access-Control-Allow-Origin")), (200, ""));
}

#[test]
fn a_listed_site_may_call_and_read_errors_too() {
    let api = TestApi::with(|settings| settings.api.cors_origins = vec![format!("{ORIGIN}/")]);
    let allowed = preflight(&api, ORIGIN, "PUT");
    assert_eq!(allowed.status, 200, "{allowed:?}");
    assert_eq!(allowed.header("Access-Control-Allow-Origin"), ORIGIN);
    assert!(allowed.header("Access-Control-Allow-Methods").contains("PUT"));
    assert!(allowed.header("Access-Control-Allow-Headers").to_lowercase().contains("authorization"));
    assert_eq!(allowed.header("Access-Control-Allow-Credentials"), "");

    for client in [api.alice(), api.nobody()] {
        let answer = client.call("GET", "/v1/posts").header("Origin", ORIGIN).send();
        assert_eq!(answer.header("Access-Control-Allow-Origin"), ORIGIN, "{answer:?}");
        let exposed = answer.header("Access-Control-Expose-Headers").to_lowercase();
        for name in ["etag", "link", "x-total-count", "x-request-id", "www-authenticate"] {
            assert!(exposed.contains(name), "{name}: {exposed}");
        }
        assert!(answer.headers.get_all("Vary").iter().any(|vary| vary.to_str().expect("text").contains("Origin")));
    }

    let refused = preflight(&api, "https://evil.example", "PUT");
    refused.problem(400, "cors");
    assert_eq!(refused.header("Access-Control-Allow-Origin"), "");
    preflight(&api, ORIGIN, "PATCH").problem(400, "cors");
    let other = api.alice().call("GET", "/v1/posts").header("Origin", "https://evil.example").send();
    assert_eq!(other.header("Access-Control-Allow-Origin"), "");
}

#[test]
fn everybody_may_be_let_in_but_never_with_credentials() {
    let api = TestApi::with(|settings| settings.api.cors_origins = vec!["*".to_owned()]);
    for answer in [
        preflight(&api, "https://any.example", "DELETE"),
        api.alice().call("GET", "/v1/posts").header("Origin", "https://any.example").send(),
    ] {
        assert_eq!((answer.status, answer.header("Access-Control-Allow-Origin")), (200, "*"));
        assert_eq!(answer.header("Access-Control-Allow-Credentials"), "");
    }
}
