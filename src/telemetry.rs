//! Sends the spans of a server to an OpenTelemetry collector (OTLP over HTTP), in the background.
//!
//! A collector that is away, slow or broken never delays a request: finished spans wait in a bounded queue, and those for
//! which there is no room are dropped and counted. At the end of the server, the queue is sent within [`FLUSH_TIMEOUT`].
//!
//! Each server has its own pipeline: one process may run several servers, and each is a separate service.

mod exporter;
mod losses;
mod queue;

use std::{fmt, path::Path, sync::Arc, time::Duration};

use opentelemetry::{InstrumentationScope, KeyValue, trace::TracerProvider as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanLimits},
};

use self::{
    exporter::OtlpExporter,
    losses::Losses,
    queue::{BoundedQueue, Room},
};
use crate::{config::TelemetrySettings, outbound::OutboundError, trace::Tracer};

/// How long a stopping server waits until the collector has received the last spans.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Most spans in one request to the collector.
const MAX_BATCH: usize = 512;
/// Longest time that a finished span waits for others before it is sent.
const BATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Bounds on a span, whatever code or libraries add to it.
const SPAN_LIMITS: SpanLimits = SpanLimits {
    max_events_per_span: 16,
    max_attributes_per_span: 32,
    max_links_per_span: 4,
    max_attributes_per_event: 8,
    max_attributes_per_link: 4,
};

/// Why spans cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError {
    /// The HTTP agent could not be created.
    #[error("spans cannot be sent: {0}")]
    Outbound(#[from] OutboundError),
}

/// The pipeline of one server; off unless `telemetry.otlp_endpoint` is set.
pub struct Telemetry(Option<Pipeline>);

struct Pipeline {
    provider: SdkTracerProvider,
    room: Room,
    losses: Arc<Losses>,
}

impl Telemetry {
    /// Starts the thread that sends spans, if an endpoint is set. Does not connect. `service` is the default of
    /// `telemetry.service_name`, `ca_file` holds certificates to trust in addition to the system's.
    ///
    /// # Errors
    /// When `ca_file` cannot be used.
    pub fn start(
        settings: &TelemetrySettings,
        ca_file: Option<&Path>,
        service: &'static str,
    ) -> Result<Self, TelemetryError> {
        let Some(endpoint) = &settings.otlp_endpoint else {
            return Ok(Self(None));
        };
        let losses = Arc::new(Losses::new(endpoint));
        let room = Room::new(settings.queue_size, Arc::clone(&losses));
        let exporter = OtlpExporter::new(endpoint, settings, ca_file, room.clone(), Arc::clone(&losses))?;
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(settings.queue_size)
            .with_max_export_batch_size(MAX_BATCH.min(settings.queue_size))
            .with_scheduled_delay(BATCH_INTERVAL)
            .build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        let sampler = Sampler::TraceIdRatioBased(settings.sample_ratio.get());
        let provider = SdkTracerProvider::builder()
            .with_span_limits(SPAN_LIMITS)
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(resource(settings, service))
            .with_span_processor(BoundedQueue::new(batches, room.clone()))
            .build();
        log::info!(
            "spans are sent to {endpoint}, {} of the traces that begin here",
            percent(settings.sample_ratio.get())
        );
        Ok(Self(Some(Pipeline { provider, room, losses })))
    }

    /// Records spans; `None` if spans are not sent.
    pub fn tracer(&self) -> Option<Tracer> {
        let Self(Some(pipeline)) = self else { return None };
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION"));
        Some(Tracer::new(pipeline.provider.tracer_with_scope(scope.build())))
    }

    /// Sends the spans in the queue and ends the pipeline. Blocks, for [`FLUSH_TIMEOUT`] at most.
    pub fn stop(&self) {
        let Self(Some(pipeline)) = self else { return };
        pipeline.losses.begin_stop();
        if pipeline.provider.shutdown_with_timeout(FLUSH_TIMEOUT).is_err() {
            let rest = pipeline.room.close() as u64;
            pipeline
                .losses
                .export_failed(rest, "the collector did not accept the last ones in time");
        }
        pipeline.losses.report_total();
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Telemetry").field(&self.0.is_some()).finish()
    }
}

/// What all spans of a server have in common. `telemetry.service_name` wins over an attribute of the same name.
fn resource(settings: &TelemetrySettings, service: &'static str) -> Resource {
    let name = match settings.service_name.as_str() {
        "" => service,
        name => name,
    };
    let extra: Vec<KeyValue> = settings
        .attributes()
        .map(|(name, value)| KeyValue::new(name, value))
        .collect();
    let has_name = |attribute: &KeyValue| attribute.key.as_str() == "service.name" && settings.service_name.is_empty();
    let is_named = extra.iter().any(has_name);
    let mut builder = Resource::builder_empty()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()))
        .with_attribute(KeyValue::new("telemetry.sdk.language", "rust"))
        .with_attribute(KeyValue::new("telemetry.sdk.name", "opentelemetry"))
        .with_attributes(extra);
    if !is_named {
        builder = builder.with_service_name(name.to_owned());
    }
    builder.build()
}

fn percent(ratio: f64) -> String {
    format!("{:.3}", ratio * 100.0)
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
        + " %"
}
