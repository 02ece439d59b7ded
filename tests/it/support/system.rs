//! The whole system on free ports: identity provider, API and site, each on its own thread, connected over HTTP.
//!
//! ```ignore
//! let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
//! system.web.url("/posts");                                     // http://localhost:PORT/posts
//! ```

use std::{
    fs,
    future::Future,
    io,
    net::TcpListener,
    path::Path,
    sync::{OnceLock, mpsc},
    thread::{self, JoinHandle},
};

use actix_web::dev::ServerHandle;
use blogctl::{
    api,
    certificate::issue::{Destination, NewCertificate, Subject},
    config::{DEV_API_ID, DEV_CLIENT_ID, DEV_TENANT_ID, Environment, Settings},
    idp, serve, web,
};
use secrecy::SecretString;
use tempfile::TempDir;
use url::Url;

use super::certificates::file;

/// A server on its own thread, stopped when dropped.
pub struct TestServer {
    pub port: u16,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    /// Builds a server on a new thread and runs it there.
    pub fn start<S, R>(
        build: impl FnOnce() -> S + Send + 'static,
        parts: impl FnOnce(&S) -> (u16, ServerHandle) + Send + 'static,
        run: fn(S) -> R,
    ) -> Self
    where
        S: 'static,
        R: Future<Output = io::Result<()>> + 'static,
    {
        let (send, receive) = mpsc::channel();
        let thread = thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let server = build();
                send.send(parts(&server)).expect("the test waits for it");
                run(server).await.expect("the server ends well");
            });
        });
        let (port, handle) = receive.recv().expect("the server starts");
        Self {
            port,
            handle,
            thread: Some(thread),
        }
    }

    pub fn idp(listener: TcpListener, settings: Settings) -> Self {
        Self::start(
            move || idp::Server::from_listener(listener, &settings).expect("idp"),
            |server| (server.port(), server.handle()),
            idp::Server::run,
        )
    }

    pub fn api(listener: TcpListener, settings: Settings) -> Self {
        Self::start(
            move || api::Server::from_listener(listener, &settings).expect("api"),
            |server| (server.port(), server.handle()),
            api::Server::run,
        )
    }

    pub fn web(listener: TcpListener, settings: Settings) -> Self {
        Self::start(
            move || web::Server::from_listener(listener, &settings).expect("web"),
            |server| (server.port(), server.handle()),
            web::Server::run,
        )
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// Stops it now, and waits until it has stopped.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            drop(self.handle.stop(false));
            thread.join().expect("the server thread ends well");
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The three servers, configured for each other.
pub struct TestSystem {
    pub idp: TestServer,
    pub api: TestServer,
    pub web: TestServer,
    pub settings: Settings,
    pub folder: TempDir,
}

impl TestSystem {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// Starts it with settings changed by `change`, which sees the real ports.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [idp, api, web] = [(); 3].map(|()| serve::listen("127.0.0.1", 0).expect("a free port"));
        let mut settings = settings_for(folder.path(), &idp, &api, &web);
        change(&mut settings);
        Self {
            idp: TestServer::idp(idp, settings.clone()),
            api: TestServer::api(api, settings.clone()),
            web: TestServer::web(web, settings.clone()),
            settings,
            folder,
        }
    }
}

/// Settings of a system on these sockets whose files are in `folder`, certificate included.
pub fn settings_for(folder: &Path, idp: &TcpListener, api: &TcpListener, web: &TcpListener) -> Settings {
    let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
    let url = |port: u16| Url::parse(&format!("http://localhost:{port}")).expect("a URL");
    let (cert, combined) = client_certificate();
    fs::write(folder.join("client-cert.pem"), cert).expect("written");
    file(folder, "client.pem", &[combined.as_bytes()]);

    let mut settings = Settings::default();
    settings.server.environment = Environment::Development;
    settings.server.workers = 2;
    settings.entra.tenant_id = DEV_TENANT_ID.to_owned();
    settings.entra.authority_host = Some(url(port(idp)));
    settings.client.port = port(web);
    settings.client.client_id = DEV_CLIENT_ID.to_owned();
    settings.client.certificate.path = Some(folder.join("client.pem"));
    settings.client.api_scope = format!("api://{DEV_API_ID}/access_as_user");
    settings.client.api_base_url = url(port(api));
    settings.client.cookie_keys = vec![SecretString::from(
        "a cookie key for tests only, 64 characters long, not a real one!",
    )];
    settings.api.port = port(api);
    settings.api.app_id_uri = format!("api://{DEV_API_ID}");
    settings.api.client_id = Some(DEV_API_ID.to_owned());
    settings.database.url = folder.join("blog.db").display().to_string();
    settings.idp.port = port(idp);
    settings.idp.strict = true;
    settings.idp.state_dir = folder.to_owned();
    for app in &mut settings.idp.apps {
        if app.client_id == DEV_CLIENT_ID {
            app.certificates = vec![folder.join("client-cert.pem")];
            app.redirect_uris = vec![format!("http://localhost:{}/callback", port(web))];
            app.post_logout_redirect_uris = vec![format!("http://localhost:{}/", port(web))];
        }
    }
    settings
}

/// PEM of a certificate, and PEM of the certificate with its key. Made once per test run, because an RSA key takes a while.
pub fn client_certificate() -> &'static (String, String) {
    static MADE: OnceLock<(String, String)> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let to = Destination {
            folder: folder.path().to_owned(),
            name: "client".to_owned(),
            ..Default::default()
        };
        let files = NewCertificate {
            subject: Subject::with_common_name("blogctl tests"),
            days: 90,
            bits: 2048,
        }
        .write(&to)
        .expect("a certificate");
        let read = |path| fs::read_to_string(path).expect("just written");
        (read(files.certificate), read(files.combined))
    })
}
