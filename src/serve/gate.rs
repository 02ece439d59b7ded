//! Between the web server and the application: informs the connection of each request and its body, gives every body a
//! time limit, and sends responses in pieces.

use std::{
    future::Future,
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use actix_http::{HttpMessage as _, Payload, Request, Response};
use actix_service::{Service, ServiceFactory};
use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    error::PayloadError,
    http::{
        ConnectionType, Version,
        header::{CONTENT_LENGTH, EXPECT, HeaderValue, TRANSFER_ENCODING, UPGRADE},
    },
    rt::time::{Sleep, sleep},
};
use bytes::Bytes;
use futures_util::Stream;

use super::{
    byte_budget::ByteReservation,
    connection_data::{BodyError, ConnectionData},
    framing::{Framing, HIDDEN_CONTINUE},
    registry::CloseMode,
};

/// Largest piece of a response that the web server copies at once.
const MAX_PIECE_BYTES: usize = 32 * 1024;

/// Makes a [`Gate`] for each worker.
pub struct GateFactory<F> {
    /// Makes the application.
    pub application: F,
    /// How long the body of a request may take to arrive.
    pub body_timeout: Duration,
}

impl<F, B> ServiceFactory<Request> for GateFactory<F>
where
    F: ServiceFactory<Request, Config = (), Response = Response<B>>,
    <F::Service as Service<Request>>::Future: 'static,
    F::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = F::Error;
    type Config = ();
    type Service = Gate<F::Service>;
    type InitError = F::InitError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Service, Self::InitError>>>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (application, body_timeout) = (self.application.new_service(()), self.body_timeout);
        Box::pin(async move {
            Ok(Gate {
                application: application.await?,
                body_timeout,
            })
        })
    }
}

/// See the module.
pub struct Gate<S> {
    application: S,
    body_timeout: Duration,
}

impl<S, B> Service<Request> for Gate<S>
where
    S: Service<Request, Response = Response<B>>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.application.poll_ready(context)
    }

    fn call(&self, mut request: Request) -> Self::Future {
        let data = request.conn_data::<Rc<ConnectionData>>().cloned();
        if let Some(data) = &data {
            begin(data, &mut request, self.body_timeout);
        }
        let called = self.application.call(request);
        Box::pin(async move {
            let active = data.map(ActiveRequest);
            let mut response = called.await?;
            if let Some(ActiveRequest(data)) = &active {
                data.end_body();
                let guard = &data.guard;
                let is_last = guard.state.is_reserve || guard.state.close_mode() != CloseMode::None;
                if is_last || guard.registry.is_draining() {
                    response.head_mut().set_connection_type(ConnectionType::Close);
                }
            }
            let reservation = response.extensions_mut().remove::<ByteReservation>();
            Ok(response.map_body(|_, body| ResponseBody {
                body: body.boxed(),
                rest: Bytes::new(),
                _reservation: reservation,
                _active: active,
            }))
        })
    }
}

/// A request that is being served, until dropped.
struct ActiveRequest(Rc<ConnectionData>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let guard = &self.0.guard;
        self.0.end_body();
        guard.state.end_request(guard.registry.now());
    }
}

fn begin(data: &Rc<ConnectionData>, request: &mut Request, body_timeout: Duration) {
    let awaits_continue = restore_expectation(request);
    let framing = match request.payload() {
        Payload::None => Framing::Empty,
        _ => framing(request),
    };
    let reservation = (framing != Framing::Empty).then(|| {
        let registry = &data.guard.registry;
        registry
            .received
            .reservation(registry.source(data.peer, request.headers()))
    });
    let has_body = reservation.is_some();
    data.begin_request(framing, reservation);
    if has_body {
        let payload = mem::replace(request.payload(), Payload::None);
        let body = RequestBody {
            payload,
            data: Rc::clone(data),
            awaits_continue,
            timeout: body_timeout,
            deadline: None,
        };
        *request.payload() = Payload::Stream {
            payload: Box::pin(body),
        };
    }
}

/// Gives the application the `Expect` header that was hidden from the parser. Returns whether the client waits for
/// `100 Continue`.
fn restore_expectation(request: &mut Request) -> bool {
    let Some(value) = request.headers().get(EXPECT) else {
        return false;
    };
    if !value.as_bytes().trim_ascii().eq_ignore_ascii_case(HIDDEN_CONTINUE) {
        return false;
    }
    request
        .headers_mut()
        .insert(EXPECT, HeaderValue::from_static("100-continue"));
    request.version() >= Version::HTTP_11
}

/// How the parser, which has checked these headers, delimits the body.
fn framing(request: &Request) -> Framing {
    let headers = request.headers();
    if headers.contains_key(TRANSFER_ENCODING) {
        return Framing::Chunked;
    }
    let mut upgrades = headers.get_all(UPGRADE).map(|value| value.as_bytes().trim_ascii());
    let is_upgrade = upgrades.any(|name| name.eq_ignore_ascii_case(b"websocket"));
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    match length {
        Some(length) if !is_upgrade => Framing::Length(length),
        _ => Framing::Endless,
    }
}

/// A request's body on its way to a handler.
struct RequestBody {
    payload: Payload,
    data: Rc<ConnectionData>,
    /// Whether the client sends the body only after `100 Continue`.
    awaits_continue: bool,
    timeout: Duration,
    /// When the body must be complete. Set at the first read that has to wait: most bodies arrive with their head.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    fn error(&self) -> Option<PayloadError> {
        let kind = match self.data.body_error()? {
            BodyError::OverBudget => io::ErrorKind::QuotaExceeded,
            BodyError::TimedOut => io::ErrorKind::TimedOut,
        };
        Some(PayloadError::Io(kind.into()))
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(error) = self.error() {
            return Poll::Ready(Some(Err(error)));
        }
        if mem::take(&mut self.awaits_continue) {
            self.data.expect_body();
        }
        if let Poll::Ready(polled) = Pin::new(&mut self.payload).poll_next(context) {
            if let Some(Ok(bytes)) = &polled {
                self.data.body_read(bytes.len());
            }
            return Poll::Ready(polled);
        }
        self.data.body_drained();
        let timeout = self.timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(deadline.as_mut().poll(context));
        self.data.time_out_body();
        Poll::Ready(self.error().map(Err))
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.data.discard_body();
    }
}

/// The body of a response, in pieces. The web server copies what a body yields, so that a large piece would be in memory
/// twice.
pub struct ResponseBody {
    body: BoxBody,
    rest: Bytes,
    _reservation: Option<ByteReservation>,
    _active: Option<ActiveRequest>,
}

impl MessageBody for ResponseBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(context)) {
                Some(Ok(bytes)) if bytes.len() > MAX_PIECE_BYTES => self.rest = bytes,
                other => return Poll::Ready(other),
            }
        }
        let length = self.rest.len().min(MAX_PIECE_BYTES);
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}
