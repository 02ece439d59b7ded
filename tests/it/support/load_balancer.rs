//! A load balancer for HTTP/1.1 that takes turns between replicas, request by request.
//!
//! It does what real ones do, and no more. It asks each replica for `/health/ready` all the time, and sends requests only to
//! those that are ready. It keeps connections to the replicas open. If it cannot connect to a replica, it takes the next one;
//! nothing has been sent then. If a replica dies with a request, the client gets 502, except that a `GET` is repeated once;
//! both are counted.
//!
//! ```ignore
//! let balancer = LoadBalancer::start();
//! let [first, second] = [balancer.add(), balancer.add()];
//! first.set_port(port);                                          // requests arrive once it is ready
//! ```

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;

/// Time between two probes of a replica.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(200);
/// Failed probes after which a replica gets no more requests.
pub const PROBE_FAILURES: usize = 2;
/// Longest wait for a probe's answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a replica's response.
const RESPONSE_TIMEOUT: Duration = Duration::from_mins(1);
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// What the visitor sees while no replica answers.
const BAD_GATEWAY: &str = "<!doctype html><title>502</title><h1 id=\"bad-gateway\">The site restarts. Try again.</h1>";

/// A running load balancer, stopped when dropped.
pub struct LoadBalancer {
    pub port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    replicas: Mutex<Vec<Arc<Backend>>>,
    turn: AtomicUsize,
    is_ended: AtomicBool,
    bad_gateways: AtomicUsize,
    repeated: AtomicUsize,
}

/// One replica, whose port changes when it restarts.
#[derive(Default)]
pub struct Backend {
    port: AtomicU16,
    is_ready: AtomicBool,
    failed_probes: AtomicUsize,
    served: AtomicUsize,
    idle: Mutex<Vec<TcpStream>>,
}

/// A request or a response.
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
    closes: bool,
}

/// Why a replica gave no response.
enum Failure {
    NotSent,
    Sent,
}

impl LoadBalancer {
    /// Listens on a free port; without replicas, it answers 502.
    pub fn start() -> (TcpListener, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::<State>::default();
        let (own, shared) = (listener.try_clone().expect("a socket"), Arc::clone(&state));
        thread::spawn(move || {
            for client in own.incoming().map_while(Result::ok) {
                if shared.is_ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.serve(client));
            }
        });
        (listener, Self { port, state })
    }

    /// Adds a replica, which gets requests once its port is set and it is ready.
    pub fn add(&self) -> Arc<Backend> {
        let backend = Arc::<Backend>::default();
        self.state.replicas.lock().push(Arc::clone(&backend));
        let (state, probed) = (Arc::clone(&self.state), Arc::clone(&backend));
        thread::spawn(move || {
            while !state.is_ended.load(Ordering::SeqCst) {
                probed.probe();
                thread::sleep(PROBE_INTERVAL);
            }
        });
        backend
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// Requests that no replica answered.
    pub fn bad_gateways(&self) -> usize {
        self.state.bad_gateways.load(Ordering::SeqCst)
    }

    /// Requests that were repeated after a replica had possibly received them.
    pub fn repeated(&self) -> usize {
        self.state.repeated.load(Ordering::SeqCst)
    }
}

impl Drop for LoadBalancer {
    fn drop(&mut self) {
        self.state.is_ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    /// Serves one client until it closes the connection.
    fn serve(&self, mut client: TcpStream) {
        let _ = client.set_nodelay(true);
        let _ = client.set_read_timeout(Some(RESPONSE_TIMEOUT));
        while let Ok(request) = Message::read(&mut client, false) {
            let written = if let Some(response) = self.forward(&request) {
                response.write_to(&mut client)
            } else {
                self.bad_gateways.fetch_add(1, Ordering::SeqCst);
                write!(
                    client,
                    "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nRetry-After: 1\r\nContent-Length: {}\r\n\r\n{BAD_GATEWAY}",
                    BAD_GATEWAY.len()
                )
            };
            if written.is_err() || request.closes {
                return;
            }
        }
    }

    fn forward(&self, request: &Message) -> Option<Message> {
        let replicas = self.replicas.lock().clone();
        let first = self.turn.fetch_add(1, Ordering::SeqCst);
        let is_safe = request.head.starts_with(b"GET ") || request.head.starts_with(b"HEAD ");
        let mut may_repeat = is_safe;
        for n in 0..replicas.len() {
            let replica = replicas.get((first + n) % replicas.len())?;
            if !replica.is_ready.load(Ordering::SeqCst) {
                continue;
            }
            match replica.send(request) {
                Ok(response) => return Some(response),
                Err(Failure::NotSent) => {}
                Err(Failure::Sent) if may_repeat => {
                    may_repeat = false;
                    self.repeated.fetch_add(1, Ordering::SeqCst);
                }
                Err(Failure::Sent) => return None,
            }
        }
        None
    }
}

impl Backend {
    /// The replica has started on this port.
    pub fn set_port(&self, port: u16) {
        self.idle.lock().clear();
        self.port.store(port, Ordering::SeqCst);
    }

    /// The port of the running replica; 0 before the first start.
    pub fn port(&self) -> u16 {
        self.port.load(Ordering::SeqCst)
    }

    /// Whether it gets requests.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::SeqCst)
    }

    /// Number of requests that it has answered.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    fn probe(&self) {
        let answer = || -> io::Result<bool> {
            let mut stream = self.connect()?;
            stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
            stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            Ok(Message::read(&mut stream, false)?.head.starts_with(b"HTTP/1.1 200"))
        };
        if answer().unwrap_or(false) {
            self.failed_probes.store(0, Ordering::SeqCst);
            self.is_ready.store(true, Ordering::SeqCst);
        } else if self.failed_probes.fetch_add(1, Ordering::SeqCst) + 1 >= PROBE_FAILURES {
            self.is_ready.store(false, Ordering::SeqCst);
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let port = self.port.load(Ordering::SeqCst);
        if port == 0 {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
        Ok(stream)
    }

    fn send(&self, request: &Message) -> Result<Message, Failure> {
        let reused = std::iter::from_fn(|| self.idle.lock().pop()).find(is_open);
        let mut stream = match reused {
            Some(stream) => stream,
            None => self.connect().map_err(|_| Failure::NotSent)?,
        };
        request.write_to(&mut stream).map_err(|_| Failure::Sent)?;
        let is_head = request.head.starts_with(b"HEAD ");
        let response = Message::read(&mut stream, is_head).map_err(|_| Failure::Sent)?;
        self.served.fetch_add(1, Ordering::SeqCst);
        if !response.closes {
            self.idle.lock().push(stream);
        }
        Ok(response)
    }
}

/// Whether the replica has neither closed the connection nor sent anything.
fn is_open(stream: &TcpStream) -> bool {
    let is_open = stream.set_nonblocking(true).is_ok()
        && stream
            .peek(&mut [0])
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    is_open && stream.set_nonblocking(false).is_ok()
}

impl Message {
    /// Reads one message. `has_no_body` holds for the response to `HEAD`.
    fn read(stream: &mut TcpStream, has_no_body: bool) -> io::Result<Self> {
        let mut head = Vec::new();
        let mut rest = Vec::new();
        let mut buffer = vec![0; 16 * 1024];
        while rest.is_empty() && !head.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut buffer)?;
            if count == 0 || head.len() > MAX_HEAD_BYTES {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            head.extend(&buffer[..count]);
            if let Some(end) = find(&head, b"\r\n\r\n") {
                rest = head.split_off(end + 4);
            }
        }
        let mut message = Self {
            head: Vec::new(),
            body: rest,
            closes: false,
        };
        let (mut length, mut is_chunked) = (None, false);
        // The connection is between two neighbours only.
        for line in head.split_inclusive(|&byte| byte == b'\n') {
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix(b"content-length:") {
                length = std::str::from_utf8(value)
                    .ok()
                    .and_then(|value| value.trim().parse::<usize>().ok());
            } else if lower.starts_with(b"transfer-encoding:") {
                is_chunked = true;
            } else if lower.starts_with(b"connection:") {
                message.closes |= find(&lower, b"close").is_some();
                continue;
            }
            message.head.extend(line);
        }
        let status = head.get(9..12).filter(|_| head.starts_with(b"HTTP/1.1 "));
        if has_no_body || status.is_some_and(|status| status == b"204" || status == b"304") {
            return Ok(message);
        }
        let is_request = status.is_none();
        let is_whole = |body: &[u8]| match length {
            _ if is_chunked => body.ends_with(b"0\r\n\r\n"),
            Some(length) => body.len() >= length,
            None => is_request,
        };
        while !is_whole(&message.body) {
            let count = stream.read(&mut buffer)?;
            message.body.extend(&buffer[..count]);
            if count == 0 && (length.is_some() || is_chunked) || message.body.len() > MAX_BODY_BYTES {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if count == 0 {
                message.closes = true;
                break;
            }
        }
        Ok(message)
    }

    fn write_to(&self, stream: &mut TcpStream) -> io::Result<()> {
        stream.write_all(&[&*self.head, &*self.body].concat())
    }
}

fn find(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes.windows(sought.len()).position(|window| window == sought)
}
