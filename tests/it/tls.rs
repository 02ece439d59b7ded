//! HTTPS: handshakes, certificates that change, client certificates, plain HTTP, ACME.

mod acme;
mod certificate_files;
mod client_certificates;
mod handshakes;
mod plain_http;
mod reload;

use std::sync::mpsc;

use blogctl::{api, config::Settings, serve, web};
use tempfile::TempDir;

use crate::support::{
    pki::{IdentityFiles, TestCa},
    system::{TestServer, settings_for},
};

/// The names of every test server.
const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

/// One server with HTTPS. It needs neither Entra ID nor the other server.
struct HttpsServer {
    server: TestServer,
    /// The port for plain HTTP; 0 without one.
    plain_http_port: u16,
    ca: TestCa,
    files: IdentityFiles,
    folder: TempDir,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Api,
    Site,
}

impl HttpsServer {
    fn start(role: Role, change: impl FnOnce(&mut Settings)) -> Self {
        let (folder, ca) = (tempfile::tempdir().expect("a folder"), TestCa::new("test CA"));
        let files = ca.server(&LOCAL).write(folder.path(), "server");
        let mut settings = settings(&folder, role);
        settings.server.tls = files.settings();
        change(&mut settings);
        let (server, plain_http_port) = start(role, settings);
        Self {
            server,
            plain_http_port,
            ca,
            files,
            folder,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.server.port)
    }

    /// The status of a GET by a client that trusts the CA.
    fn status(&self, path: &str) -> Result<u16, ureq::Error> {
        let response = self.ca.agent(None).get(self.url(path)).call()?;
        Ok(response.status().as_u16())
    }
}

/// Settings of a server on a free port.
fn settings(folder: &TempDir, role: Role) -> Settings {
    let [idp, api, web] = [(); 3].map(|()| serve::listen("127.0.0.1", 0).expect("a free port"));
    let mut settings = settings_for(folder.path(), &idp, &api, &web);
    if role == Role::Site {
        settings.client.public_url = Some("https://blog.example.com".parse().expect("a URL"));
    }
    settings
}

/// Starts a server, and returns its port for plain HTTP too.
fn start(role: Role, settings: Settings) -> (TestServer, u16) {
    let listener = serve::listen("127.0.0.1", 0).expect("a free port");
    let (send, receive) = mpsc::channel();
    let server = match role {
        Role::Api => TestServer::start(
            move || {
                let server = api::Server::from_listener(listener, &settings).expect("api");
                send.send(server.plain_http_port()).expect("the test waits for it");
                server
            },
            |server| (server.port(), server.handle()),
            api::Server::run,
        ),
        Role::Site => TestServer::start(
            move || {
                let server = web::Server::from_listener(listener, &settings).expect("web");
                send.send(server.plain_http_port()).expect("the test waits for it");
                server
            },
            |server| (server.port(), server.handle()),
            web::Server::run,
        ),
    };
    (server, receive.recv().expect("it starts").unwrap_or(0))
}
