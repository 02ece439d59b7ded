//! The process, its log and its threads.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use chrono::Utc;

use crate::support::{binary::blogctl, dev::Dev, idp::agent, metrics::Scrape};

#[test]
fn the_system_s_numbers_are_plausible() {
    let before = Utc::now().timestamp();
    let dev = Dev::with_metrics();
    let scrape = Scrape::of(dev.metrics());
    let value = |name| {
        assert_eq!(scrape.count(name, &[]), 1, "{name} in {}", scrape.text);
        scrape.value(name, &[])
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
    assert!((3.0..10_000.0).contains(&value("process_open_fds")));
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_threads") > 3.0);
    assert!((0.0..600.0).contains(&value("process_cpu_seconds_total")));
    // The system counts in hundredths of a second since it started, and that time in whole seconds.
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let age = value("process_start_time_seconds") - before as f64;
    assert!((-2.0..120.0).contains(&age), "{age}");
    let build = scrape.find("blogctl_build_info", &[]).next().expect("a sample");
    assert_eq!(build.labels["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn lost_log_lines_and_problems_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = blogctl(folder.path());
    command.args(["serve-api", "--port", "0"]);
    for setting in [
        "metrics.enabled=true",
        "metrics.port=0",
        "entra.tenant_id=11111111-1111-4111-8111-111111111111",
        "entra.authority_host=http://localhost:1",
        "api.app_id_uri=api://x",
        "api.rate_limits=false",
    ] {
        command.args(["--set", setting]);
    }
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut log = BufReader::new(child.stderr.take().expect("piped"));
    let mut url_after = |text: &str| {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(log.read_line(&mut line).expect("a log") > 0, "it ended");
        }
        let (_, url) = line.split_once("http").expect("a URL");
        format!("http{}", url.trim().trim_end_matches('/'))
    };
    let (metrics, url) = (url_after("metrics on"), url_after("listening on"));
    let dropped = || Scrape::of(&metrics).value("blogctl_log_lines_dropped_total", &[]);
    assert_eq!(dropped(), 0.0);
    // Nothing reads the log any more: the pipe and the queue fill up.
    let padding = "x".repeat(1500);
    let http = agent();
    for n in 0..1500 {
        let status = http
            .get(format!("{url}/{n}/{padding}"))
            .call()
            .expect("a response")
            .status();
        assert_eq!(status, 404);
    }
    assert!(dropped() >= 1.0);
    // The API reports that it cannot fetch signing keys.
    let is_reported = |scrape: &Scrape| scrape.value("blogctl_log_problems_total", &[]) >= 1.0;
    Scrape::until(&metrics, "a problem", is_reported);
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
}
