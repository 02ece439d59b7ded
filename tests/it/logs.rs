//! The log of a server, as a process of its own writes it.

use blogctl::config::DEV_TENANT_ID;
use serde_json::Value;

use crate::support::{
    binary::{Running, blogctl},
    dev::Dev,
    idp::agent,
    web::{ALICE, Browser},
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

#[test]
fn no_line_holds_a_code_a_state_a_token_a_cookie_or_a_key_however_much_is_logged() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = [
        "--set",
        "log.level=trace,ureq_proto::util=trace",
        "--set",
        "idp.access_token_seconds=1",
        "--credential",
        "key-vault",
    ];
    let mut dev = Dev::start_in(folder.path(), &[&arguments[..], &["--vault-port", "0"]].concat());
    let browser = Browser::new();
    let picker = browser.get(&dev.site("/login?next=%2Fposts"));
    let page = browser.pick(&picker, ALICE);
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(browser.get(&dev.site("/profile")).status, 200, "with a refresh");
    let mut secrets = vec!["eyJ".to_owned(), "BEGIN".to_owned()];
    for url in page.visited.iter().chain(&picker.visited) {
        let pairs = url.query_pairs().filter(|(name, _)| ["code", "state", "nonce"].contains(&name.as_ref()));
        secrets.extend(pairs.map(|(_, value)| value.into_owned()));
    }
    assert!(secrets.len() >= 5, "{secrets:?}");
    secrets.push(browser.cookie("blogctl").expect("a session"));
    let key = std::fs::read_to_string(folder.path().join(".blogctl/cookie.key")).expect("a key");
    secrets.push(key.trim().to_owned());
    dev.running.wait_for("Ctrl-C");
    dev.running.signal("INT");
    let (_, log) = dev.running.ended();
    assert!(log.contains("/callback") && log.contains("TRACE"), "it was logged at all");
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret}");
    }
}
