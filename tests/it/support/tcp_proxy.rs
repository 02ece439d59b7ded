//! A TCP proxy that can go silent: connections stay open, but no data pass, as when a firewall has dropped its state.
//!
//! ```ignore
//! let proxy = TcpProxy::to(port);
//! proxy.silence_open_connections();                             // new connections work
//! ```

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// A running proxy, stopped when dropped.
pub struct TcpProxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    target: AtomicU16,
    accepted: AtomicUsize,
    /// Connections with a smaller number are silent.
    silent_below: AtomicUsize,
    /// Connections with a smaller number are closed.
    cut_below: AtomicUsize,
    is_ended: AtomicBool,
}

impl TcpProxy {
    /// Starts a proxy to a port on this machine.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State {
            target: AtomicU16::new(target),
            ..State::default()
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if shared.is_ended.load(Ordering::SeqCst) {
                    return;
                }
                let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
                let Ok(client) = client else { continue };
                let Ok(server) = TcpStream::connect(("127.0.0.1", shared.target.load(Ordering::SeqCst))) else {
                    continue;
                };
                let (client_too, server_too) =
                    (client.try_clone().expect("a socket"), server.try_clone().expect("one"));
                let (there, back) = (Arc::clone(&shared), Arc::clone(&shared));
                thread::spawn(move || pass(client, server, number, &there));
                thread::spawn(move || pass(server_too, client_too, number, &back));
            }
        });
        Self { port, state }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Number of connections so far.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Makes all open connections silent; new ones work.
    pub fn silence_open_connections(&self) {
        self.state.silent_below.store(self.accepted(), Ordering::SeqCst);
    }

    /// Closes all open connections; new ones work.
    pub fn cut_open_connections(&self) {
        self.state.cut_below.store(self.accepted(), Ordering::SeqCst);
    }

    /// Makes all connections silent until [`Self::recover`].
    pub fn silence_all(&self) {
        self.state.silent_below.store(usize::MAX, Ordering::SeqCst);
    }

    /// New connections work again.
    pub fn recover(&self) {
        self.silence_open_connections();
    }

    /// New connections go to another port.
    pub fn redirect(&self, target: u16) {
        self.state.target.store(target, Ordering::SeqCst);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.state.is_ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Copies data until either side ends. A silent connection stays open, so that neither side notices.
fn pass(mut from: TcpStream, mut to: TcpStream, number: usize, state: &State) {
    let _ = from.set_nodelay(true);
    let _ = to.set_nodelay(true);
    from.set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a socket");
    let mut buffer = vec![0; 64 * 1024];
    while !state.is_ended.load(Ordering::SeqCst) && number >= state.cut_below.load(Ordering::SeqCst) {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => break,
        };
        while number < state.silent_below.load(Ordering::SeqCst) {
            if state.is_ended.load(Ordering::SeqCst) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
            if number < state.accepted.load(Ordering::SeqCst) && state.silent_below.load(Ordering::SeqCst) != usize::MAX
            {
                // A silent connection loses what was read, and does not pass on the end of one side.
                while !state.is_ended.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(50));
                }
                return;
            }
        }
        if to.write_all(buffer.get(..read).unwrap_or_default()).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
