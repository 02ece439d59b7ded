//! Which events the real servers record, and that no line holds anything else.

use std::{fs, net::TcpStream, path::PathBuf};

use blogctl::{
    certificate::issue::{Destination, NewCertificate, Subject},
    config::{Settings, TrustedProxy},
};
use serde_json::{Value, json};

use super::lines;
use crate::support::{
    api::TestApi,
    entra::wait_until,
    system::TestSystem,
    web::{ALICE, BOB, Browser},
};

/// Turns the trail on, with a file for each role.
fn on(settings: &mut Settings) {
    let folder = settings.idp.state_dir.join("trail");
    settings.audit.path = Some(folder.join("{role}.jsonl"));
}

fn trail(settings: &Settings, role: &str) -> PathBuf {
    let path = settings.audit.path.as_ref().expect("on");
    PathBuf::from(path.display().to_string().replace("{role}", role))
}

/// The events of a role so far, once there is an event of this name.
fn events(settings: &Settings, role: &str, last: &str) -> Vec<Value> {
    let path = trail(settings, role);
    let name = format!("\"event\":\"{last}\"");
    wait_until(last, || {
        fs::read_to_string(&path).is_ok_and(|text| text.contains(&name))
    });
    lines(&path)
}

/// A line without what differs in each run.
fn essence(line: &Value) -> Value {
    let mut line = line.clone();
    let members = line.as_object_mut().expect("an object");
    for name in [
        "v",
        "time",
        "seq",
        "chain",
        "role",
        "prev",
        "hash",
        "request_id",
        "trace_id",
        "source",
        "version",
    ] {
        members.remove(name);
    }
    line
}

fn named<'l>(lines: &'l [Value], event: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

/// The lines once a second start is recorded.
fn after_restart(settings: &Settings) -> Vec<Value> {
    let path = trail(settings, "api");
    wait_until("the second start", || {
        fs::read_to_string(&path).is_ok_and(|text| text.matches("\"event\":\"server_started\"").count() == 2)
    });
    lines(&path)
}

fn person(settings: &Settings, oid: &str) -> Value {
    json!({ "tid": settings.entra.tenant_id, "oid": oid })
}

#[test]
fn changes_of_posts_are_recorded_with_who_made_them_and_for_whom() {
    let mut api = TestApi::with(|settings| {
        on(settings);
        settings.api.require_app_roles = true;
    });
    let role =
        |number: usize, role: &str| api.bearer(|token| token.user(&api.user(number).oid).claim("roles", json!([role])));
    let (alice, reader, admin) = (role(0, "Blog.Writer"), role(1, "Blog.Reader"), role(2, "Blog.Admin"));
    let other = role(1, "Blog.Writer");
    let id = alice.write("A title", "Some text");
    let path = format!("/v1/posts/{id}");
    let call = alice.call("PUT", &path).header("X-Request-ID", "change-1");
    let call = call.header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(call.json(&json!({ "title": "Other" })).send().status, 200);
    assert_eq!(admin.put(&path, &json!({ "title": "Third" })).status, 200);
    other.put(&path, &json!({ "title": "no" })).problem(403, "not_author");
    reader.delete(&path).problem(403, "insufficient_role");
    assert_eq!(alice.put("/v1/posts/999", &json!({ "title": "no" })).status, 404);
    assert_eq!(admin.delete(&path).status, 204);
    let keyed = |title: &str| {
        alice
            .call("POST", "/v1/posts")
            .header("Idempotency-Key", "key-1")
            .json(&json!({ "title": title, "content": "text" }))
            .send()
            .status
    };
    assert_eq!((keyed("once"), keyed("once")), (201, 201), "the second is a replay");
    api.restart();
    let lines = after_restart(&api.settings);
    let [alice, bob, chiara] = [0, 1, 2].map(|n| person(&api.settings, &api.user(n).oid));
    let posts: Vec<_> = lines
        .iter()
        .filter(|line| line.get("post_id").is_some())
        .map(essence)
        .collect();
    assert_eq!(
        posts,
        [
            json!({ "event": "post_created", "post_id": id, "outcome": "success", "actor": alice }),
            json!({ "event": "post_changed", "post_id": id, "outcome": "success", "actor": alice }),
            json!({ "event": "post_changed", "post_id": id, "author": alice, "outcome": "success", "actor": chiara }),
            json!({ "event": "access_denied", "reason": "not_author", "post_id": id, "outcome": "denied", "actor": bob }),
            json!({ "event": "access_denied", "reason": "insufficient_role", "post_id": id, "outcome": "denied", "actor": bob }),
            json!({ "event": "post_deleted", "post_id": id, "author": alice, "outcome": "success", "actor": chiara }),
            json!({ "event": "post_created", "post_id": id + 1, "outcome": "success", "actor": alice }),
        ]
    );
    let change = named(&lines, "post_changed")[0];
    assert_eq!(
        (&change["request_id"], &change["trace_id"], &change["source"]),
        (
            &json!("change-1"),
            &json!("4bf92f3577b34da6a3ce929d0e0e4736"),
            &json!("127.0.0.1")
        )
    );
    let starts = named(&lines, "server_started");
    assert_eq!((starts.len(), named(&lines, "server_stopped").len()), (2, 1));
    assert_eq!(
        (&lines[0]["event"], &lines[0]["role"]),
        (&json!("server_started"), &json!("api"))
    );
}

#[test]
fn a_change_whose_client_has_disconnected_is_recorded() {
    let api = TestApi::with(on);
    let client = api.alice();
    let body = json!({ "title": "Gone", "content": "before the response" }).to_string();
    let token = client.token().expect("a token");
    let head = format!(
        "POST /v1/posts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let port = url::Url::parse(&api.url("")).expect("a URL").port().expect("a port");
    for _ in 0..20 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        std::io::Write::write_all(&mut stream, head.as_bytes()).expect("sent");
        // Closes at once, with a reset because nothing is read.
        drop(stream);
    }
    let count = || client.get("/v1/posts").json().as_array().expect("posts").len();
    // Requests that were reset before they were read create no post.
    let mut last = usize::MAX;
    wait_until("the last post", || {
        let now = count();
        std::mem::replace(&mut last, now) == now
    });
    let path = trail(&api.settings, "api");
    wait_until("a line for each post", || {
        let text = fs::read_to_string(&path).expect("a trail");
        text.matches("\"event\":\"post_created\"").count() == count()
    });
}

#[test]
fn rejected_tokens_are_recorded_with_the_reason_and_a_flood_is_counted() {
    let mut api = TestApi::with(on);
    api.anonymous().get("/v1/posts").problem(401, "missing_token");
    for _ in 0..5 {
        api.with_token(&api.control().token().expired().mint())
            .get("/v1/posts")
            .problem(401, "expired");
    }
    api.with_token("no.token.at-all").get("/v1/posts");
    api.bearer(|token| token.scope("other"))
        .get("/v1/posts")
        .problem(403, "insufficient_scope");
    api.restart();
    let lines = after_restart(&api.settings);
    let rejected = named(&lines, "token_rejected");
    let expired: Vec<_> = rejected.iter().filter(|line| line["reason"] == "expired").collect();
    assert_eq!(expired.len(), 2, "{lines:?}");
    assert_eq!(
        (&expired[0]["outcome"], &expired[0]["count"]),
        (&json!("denied"), &Value::Null)
    );
    assert_eq!(expired[1]["count"], json!(4), "the others are counted");
    assert!(expired[1]["since"].is_string() && expired[1]["source"] == "127.0.0.1");
    assert!(rejected.len() > expired.len(), "the malformed token");
    assert!(rejected.iter().all(|line| line["reason"] != "missing_token"));
    let denied = named(&lines, "access_denied");
    assert_eq!((denied.len(), &denied[0]["reason"]), (1, &json!("insufficient_scope")));
}

#[test]
fn sign_ins_and_sign_outs_are_recorded() {
    let system = TestSystem::with(|settings| {
        on(settings);
        let url = format!("http://localhost:{}/front-channel-logout", settings.client.port);
        for app in settings.idp.apps.iter_mut().filter(|app| !app.redirect_uris.is_empty()) {
            app.front_channel_logout_uri = Some(url.clone());
        }
    });
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let form = browser.get(&system.web.url("/logout")).form("Sign out");
    browser.submit(&form);
    browser.sign_in(&system, BOB, "/");
    let form = browser
        .get(&system.web.url("/logout"))
        .form("everywhere")
        .with("everywhere", "1");
    browser.submit(&form);
    // Entra ID reports the end of a session.
    browser.sign_in(&system, ALICE, "/");
    let tenant = &system.settings.entra.tenant_id;
    let page = browser
        .get(&system.idp.url(&format!("/{tenant}/oauth2/v2.0/logout")))
        .text();
    let (_, rest) = page.split_once("src=\"").expect("a frame");
    let notice = rest.split('"').next().expect("its end");
    assert_eq!(Browser::new().get_once(notice).status, 200);
    assert_eq!(
        Browser::new().get_once(notice).status,
        200,
        "no session ends a second time"
    );
    // Failures.
    let callback = system.web.url("/callback?code=a-code&state=a-state");
    assert_eq!(Browser::new().get_once(&callback).status, 400);
    let TestSystem {
        web,
        settings,
        folder: _folder,
        idp: _idp,
        api: _api,
    } = system;
    web.stop();
    let lines = lines(&trail(&settings, "client"));
    let (alice, bob) = (person(&settings, ALICE), person(&settings, BOB));
    let thumbprint = named(&lines, "certificate_in_use")[0]["thumbprint"].clone();
    let not_after = named(&lines, "certificate_in_use")[0]["not_after"].clone();
    assert_eq!(thumbprint.as_str().map(str::len), Some(64));
    let recorded: Vec<_> = lines.iter().map(essence).collect();
    let success = |mut event: Value| {
        event["outcome"] = json!("success");
        event
    };
    assert_eq!(
        recorded,
        [
            success(json!({ "event": "server_started", "settings": "" })),
            success(json!({
                "event": "certificate_in_use", "usage": "client", "source_kind": "file", "thumbprint": thumbprint,
                "not_after": not_after,
            })),
            success(json!({ "event": "signed_in", "actor": alice })),
            success(json!({ "event": "signed_out", "scope": "this_browser", "actor": alice })),
            success(json!({ "event": "signed_in", "actor": bob })),
            success(json!({ "event": "signed_out", "scope": "all_browsers", "sessions": 0, "actor": bob })),
            success(json!({ "event": "signed_in", "actor": alice })),
            success(json!({ "event": "signed_out", "scope": "provider", "sessions": 1 })),
            json!({ "event": "sign_in_rejected", "reason": "no_such_sign_in", "outcome": "denied" }),
            success(json!({ "event": "server_stopped" })),
        ]
    );
    assert!(lines[2]["request_id"].is_string() && lines[2]["source"] == "127.0.0.1");
}

#[test]
fn an_api_that_trusts_the_site_records_the_address_of_the_browser() {
    for (trusted, expected) in [("127.0.0.0/8", "203.0.113.9"), ("10.0.0.0/8", "127.0.0.1")] {
        let system = TestSystem::with(|settings| {
            on(settings);
            settings.server.trusted_proxies = vec![TrustedProxy::Network(trusted.parse().expect("a network"))];
        });
        let browser = Browser::new();
        browser.sign_in(&system, ALICE, "/");
        let form = browser.get(&system.web.url("/posts/new")).form("Publish");
        let form = form.with("title", "A title").with("content", "Some text");
        let origin = system.web.url("");
        let headers = [
            ("X-Forwarded-For", "198.51.100.7, 203.0.113.9"),
            ("Origin", &origin),
            ("Sec-Fetch-Site", "same-origin"),
        ];
        assert_eq!(browser.post(&form, &headers).status, 303);
        let lines = events(&system.settings, "api", "post_created");
        assert_eq!(named(&lines, "post_created")[0]["source"], expected);
    }
}

#[test]
fn a_sign_in_that_entra_rejects_and_a_forged_form_are_recorded() {
    let system = TestSystem::with(on);
    crate::support::idp::IdpControl::new(&system.idp).fail_next(1, 700_016);
    assert_eq!(Browser::new().sign_in(&system, ALICE, "/").status, 502);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let form = browser.get(&system.web.url("/logout")).form("Sign out");
    assert_eq!(browser.post(&form, &[("Sec-Fetch-Site", "cross-site")]).status, 403);
    let lines = events(&system.settings, "client", "access_denied");
    let rejected = named(&lines, "sign_in_rejected");
    assert_eq!(
        essence(rejected[0]),
        json!({ "event": "sign_in_rejected", "reason": "entra_rejected", "aadsts": 700_016, "outcome": "denied" })
    );
    assert_eq!(
        essence(named(&lines, "access_denied")[0]),
        json!({ "event": "access_denied", "reason": "csrf", "outcome": "denied", "actor": person(&system.settings, ALICE) })
    );
}

#[test]
fn no_line_holds_a_title_a_text_a_token_a_cookie_or_a_name() {
    let system = TestSystem::with(on);
    let (title, content) = ("A title that only Alice may read", "A text that is in no log either");
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let post = browser.publish(&system, title, content);
    let edit = browser.get(&format!("{}/edit", post.url)).form("Save changes");
    browser.submit(&edit.with("content", &format!("{content}, changed")));
    browser.submit(&browser.get(&format!("{}/delete", post.url)).form("Delete post"));
    let cookie = browser.cookie_header();
    browser.submit(&browser.get(&system.web.url("/logout")).form("Sign out"));
    let mut all = events(&system.settings, "api", "post_deleted");
    all.extend(events(&system.settings, "client", "signed_out"));
    assert!(all.len() >= 7, "{all:?}");
    let text = serde_json::to_string(&all).expect("JSON");
    let alice = system
        .settings
        .idp
        .users
        .iter()
        .find(|user| user.oid == ALICE)
        .expect("Alice");
    let cookie_value = cookie.split_once('=').expect("a cookie").1;
    for secret in [
        title,
        content,
        ", changed",
        "eyJ",
        cookie_value,
        alice.name.as_str(),
        alice.email.as_str(),
        "localhost",
        "@",
    ] {
        assert!(!secret.is_empty() && !text.contains(secret), "{secret:?} in {text}");
    }
}

#[test]
fn hostile_headers_cannot_forge_a_line() {
    let api = TestApi::with(|settings| {
        on(settings);
        settings.server.trusted_proxies = vec![TrustedProxy::Network("127.0.0.0/8".parse().expect("a network"))];
    });
    let client = api.alice();
    let huge = "9".repeat(4000);
    for (n, (name, value)) in [
        ("X-Request-ID", "a\",\"event\":\"post_deleted"),
        ("X-Request-ID", &huge),
        ("X-Forwarded-For", "1.2.3.4\",\"x\":\""),
        ("X-Forwarded-For", "203.0.113.9"),
        ("traceparent", "00-\"-\"-01"),
        ("User-Agent", "{\"event\":\"forged\"}"),
    ]
    .into_iter()
    .enumerate()
    {
        let call = client.call("POST", "/v1/posts").header(name, value);
        let body = json!({ "title": format!("{n}"), "content": "text" });
        assert_eq!(call.json(&body).send().status, 201, "{name}: {value}");
    }
    let path = trail(&api.settings, "api");
    wait_until("all lines", || {
        fs::read_to_string(&path).is_ok_and(|text| text.matches("\"event\":\"post_created\"").count() == 6)
    });
    let lines = lines(&path);
    let created = named(&lines, "post_created");
    assert_eq!(lines.len(), 7, "one for each request and the start");
    for line in &created {
        let id = line["request_id"].as_str().expect("an id");
        assert!(
            id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
            "{id}"
        );
        assert!(line.get("trace_id").is_none());
    }
    let sources: Vec<_> = created
        .iter()
        .map(|line| line["source"].as_str().expect("an address"))
        .collect();
    assert_eq!(
        sources,
        [
            "127.0.0.1",
            "127.0.0.1",
            "127.0.0.1",
            "203.0.113.9",
            "127.0.0.1",
            "127.0.0.1"
        ]
    );
    let text = fs::read_to_string(&path).expect("a trail");
    assert!(!text.contains("forged"));
}

#[test]
fn a_renewed_certificate_and_an_unusable_one_are_recorded() {
    let system = TestSystem::with(on);
    let file = system.folder.path().join("client.pem");
    let first = events(&system.settings, "client", "certificate_in_use")[1]["thumbprint"].clone();
    fs::write(&file, "not a certificate").expect("written");
    let lines = events(&system.settings, "client", "certificate_unusable");
    let unusable = named(&lines, "certificate_unusable");
    assert_eq!(
        (&unusable[0]["usage"], &unusable[0]["outcome"]),
        (&json!("client"), &json!("failure"))
    );
    assert!(
        unusable[0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()),
        "{unusable:?}"
    );
    let to = Destination {
        folder: system.folder.path().join("renewed"),
        name: "client".to_owned(),
        ..Destination::default()
    };
    let renewed = NewCertificate {
        subject: Subject::with_common_name("renewed"),
        days: 90,
        bits: 2048,
    };
    let renewed = renewed.write(&to).expect("a certificate").combined;
    fs::copy(renewed, &file).expect("copied");
    let path = trail(&system.settings, "client");
    wait_until("the new certificate", || {
        lines_of(&path)
            .iter()
            .filter(|line| line["event"] == "certificate_in_use")
            .count()
            == 2
    });
    let lines = lines_of(&path);
    let second = &named(&lines, "certificate_in_use")[1]["thumbprint"];
    assert!(
        second.as_str().is_some_and(|thumbprint| thumbprint.len() == 64) && *second != first,
        "{lines:?}"
    );
}

/// The lines so far; the last one may be incomplete.
fn lines_of(path: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a trail");
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

#[test]
fn a_trail_that_is_off_writes_nothing_and_health_does_not_mention_it() {
    let api = TestApi::start();
    api.alice().write("A title", "Some text");
    let health = api.anonymous().get("/health/ready").json();
    assert_eq!(health["checks"].get("audit"), None);
    let on = TestApi::with(on);
    let health = on.anonymous().get("/health/ready").json();
    assert_eq!(health["checks"]["audit"], json!({ "status": "ok" }));
}
