//! Measures requests for the metrics.

use std::time::Instant;

use ureq::{
    Body, SendBody,
    http::{Request, Response},
    middleware::{Middleware, MiddlewareNext},
};

use crate::metrics::outbound::{self, Target};

/// Records how long each request takes until the head of its response has arrived, and how it ends.
pub(super) struct Measured(pub Target);

impl Middleware for Measured {
    fn handle(&self, request: Request<SendBody>, next: MiddlewareNext) -> Result<Response<Body>, ureq::Error> {
        let (method, started) = (request.method().clone(), Instant::now());
        let outcome = next.handle(request);
        let status = outcome.as_ref().ok().map(|response| response.status().as_u16());
        outbound::requested(self.0, method.as_str(), status, started.elapsed());
        outcome
    }
}
