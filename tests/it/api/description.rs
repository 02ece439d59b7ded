//! The OpenAPI description, and the page that shows it, match the code.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    api::{ApiResponse, Client, TestApi},
    binary::CommandOutput,
};

const ROUTES: &str = include_str!("../../../src/api/routes.rs");

fn description(api: &TestApi) -> Value {
    api.anonymous().get("/v1/openapi.json").json()
}

fn operations(description: &Value) -> Vec<(String, String, Value)> {
    let paths = description["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let item = item.as_object().expect("operations").clone();
        item.into_iter()
            .map(|(method, operation)| (method.to_uppercase(), path.clone(), operation))
            .collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn the_description_lists_every_route_and_method_and_no_other() {
    let api = TestApi::start();
    let description = description(&api);
    let mut paths: BTreeSet<String> = BTreeSet::new();
    for (path, item) in description["paths"].as_object().expect("paths") {
        let answer = api.alice().call("OPTIONS", &path.replace("{id}", "1")).send();
        assert_eq!(answer.status, 204, "{path} is there");
        let allowed: BTreeSet<&str> = answer
            .header("Allow")
            .split(", ")
            .filter(|m| !["HEAD", "OPTIONS"].contains(m))
            .collect();
        let described: Vec<String> = item
            .as_object()
            .expect("operations")
            .keys()
            .map(|m| m.to_uppercase())
            .collect();
        assert_eq!(allowed, described.iter().map(String::as_str).collect(), "{path}");
        paths.insert(path.clone());
    }
    // The docs page and its files are not described. They are mounted in one loop, or not at all.
    assert_eq!(
        paths.len() + 2,
        ROUTES.matches("web::resource(").count(),
        "a route is missing: {paths:?}"
    );
}

#[test]
fn the_description_is_complete_and_reflects_the_settings() {
    let api = TestApi::with(|settings| settings.api.max_content_chars = 77);
    let description = description(&api);
    assert_eq!(description["openapi"], "3.1.0");
    let schemes = description["components"]["securitySchemes"]
        .as_object()
        .expect("schemes");
    assert_eq!(
        schemes.keys().collect::<Vec<_>>(),
        ["access_token"],
        "only what works with this API alone"
    );
    let scope = format!("--scope {}/access_as_user", api.settings.api.app_id_uri);
    for text in [
        &schemes["access_token"]["description"],
        &description["info"]["description"],
    ] {
        let text = text.as_str().expect("text");
        assert!(text.contains("`blogctl token`") && text.contains(&scope), "{text}");
    }
    assert_eq!(
        description["components"]["schemas"]["NewPost"]["properties"]["content"]["maxLength"],
        77
    );
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&description) {
        assert!(
            ids.insert(operation["operationId"].as_str().expect("an id").to_owned()),
            "{method} {path}"
        );
        assert!(
            !operation["summary"].as_str().expect("a summary").is_empty(),
            "{method} {path}"
        );
        let is_open = operation["tags"] == json!(["service"]);
        let expected = if is_open {
            json!([])
        } else {
            json!([{"access_token": []}])
        };
        assert_eq!(operation["security"], expected, "{method} {path}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert_eq!(
                parameter.get("example").is_some(),
                parameter["in"] == "path",
                "{method} {path} {parameter}"
            );
        }
        for (status, answer) in operation["responses"].as_object().expect("answers") {
            let at = format!("{method} {path} {status}");
            assert!(answer["headers"].get("X-Request-ID").is_some(), "{at}");
            let is_problem = answer["content"].get("application/problem+json").is_some();
            assert_eq!(
                is_problem,
                status.starts_with(['4', '5']) && !path.starts_with("/health"),
                "{at}"
            );
        }
    }
}

/// Calls the API, and compares status, content type and headers with the description.
#[test]
fn every_response_is_described() {
    let api = TestApi::with(|settings| settings.api.max_body_bytes = 2000);
    let description = description(&api);
    let (alice, bob, nobody) = (api.alice(), api.bob(), api.anonymous());
    let reader = api.bearer(|token| token.claim("scp", json!("other")));
    let good = json!({"title": "a", "content": "b"});
    let id = alice.write("a", "b");
    let (one, none) = (format!("/v1/posts/{id}"), "/v1/posts/999999".to_owned());
    let etag = alice.get(&one).header("ETag").to_owned();
    let with = |client: &Client, method: &str, path: &str, name: &str, value: &str| {
        client.call(method, path).header(name, value).json(&good).send()
    };
    let known = |path: &str, etag: &str| alice.call("GET", path).header("If-None-Match", etag).send();
    let own = nobody.get("/v1/openapi.json").header("ETag").to_owned();
    let calls: Vec<(u16, &str, &str, ApiResponse)> = vec![
        (200, "get", "/health", nobody.get("/health")),
        (200, "get", "/health/live", nobody.get("/health/live")),
        (200, "get", "/health/ready", nobody.get("/health/ready")),
        (
            200,
            "get",
            "/.well-known/oauth-protected-resource",
            nobody.get("/.well-known/oauth-protected-resource"),
        ),
        (200, "get", "/v1/openapi.json", nobody.get("/v1/openapi.json")),
        (304, "get", "/v1/openapi.json", known("/v1/openapi.json", &own)),
        (200, "get", "/v1/profile", alice.get("/v1/profile")),
        (401, "get", "/v1/profile", nobody.get("/v1/profile")),
        (403, "get", "/v1/profile", reader.get("/v1/profile")),
        (200, "post", "/v1/users/me", alice.post("/v1/users/me", &json!({}))),
        (201, "post", "/v1/users/me", bob.post("/v1/users/me", &json!({}))),
        (200, "get", "/v1/posts", alice.get("/v1/posts?limit=1")),
        (422, "get", "/v1/posts", alice.get("/v1/posts?limit=0")),
        (
            406,
            "get",
            "/v1/posts",
            with(&alice, "GET", "/v1/posts", "Accept-Encoding", "identity;q=0, x;q=1"),
        ),
        (201, "post", "/v1/posts", alice.post("/v1/posts", &good)),
        (
            400,
            "post",
            "/v1/posts",
            alice.call("POST", "/v1/posts").body("application/json", "{").send(),
        ),
        (
            400,
            "post",
            "/v1/posts",
            with(&alice, "POST", "/v1/posts", "Idempotency-Key", "a b"),
        ),
        (401, "post", "/v1/posts", nobody.post("/v1/posts", &good)),
        (
            413,
            "post",
            "/v1/posts",
            alice.post("/v1/posts", &json!({"title": "a", "content": "x".repeat(3000)})),
        ),
        (
            415,
            "post",
            "/v1/posts",
            alice.call("POST", "/v1/posts").body("text/plain", "{}").send(),
        ),
        (422, "post", "/v1/posts", alice.post("/v1/posts", &json!({}))),
        (200, "get", "/v1/posts/{id}", alice.get(&one)),
        (304, "get", "/v1/posts/{id}", known(&one, &etag)),
        (404, "get", "/v1/posts/{id}", alice.get(&none)),
        (422, "get", "/v1/posts/{id}", alice.get("/v1/posts/x")),
        (200, "put", "/v1/posts/{id}", alice.put(&one, &good)),
        (403, "put", "/v1/posts/{id}", bob.put(&one, &good)),
        (404, "put", "/v1/posts/{id}", alice.put(&none, &good)),
        (
            412,
            "put",
            "/v1/posts/{id}",
            with(&alice, "PUT", &one, "If-Match", "\"1-1\""),
        ),
        (422, "put", "/v1/posts/{id}", alice.put(&one, &json!({"title": null}))),
        (
            412,
            "delete",
            "/v1/posts/{id}",
            with(&alice, "DELETE", &one, "If-Match", "\"1-1\""),
        ),
        (403, "delete", "/v1/posts/{id}", bob.delete(&one)),
        (204, "delete", "/v1/posts/{id}", alice.delete(&one)),
        (404, "delete", "/v1/posts/{id}", alice.delete(&one)),
    ];
    for (status, method, path, answer) in calls {
        let at = format!("{method} {path} {status}");
        assert_eq!(answer.status, status, "{at}: {}", answer.text);
        let described = &description["paths"][path][method]["responses"][status.to_string()];
        assert!(described.is_object(), "{at} is not described");
        let types: Vec<&str> = described["content"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        let sent: Vec<&str> = Some(answer.header("Content-Type"))
            .filter(|kind| !kind.is_empty())
            .into_iter()
            .collect();
        assert_eq!(types, sent, "{at}");
        for name in described["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
        {
            // These headers depend on the request.
            if !["Link", "Idempotent-Replayed", "X-Total-Count-Limited"].contains(&name) {
                assert!(!answer.header(name).is_empty(), "{at} has no {name}");
            }
        }
    }
}

#[test]
fn the_description_is_public_and_cacheable() {
    let api = TestApi::start();
    let first = api.anonymous().get("/v1/openapi.json");
    assert_eq!((first.status, first.header("Content-Type")), (200, "application/json"));
    let known = api
        .anonymous()
        .call("GET", "/v1/openapi.json")
        .header("If-None-Match", first.header("ETag"))
        .send();
    assert_eq!((known.status, known.text.as_str()), (304, ""));
    let other = api
        .anonymous()
        .call("GET", "/v1/openapi.json")
        .header("If-None-Match", "\"other\"")
        .send();
    assert_eq!(other.status, 200);
    api.anonymous()
        .post("/v1/openapi.json", &json!({}))
        .problem(405, "method_not_allowed");
}

#[test]
fn the_command_prints_what_the_server_serves() {
    let api = TestApi::start();
    let folder = tempfile::tempdir().expect("a folder");
    let own = &api.settings;
    let set = [
        format!("entra.tenant_id={}", own.entra.tenant_id),
        format!(
            "entra.authority_host={}",
            own.entra.authority_host.as_ref().expect("set")
        ),
        format!("api.app_id_uri={}", own.api.app_id_uri),
        format!("api.client_id={}", own.api.client_id.as_ref().expect("set")),
    ];
    let arguments: Vec<&str> = ["openapi"]
        .into_iter()
        .chain(set.iter().flat_map(|one| ["--set", one]))
        .collect();
    let printed = CommandOutput::run(folder.path(), &arguments);
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
    assert_eq!(printed.stdout, api.anonymous().get("/v1/openapi.json").text + "\n");

    let bare = CommandOutput::run(folder.path(), &["openapi"]);
    assert_eq!(bare.code, Some(0), "no setting has to be there: {}", bare.stderr);
    assert!(bare.stdout.contains("--scope access_as_user "));
}

#[test]
fn the_docs_page_loads_nothing_from_other_hosts() {
    let api = TestApi::start();
    let page = api.anonymous().get("/v1/docs");
    assert_eq!(
        (page.status, page.header("Content-Type")),
        (200, "text/html; charset=utf-8")
    );
    let parts: Vec<_> = page
        .text
        .split('"')
        .filter(|text| text.starts_with("/v1/docs/"))
        .collect();
    assert_eq!(parts.len(), 5, "{parts:?}");
    for part in parts {
        let part = api.anonymous().get(part);
        assert_eq!(part.status, 200);
        let policy = part.header("Content-Security-Policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(part.header("X-Content-Type-Options"), "nosniff");
    }
    assert!(
        !page.text.contains("http:") && !page.text.contains("https:") && !page.text.contains("<style"),
        "{}",
        page.text
    );
    for other in [
        "index.html",
        "swagger-initializer.js",
        "oauth2-redirect.html",
        "..%2fopenapi.json",
        "nothing",
    ] {
        api.anonymous()
            .get(&format!("/v1/docs/{other}"))
            .problem(404, "not_found");
    }
}

#[test]
fn a_change_is_an_object_with_at_least_one_property() {
    let api = TestApi::start();
    let shape = &description(&api)["components"]["schemas"]["ChangedPost"];
    assert_eq!(
        (&shape["type"], &shape["minProperties"]),
        (&json!("object"), &json!(1)),
        "{shape}"
    );
    assert!(
        shape.get("required").is_none() && shape.get("anyOf").is_none(),
        "{shape}"
    );
    for name in ["title", "content"] {
        assert_eq!(shape["properties"][name]["type"], "string", "{shape}");
    }
}

#[test]
fn the_problem_codes_match_the_documentation() {
    let api = TestApi::start();
    let codes = &description(&api)["components"]["schemas"]["Problem"]["properties"]["code"]["enum"];
    let described: BTreeSet<&str> = codes
        .as_array()
        .expect("an enumeration")
        .iter()
        .map(|code| code.as_str().expect("text"))
        .collect();
    let page = include_str!("../../../docs/api.md");
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let documented: BTreeSet<&str> = rows
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
        .collect();
    let missing: Vec<_> = described
        .difference(&documented)
        .filter(|code| **code != "bad_request")
        .collect();
    assert!(missing.is_empty(), "docs/api.md does not name {missing:?}");
    for code in [
        "stale",
        "expired",
        "client_app_not_allowed",
        "unsupported_content_encoding",
        "internal",
    ] {
        assert!(described.contains(code), "{code}: {described:?}");
    }
}
