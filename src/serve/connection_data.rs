//! What a connection shares with the requests that arrive on it, on the same thread. Handlers find it with
//! `HttpRequest::conn_data`.

use std::{
    cell::{Cell, RefCell},
    net::IpAddr,
    rc::Rc,
    task::{Context, Waker},
};

use super::{byte_budget::ByteReservation, framing::Framing, registry::ConnectionGuard};

/// Most bytes of a body that are received before the handler reads them.
const MAX_UNREAD_BYTES: usize = 64 * 1024;

/// Why the rest of a request's body is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// The byte budget has no room for it.
    OverBudget,
    /// It did not arrive within `server.body_seconds`.
    TimedOut,
}

/// The state of a connection, and of the request body under way.
pub struct ConnectionData {
    /// The address of the other end; `None` for a Unix socket.
    pub peer: Option<IpAddr>,
    /// The connection's entry in the registry.
    pub guard: ConnectionGuard,
    /// How the body ends that follows the head which the scanner has passed on.
    framing: Cell<Option<Framing>>,
    /// The task to wake when reading may continue.
    reader: RefCell<Option<Waker>>,
    /// The budget that the body under way uses; `None` without a body.
    reservation: RefCell<Option<ByteReservation>>,
    /// Whether the handler may still read the body.
    is_body_wanted: Cell<bool>,
    /// Bytes of the body that the handler has not read yet.
    unread_bytes: Cell<usize>,
    has_body_begun: Cell<bool>,
    body_error: Cell<Option<BodyError>>,
    /// Whether `100 Continue` must be sent.
    is_continue_due: Cell<bool>,
}

impl ConnectionData {
    /// Data of a connection without a request.
    pub fn new(guard: ConnectionGuard, peer: Option<IpAddr>) -> Rc<Self> {
        Rc::new(Self {
            peer,
            guard,
            framing: Cell::new(None),
            reader: RefCell::new(None),
            reservation: RefCell::new(None),
            is_body_wanted: Cell::new(false),
            unread_bytes: Cell::new(0),
            has_body_begun: Cell::new(false),
            body_error: Cell::new(None),
            is_continue_due: Cell::new(false),
        })
    }

    /// The parser has read a head, and the body ends as `framing` says. `reservation` counts the body's bytes.
    pub fn begin_request(&self, framing: Framing, reservation: Option<ByteReservation>) {
        self.guard.state.begin_request();
        self.body_error.set(None);
        self.has_body_begun.set(false);
        self.unread_bytes.set(0);
        self.is_body_wanted.set(reservation.is_some());
        *self.reservation.borrow_mut() = reservation;
        self.framing.set(Some(framing));
        self.resume_reading();
    }

    /// The handler has responded: the rest of the body does not matter, and the client need not send it.
    pub fn end_body(&self) {
        self.is_body_wanted.set(false);
        // After the final response, `100 Continue` would be read as the response to the next request.
        self.is_continue_due.set(false);
        *self.reservation.borrow_mut() = None;
        self.resume_reading();
    }

    /// The handler dropped the body.
    pub fn discard_body(&self) {
        self.is_body_wanted.set(false);
        self.resume_reading();
    }

    /// The handler has read everything received so far. The bytes that still count are the framing of chunks.
    pub fn body_drained(&self) {
        self.body_read(usize::MAX);
    }

    /// The handler has read `bytes` of the body.
    pub fn body_read(&self, bytes: usize) {
        self.unread_bytes.set(self.unread_bytes.get().saturating_sub(bytes));
        if self.unread_bytes.get() < MAX_UNREAD_BYTES {
            self.resume_reading();
        }
    }

    /// The handler reads a body that the client holds back until it gets `100 Continue`.
    pub fn expect_body(&self) {
        if !self.has_body_begun.get() {
            self.is_continue_due.set(true);
        }
    }

    /// Why the body under way cannot be read, if so.
    pub fn body_error(&self) -> Option<BodyError> {
        self.body_error.get()
    }

    /// The body did not arrive in time.
    pub fn time_out_body(&self) {
        self.body_error.set(Some(BodyError::TimedOut));
    }

    pub(super) fn is_continue_due(&self) -> bool {
        self.is_continue_due.get()
    }

    pub(super) fn continue_sent(&self) {
        self.is_continue_due.set(false);
    }

    /// The framing of the body that follows the last head, once.
    pub(super) fn take_framing(&self) -> Option<Framing> {
        self.framing.take()
    }

    /// Whether the connection must stop reading until the handler has read more of the body.
    pub(super) fn must_pause_reading(&self) -> bool {
        self.is_body_wanted.get() && (self.body_error().is_some() || self.unread_bytes.get() >= MAX_UNREAD_BYTES)
    }

    /// Wakes this task when reading may continue.
    pub(super) fn pause_reading(&self, context: &Context<'_>) {
        *self.reader.borrow_mut() = Some(context.waker().clone());
    }

    fn resume_reading(&self) {
        if let Some(waker) = self.reader.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Counts received bytes of the body. When the budget has no room for them, the handler's next read fails.
    pub(super) fn body_received(&self, bytes: usize) {
        self.has_body_begun.set(true);
        let mut reservation = self.reservation.borrow_mut();
        let Some(reservation) = reservation.as_mut() else {
            return;
        };
        self.unread_bytes.set(self.unread_bytes.get().saturating_add(bytes));
        if self.is_body_wanted.get() && !reservation.grow(bytes) {
            self.body_error.set(Some(BodyError::OverBudget));
        }
    }
}
