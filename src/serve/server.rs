//! The HTTP server that all servers of blogctl are: actix's, around connections of our own.

use std::{
    fmt,
    future::Future,
    io,
    net::{IpAddr, SocketAddr, TcpListener},
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
    dev::{AppConfig, Server, ServerHandle},
    rt::time::timeout,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::{
    connection::{Connection, Socket, bound_send_buffers, prepare_socket},
    gate::GateFactory,
    registry::{Limits, Registry},
};
use crate::config::ServerSettings;

/// How long an idle connection is kept: longer than load balancers usually do, so that they end it, not we under them.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to end its side.
const DISCONNECT: Duration = Duration::from_secs(5);

/// What a server is to be.
pub struct Options<'s> {
    /// What the log calls it.
    pub name: &'static str,
    /// How many threads serve requests.
    pub workers: usize,
    /// Limits of all kinds.
    pub settings: &'s ServerSettings,
    /// HTTPS; plain HTTP without it.
    pub tls: Option<Arc<ServerConfig>>,
}

/// A server that listens.
pub struct Listening {
    /// Runs it.
    pub server: Server,
    /// Stops it.
    pub stopper: Stopper,
}

/// Stops a server: at once, or so that nobody notices.
#[derive(Clone)]
pub struct Stopper {
    /// Of the server itself.
    pub handle: ServerHandle,
    registry: Arc<Registry>,
}

impl Stopper {
    /// From now on readiness is 503, and every response ends its connection. New connections are still accepted.
    pub fn begin_drain(&self) {
        self.registry.begin_drain();
    }

    /// Ends connections without a request.
    pub fn end_idle(&self) {
        self.registry.end_idle();
    }

    /// How many connections there are.
    pub fn open_connections(&self) -> usize {
        self.registry.open()
    }
}

/// Prepares a server on this socket; nothing is served before it runs. `app` makes the application for each worker.
///
/// # Errors
/// When the socket or a thread cannot be had.
pub fn listen<F, I, S, B>(listener: TcpListener, options: &Options<'_>, app: F) -> io::Result<Listening>
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
    let limits = Limits::new(settings);
    if limits.connections() < settings.max_connections {
        log::warn!(
            "{name}: the limit of open files lets in {} connections at once, not server.max_connections = {}; raise the hard \
             limit (ulimit -Hn, LimitNOFILE=)",
            limits.connections(),
            settings.max_connections
        );
    }
    log::info!(
        "{name}: up to {} connections at once, on {workers} threads",
        limits.connections()
    );
    bound_send_buffers(&listener);
    let address = listener.local_addr()?;
    let per_worker = limits.per_worker(workers);
    let registry = Registry::start(settings, limits)?;
    let (head_timeout, send_timeout) = (settings.head_timeout, settings.send_timeout);
    let tls = tls.clone().map(TlsAcceptor::from);
    let accepting = Arc::clone(&registry);
    let server = Server::build()
        .workers(workers)
        .max_concurrent_connections(per_worker)
        .shutdown_timeout(settings.shutdown_timeout.as_secs())
        .disable_signals()
        .listen(name, listener, move || {
            let app = app().into_factory().map_err(|error| error.into().error_response());
            let app = map_config(app.map(Into::<Response<B>>::into), |()| AppConfig::default());
            let http = HttpService::build()
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(head_timeout)
                .client_disconnect_timeout(DISCONNECT)
                .local_addr(address)
                .on_connect_ext(|connection: &Connection, data| {
                    data.insert(connection.local());
                })
                .h1(GateFactory(app));
            let acceptor = Acceptor {
                registry: Arc::clone(&accepting),
                tls: tls.clone(),
                head_timeout,
                send_timeout,
            };
            ServingFactory { http, acceptor }
        })?
        .run();
    let stopper = Stopper {
        handle: server.handle(),
        registry,
    };
    Ok(Listening { server, stopper })
}

/// Makes connections of sockets.
#[derive(Clone)]
struct Acceptor {
    registry: Arc<Registry>,
    tls: Option<TlsAcceptor>,
    head_timeout: Duration,
    send_timeout: Duration,
}

impl Acceptor {
    /// `None` when there is no place for it, or its client does not speak TLS.
    async fn accept(&self, stream: TcpStream) -> Option<Accepted> {
        // Without an address, the client is gone.
        let peer = stream.peer_addr().ok()?;
        let place = self.registry.admit(peer.ip())?;
        prepare_socket(&stream, self.send_timeout).ok()?;
        let socket = match &self.tls {
            None => Socket::Plain(stream),
            Some(tls) => {
                let accepted = timeout(self.head_timeout, tls.accept(stream)).await.ok()?;
                Socket::Tls(Box::new(accepted.inspect_err(|error| refused(peer.ip(), error)).ok()?))
            }
        };
        Some((Connection::new(socket, place, Some(peer.ip())), Some(peer)))
    }
}

type Accepted = (Connection, Option<SocketAddr>);

/// Makes a [`Serving`] for each worker.
struct ServingFactory<H> {
    http: H,
    acceptor: Acceptor,
}

impl<H> ServiceFactory<TcpStream> for ServingFactory<H>
where
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

impl<H> Service<TcpStream> for Serving<H>
where
    H: Service<Accepted, Response = (), Error = DispatchError> + 'static,
    H::Future: 'static,
{
    type Response = ();
    type Error = ();
    type Future = Pin<Box<dyn Future<Output = Result<(), ()>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.http.poll_ready(context).map_err(|_| ())
    }

    fn call(&self, stream: TcpStream) -> Self::Future {
        let (http, acceptor) = (Rc::clone(&self.http), self.acceptor.clone());
        Box::pin(async move {
            if let Some(accepted) = acceptor.accept(stream).await {
                let peer = accepted.1;
                if let Err(error) = http.call(accepted).await {
                    ended(peer.map(|peer| peer.ip()), &error);
                }
            }
            Ok(())
        })
    }
}

/// Why a connection ended other than by its end. What a client does wrong is no error of ours.
fn ended(peer: Option<IpAddr>, error: &DispatchError) {
    let client = peer.map(|peer| peer.to_string()).unwrap_or_default();
    let client = client.as_str();
    match error {
        DispatchError::Parse(error) => {
            log::info!(target: "blogctl::access", client = client; "malformed request refused: {error}");
        }
        DispatchError::Io(_) | DispatchError::SlowRequestTimeout | DispatchError::DisconnectTimeout => {
            log::debug!(target: "blogctl::access", client = client; "connection ended: {error}");
        }
        error => log::error!(client = client; "connection ended: {error}"),
    }
}

fn refused(peer: IpAddr, error: &io::Error) {
    let client = peer.to_string();
    log::info!(target: "blogctl::access", client = client.as_str(); "no TLS: {error}");
}
