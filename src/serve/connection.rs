//! A connection as the web server sees it: the socket, and what this program makes sure of around it. It hands on what comes
//! as [`framing`](super::framing) allows, counts it, follows the orders of the [`registry`](super::registry), and notices when the
//! client takes nothing.

use std::{
    cell::{Cell, RefCell},
    io,
    net::IpAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::{
    byte_budget::Charge,
    framing::{Framing, Scanner},
    registry::{Order, Place},
};

/// What invites a client that sent `Expect: 100-continue` to send the body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Up to here an unfinished head counts for nothing: it is what most requests are.
const FREE_HEAD_BYTES: usize = 8 * 1024;
/// Most bytes of a body that are received before a handler takes them.
const AHEAD: usize = 64 * 1024;

/// The socket, with TLS or without.
pub enum Socket {
    /// HTTP
    Plain(TcpStream),
    /// HTTPS
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// What a connection shares with the requests that come over it, on the same thread.
pub struct Local {
    /// The other end.
    pub peer: Option<IpAddr>,
    /// Its place among the others.
    pub place: Place,
    /// What follows the head that the scanner has seen, from the request that it became.
    framing: Cell<Option<Framing>>,
    /// Whom to wake when reading can go on.
    parked: RefCell<Option<Waker>>,
    /// What the body under way has taken of the budget; none when no body is under way.
    body: RefCell<Option<Charge>>,
    /// Whether a handler still may read the body under way.
    is_body_wanted: Cell<bool>,
    /// Bytes of it that were received and not yet taken.
    ahead: Cell<usize>,
    /// Whether any of it was received.
    has_body_begun: Cell<bool>,
    /// Whether it was too much.
    is_refused: Cell<bool>,
    /// Whether the client waits to be invited to send it.
    is_invitation_due: Cell<bool>,
}

impl Local {
    fn new(place: Place, peer: Option<IpAddr>) -> Rc<Self> {
        Rc::new(Self {
            peer,
            place,
            framing: Cell::new(None),
            parked: RefCell::new(None),
            body: RefCell::new(None),
            is_body_wanted: Cell::new(false),
            ahead: Cell::new(0),
            has_body_begun: Cell::new(false),
            is_refused: Cell::new(false),
            is_invitation_due: Cell::new(false),
        })
    }

    /// The head has become a request, and this is what follows it. `body` pays for it.
    pub fn begin_request(&self, framing: Framing, body: Option<Charge>) {
        self.place.shared.begin_request();
        self.is_refused.set(false);
        self.has_body_begun.set(false);
        self.ahead.set(0);
        self.is_body_wanted.set(body.is_some());
        *self.body.borrow_mut() = body;
        self.framing.set(Some(framing));
        self.unpark();
    }

    /// The response is there: nothing of the body matters any more.
    pub fn end_body(&self) {
        self.is_body_wanted.set(false);
        *self.body.borrow_mut() = None;
        self.unpark();
    }

    /// A handler has taken all that there is of the body: what still counts as received was the framing of chunks.
    pub fn take_all_of_body(&self) {
        self.take_body(usize::MAX);
    }

    /// A handler takes bytes of the body.
    pub fn take_body(&self, bytes: usize) {
        self.ahead.set(self.ahead.get().saturating_sub(bytes));
        if self.ahead.get() < AHEAD {
            self.unpark();
        }
    }

    /// A handler wants the body, for which the client waits to be asked.
    pub fn invite_body(&self) {
        if !self.has_body_begun.get() {
            self.is_invitation_due.set(true);
        }
    }

    /// Whether the body under way was more than there is room for.
    pub fn is_refused(&self) -> bool {
        self.is_refused.get()
    }

    fn unpark(&self) {
        if let Some(waker) = self.parked.borrow_mut().take() {
            waker.wake();
        }
    }

    fn park(&self, context: &Context<'_>) {
        *self.parked.borrow_mut() = Some(context.waker().clone());
    }

    /// Nobody reads the body under way any more.
    pub fn stop_wanting_body(&self) {
        self.is_body_wanted.set(false);
        self.unpark();
    }

    /// Counts bytes of the body. When there is no room for them, the handler's next read fails.
    fn receive(&self, bytes: usize) {
        self.has_body_begun.set(true);
        let mut body = self.body.borrow_mut();
        let Some(charge) = body.as_mut() else { return };
        self.ahead.set(self.ahead.get().saturating_add(bytes));
        if self.is_body_wanted.get() && !charge.add(bytes) {
            self.is_refused.set(true);
        }
    }
}

/// See the module.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about the connection"
)]
pub struct Connection {
    socket: Socket,
    local: Rc<Local>,
    scanner: Scanner,
    /// What came and may not be handed on yet.
    held: BytesMut,
    /// What an unfinished head of unusual length has taken of the budget, and how much of it is counted.
    head: Option<(Charge, usize)>,
    /// Whether a head has begun and not ended.
    is_in_head: bool,
    /// Whether the client has not taken all that was to be sent.
    is_stalled: bool,
    /// Whether it had not at some time of the response under way.
    is_measured: bool,
    /// Whether reading waits until it has.
    is_reading_put_off: bool,
    /// How much of [`CONTINUE`] is sent.
    invited: usize,
}

impl Connection {
    /// A connection that has received nothing yet.
    pub fn new(socket: Socket, place: Place, peer: Option<IpAddr>) -> Self {
        Self {
            socket,
            local: Local::new(place, peer),
            held: BytesMut::new(),
            head: None,
            is_in_head: false,
            scanner: Scanner::new(),
            is_stalled: false,
            is_measured: false,
            is_reading_put_off: false,
            invited: 0,
        }
    }

    /// What requests find of it.
    pub fn local(&self) -> Rc<Local> {
        Rc::clone(&self.local)
    }

    /// Whether ending it would lose nothing. Also in a body whose request has been answered: nobody needs the rest of it.
    fn is_idle(&self) -> bool {
        let is_between = self.scanner.is_between_requests() && self.held.is_empty();
        (is_between || self.scanner.is_in_body()) && !self.local.place.shared.is_active()
    }

    /// The error that ends it at once, when that is the order. Nothing of it stays with the system either.
    fn aborted(&self) -> Option<io::Error> {
        (self.local.place.shared.order() == Order::Abort).then(|| {
            // Failing that, the system tries for a while to send what is left.
            let _ = sockopt::set_socket_linger(self.socket.tcp(), Some(Duration::ZERO));
            io::Error::from(io::ErrorKind::ConnectionAborted)
        })
    }

    /// How much of `bytes` the parser may have now.
    fn scan(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let was_in_body = self.scanner.is_in_body();
        let taken = self.scanner.scan(bytes);
        if was_in_body {
            self.local.receive(taken);
        }
        let is_in_head = self.scanner.head_bytes() > 0;
        if is_in_head != self.is_in_head {
            self.is_in_head = is_in_head;
            let place = &self.local.place;
            if is_in_head {
                place.shared.begin_head(place.registry.now())
            } else {
                place.shared.end_head()
            }
        }
        self.count_head()?;
        Ok(taken)
    }

    fn count_head(&mut self) -> io::Result<()> {
        let bytes = self.scanner.head_bytes();
        if bytes <= FREE_HEAD_BYTES {
            self.head = None;
            return Ok(());
        }
        let place = &self.local.place;
        let (charge, counted) = self
            .head
            .get_or_insert_with(|| (place.registry.received.charge(place.shared.source()), 0));
        let more = bytes.saturating_sub(*counted);
        *counted = bytes;
        if charge.add(more) {
            Ok(())
        } else {
            Err(io::ErrorKind::QuotaExceeded.into())
        }
    }

    /// The client takes nothing.
    fn stall(&mut self, context: &Context<'_>) {
        let place = &self.local.place;
        (self.is_stalled, self.is_measured) = (true, true);
        place.shared.stall(place.registry.now());
        place.shared.wake_for_orders(context.waker());
    }

    /// What is held, as far as it may be handed on.
    fn read_held(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
        let mut held = self.held.split_to(self.held.len().min(buffer.remaining()));
        let taken = self.scan(&mut held)?;
        buffer.put_slice(held.get(..taken).unwrap_or_default());
        held.advance(taken);
        held.unsplit(std::mem::take(&mut self.held));
        self.held = held;
        Ok(taken)
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.aborted() {
            return Poll::Ready(Err(error));
        }
        // Whoever goes on sending a body that nobody reads is not waited for.
        let is_told_to_end = this.local.place.shared.order() != Order::Serve;
        if is_told_to_end && this.scanner.is_in_body() && this.is_idle() {
            return Poll::Ready(Ok(()));
        }
        if this.scanner.is_waiting()
            && let Some(framing) = this.local.framing.take()
        {
            this.scanner.follow(framing);
        }
        let is_too_far_ahead = this.local.is_body_wanted.get() && this.local.ahead.get() >= AHEAD;
        if this.local.is_refused() && this.local.is_body_wanted.get() || is_too_far_ahead {
            this.local.park(context);
            return Poll::Pending;
        }
        // A client that takes no responses may not ask for more.
        if this.is_stalled && this.scanner.is_between_requests() {
            this.is_reading_put_off = true;
            this.local.place.shared.wake_for_orders(context.waker());
            return Poll::Pending;
        }
        if !this.held.is_empty() {
            let taken = if this.scanner.is_waiting() {
                0
            } else {
                this.read_held(buffer)?
            };
            if taken > 0 {
                return Poll::Ready(Ok(()));
            }
            this.local.park(context);
            return Poll::Pending;
        }
        let start = buffer.filled().len();
        let polled = match &mut this.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        match polled {
            Poll::Pending => {
                this.local.place.shared.wake_for_orders(context.waker());
                let ends = match this.local.place.shared.order() {
                    Order::Serve => false,
                    // It came after the look at the beginning, when there was no task to wake yet.
                    Order::Abort => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                    Order::EndWhenIdle => this.is_idle(),
                    Order::EndHead => !this.local.place.shared.is_active() && !this.scanner.is_in_body(),
                };
                // As if the client had ended it.
                return if ends { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {}
        }
        let Some(new) = buffer.filled_mut().get_mut(start..).filter(|new| !new.is_empty()) else {
            return Poll::Ready(Ok(()));
        };
        let taken = if this.scanner.is_waiting() { 0 } else { this.scan(new)? };
        if let Some(rest) = new.get(taken..).filter(|rest| !rest.is_empty()) {
            this.held.extend_from_slice(rest);
            buffer.set_filled(start + taken);
        }
        if taken == 0 {
            this.local.park(context);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(error) = this.aborted() {
            return Poll::Ready(Err(error));
        }
        let polled = match &mut this.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        match &polled {
            Poll::Pending => this.stall(context),
            Poll::Ready(Ok(bytes)) if this.is_measured => this.local.place.shared.take(*bytes),
            Poll::Ready(_) => {}
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.aborted() {
            return Poll::Ready(Err(error));
        }
        while this.local.is_invitation_due.get() {
            let rest = CONTINUE.get(this.invited..).unwrap_or_default();
            let written = match &mut this.socket {
                Socket::Plain(stream) => Pin::new(stream).poll_write(context, rest),
                Socket::Tls(stream) => Pin::new(stream).poll_write(context, rest),
            };
            let Poll::Ready(written) = written else {
                return Poll::Pending;
            };
            this.invited += written?;
            if this.invited >= CONTINUE.len() {
                this.invited = 0;
                this.local.is_invitation_due.set(false);
            }
        }
        let polled = match &mut this.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(context),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(context),
        };
        if polled.is_pending() {
            this.stall(context);
            return polled;
        }
        // The web server flushes when all that it has was written.
        this.is_stalled = false;
        if this.is_measured && !this.local.place.shared.is_active() {
            this.is_measured = false;
            this.local.place.shared.flow();
        }
        if std::mem::take(&mut this.is_reading_put_off) {
            context.waker().wake_by_ref();
        }
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(error) = this.aborted() {
            return Poll::Ready(Err(error));
        }
        match &mut this.socket {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.local.end_body();
    }
}

/// Sets what every accepted socket has: what is written is sent at once, and the system, too, gives up on a client that takes
/// nothing.
///
/// # Errors
/// When the socket is none any more.
pub fn prepare_socket(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    // Otherwise the second packet of a response waits for the client to acknowledge the first, which takes it 40 ms.
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(stream, u32::try_from(patience.as_millis()).unwrap_or(u32::MAX))?;
    #[cfg(not(target_os = "linux"))]
    let _ = patience;
    Ok(())
}

/// Makes a listening socket's connections hold little of what their clients do not take, in the system as well: Linux would
/// go up to 4 MiB for each.
pub fn bound_send_buffers(listener: &std::net::TcpListener) {
    const SEND_BUFFER: usize = 128 * 1024;
    if let Err(error) = sockopt::set_socket_send_buffer_size(listener, SEND_BUFFER) {
        log::warn!("the size of send buffers stays as it is: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn what_is_written_is_sent_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("a connection");
        assert!(!stream.nodelay().expect("an option"), "the system's default");
        prepare_socket(&stream, Duration::from_secs(30)).expect("a socket");
        assert!(stream.nodelay().expect("an option"));
        drop(client);
    }
}
