//! An OpenTelemetry collector that decodes what it receives, and answers as the test says.
//!
//! ```ignore
//! let collector = Collector::start();
//! let system = TestSystem::with(|settings| settings.telemetry = collector.settings());
//! // … let the system work, then stop it, so that it sends the last spans …
//! drop(system);
//! let spans = collector.spans();
//! ```

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use blogctl::{config::TelemetrySettings, serve};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
};
use prost::Message as _;
use url::Url;

use super::system::TestServer;

/// A request that exported spans.
#[derive(Debug, Clone)]
pub struct Export {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// Without its compression.
    pub body: Vec<u8>,
}

/// A span as the collector decoded it.
#[derive(Debug, Clone)]
pub struct ReceivedSpan {
    /// `service.name`
    pub service: String,
    pub name: String,
    /// `server`, `client` or `internal`.
    pub kind: &'static str,
    pub trace: String,
    pub id: String,
    /// Empty for the first span of a trace.
    pub parent: String,
    /// Traces of the links.
    pub links: Vec<String>,
    pub attributes: BTreeMap<String, String>,
    pub is_error: bool,
    /// Nanoseconds since 1970.
    pub from: u64,
    pub to: u64,
}

type Handler = Box<dyn Fn(usize) -> HttpResponse + Send>;

pub struct Collector {
    server: TestServer,
    state: State,
}

#[derive(Clone)]
struct State {
    /// Is given the number of the request, from 0.
    handler: Arc<Mutex<Handler>>,
    exports: Arc<Mutex<Vec<Export>>>,
}

struct CollectorServer {
    port: u16,
    task: actix_web::dev::Server,
}

impl Collector {
    /// Accepts every request.
    pub fn start() -> Self {
        Self::answering(|_| HttpResponse::Ok().content_type("application/x-protobuf").finish())
    }

    pub fn answering(handler: impl Fn(usize) -> HttpResponse + Send + 'static) -> Self {
        let state = State {
            handler: Arc::new(Mutex::new(Box::new(handler))),
            exports: Arc::default(),
        };
        let shared = state.clone();
        let server = TestServer::start(
            move || CollectorServer::new(shared),
            |server: &CollectorServer| (server.port, server.handle()),
            |server| server.task,
        );
        Self { server, state }
    }

    /// Settings that send all spans here. The caller is trusted if it is on this machine.
    pub fn settings(&self) -> TelemetrySettings {
        TelemetrySettings {
            otlp_endpoint: Some(Url::parse(&self.server.url("")).expect("a URL")),
            trusted_callers: vec!["127.0.0.0/8".parse().expect("a network")],
            ..TelemetrySettings::default()
        }
    }

    pub fn exports(&self) -> Vec<Export> {
        self.state.exports.lock().expect("a list").clone()
    }

    /// All spans so far, decoded.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.exports().iter().flat_map(|export| decode(&export.body)).collect()
    }
}

impl CollectorServer {
    fn new(state: State) -> Self {
        let listener = serve::listen("127.0.0.1", 0).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let task = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(state.clone()))
                .app_data(web::PayloadConfig::new(64 * 1024 * 1024))
                .default_service(web::to(receive))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)
        .expect("it listens")
        .run();
        Self { port, task }
    }

    fn handle(&self) -> ServerHandle {
        self.task.handle()
    }
}

async fn receive(request: HttpRequest, body: web::Bytes, state: web::Data<State>) -> HttpResponse {
    let headers: BTreeMap<String, String> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    // actix decompresses the body.
    let mut exports = state.exports.lock().expect("a list");
    exports.push(Export {
        path: request.path().to_owned(),
        headers,
        body: body.to_vec(),
    });
    (state.handler.lock().expect("a handler"))(exports.len() - 1)
}

fn decode(body: &[u8]) -> Vec<ReceivedSpan> {
    let request = ExportTraceServiceRequest::decode(body).expect("spans");
    let mut spans = Vec::new();
    for resource in request.resource_spans {
        let attributes = values(&resource.resource.expect("a resource").attributes);
        let service = attributes.get("service.name").cloned().unwrap_or_default();
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(ReceivedSpan {
                service: service.clone(),
                name: span.name,
                kind: match span.kind {
                    1 => "internal",
                    2 => "server",
                    3 => "client",
                    _ => "other",
                },
                trace: hex::encode(span.trace_id),
                id: hex::encode(span.span_id),
                parent: hex::encode(span.parent_span_id),
                links: span.links.iter().map(|link| hex::encode(&link.trace_id)).collect(),
                attributes: values(&span.attributes),
                is_error: span.status.is_some_and(|status| status.code == 2),
                from: span.start_time_unix_nano,
                to: span.end_time_unix_nano,
            });
        }
    }
    spans
}

fn values(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(yes) => yes.to_string(),
        other => format!("{other:?}"),
    };
    attributes
        .iter()
        .map(|attribute| {
            let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
            (attribute.key.clone(), value.map(text).unwrap_or_default())
        })
        .collect()
}

impl ReceivedSpan {
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}
