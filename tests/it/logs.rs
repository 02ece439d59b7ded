//! The log of a server, as a process of its own writes it.

use blogctl::config::DEV_TENANT_ID;
use serde_json::Value;

use crate::support::{
    binary::{Running, blogctl},
    idp::agent,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn serve_api(format: &str) -> (Running, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = blogctl(folder.path());
    command.args(["serve-api", "--port", "0", "--set", &format!("log.format={format}")]);
    for setting in [
        &format!("entra.tenant_id={DEV_TENANT_ID}"),
        "entra.authority_host=http://localhost:1",
        "api.app_id_uri=api://00000000-0000-4000-8000-000000000001",
    ] {
        command.args(["--set", setting]);
    }
    let mut running = Running::start(&mut command);
    let url = running.url_after("listening on");
    // In JSON a quotation mark follows.
    let url = url.split('"').next().expect("a URL").trim_end_matches('/').to_owned();
    (running, url, folder)
}

fn ask(url: &str, path: &str, traced: bool) -> u16 {
    let mut request = agent().get(format!("{url}{path}")).header("X-Request-ID", "the-request");
    if traced {
        request = request.header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"));
    }
    request.call().expect("an answer").status().as_u16()
}

#[test]
fn each_line_of_a_request_carries_its_id_and_its_trace_and_all_are_there_at_the_end() {
    let (running, url, _folder) = serve_api("json");
    for n in 0..200 {
        assert_eq!(ask(&url, &format!("/nothing/{n}?secret=hunter2"), true), 404);
    }
    // The last words of a process that is told to stop are not lost.
    running.signal("TERM");
    let (status, log) = running.ended();
    assert!(status.success());
    assert!(!log.contains("hunter2"), "no query is logged");
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of_requests: Vec<&Value> = lines.iter().filter(|line| line["request_id"] == "the-request").collect();
    assert_eq!(of_requests.len(), 400, "the refusal and the access, for each");
    assert!(of_requests.iter().all(|line| line["trace_id"] == TRACE), "{:?}", of_requests.first());
    assert_eq!(lines.last().expect("a line")["message"], "stopped");
}

#[test]
fn a_request_of_no_trace_has_none_in_its_lines_and_forges_none() {
    let (running, url, _folder) = serve_api("text");
    assert_eq!(ask(&url, "/nothing%0Atrace_id=forged", false), 404);
    running.signal("TERM");
    let (_, log) = running.ended();
    let own: Vec<&str> = log.lines().filter(|line| line.contains("request_id=the-request")).collect();
    assert_eq!(own.len(), 2, "{log}");
    assert!(own.iter().all(|line| !line.contains(" trace_id=")), "{own:?}");
}
