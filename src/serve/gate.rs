//! Between the web server and the application: tells the connection about each request and its body, and sends responses in
//! pieces.

use std::{
    future::Future,
    mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
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
};
use bytes::Bytes;
use futures_util::Stream;

use super::{
    byte_budget::Charge,
    connection::Local,
    framing::{Framing, HIDDEN_CONTINUE},
    registry::Order,
};

/// Largest piece of a response that is copied at once.
const PIECE: usize = 32 * 1024;

/// Makes a [`Gate`] for each worker.
pub struct GateFactory<F>(pub F);

impl<F, B> ServiceFactory<Request> for GateFactory<F>
where
    F: ServiceFactory<Request, Config = (), Response = Response<B>>,
    <F::Service as Service<Request>>::Future: 'static,
    F::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = Response<Pieces>;
    type Error = F::Error;
    type Config = ();
    type Service = Gate<F::Service>;
    type InitError = F::InitError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Service, Self::InitError>>>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let service = self.0.new_service(());
        Box::pin(async move { service.await.map(Gate) })
    }
}

/// See the module.
pub struct Gate<S>(S);

impl<S, B> Service<Request> for Gate<S>
where
    S: Service<Request, Response = Response<B>>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = Response<Pieces>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&self, mut request: Request) -> Self::Future {
        let local = request.conn_data::<Rc<Local>>().cloned();
        if let Some(local) = &local {
            begin(local, &mut request);
        }
        let called = self.0.call(request);
        Box::pin(async move {
            let serving = local.map(Serving);
            let mut response = called.await?;
            if let Some(Serving(local)) = &serving {
                local.end_body();
                let place = &local.place;
                let is_last = place.shared.is_reserve || place.shared.order() != Order::Serve;
                if is_last || place.registry.is_draining() {
                    response.head_mut().set_connection_type(ConnectionType::Close);
                }
            }
            let charge = response.extensions_mut().remove::<Charge>();
            Ok(response.map_body(|_, body| Pieces {
                body: body.boxed(),
                rest: Bytes::new(),
                _charge: charge,
                _serving: serving,
            }))
        })
    }
}

/// A request that is being served, until dropped.
struct Serving(Rc<Local>);

impl Drop for Serving {
    fn drop(&mut self) {
        let place = &self.0.place;
        self.0.end_body();
        place.shared.end_request(place.registry.now());
    }
}

fn begin(local: &Rc<Local>, request: &mut Request) {
    let is_expecting = show_expectation(request);
    let framing = match request.payload() {
        Payload::None => Framing::Empty,
        _ => framing(request),
    };
    let charge = match (framing, local.peer) {
        (Framing::Empty, _) | (_, None) => None,
        (_, Some(peer)) => {
            let registry = &local.place.registry;
            Some(registry.received.charge(registry.source(peer, request.headers())))
        }
    };
    let has_body = charge.is_some();
    local.begin_request(framing, charge);
    if has_body {
        let payload = mem::replace(request.payload(), Payload::None);
        let body = Body {
            payload,
            local: Rc::clone(local),
            is_expecting,
        };
        *request.payload() = Payload::Stream {
            payload: Box::pin(body),
        };
    }
}

/// Makes the header that the parser did not see what the client sent; says whether the client waits.
fn show_expectation(request: &mut Request) -> bool {
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

/// What the parser, which has checked these headers, makes of them.
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
struct Body {
    payload: Payload,
    local: Rc<Local>,
    /// Whether the client sends it when told to.
    is_expecting: bool,
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.local.is_refused() {
            return Poll::Ready(Some(Err(PayloadError::Io(std::io::ErrorKind::QuotaExceeded.into()))));
        }
        if mem::take(&mut self.is_expecting) {
            self.local.invite_body();
        }
        let Poll::Ready(polled) = Pin::new(&mut self.payload).poll_next(context) else {
            self.local.take_all_of_body();
            return Poll::Pending;
        };
        if let Some(Ok(bytes)) = &polled {
            self.local.take_body(bytes.len());
        }
        Poll::Ready(polled)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.local.stop_wanting_body();
    }
}

/// A response's body. The web server copies what it is given: a large piece would be held twice.
pub struct Pieces {
    body: BoxBody,
    rest: Bytes,
    _charge: Option<Charge>,
    _serving: Option<Serving>,
}

impl MessageBody for Pieces {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(context)) {
                Some(Ok(bytes)) if bytes.len() > PIECE => self.rest = bytes,
                other => return Poll::Ready(other),
            }
        }
        let length = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}
