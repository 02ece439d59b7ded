//! Sends batches of spans by OTLP over HTTP (protobuf), on the thread of the batch processor.
//!
//! `opentelemetry-otlp` is not used: it also reads settings from the environment, sleeps between attempts even while the process
//! ends, and reports neither why nor how many spans a collector rejects.

use std::{
    io::{self, Write as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use flate2::{Compression as Level, write::GzEncoder};
use http::{HeaderName, Request, Response, StatusCode, header};
use opentelemetry_proto::{
    tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    transform::{common::tonic::ResourceAttributesWithSchema, trace::tonic::group_spans_by_resource_and_scope},
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{SpanData, SpanExporter},
};
use prost::Message as _;
use secrecy::{ExposeSecret as _, SecretString};
use ureq::{Agent, Body};
use url::Url;

use super::{TelemetryError, losses::Losses, queue::Room};
use crate::{
    config::{Compression, TelemetrySettings},
    outbound::{self, Target},
};

/// Timeout of one request, including the connection.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Delays before the attempts after the first one.
const RETRY_DELAYS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// Longest `Retry-After` that is waited for; spans that would have to wait longer are dropped.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);

/// Where OTLP over HTTP receives spans, relative to the collector's base URL.
const PATH: &str = "/v1/traces";

/// A collector.
pub(super) struct OtlpExporter {
    agent: Agent,
    url: String,
    headers: Vec<(HeaderName, SecretString)>,
    compression: Compression,
    resource: ResourceAttributesWithSchema,
    room: Room,
    losses: Arc<Losses>,
}

/// How an attempt failed.
enum Failure {
    /// Another attempt may succeed, after the delay that the collector asks for, if it does.
    Transient(String, Option<Duration>),
    Permanent(String),
}

impl OtlpExporter {
    /// Does not connect.
    ///
    /// # Errors
    /// When `ca_file` cannot be used.
    pub fn new(
        endpoint: &Url,
        settings: &TelemetrySettings,
        ca_file: Option<&Path>,
        room: Room,
        losses: Arc<Losses>,
    ) -> Result<Self, TelemetryError> {
        let base = endpoint.as_str().trim_end_matches('/');
        let base = base.strip_suffix(PATH).unwrap_or(base);
        Ok(Self {
            agent: outbound::agent(Target::Other, TIMEOUT, ca_file)?,
            url: format!("{base}{PATH}"),
            headers: settings.headers().to_vec(),
            compression: settings.compression,
            resource: ResourceAttributesWithSchema::default(),
            room,
            losses,
        })
    }

    /// Sends a batch, and repeats that after transient failures.
    fn send(&self, body: &[u8]) -> Result<ExportTraceServiceResponse, String> {
        let mut delays = RETRY_DELAYS.into_iter();
        loop {
            let (reason, retry_after) = match self.attempt(body) {
                Ok(response) => return Ok(response),
                Err(Failure::Permanent(reason)) => return Err(reason),
                Err(Failure::Transient(reason, retry_after)) => (reason, retry_after),
            };
            let Some(delay) = delays.next() else { return Err(reason) };
            let delay = retry_after.unwrap_or(delay);
            if delay > MAX_RETRY_AFTER || !self.losses.wait(delay) {
                return Err(reason);
            }
        }
    }

    fn attempt(&self, body: &[u8]) -> Result<ExportTraceServiceResponse, Failure> {
        let mut request = Request::post(&self.url).header(header::CONTENT_TYPE, "application/x-protobuf");
        if self.compression == Compression::Gzip {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value.expose_secret());
        }
        let request = request
            .body(body)
            .map_err(|_| Failure::Permanent("telemetry.headers cannot be sent".to_owned()))?;
        let mut response = self
            .agent
            .run(request)
            .map_err(|error| Failure::Transient(format!("the collector cannot be reached: {error}"), None))?;
        let status = response.status();
        if status.is_success() {
            // A collector may respond with nothing, or with what no specification knows: it has the spans all the same.
            let body = outbound::read_body(&mut response).unwrap_or_default();
            return Ok(ExportTraceServiceResponse::decode(&*body).unwrap_or_default());
        }
        let reason = format!("the collector answered {}", status.as_u16());
        // OTLP 1.0, "Retryable response codes".
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Failure::Transient(reason, retry_after(&response)),
            _ => Failure::Permanent(reason),
        })
    }

    fn encode(&self, spans: Vec<SpanData>) -> io::Result<Vec<u8>> {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        let plain = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        match self.compression {
            Compression::None => Ok(plain),
            Compression::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
                encoder.write_all(&plain)?;
                encoder.finish()
            }
        }
    }
}

impl SpanExporter for OtlpExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let sent = self
            .encode(batch)
            .map_err(|error| error.to_string())
            .and_then(|body| self.send(&body));
        let count = self.room.leave(count) as u64;
        match sent {
            Ok(response) => {
                let rejected = response
                    .partial_success
                    .map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0));
                if rejected == 0 {
                    self.losses.export_succeeded();
                } else {
                    // Its message may repeat parts of the spans.
                    self.losses
                        .export_failed(rejected, "the collector rejects some of them");
                }
                Ok(())
            }
            Err(reason) => {
                self.losses.export_failed(count, &reason);
                Err(OTelSdkError::InternalFailure(reason))
            }
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl std::fmt::Debug for OtlpExporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OtlpExporter")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// The delay that the collector asks for, in seconds; `None` if it names none, or a date.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}
