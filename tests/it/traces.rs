//! Spans of the site, the API and their database, as a collector receives them.

mod collector_failures;
mod secrets;
mod trust;

use blogctl::config::{DatabaseSettings, Settings};

use crate::support::{
    azure::{FakeAzure, registered},
    collector::{Collector, ReceivedSpan},
    database::each_database,
    redis::RedisServer,
    system::TestSystem,
    web::{ALICE, Browser, Page},
};

/// The trace that the tests' browser is part of.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// The span in it that the browser's requests are within.
const CALLER: &str = "00f067aa0ba902b7";

/// A system that sends all spans to the collector. The browser is trusted.
fn traced(collector: &Collector, change: impl FnOnce(&mut Settings)) -> TestSystem {
    TestSystem::with(|settings| {
        settings.telemetry = collector.settings();
        change(settings);
    })
}

/// Signs Alice in. The requests to the site, and only those, are part of [`TRACE`].
fn sign_in_within_trace(system: &TestSystem, browser: &Browser, next: &str) -> Page {
    let to_site = |url: &str| {
        let url = url.parse().expect("a URL");
        browser.request("GET", &url, None, &[("traceparent", PARENT)])
    };
    let login = to_site(&system.web.url(&format!("/login?next={next}")));
    let choice = browser.get(login.location().as_str());
    let picked = browser.submit_once(&choice.form(ALICE).with("oid", ALICE).without("email"));
    let callback = to_site(picked.location().as_str());
    assert_eq!(callback.status, 303, "{}", callback.body);
    to_site(callback.location().as_str())
}

/// Each span in a line, below its parent: service, kind and name.
fn tree(spans: &[ReceivedSpan], parent: &str) -> String {
    let mut children: Vec<&ReceivedSpan> = spans.iter().filter(|span| span.parent == parent).collect();
    children.sort_by_key(|span| span.from);
    let lines = children.into_iter().map(|span| {
        let below = tree(spans, &span.id).replace('\n', "\n  ");
        let mark = if span.is_error { " (failed)" } else { "" };
        format!("\n{} {} {}{mark}{below}", span.service, span.kind, span.name)
    });
    lines.collect()
}

fn find<'s>(spans: &'s [ReceivedSpan], kind: &str, name: &str) -> &'s ReceivedSpan {
    spans
        .iter()
        .find(|span| span.kind == kind && span.name == name)
        .unwrap_or_else(|| panic!("a {kind} span {name}: {spans:#?}"))
}

#[test]
fn a_sign_in_is_one_trace_across_the_site_the_api_its_database_and_entra_id() {
    let collector = Collector::start();
    let system = traced(&collector, |_| {});
    let page = sign_in_within_trace(&system, &Browser::new(), "/posts");
    assert_eq!(page.status, 200, "{}", page.body);
    drop(system);
    let spans = collector.spans();
    for span in &spans {
        assert_eq!(span.trace, TRACE, "{span:?}");
        assert!(span.from <= span.to, "{span:?}");
    }
    assert_eq!(
        tree(&spans, CALLER),
        "
blogctl-client server GET /login
  blogctl-client client GET /{id}/v2.0/.well-known/openid-configuration
blogctl-client server GET /callback
  blogctl-client client POST /{id}/oauth2/v2.0/token
  blogctl-client client GET /{id}/discovery/v2.0/keys
blogctl-client server GET /posts
  blogctl-client client GET /v1/posts
    blogctl-api server GET /v1/posts
      blogctl-api client SELECT blog_posts
      blogctl-api client SELECT blog_posts
      blogctl-api client SELECT post_counts"
    );
    let attributes = |kind, name| find(&spans, kind, name).attributes.clone();
    let callback = attributes("server", "GET /callback");
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/callback"),
        ("http.response.status_code", "303"),
        ("url.path", "/callback"),
        ("url.scheme", "http"),
    ] {
        assert_eq!(callback[name], value, "{name}");
    }
    let token = attributes("client", "POST /{id}/oauth2/v2.0/token");
    assert_eq!(token["server.address"], "localhost");
    assert_eq!(token["http.response.status_code"], "200");
    assert!(token["url.full"].ends_with("/oauth2/v2.0/token"), "{token:?}");
    let select = attributes("client", "SELECT blog_posts");
    for (name, value) in [
        ("db.system.name", "sqlite"),
        ("db.operation.name", "SELECT"),
        ("db.collection.name", "blog_posts"),
    ] {
        assert_eq!(select[name], value, "{name}");
    }
}

#[test]
fn a_post_is_one_trace_down_to_the_commit_in_either_database() {
    each_database(|database| {
        let is_sqlite = !database.url.starts_with("postgres");
        let collector = Collector::start();
        let database = DatabaseSettings {
            migrate_at_start: Some(true),
            ..database.clone()
        };
        let system = traced(&collector, |settings| settings.database = database);
        let browser = Browser::new();
        sign_in_within_trace(&system, &browser, "/posts/new");
        let seen = collector_count(&collector);
        let form = browser.get(&system.web.url("/posts/new")).form("Publish");
        let page = browser.submit(&form.with("title", "A title").with("content", "Some text"));
        assert_eq!(page.status, 200, "{}", page.body);
        drop(system);
        let spans = collector.spans();
        let post = find(&spans[seen.min(spans.len())..], "server", "POST /posts/new").clone();
        assert_eq!(post.parent, "", "the browser sent no trace");
        let of_post: Vec<ReceivedSpan> = spans.into_iter().filter(|span| span.trace == post.trace).collect();
        let tree = tree(&of_post, "");
        let expected = "
blogctl-client server POST /posts/new
  blogctl-client client POST /v1/posts
    blogctl-api server POST /v1/posts";
        assert!(tree.starts_with(expected), "{tree}");
        for part in ["blogctl-api internal write", "blogctl-api client INSERT blog_posts"] {
            assert!(tree.contains(part), "{part}: {tree}");
        }
        let insert = find(&of_post, "client", "INSERT blog_posts");
        let write = of_post
            .iter()
            .find(|span| span.id == insert.parent)
            .expect("its parent");
        assert_eq!(
            (write.name.as_str(), write.kind),
            ("write", "internal"),
            "the wait for the commit"
        );
        let system_name = if is_sqlite { "sqlite" } else { "postgresql" };
        assert_eq!(insert.attribute("db.system.name"), system_name);
        assert_eq!(write.attribute("db.system.name"), system_name);
        assert!(write.from <= insert.from && insert.to <= write.to, "{tree}");
        // The request id leads from an error page to the trace, on both servers.
        let request_id = post.attribute("blogctl.request_id");
        assert!(!request_id.is_empty());
        let api = find(&of_post, "server", "POST /v1/posts");
        assert_eq!(api.attribute("blogctl.request_id"), request_id);
    });
}

/// Spans so far: those of a later request come after them.
fn collector_count(collector: &Collector) -> usize {
    collector.spans().len()
}

#[test]
fn a_failure_is_marked_where_it_happened() {
    let collector = Collector::start();
    let mut system = traced(&collector, |_| {});
    let browser = Browser::new();
    sign_in_within_trace(&system, &browser, "/");
    let gone = std::mem::replace(&mut system.api, another_server());
    gone.stop();
    let url = system.web.url("/posts").parse().expect("a URL");
    assert_eq!(browser.request("GET", &url, None, &[]).status, 502);
    let missing = system.web.url("/nowhere").parse().expect("a URL");
    assert_eq!(browser.request("GET", &missing, None, &[]).status, 404);
    drop(system);
    let spans = collector.spans();
    let call = find(&spans, "client", "GET /v1/posts");
    assert!(call.is_error, "{call:?}");
    assert_eq!(call.attribute("error.type"), "io");
    let page = spans.iter().find(|span| span.id == call.parent).expect("the page");
    assert!(page.is_error, "{page:?}");
    assert_eq!(
        (page.name.as_str(), page.attribute("error.type")),
        ("GET /posts", "502")
    );
    let missing = spans
        .iter()
        .find(|span| span.attribute("url.path") == "/nowhere")
        .expect("a span");
    assert_eq!(
        (missing.name.as_str(), missing.is_error),
        ("GET", false),
        "the client's error"
    );
    assert_eq!(missing.attribute("http.route"), "");
}

/// Any server, to take the place of one that stops.
fn another_server() -> crate::support::system::TestServer {
    crate::support::web::FakeApi::start(|_| actix_web::HttpResponse::Ok().finish()).server
}

#[test]
fn requests_to_a_key_vault_are_part_of_the_sign_in_and_get_no_traceparent() {
    use blogctl::config::{AzureIdentity, CertificateSettings, CredentialSettings, VaultSettings};

    let azure = FakeAzure::start();
    azure.put("blog-site", registered(false, false));
    let collector = Collector::start();
    let system = traced(&collector, |settings| {
        settings.client.certificate = CertificateSettings::default();
        settings.client.credential = vec![CredentialSettings::KeyVaultSign(VaultSettings {
            vault_url: azure.url(),
            certificate: "blog-site".to_owned(),
        })];
        settings.azure.identity = AzureIdentity::Managed;
        settings.azure.imds_url = azure.url();
    });
    sign_in_within_trace(&system, &Browser::new(), "/");
    drop(system);
    let spans = collector.spans();
    let sign = spans
        .iter()
        .find(|span| span.name.ends_with("/sign"))
        .expect("a signature");
    let callback = find(&spans, "server", "GET /callback");
    assert_eq!(
        (sign.trace.as_str(), sign.parent.as_str()),
        (TRACE, callback.id.as_str())
    );
    assert_eq!(sign.service, "blogctl-client");
    let asked = azure.requests_to("/");
    assert!(!asked.is_empty());
    assert!(asked.iter().all(|request| request.traceparent.is_none()), "{asked:?}");
}

#[test]
fn commands_to_redis_are_part_of_the_request() {
    let Some(redis) = RedisServer::start() else { return };
    let collector = Collector::start();
    let system = traced(&collector, |settings| settings.redis = redis.settings());
    sign_in_within_trace(&system, &Browser::new(), "/");
    drop(system);
    let spans = collector.spans();
    let callback = find(&spans, "server", "GET /callback");
    let set = spans
        .iter()
        .find(|span| span.name == "SET" && span.trace == callback.trace)
        .expect("the new session");
    for (name, value) in [("db.system.name", "redis"), ("db.operation.name", "SET")] {
        assert_eq!(set.attribute(name), value);
    }
    assert!(!set.attribute("server.address").is_empty());
}

#[test]
fn probes_of_health_are_not_recorded() {
    let collector = Collector::start();
    let system = traced(&collector, |_| {});
    for path in ["/health", "/health/live", "/health/ready"] {
        for server in [&system.web, &system.api] {
            let url = server.url(path).parse().expect("a URL");
            Browser::new().request("GET", &url, None, &[("traceparent", PARENT)]);
        }
    }
    let url = system.web.url("/healthy").parse().expect("a URL");
    Browser::new().request("GET", &url, None, &[]);
    drop(system);
    let paths: Vec<String> = collector
        .spans()
        .iter()
        .map(|span| span.attribute("url.path").to_owned())
        .collect();
    assert_eq!(paths, ["/healthy"]);
}
