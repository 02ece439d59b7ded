//! A connection as the web server sees it. Around the socket it passes on received bytes as [`framing`](super::framing)
//! allows, counts them, closes when the [`registry`](super::registry) asks for it, and notices when the client stops reading.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    byte_budget::ByteReservation,
    connection_data::ConnectionData,
    framing::Scanner,
    registry::{CloseMode, ConnectionGuard},
    socket::Socket,
};

/// Asks a client that sent `Expect: 100-continue` to send the body (RFC 9110 §15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// An unfinished head of up to this many bytes does not count against the budget. Most heads are shorter.
const FREE_HEAD_BYTES: usize = 8 * 1024;

/// See the module.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each one is an independent fact about the connection"
)]
pub struct Connection {
    socket: Socket,
    data: Rc<ConnectionData>,
    scanner: Scanner,
    /// Received bytes that may not be passed on yet.
    buffered: BytesMut,
    /// The budget that an unusually long unfinished head uses, and how many of its bytes are counted.
    head: Option<(ByteReservation, usize)>,
    /// Whether a head has begun and not ended.
    is_in_head: bool,
    /// Whether the client has yet to accept bytes that were written.
    is_stalled: bool,
    /// Whether it stalled at any time during the response under way.
    has_stalled: bool,
    /// Whether reading waits until the client accepts them.
    is_read_deferred: bool,
    /// How many bytes of [`CONTINUE`] are written.
    continue_bytes: usize,
}

impl Connection {
    /// A connection that has received nothing yet.
    pub fn new(socket: Socket, guard: ConnectionGuard, peer: Option<IpAddr>) -> Self {
        Self {
            socket,
            data: ConnectionData::new(guard, peer),
            scanner: Scanner::new(),
            buffered: BytesMut::new(),
            head: None,
            is_in_head: false,
            is_stalled: false,
            has_stalled: false,
            is_read_deferred: false,
            continue_bytes: 0,
        }
    }

    /// What it shares with its requests.
    pub fn data(&self) -> Rc<ConnectionData> {
        Rc::clone(&self.data)
    }

    /// Whether closing it now would lose nothing. That holds also inside a body whose request has been answered: the rest
    /// of that body is not needed.
    fn is_idle(&self) -> bool {
        let is_between = self.scanner.is_between_requests() && self.buffered.is_empty();
        (is_between || self.scanner.is_in_body()) && !self.data.guard.state.is_active()
    }

    /// An error that closes the connection at once, if the registry asks for that.
    fn check_aborted(&self) -> io::Result<()> {
        if self.data.guard.state.close_mode() == CloseMode::Abort {
            self.socket.discard_unsent();
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    /// How many of `bytes` the parser may have now.
    fn scan(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let was_in_body = self.scanner.is_in_body();
        let taken = self.scanner.scan(bytes);
        if was_in_body {
            self.data.body_received(taken);
        }
        let is_in_head = self.scanner.head_bytes() > 0;
        if is_in_head != self.is_in_head {
            self.is_in_head = is_in_head;
            let guard = &self.data.guard;
            if is_in_head {
                guard.state.begin_head(guard.registry.now());
            } else {
                guard.state.end_head();
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
        let guard = &self.data.guard;
        let (reservation, counted) = self
            .head
            .get_or_insert_with(|| (guard.registry.received.reservation(guard.state.source()), 0));
        let more = bytes.saturating_sub(*counted);
        *counted = bytes;
        if reservation.grow(more) {
            Ok(())
        } else {
            Err(io::ErrorKind::QuotaExceeded.into())
        }
    }

    /// Notes that the client accepts no more bytes.
    fn stall(&mut self, context: &Context<'_>) {
        let guard = &self.data.guard;
        (self.is_stalled, self.has_stalled) = (true, true);
        guard.state.stall(guard.registry.now());
        guard.state.wake_on_close(context.waker());
    }

    /// Passes on buffered bytes, as far as they may be.
    fn read_buffered(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
        let mut next = self.buffered.split_to(self.buffered.len().min(buffer.remaining()));
        let taken = self.scan(&mut next)?;
        buffer.put_slice(next.get(..taken).unwrap_or_default());
        next.advance(taken);
        next.unsplit(std::mem::take(&mut self.buffered));
        self.buffered = next;
        Ok(taken)
    }

    /// Writes [`CONTINUE`], or the rest of it.
    fn poll_continue(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = CONTINUE.get(self.continue_bytes..).filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.socket).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.continue_bytes += written;
        }
        self.continue_bytes = 0;
        self.data.continue_sent();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_aborted()?;
        // A client that keeps sending a body which no handler reads does not delay the close.
        let must_close = this.data.guard.state.close_mode() != CloseMode::None;
        if must_close && this.scanner.is_in_body() && this.is_idle() {
            return Poll::Ready(Ok(()));
        }
        if this.scanner.is_waiting()
            && let Some(framing) = this.data.take_framing()
        {
            this.scanner.follow(framing);
        }
        if this.data.must_pause_reading() {
            this.data.pause_reading(context);
            return Poll::Pending;
        }
        // A client that does not read responses may not send more requests.
        if this.is_stalled && this.scanner.is_between_requests() {
            this.is_read_deferred = true;
            this.data.guard.state.wake_on_close(context.waker());
            return Poll::Pending;
        }
        if !this.buffered.is_empty() {
            let taken = if this.scanner.is_waiting() {
                0
            } else {
                this.read_buffered(buffer)?
            };
            if taken > 0 {
                return Poll::Ready(Ok(()));
            }
            this.data.pause_reading(context);
            return Poll::Pending;
        }
        let start = buffer.filled().len();
        match Pin::new(&mut this.socket).poll_read(context, buffer) {
            Poll::Pending => {
                this.data.guard.state.wake_on_close(context.waker());
                let must_end = match this.data.guard.state.close_mode() {
                    CloseMode::None => false,
                    // Requested since the check above, when there was no task to wake yet.
                    CloseMode::Abort => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                    CloseMode::WhenIdle => this.is_idle(),
                    CloseMode::HeadTimeout => !this.data.guard.state.is_active() && !this.scanner.is_in_body(),
                };
                // Looks to the web server as if the client had closed the connection.
                return if must_end { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            Poll::Ready(read) => read?,
        }
        let Some(new) = buffer.filled_mut().get_mut(start..).filter(|new| !new.is_empty()) else {
            return Poll::Ready(Ok(()));
        };
        let taken = if this.scanner.is_waiting() { 0 } else { this.scan(new)? };
        if let Some(rest) = new.get(taken..).filter(|rest| !rest.is_empty()) {
            this.buffered.extend_from_slice(rest);
            buffer.set_filled(start + taken);
        }
        if taken == 0 {
            this.data.pause_reading(context);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_aborted()?;
        // A response may not begin in the middle of `100 Continue`.
        let polled = if this.continue_bytes > 0 && this.poll_continue(context)?.is_pending() {
            Poll::Pending
        } else {
            Pin::new(&mut this.socket).poll_write(context, bytes)
        };
        match &polled {
            Poll::Pending => this.stall(context),
            Poll::Ready(Ok(bytes)) if this.has_stalled => this.data.guard.state.add_sent(*bytes),
            Poll::Ready(_) => {}
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_aborted()?;
        if this.continue_bytes > 0 || this.data.is_continue_due() {
            ready!(this.poll_continue(context))?;
        }
        let polled = Pin::new(&mut this.socket).poll_flush(context);
        if polled.is_pending() {
            this.stall(context);
            return polled;
        }
        // The web server flushes once it has written everything.
        this.is_stalled = false;
        if this.has_stalled && !this.data.guard.state.is_active() {
            this.has_stalled = false;
            this.data.guard.state.clear_stall();
        }
        if std::mem::take(&mut this.is_read_deferred) {
            context.waker().wake_by_ref();
        }
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_aborted()?;
        Pin::new(&mut this.socket).poll_shutdown(context)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.data.end_body();
    }
}
