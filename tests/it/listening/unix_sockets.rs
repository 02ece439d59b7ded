//! `api.socket_path` and `client.socket_path`.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::Path,
};

use actix_web::dev::ServerHandle;
use blogctl::{
    api,
    config::{Settings, TrustedProxy},
    web,
};

use super::{get, over_unix, serve_api, status};
use crate::support::{
    binary::{CommandOutput, Running, blogctl},
    system::{TestServer, TestSystem},
};

/// `serve-api` on this socket.
fn start(folder: &Path, socket: &Path) -> Running {
    let mut running = Running::start(serve_api(folder).env("BLOG_API__SOCKET_PATH", socket));
    running.wait_for("listening on unix:");
    running
}

#[test]
fn the_api_serves_on_a_unix_socket_that_is_removed_when_it_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("api.sock");
    let running = start(folder.path(), &socket);
    assert_eq!(get(&socket, "/health/live"), 200);
    assert_eq!(get(&socket, "/v1/posts"), 401);
    let mode = fs::metadata(&socket).expect("it exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    running.signal("TERM");
    let (exit, output) = running.wait_for_exit();
    assert!(exit.success(), "{output}");
    assert!(!socket.exists());
    assert!(
        output.contains("add unix to server.trusted_proxies"),
        "a warning: {output}"
    );
}

#[test]
fn the_mode_of_the_socket_is_a_setting_and_does_not_depend_on_the_umask() {
    let folder = tempfile::tempdir().expect("a folder");
    for mode in ["0600", "0666"] {
        let socket = folder.path().join(mode);
        let mut command = serve_api(folder.path());
        command
            .env("BLOG_API__SOCKET_PATH", &socket)
            .env("BLOG_API__SOCKET_MODE", mode);
        let mut running = Running::start(&mut command);
        running.wait_for("listening on unix:");
        let permissions = fs::metadata(&socket).expect("it exists").permissions();
        assert_eq!(format!("{:04o}", permissions.mode() & 0o7777), mode);
    }
}

#[test]
fn the_socket_of_a_killed_process_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("api.sock");
    let running = start(folder.path(), &socket);
    running.signal("KILL");
    running.wait_for_exit();
    assert!(socket.exists(), "nothing could remove it");
    let mut running = Running::start(serve_api(folder.path()).env("BLOG_API__SOCKET_PATH", &socket));
    running.wait_for("which a stopped process left behind");
    running.wait_for("listening on unix:");
    assert_eq!(get(&socket, "/health/live"), 200);
}

#[test]
fn the_socket_of_a_running_process_is_never_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("api.sock");
    let _running = start(folder.path(), &socket);
    let other = tempfile::tempdir().expect("a folder");
    let output = CommandOutput::from_command(serve_api(other.path()).env("BLOG_API__SOCKET_PATH", &socket));
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("another process listens on the Unix socket"),
        "{output:?}"
    );
    assert!(output.stderr.contains("hint: stop that process"), "{output:?}");
    assert_eq!(get(&socket, "/health/live"), 200, "the first one");
}

#[test]
fn a_path_that_cannot_be_a_socket_is_reported_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "content").expect("a file");
    fs::create_dir(path("folder")).expect("a folder");
    drop(UnixListener::bind(path("stale")).expect("a socket"));
    std::os::unix::fs::symlink(path("stale"), path("link")).expect("a link");
    let too_long = folder.path().join("a".repeat(110));
    for (socket, code, expected) in [
        (path("file"), 1, "is not a Unix socket, but a file"),
        (path("folder"), 1, "is not a Unix socket, but a folder"),
        (path("link"), 1, "is not a Unix socket, but a symbolic link"),
        (path("missing/api.sock"), 1, "the folder of the Unix socket"),
        (path("file/api.sock"), 1, "cannot listen on the Unix socket"),
        (too_long, 2, "api.socket_path"),
        ("unix:/run/api.sock".into(), 2, "api.socket_path"),
        ("@abstract".into(), 2, "api.socket_path"),
    ] {
        let output = CommandOutput::from_command(serve_api(folder.path()).env("BLOG_API__SOCKET_PATH", &socket));
        assert_eq!(output.code, Some(code), "{} {output:?}", socket.display());
        assert!(output.stderr.contains(expected), "{} {output:?}", socket.display());
    }
    assert_eq!(fs::read_to_string(path("file")).expect("the file"), "content");
    assert!(path("link").is_symlink() && path("stale").exists() && path("folder").is_dir());
}

#[test]
fn the_doctor_asks_the_api_over_its_socket() {
    let system = TestSystem::start();
    let mut settings = system.settings.clone();
    let socket = system.folder.path().join("api.sock");
    settings.api.socket_path = Some(socket.clone());
    let authority = settings.entra.authority_host.clone().expect("the emulator");
    let doctor = || {
        let output = CommandOutput::from_command(
            blogctl(system.folder.path())
                .args(["doctor", "--role", "api", "--json"])
                .env("BLOG_ENTRA__TENANT_ID", &settings.entra.tenant_id)
                .env("BLOG_ENTRA__AUTHORITY_HOST", authority.as_str())
                .env("BLOG_API__APP_ID_URI", &settings.api.app_id_uri)
                .env("BLOG_DATABASE__URL", &settings.database.url)
                .env("BLOG_API__SOCKET_PATH", &socket),
        );
        output.stdout
    };
    let not_there = format!("unix:{} does not answer", socket.display());
    assert!(doctor().contains(&not_there), "{}", doctor());
    let _server = api_on(&settings);
    super::eventually("the API is ready", || get(&socket, "/health/ready") == 200);
    let ready = format!("unix:{} answers and is ready", socket.display());
    assert!(doctor().contains(&ready), "{}", doctor());
}

/// A server on a Unix socket, of a system whose other servers use TCP.
fn on_socket<S: 'static, R: Future<Output = std::io::Result<()>> + 'static>(
    settings: &Settings,
    bind: fn(&Settings) -> S,
    handle: fn(&S) -> ServerHandle,
    run: fn(S) -> R,
) -> TestServer {
    let settings = settings.clone();
    let parts = move |server: &S| (0, handle(server));
    TestServer::start(move || bind(&settings), parts, run)
}

fn api_on(settings: &Settings) -> TestServer {
    on_socket(
        settings,
        |settings| api::Server::bind(settings).expect("api"),
        api::Server::handle,
        api::Server::run,
    )
}

fn site_on(settings: &Settings) -> TestServer {
    on_socket(
        settings,
        |settings| web::Server::bind(settings).expect("site"),
        web::Server::handle,
        web::Server::run,
    )
}

#[test]
fn clients_behind_an_unlisted_proxy_do_not_share_one_limit() {
    let system = TestSystem::start();
    let mut settings = system.settings.clone();
    let socket = system.folder.path().join("api.sock");
    settings.api.socket_path = Some(socket.clone());
    settings.api.limit_address_burst = 2;
    settings.api.limit_address_per_second = 1;
    settings.api.limit_failures_per_minute = 2;
    let _server = api_on(&settings);
    let statuses: Vec<_> = (0..10)
        .map(|n| {
            let request = format!(
                "GET /v1/posts HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\nAuthorization: Bearer a.b.{n}"
            );
            status(&over_unix(&socket, &request))
        })
        .collect();
    assert_eq!(statuses, [401; 10]);
}

#[test]
fn a_listed_proxy_names_the_client_that_a_limit_counts() {
    let system = TestSystem::start();
    let mut settings = system.settings.clone();
    let socket = system.folder.path().join("api.sock");
    settings.api.socket_path = Some(socket.clone());
    settings.api.limit_address_burst = 2;
    settings.api.limit_address_per_second = 1;
    settings.server.trusted_proxies = vec![TrustedProxy::UnixSocket];
    let _server = api_on(&settings);
    let get = |client: &str| {
        let request = format!("GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}");
        status(&over_unix(&socket, &request))
    };
    assert_eq!([get("192.0.2.1"), get("192.0.2.1")], [200, 200]);
    assert_eq!(get("192.0.2.1"), 429);
    assert_eq!(get("192.0.2.2"), 200, "another client of the same proxy");
}

#[test]
fn a_large_body_over_a_unix_socket_is_limited_like_any_other() {
    let system = TestSystem::start();
    let mut settings = system.settings.clone();
    let socket = system.folder.path().join("api.sock");
    settings.api.socket_path = Some(socket.clone());
    settings.api.max_body_bytes = 2000;
    let _server = api_on(&settings);
    let body = "x".repeat(5000);
    let request = format!(
        "POST /v1/posts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nAuthorization: Bearer {}\r\n\r\n{body}",
        body.len(),
        crate::support::idp::IdpControl::new(&system.idp)
            .token()
            .user(&settings.idp.users[0].oid)
            .mint()
    );
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).expect("it listens");
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("sent");
    let mut response = String::new();
    std::io::Read::read_to_string(&mut stream, &mut response).expect("a response");
    assert_eq!(status(&response), 413, "{response}");
}

#[test]
fn the_site_believes_the_forwarded_host_of_a_listed_proxy_only() {
    let system = TestSystem::start();
    let mut settings = system.settings.clone();
    settings.client.public_url = Some("https://blog.example.com".parse().expect("a URL"));
    let login =
        "GET /login HTTP/1.1\r\nHost: inner.internal\r\nX-Forwarded-Host: blog.example.com\r\nX-Forwarded-Proto: https";
    for (proxies, expected) in [(vec![], 421), (vec![TrustedProxy::UnixSocket], 303)] {
        let socket = system.folder.path().join(format!("site-{expected}.sock"));
        settings.client.socket_path = Some(socket.clone());
        settings.server.trusted_proxies = proxies;
        let _server = site_on(&settings);
        let response = over_unix(&socket, login);
        assert_eq!(status(&response), expected, "{response}");
    }
}

#[test]
fn a_site_on_a_unix_socket_needs_its_public_address() {
    let system = TestSystem::start();
    let mut settings = system.settings.clone();
    (settings.client.public_url, settings.client.redirect_uri) = (None, None);
    settings.client.socket_path = Some(system.folder.path().join("site.sock"));
    let error = web::Server::bind(&settings).err().expect("it does not start");
    assert!(matches!(error, web::StartError::NoPublicUrl), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("client.public_url")));
    assert!(!system.folder.path().join("site.sock").exists(), "nothing stays behind");
}
