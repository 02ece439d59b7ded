//! HTTP errors, and how the API reports them.

use serde_json::{Value, json};

use crate::support::api::TestApi;

#[test]
fn an_unusable_body_is_rejected_with_its_reason() {
    let api = TestApi::with(|settings| settings.api.max_body_bytes = 1000);
    let alice = api.alice();
    let send = |content_type: &str, body: &str| {
        let post = alice.call("POST", "/v1/posts").body(content_type, body).send();
        let put = alice.call("PUT", "/v1/posts/1").body(content_type, body).send();
        [post, put]
    };
    let good = r#"{"title":"a","content":"b"}"#;
    let too_long = format!("{{\"title\":\"a\",\"content\":\"{}\"}}", "x".repeat(1000));
    for (content_type, body, status, code) in [
        ("application/json", "", 400, "malformed_json"),
        ("application/json", "{", 400, "malformed_json"),
        ("application/json", "{'title':'a'}", 400, "malformed_json"),
        (
            "application/json",
            "{\"title\":\"a\",\"content\":\"b\"} x",
            400,
            "malformed_json",
        ),
        (
            "application/json",
            "{\"title\":\"\\ud800\",\"content\":\"b\"}",
            400,
            "malformed_json",
        ),
        ("application/json", &"[".repeat(900), 422, "invalid"),
        ("application/json", "[\"a\",\"b\"]", 422, "invalid"),
        ("application/json", "null", 422, "invalid"),
        ("application/json", &too_long, 413, "body_too_large"),
        ("text/plain", good, 415, "unsupported_media_type"),
        ("text/json", good, 415, "unsupported_media_type"),
        ("application/x-json", good, 415, "unsupported_media_type"),
        (
            "application/x-www-form-urlencoded",
            "title=a&content=b",
            415,
            "unsupported_media_type",
        ),
        ("nonsense", good, 415, "unsupported_media_type"),
    ] {
        for answer in send(content_type, body) {
            answer.problem(status, code);
        }
    }
    assert_eq!(alice.get("/v1/posts").json(), json!([]), "nothing was written");
    for content_type in [
        "application/json; charset=utf-8",
        "application/json ; charset=utf-8",
        "application/merge-patch+json",
        "APPLICATION/JSON",
    ] {
        assert_eq!(send(content_type, good)[0].status, 201, "{content_type}");
    }
}

#[test]
fn deeply_nested_json_is_rejected_without_harm() {
    let api = TestApi::start();
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let send = |body: &str| {
        api.alice()
            .call("POST", "/v1/posts")
            .body("application/json", body)
            .send()
    };
    send(&format!("{{\"title\":{open}{close}}}")).problem(400, "malformed_json");
    send(&format!("{{\"unknown\":{open}{close}}}")).problem(422, "invalid");
    send(&open).problem(422, "invalid");
    assert_eq!(api.alice().get("/v1/posts").status, 200);
}

#[test]
fn an_unknown_path_is_a_404_problem() {
    let api = TestApi::start();
    for path in ["/", "/v2/posts", "/healthy", "/health/", "/favicon.ico", "/%00", "/v1x"] {
        let answer = api.anonymous().get(path);
        assert_eq!(answer.problem(404, "not_found"), "Not Found", "{path}");
        assert_eq!(answer.json()["instance"], path);
    }
    for path in [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/posts/",
        "/v1/posts/1/x",
        "/v1/users",
        "/v1//posts",
    ] {
        api.alice().get(path).problem(404, "not_found");
    }
}

#[test]
fn an_unknown_method_is_405_and_lists_the_allowed_ones() {
    let api = TestApi::start();
    for (path, allow) in [
        ("/health", "GET, HEAD, OPTIONS"),
        ("/health/live", "GET, HEAD, OPTIONS"),
        ("/health/ready", "GET, HEAD, OPTIONS"),
        ("/v1/profile", "GET, HEAD, OPTIONS"),
        ("/v1/users/me", "POST, OPTIONS"),
        ("/v1/posts", "GET, HEAD, POST, OPTIONS"),
        ("/v1/posts/1", "GET, HEAD, PUT, DELETE, OPTIONS"),
    ] {
        let known: Vec<&str> = allow.split(", ").collect();
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
            if known.contains(&method) {
                continue;
            }
            let answer = api.alice().call(method, path).send();
            answer.problem(405, "method_not_allowed");
            assert_eq!(answer.header("Allow"), allow, "{method} {path}");
        }
    }
}

#[test]
fn head_answers_like_get_without_a_body() {
    let api = TestApi::start();
    let alice = api.alice();
    let id = alice.write("a", "b");
    for path in [
        "/health",
        "/health/live",
        "/v1/profile",
        "/v1/posts",
        &format!("/v1/posts/{id}"),
        "/v1/posts/0",
    ] {
        let (get, head) = (alice.get(path), alice.call("HEAD", path).send());
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        for name in [
            "Content-Type",
            "Content-Length",
            "ETag",
            "X-Total-Count",
            "Cache-Control",
        ] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
    }
}

#[test]
fn a_valid_request_id_is_echoed_and_an_invalid_one_replaced() {
    let api = TestApi::start();
    let ask = |path: &str, id: &str| api.anonymous().call("GET", path).header("X-Request-ID", id).send();
    for path in ["/health/live", "/v1/posts", "/nowhere"] {
        assert_eq!(ask(path, "my-id_1.a").header("X-Request-ID"), "my-id_1.a", "{path}");
        for insane in ["", "a b", "<script>", &"x".repeat(65), "a;b", "\u{e4}"] {
            let id = ask(path, insane).header("X-Request-ID").to_owned();
            assert_ne!(id, insane, "{path}");
            assert_eq!(id.len(), 36, "{path}: a new one: {id}");
        }
    }
    assert_eq!(ask("/nowhere", "my-id").json()["request_id"], "my-id");
}

#[test]
fn no_acceptable_encoding_is_a_406_problem() {
    let api = TestApi::start();
    let call = api
        .alice()
        .call("GET", "/v1/posts")
        .header("Accept-Encoding", "identity;q=0, compress");
    call.send().problem(406, "not_acceptable");
}

#[test]
fn options_lists_the_methods_of_the_route() {
    let api = TestApi::start();
    for (path, allow) in [
        ("/v1/posts", "GET, HEAD, POST, OPTIONS"),
        ("/v1/posts/1", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("/v1/profile", "GET, HEAD, OPTIONS"),
        ("/health/live", "GET, HEAD, OPTIONS"),
    ] {
        let answer = api.alice().call("OPTIONS", path).send();
        assert_eq!(
            (answer.status, answer.header("Allow"), answer.text.as_str()),
            (204, allow, ""),
            "{path}"
        );
    }
    api.anonymous()
        .call("OPTIONS", "/v1/posts")
        .send()
        .problem(401, "missing_token");
}

#[test]
fn invalid_members_of_a_body_have_a_pointer_and_parameters_have_none() {
    let api = TestApi::start();
    let body = api.alice().post("/v1/posts", &json!({ "title": " ", "content": 7 }));
    let pointers = |errors: &Value| -> Vec<Value> {
        errors
            .as_array()
            .expect("errors")
            .iter()
            .map(|error| error["pointer"].clone())
            .collect()
    };
    assert_eq!(pointers(&body.value("errors")), [json!("/title"), json!("/content")]);
    let whole = api.alice().post("/v1/posts", &json!([1]));
    assert_eq!(pointers(&whole.value("errors")), [json!("")]);
    assert_eq!(
        pointers(&api.alice().get("/v1/posts?limit=0").value("errors")),
        [Value::Null]
    );
}
