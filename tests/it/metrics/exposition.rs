//! The server of the metrics.

use std::net::TcpListener;

use ureq::http::Request;

use crate::support::{
    binary::{CommandOutput, Running, blogctl},
    dev::Dev,
    idp::agent,
    metrics::{Scrape, promtool_complaints},
};

#[test]
fn promtool_accepts_what_a_new_process_exposes() {
    let dev = Dev::with_metrics();
    let scrape = Scrape::of(dev.metrics());
    for expected in [
        "blogctl_build_info",
        "process_resident_memory_bytes",
        "blogctl_sign_ins_total",
    ] {
        assert!(scrape.families().contains(&expected), "{expected} in {}", scrape.text);
    }
    if let Some(complaints) = promtool_complaints(&scrape.text) {
        assert_eq!(complaints, "");
        let broken = scrape
            .text
            .replace("# TYPE blogctl_build_info gauge", "# TYPE blogctl_build_info nothing");
        assert_ne!(
            promtool_complaints(&broken),
            Some(String::new()),
            "promtool finds faults"
        );
    }
}

#[test]
fn a_scraper_that_asks_for_openmetrics_gets_it() {
    let dev = Dev::with_metrics();
    let get = |accept: &str| {
        let mut response = agent()
            .get(dev.metrics())
            .header("Accept", accept)
            .call()
            .expect("a response");
        let header = |name| {
            response
                .headers()
                .get(name)
                .expect("a header")
                .to_str()
                .expect("text")
                .to_owned()
        };
        let (kind, cache) = (header("content-type"), header("cache-control"));
        assert_eq!(cache, "no-store");
        (kind, response.body_mut().read_to_string().expect("text"))
    };
    let (kind, text) = get("*/*");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(!text.contains("# EOF"), "{text}");
    let (kind, text) = get("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3");
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(
        text.contains("\nblogctl_sign_ins_total{outcome=\"success\"} 0\n"),
        "{text}"
    );
}

#[test]
fn only_get_and_head_of_one_path_are_served() {
    let dev = Dev::with_metrics();
    let status = |method: &str, url: &str| {
        let request = Request::builder().method(method).uri(url).body(()).expect("a request");
        agent().run(request).expect("a response").status().as_u16()
    };
    assert_eq!(status("HEAD", dev.metrics()), 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        assert_eq!(status(method, dev.metrics()), 405, "{method}");
    }
    let base = dev.metrics().strip_suffix("/metrics").expect("the path");
    for path in ["/", "/health", "/metrics/", "/metrics/x", "//metrics", "/v1/posts"] {
        assert_eq!(status("GET", &format!("{base}{path}")), 404, "{path}");
    }
}

#[test]
fn no_public_port_serves_metrics() {
    let dev = Dev::with_metrics();
    for url in [dev.site("/metrics"), dev.api("/metrics"), dev.idp("/metrics")] {
        let mut response = agent().get(&url).call().expect("a response");
        assert_eq!(response.status(), 404, "{url}");
        let text = response.body_mut().read_to_string().expect("text");
        assert!(!text.contains("blogctl_"), "{text}");
    }
}

#[test]
fn metrics_are_off_by_default() {
    let dev = Dev::start();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    drop((dev, taken));
    // A port in use does not matter to a process that does not use it.
    let taken = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    let port = format!("metrics.port={port}");
    let dev = Dev::start_in_new_folder(&["--set", &port]);
    drop((dev, taken));
}

#[test]
fn a_port_in_use_is_an_error_that_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let folder = tempfile::tempdir().expect("a folder");
    let metrics = format!("metrics.port={port}");
    for command in [
        &["dev", "--idp-port", "0", "--api-port", "0", "--client-port", "0"][..],
        &[
            "serve-api",
            "--port",
            "0",
            "--set",
            "entra.tenant_id=11111111-1111-4111-8111-111111111111",
            "--set",
            "api.app_id_uri=api://x",
        ],
    ] {
        let arguments = [command, &["--set", "metrics.enabled=true", "--set", &metrics]].concat();
        let output = CommandOutput::run(folder.path(), &arguments);
        assert_eq!(output.code, Some(1), "{output:?}");
        let words = output.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words.contains(&format!("error: metrics: port {port} on 127.0.0.1 is in use")),
            "{words}"
        );
        assert!(
            words.contains("--set metrics.port=PORT (BLOG_METRICS__PORT)"),
            "{words}"
        );
    }
    assert_eq!(
        folder.path().read_dir().expect("a folder").count(),
        0,
        "nothing is half-started"
    );
}

#[test]
fn a_role_serves_metrics_before_and_after_its_own_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = blogctl(folder.path());
    command.args(["serve-api", "--port", "0"]);
    for setting in [
        "metrics.enabled=true",
        "metrics.port=0",
        "entra.tenant_id=11111111-1111-4111-8111-111111111111",
        "entra.authority_host=http://localhost:1",
        "api.app_id_uri=api://x",
        "server.drain_seconds=300",
    ] {
        command.args(["--set", setting]);
    }
    let mut api = Running::start(&mut command);
    // The order of the lines is that of the servers.
    let metrics = api.url_after("metrics on");
    api.url_after("listening on");
    assert_eq!(Scrape::of(&metrics).count("blogctl_build_info", &[]), 1);
    api.signal("TERM");
    api.wait_for("stopping: not ready");
    assert_eq!(Scrape::of(&metrics).count("blogctl_build_info", &[]), 1);
    api.signal("TERM");
    let (status, output) = api.wait_for_exit();
    assert!(status.success(), "{output}");
}
