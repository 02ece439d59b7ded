//! What the tests stand on.

pub mod api;
pub mod attacks;
pub mod azure;
pub mod binary;
pub mod browser;
pub mod certificates;
pub mod cookie_jar;
pub mod database;
pub mod dev;
pub mod entra;
pub mod fuzz;
pub mod idp;
pub mod logs;
pub mod pgbouncer;
pub mod raw_http;
pub mod redis;
pub mod system;
pub mod tcp_proxy;
pub mod web;

/// The value of an environment variable that `tests/run` sets for tests that need something started or installed.
/// Without it the test is skipped, with a line that says so; in CI nothing may be skipped.
#[expect(clippy::print_stderr, reason = "who runs the tests must see what was skipped")]
pub fn needs(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "{variable} is not set, and in CI nothing may be skipped"
        );
        eprintln!("skipped: {variable} is not set; tests/run sets it");
    }
    value
}
