//! A proxy in front of PostgreSQL that reads what clients send: it counts round trips, and loses a connection at a chosen
//! statement.
//!
//! ```ignore
//! let proxy = PostgresProxy::to(port);
//! let (before, answer) = (proxy.round_trips(), api.get("/v1/posts/1"));
//! assert_eq!(proxy.round_trips() - before, 1);
//! proxy.lose_connection(Loss::AfterStatement, "COMMIT");        // the server commits, and the client does not learn it
//! ```

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use blogctl::config::DatabaseSettings;

/// A running proxy, stopped when dropped.
pub struct PostgresProxy {
    port: u16,
    state: Arc<State>,
}

/// When a connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Before the server gets the statement.
    BeforeStatement,
    /// After the server has executed it, and before the client gets the result.
    AfterStatement,
}

#[derive(Default)]
struct State {
    round_trips: AtomicUsize,
    statements: Mutex<Vec<String>>,
    /// The losses to come: when, at a statement with which text, and how often.
    losses: Mutex<Vec<(Loss, String)>>,
    /// The notices of the server.
    notices: Mutex<Vec<String>>,
    is_ended: AtomicBool,
}

/// `SSLRequest` and `GSSENCRequest`, after which the client sends another first message.
const ENCRYPTION_REQUESTS: [u32; 2] = [80_877_103, 80_877_104];

impl PostgresProxy {
    /// Starts a proxy to a port on this machine.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.is_ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                pass_both_ways(client, server, &shared);
            }
        });
        Self { port, state }
    }

    /// The proxy in front of the server of `settings`, and the same settings through it.
    pub fn before(settings: &DatabaseSettings) -> (Self, DatabaseSettings) {
        let mut url = url::Url::parse(&settings.url).expect("a URL");
        let proxy = Self::to(url.port().expect("a port"));
        url.set_port(Some(proxy.port)).expect("a port");
        let settings = DatabaseSettings {
            url: url.into(),
            ..settings.clone()
        };
        (proxy, settings)
    }

    /// How often a client has waited for the server so far, connecting apart.
    pub fn round_trips(&self) -> usize {
        self.state.round_trips.load(Ordering::SeqCst)
    }

    /// The statements since the last call.
    pub fn take_statements(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.statements.lock().expect("not poisoned"))
    }

    /// The server's notices since the last call, such as plans of `auto_explain`.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut *self.state.notices.lock().expect("not poisoned"))
    }

    /// Loses the connection on which the next statement comes that contains `text`. Several losses add up.
    pub fn lose_connection(&self, loss: Loss, text: &str) {
        let mut losses = self.state.losses.lock().expect("not poisoned");
        losses.push((loss, text.to_owned()));
    }

    /// Losses that have not happened yet.
    pub fn pending_losses(&self) -> usize {
        self.state.losses.lock().expect("not poisoned").len()
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        self.state.is_ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn pass_both_ways(client: TcpStream, server: TcpStream, state: &Arc<State>) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (client_too, server_too) = (client.try_clone().expect("a socket"), server.try_clone().expect("one"));
    let is_lost = Arc::new(AtomicBool::new(false));
    let (state, lost, noticed) = (Arc::clone(state), Arc::clone(&is_lost), Arc::clone(state));
    thread::spawn(move || {
        let mut requests = Requests {
            server,
            state,
            is_lost: lost,
            has_started: false,
            prepared: HashMap::new(),
            current: String::new(),
        };
        requests.pass(&client);
        close(&client, &requests.server);
    });
    thread::spawn(move || {
        let (mut from, mut to) = (&server_too, &client_too);
        let (mut buffer, mut unread, mut has_begun) = (vec![0; 64 * 1024], Vec::new(), false);
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let read = buffer.get(..read).unwrap_or_default();
            unread.extend_from_slice(read);
            note_notices(&mut unread, &mut has_begun, &noticed);
            if is_lost.load(Ordering::SeqCst) || to.write_all(read).is_err() {
                break;
            }
        }
        close(&client_too, &server_too);
    });
}

fn close(client: &TcpStream, server: &TcpStream) {
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// What one client sends.
struct Requests {
    server: TcpStream,
    state: Arc<State>,
    /// The server's next response is lost.
    is_lost: Arc<AtomicBool>,
    has_started: bool,
    /// The texts of prepared statements, by name.
    prepared: HashMap<String, String>,
    /// The text of the statement that is to be executed.
    current: String,
}

impl Requests {
    /// Passes on one message after the other, until either side ends or the connection is lost.
    fn pass(&mut self, mut client: &TcpStream) {
        let (mut received, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            received.extend_from_slice(buffer.get(..read).unwrap_or_default());
            while let Some(length) = self.message_length(&received) {
                let message: Vec<u8> = received.drain(..length).collect();
                if !self.handle(&message) {
                    return;
                }
            }
        }
    }

    /// The length of the first message, if all of it has arrived.
    fn message_length(&self, received: &[u8]) -> Option<usize> {
        let before = usize::from(self.has_started);
        let length = u32::from_be_bytes(received.get(before..before + 4)?.try_into().ok()?);
        let length = before + usize::try_from(length).ok()?;
        (received.len() >= length).then_some(length)
    }

    /// Passes on a message, unless the connection is lost before it.
    fn handle(&mut self, message: &[u8]) -> bool {
        if !self.has_started {
            let code = message
                .get(4..8)
                .and_then(|code| code.try_into().ok())
                .map(u32::from_be_bytes);
            self.has_started = !code.is_some_and(|code| ENCRYPTION_REQUESTS.contains(&code));
            return self.server.write_all(message).is_ok();
        }
        let text = |number: usize| {
            let body = message.get(5..).unwrap_or_default();
            let text = body.split(|byte| *byte == 0).nth(number).unwrap_or_default();
            String::from_utf8_lossy(text).into_owned()
        };
        let may_pass = match message.first() {
            // Query
            Some(b'Q') => {
                self.current = text(0);
                self.count()
            }
            // Parse: name and text
            Some(b'P') => {
                self.current.clear();
                self.prepared.insert(text(0), text(1));
                true
            }
            // Bind: portal and name
            Some(b'B') => {
                self.current = self.prepared.get(&text(1)).cloned().unwrap_or_default();
                true
            }
            // Sync
            Some(b'S') => self.count(),
            _ => true,
        };
        may_pass && self.server.write_all(message).is_ok()
    }

    /// Counts a round trip; whether it reaches the server.
    fn count(&self) -> bool {
        self.state.round_trips.fetch_add(1, Ordering::SeqCst);
        self.state
            .statements
            .lock()
            .expect("not poisoned")
            .push(self.current.clone());
        let mut losses = self.state.losses.lock().expect("not poisoned");
        let Some(at) = losses.iter().position(|(_, text)| contains_words(&self.current, text)) else {
            return true;
        };
        match losses.remove(at).0 {
            Loss::BeforeStatement => false,
            Loss::AfterStatement => {
                self.is_lost.store(true, Ordering::SeqCst);
                true
            }
        }
    }
}

/// Records the notices among the server's messages, and drops the messages that are complete.
fn note_notices(unread: &mut Vec<u8>, has_begun: &mut bool, state: &State) {
    // The response to a request for encryption is one byte without a length.
    if !*has_begun && unread.first().is_some_and(|first| matches!(first, b'N' | b'S')) {
        unread.remove(0);
    }
    while let Some(length) = unread
        .get(1..5)
        .and_then(|length| length.try_into().ok())
        .map(u32::from_be_bytes)
    {
        let length = 1 + length as usize;
        if unread.len() < length {
            return;
        }
        *has_begun = true;
        let message: Vec<u8> = unread.drain(..length).collect();
        if let Some((b'N', body)) = message.split_first() {
            let text = String::from_utf8_lossy(body).into_owned();
            state.notices.lock().expect("not poisoned").push(text);
        }
    }
}

/// Whether a statement contains these words: `READ COMMITTED` does not contain `COMMIT`.
fn contains_words(statement: &str, words: &str) -> bool {
    let is_end = |at: usize| !statement.as_bytes().get(at).is_some_and(u8::is_ascii_alphanumeric);
    statement
        .match_indices(words)
        .any(|(at, words)| is_end(at + words.len()))
}
