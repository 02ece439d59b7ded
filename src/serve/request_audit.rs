//! Records events of requests in the audit trail: adds the request's id, trace and source address.

use actix_web::HttpRequest;

use super::{RequestId, TrustedProxies};
use crate::{
    audit::{AuditLog, Event, Origin},
    trace::{Scope, TraceContext},
    user_key::UserKey,
};

/// The audit trail, as handlers and middleware use it.
pub struct RequestAudit {
    log: AuditLog,
    proxies: TrustedProxies,
}

impl RequestAudit {
    /// Records in `log`; `proxies` report the addresses of clients.
    pub fn new(log: AuditLog, proxies: TrustedProxies) -> Self {
        Self { log, proxies }
    }

    /// The trail itself, for events that no request causes, or that another thread records.
    pub fn log(&self) -> &AuditLog {
        &self.log
    }

    /// The request as the origin of an event.
    pub fn origin(&self, request: &HttpRequest, actor: Option<UserKey>) -> Origin {
        let peer = request.peer_addr().map(|peer| peer.ip());
        let trace_id = Scope::with_current(|scope| scope.context().map(TraceContext::trace_id));
        Origin {
            actor: actor.map(Into::into),
            request_id: Some(RequestId::get(request).as_str().to_owned()),
            trace_id: trace_id.flatten(),
            source: self.proxies.client(peer, request.headers()),
        }
    }

    /// Records an event of a request. Never blocks.
    pub fn record(&self, request: &HttpRequest, actor: Option<UserKey>, event: Event) {
        if self.log.is_on() {
            self.log.record(event, self.origin(request, actor));
        }
    }
}
