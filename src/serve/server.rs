//! The HTTP server of all commands: actix's, with our own connections.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use actix_http::{HttpService, Request, Response, error::DispatchError};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, map_config};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{self, AppConfig, ServerHandle},
};
use tokio::net::{TcpStream, UnixStream};

use super::{
    connection::Connection,
    descriptors,
    gate::GateFactory,
    handshake,
    listen::{ListenAddress, Listener, Listeners},
    registry::{Limits, Registry},
    socket::{self, Socket},
    tls::Tls,
    unix_socket::SocketFile,
};
use crate::config::ServerSettings;

/// How long an idle connection stays open: longer than load balancers usually keep theirs, so that they close it first. A
/// request that crosses a close by the server would fail.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to close its side.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a server runs.
pub struct Options<'s> {
    /// Name in the log.
    pub name: &'static str,
    /// Number of threads that serve requests.
    pub workers: usize,
    /// Limits and timeouts.
    pub settings: &'s ServerSettings,
    /// HTTPS; plain HTTP without it. Unix sockets always have plain HTTP.
    pub tls: Option<Tls>,
}

/// A server that listens and is not running yet.
pub struct Server {
    http: dev::Server,
    registry: Arc<Registry>,
    addresses: Vec<ListenAddress>,
    /// Removed when the server has stopped.
    socket_files: Vec<SocketFile>,
}

/// Stops a server gracefully, from anywhere.
#[derive(Clone)]
pub struct ShutdownHandle {
    http: ServerHandle,
    registry: Arc<Registry>,
}

impl Server {
    /// Where it listens.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// The port that it listens on; 0 if it listens on Unix sockets only.
    pub fn port(&self) -> u16 {
        let port = |address: &ListenAddress| match address {
            ListenAddress::Tcp(address) => Some(address.port()),
            ListenAddress::Unix(_) => None,
        };
        self.addresses.iter().find_map(port).unwrap_or(0)
    }

    /// Stops it at once, or after the requests under way.
    pub fn handle(&self) -> ServerHandle {
        self.http.handle()
    }

    /// Stops it without failing any request.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle {
            http: self.http.handle(),
            registry: Arc::clone(&self.registry),
        }
    }

    /// Serves until stopped.
    ///
    /// # Errors
    /// When the sockets fail.
    pub async fn run(self) -> io::Result<()> {
        let served = self.http.await;
        drop(self.socket_files);
        served
    }
}

impl ShutdownHandle {
    /// From now on readiness is 503, and every response closes its connection. New connections are still accepted.
    pub fn begin_drain(&self) {
        self.registry.begin_drain();
    }

    /// Closes connections without a request.
    pub fn close_idle(&self) {
        self.registry.close_idle();
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.registry.open_connections()
    }

    /// Accepts nothing more, and ends once the requests under way have been answered.
    pub async fn stop(&self) {
        self.http.stop(true).await;
    }
}

/// Prepares a server on these sockets; it serves nothing before it runs. `app` makes the application for each worker.
///
/// # Errors
/// When a socket cannot be used, the system starts no thread, or this process may open too few files.
pub fn listen<F, I, S, B>(listeners: impl Into<Listeners>, options: &Options<'_>, app: F) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let &Options {
        name,
        workers,
        settings,
        ref tls,
    } = options;
    descriptors::check_limit()?;
    let limits = Limits::new(settings);
    if limits.connections() < settings.max_connections {
        log::warn!(
            "{name}: the limit of open files allows {} connections at once, not server.max_connections = {}; raise the hard \
             limit (ulimit -Hn, LimitNOFILE=)",
            limits.connections(),
            settings.max_connections
        );
    }
    log::info!(
        "{name}: up to {} connections at once, on {workers} threads",
        limits.connections()
    );
    let listeners = listeners.into().0;
    if listeners.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no socket to listen on"));
    }
    let addresses = listeners
        .iter()
        .map(Listener::address)
        .collect::<io::Result<Vec<_>>>()?;
    let per_worker = limits.per_worker(workers);
    let registry = Registry::start(role(name), settings, limits, tls.clone())?;
    let &ServerSettings {
        head_timeout,
        body_timeout,
        send_timeout,
        ..
    } = settings;
    let acceptor = Acceptor {
        registry: Arc::clone(&registry),
        head_timeout,
        send_timeout,
    };
    let serving = |address: ListenAddress| {
        let (app, acceptor) = (app.clone(), acceptor.clone());
        move || {
            let app = app().into_factory().map_err(|error| error.into().error_response());
            let app = map_config(app.map(Into::<Response<B>>::into), |()| AppConfig::default());
            let mut http = HttpService::build()
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(head_timeout)
                .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                .on_connect_ext(|connection: &Connection, data| {
                    data.insert(connection.data());
                });
            if let ListenAddress::Tcp(address) = address {
                http = http.local_addr(address);
            }
            let http = http.h1(GateFactory {
                application: app,
                body_timeout,
            });
            ServingFactory {
                http,
                acceptor: acceptor.clone(),
            }
        }
    };
    let mut http = dev::Server::build()
        .workers(workers)
        .max_concurrent_connections(per_worker)
        .shutdown_timeout(settings.shutdown_timeout.as_secs())
        .disable_signals();
    let mut socket_files = Vec::new();
    for (listener, address) in listeners.into_iter().zip(&addresses) {
        let factory = serving(address.clone());
        http = match listener {
            Listener::Tcp(socket) => {
                socket::bound_send_buffers(&socket);
                http.listen(name, socket, factory)?
            }
            Listener::Unix(socket, file) => {
                socket_files.extend(file);
                http.listen_uds(name, socket, factory)?
            }
        };
    }
    Ok(Server {
        http: http.run(),
        registry,
        addresses,
        socket_files,
    })
}

/// The role of a server with this name, as in `serve-api`.
fn role(name: &'static str) -> &'static str {
    name.strip_prefix("serve-").unwrap_or(name)
}

/// Turns sockets into connections.
#[derive(Clone)]
struct Acceptor {
    registry: Arc<Registry>,
    head_timeout: Duration,
    send_timeout: Duration,
}

/// A stream that a listening socket accepts.
trait Incoming: Sized + 'static {
    /// `None` when the server is full, or the client does not speak TLS.
    fn accept(self, acceptor: &Acceptor) -> impl Future<Output = Option<Accepted>>;
}

impl Incoming for TcpStream {
    async fn accept(self, acceptor: &Acceptor) -> Option<Accepted> {
        // Fails when the client has already disconnected.
        let peer = self.peer_addr().ok()?;
        let mut guard = acceptor.registry.admit(Some(peer.ip()))?;
        socket::set_options(&self, acceptor.send_timeout).ok()?;
        let registry = Arc::clone(&acceptor.registry);
        let socket = match registry.tls() {
            None => Socket::Plain(self),
            Some(tls) => {
                let accepted = handshake::accept(tls, self, Some(peer.ip()), &mut guard, acceptor.head_timeout);
                Socket::Tls(Box::new(accepted.await?))
            }
        };
        Some((Connection::new(socket, guard, Some(peer.ip())), Some(peer)))
    }
}

/// Never TLS: the file's mode decides who may connect, and the bytes do not leave this machine.
impl Incoming for UnixStream {
    async fn accept(self, acceptor: &Acceptor) -> Option<Accepted> {
        let guard = acceptor.registry.admit(None)?;
        socket::bound_send_buffers(&self);
        Some((Connection::new(Socket::Unix(self), guard, None), None))
    }
}

type Accepted = (Connection, Option<SocketAddr>);

/// Makes a [`Serving`] for each worker.
struct ServingFactory<H> {
    http: H,
    acceptor: Acceptor,
}

impl<H, T> ServiceFactory<T> for ServingFactory<H>
where
    T: Incoming,
    H: ServiceFactory<Accepted, Config = (), Response = (), Error = DispatchError>,
    H::Service: 'static,
    H::Future: 'static,
    <H::Service as Service<Accepted>>::Future: 'static,
{
    type Response = ();
    type Error = ();
    type Config = ();
    type Service = Serving<H::Service>;
    type InitError = H::InitError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Service, H::InitError>>>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (http, acceptor) = (self.http.new_service(()), self.acceptor.clone());
        Box::pin(async move {
            Ok(Serving {
                http: Rc::new(http.await?),
                acceptor,
            })
        })
    }
}

/// Serves sockets.
struct Serving<H> {
    http: Rc<H>,
    acceptor: Acceptor,
}

impl<H, T> Service<T> for Serving<H>
where
    T: Incoming,
    H: Service<Accepted, Response = (), Error = DispatchError> + 'static,
    H::Future: 'static,
{
    type Response = ();
    type Error = ();
    type Future = Pin<Box<dyn Future<Output = Result<(), ()>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.http.poll_ready(context).map_err(|_| ())
    }

    fn call(&self, stream: T) -> Self::Future {
        let (http, acceptor) = (Rc::clone(&self.http), self.acceptor.clone());
        Box::pin(async move {
            if let Some(accepted) = stream.accept(&acceptor).await {
                let peer = accepted.1;
                if let Err(error) = http.call(accepted).await {
                    log_dispatch_error(peer.map(|peer| peer.ip()), &error);
                }
            }
            Ok(())
        })
    }
}

/// Logs why a connection ended early. What a client does wrong is not an error of the server.
fn log_dispatch_error(peer: Option<IpAddr>, error: &DispatchError) {
    let client = peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
    let client = client.as_str();
    match error {
        DispatchError::Parse(error) => {
            log::info!(target: "blogctl::access", client = client; "malformed request rejected: {error}");
        }
        DispatchError::Io(_) | DispatchError::SlowRequestTimeout | DispatchError::DisconnectTimeout => {
            log::debug!(target: "blogctl::access", client = client; "connection ended: {error}");
        }
        error => log::error!(client = client; "connection ended: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        io::{Read as _, Write as _},
        net::{self, TcpListener},
    };

    use actix_web::{
        App, HttpResponse,
        dev::ServerHandle,
        middleware::from_fn,
        rt,
        web::{self, Bytes, Payload},
    };
    use futures_util::Stream as _;

    use super::*;
    use crate::serve::request_guard;

    /// Responds as soon as it has tried to read the body once.
    async fn respond_early(mut payload: Payload) -> HttpResponse {
        poll_fn(|context| {
            let _ = Pin::new(&mut payload).poll_next(context);
            Poll::Ready(())
        })
        .await;
        HttpResponse::Forbidden().finish()
    }

    async fn read_whole(_: Bytes) -> HttpResponse {
        HttpResponse::NoContent().finish()
    }

    fn start(settings: &ServerSettings) -> (u16, ServerHandle) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let options = Options {
            name: "test",
            workers: 1,
            settings,
            tls: None,
        };
        let server = listen(listener, &options, || {
            App::new()
                .wrap(from_fn(request_guard::check))
                .route("/early", web::post().to(respond_early))
                .route("/whole", web::post().to(read_whole))
        })
        .expect("a server");
        let (port, handle) = (server.port(), server.handle());
        rt::spawn(server.run());
        (port, handle)
    }

    /// Sends a request and reads until the response is complete, or the server closes the connection.
    async fn exchange(port: u16, request: String, is_complete: fn(&str) -> bool) -> String {
        web::block(move || {
            let mut stream = net::TcpStream::connect(("127.0.0.1", port)).expect("a connection");
            let timeout = Some(Duration::from_secs(25));
            stream.set_read_timeout(timeout).expect("a time limit");
            stream.write_all(request.as_bytes()).expect("sent");
            let (mut text, mut buffer) = (String::new(), [0; 1024]);
            while !is_complete(&text) {
                let read = stream.read(&mut buffer).expect("a response");
                if read == 0 {
                    break;
                }
                text.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
            }
            text
        })
        .await
        .expect("a thread")
    }

    fn post(path: &str, rest: &str) -> String {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{rest}")
    }

    #[actix_web::test]
    async fn every_server_limits_the_time_in_which_a_body_must_arrive() {
        let settings = ServerSettings {
            body_timeout: Duration::from_millis(50),
            ..ServerSettings::default()
        };
        let (port, handle) = start(&settings);
        for part in [
            "Content-Length: 100\r\n\r\npart",
            "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        ] {
            let response = exchange(port, post("/whole", part), |text| text.ends_with('}')).await;
            assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
            assert!(response.contains("\"error\":\"body_timeout\""), "{response}");
        }
        let whole = post("/whole", "Content-Length: 4\r\n\r\nbody");
        let response = exchange(port, whole, |text| text.ends_with("\r\n\r\n")).await;
        assert!(response.starts_with("HTTP/1.1 204 "), "{response}");
        handle.stop(false).await;
    }

    #[actix_web::test]
    async fn no_100_continue_follows_the_final_response() {
        let (port, handle) = start(&ServerSettings::default());
        let request = post("/early", "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n");
        let response = exchange(port, request, |_| false).await;
        assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
        assert!(!response.contains("100 Continue"), "{response}");
        handle.stop(false).await;
    }
}
