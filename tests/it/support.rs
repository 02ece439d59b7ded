//! What black-box tests build on: the real servers on free ports, clients that use them, and fakes of the services around them.
//!
//! | a test of | starts with | and looks through |
//! |---|---|---|
//! | the web site | [`system::TestSystem`] | [`web::Browser`] (HTTP) or [`browser::Browser`] (a real Chromium) |
//! | the API | [`api::TestApi`] | [`api::Client`] |
//! | the database | [`database::each_database`] | the functions of `blogctl::db` |
//! | a command | [`binary::blogctl`] | [`binary::CommandOutput`], or [`binary::Running`] for servers |
//! | everything at once | [`dev::Dev`] | any of these |
//! | replicas behind load balancers | [`replicated_system::ReplicatedSystem`] | any of these |
//!
//! [`idp::IdpControl`] commands the identity provider that a system runs: it rotates keys, rejects requests, mints tokens.
//! [`web::FakeApi`], [`azure::FakeAzure`] and [`entra::ScriptedProvider`] answer whatever the test says.
//!
//! ```ignore
//! #[test]
//! fn a_user_who_signs_in_sees_the_posts() {
//!     let system = TestSystem::start();
//!     let browser = Browser::new();
//!     let page = browser.sign_in(&system, ALICE, "/posts");
//!     assert_eq!((page.status, page.url.path()), (200, "/posts"));
//! }
//! ```

pub mod api;
pub mod attacks;
pub mod azure;
pub mod binary;
pub mod browser;
pub mod certificates;
pub mod collector;
pub mod cookie_jar;
pub mod database;
pub mod dev;
pub mod entra;
pub mod fuzz;
pub mod idp;
pub mod load_balancer;
pub mod logs;
pub mod metrics;
pub mod pebble;
pub mod pgbouncer;
pub mod pki;
pub mod postgres_cluster;
pub mod postgres_proxy;
pub mod postgres_server;
pub mod raw_http;
pub mod redis;
pub mod redis_nodes;
pub mod replica;
pub mod replicated_system;
pub mod role;
pub mod small_disk;
pub mod stall;
pub mod stored_posts;
pub mod system;
pub mod tcp_proxy;
pub mod web;

/// The value of an environment variable that `tests/run` sets for a test that needs a program or a server. Without it,
/// the test is skipped and says so; in CI it fails.
#[expect(clippy::print_stderr, reason = "a developer must see which tests were skipped")]
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
