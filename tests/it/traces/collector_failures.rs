//! Collectors that are away, slow, overloaded or broken: they cost spans, never requests.

use std::net::TcpListener;

use actix_web::HttpResponse;
use blogctl::config::{Compression, Flag, Role, Settings, Sources, TelemetrySettings};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message as _;
use url::Url;

use crate::support::{api::TestApi, collector::Collector, logs};

/// Sends this many requests to an API with these settings, and stops it.
fn work(settings: &TelemetrySettings, requests: usize) {
    let api = TestApi::with(|all| all.telemetry = settings.clone());
    let client = api.with_token("none").keep_alive();
    for _ in 0..requests {
        assert_eq!(client.status("/nowhere"), 404);
    }
}

fn settings_for(url: &str) -> TelemetrySettings {
    TelemetrySettings {
        otlp_endpoint: Some(Url::parse(url).expect("a URL")),
        ..TelemetrySettings::default()
    }
}

/// The lines that report the losses of the collector at this address.
fn losses(settings: &TelemetrySettings) -> Vec<String> {
    let url = settings.otlp_endpoint.as_ref().expect("a URL").as_str();
    logs::containing(&format!("dropped since the start of this server, for {url}"))
}

#[test]
fn spans_are_counted_as_lost_while_the_collector_is_away_and_requests_are_not() {
    logs::capture();
    // Bound, so that no other server takes the port, and closed: connections are refused.
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("bound").port()
    };
    let settings = settings_for(&format!("http://127.0.0.1:{port}"));
    work(&settings, 20);
    assert_eq!(losses(&settings).len(), 1, "{:?}", losses(&settings));
    assert!(
        losses(&settings)[0].starts_with("WARN 20 spans"),
        "{:?}",
        losses(&settings)
    );
}

#[test]
fn a_collector_that_never_answers_delays_neither_requests_nor_the_end() {
    logs::capture();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let settings = settings_for(&format!("http://{address}"));
    work(&settings, 20);
    assert!(
        losses(&settings)[0].starts_with("WARN 20 spans"),
        "{:?}",
        losses(&settings)
    );
    drop(listener);
}

#[test]
fn errors_and_garbage_of_the_collector_cost_spans_only_where_they_are_refused() {
    logs::capture();
    for (status, body, lost) in [
        (200, b"not protobuf".to_vec(), 0),
        (200, partial_success(7), 7),
        (200, partial_success(-7), 0),
        (400, Vec::new(), 20),
        (401, Vec::new(), 20),
        (500, Vec::new(), 20),
        (302, Vec::new(), 20),
    ] {
        let body = body.clone();
        let collector = Collector::answering(move |_| {
            let status = actix_web::http::StatusCode::from_u16(status).expect("a status");
            HttpResponse::build(status).body(body.clone())
        });
        let mut settings = collector.settings();
        // All spans in one request.
        settings.queue_size = 64;
        work(&settings, 20);
        let requests = collector.exports().len() as u64;
        let reported = losses(&settings);
        match lost {
            0 => assert!(reported.is_empty(), "{status}: {reported:?}"),
            7 => {
                let expected = format!("WARN {} spans", requests * 7);
                assert!(reported[0].starts_with(&expected), "{status}: {reported:?}");
            }
            _ => assert!(reported[0].starts_with("WARN 20 spans"), "{status}: {reported:?}"),
        }
        assert_eq!(collector.spans().len(), 20, "{status}: sent once");
    }
}

fn partial_success(rejected: i64) -> Vec<u8> {
    ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: "too many".to_owned(),
        }),
    }
    .encode_to_vec()
}

#[test]
fn an_overloaded_collector_is_asked_again_and_loses_nothing() {
    logs::capture();
    let collector = Collector::answering(|number| match number {
        0 => HttpResponse::TooManyRequests()
            .insert_header(("Retry-After", "0"))
            .finish(),
        1 => HttpResponse::ServiceUnavailable()
            .insert_header(("Retry-After", "0"))
            .finish(),
        _ => HttpResponse::Ok().finish(),
    });
    let settings = collector.settings();
    let api = TestApi::with(|all| all.telemetry = settings.clone());
    assert_eq!(api.anonymous().get("/nowhere").status, 404);
    crate::support::entra::wait_until("the third attempt", || collector.exports().len() == 3);
    drop(api);
    let exports = collector.exports();
    assert!(
        exports.iter().all(|export| export.body == exports[0].body),
        "the same spans each time"
    );
    assert!(losses(&settings).is_empty(), "{:?}", losses(&settings));
}

#[test]
fn a_full_queue_loses_spans_and_says_so_once() {
    logs::capture();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut settings = settings_for(&format!("http://{address}"));
    settings.queue_size = 64;
    work(&settings, 200);
    assert!(
        losses(&settings)[0].starts_with("WARN 200 spans"),
        "{:?}",
        losses(&settings)
    );
    drop(listener);
}

#[test]
fn requests_to_the_collector_have_the_headers_of_the_settings_and_may_be_compressed() {
    for compression in [Compression::None, Compression::Gzip] {
        let collector = Collector::start();
        let flag = |setting: &str, value: &str| Flag {
            name: "--set".to_owned(),
            setting: setting.to_owned(),
            value: value.to_owned(),
        };
        let sources = Sources {
            flags: vec![flag("telemetry.headers", "api-key=hunter%202, x-scope=blog")],
            ..Sources::default()
        };
        let loaded = Settings::load(&sources, Role::Any).expect("valid").settings.telemetry;
        let base = collector.settings();
        let endpoint = base.otlp_endpoint.clone().expect("a URL");
        for path in ["", "v1/traces", "prefix/"] {
            let settings = TelemetrySettings {
                otlp_endpoint: Some(endpoint.join(path).expect("a URL")),
                compression,
                service_name: "the-blog".to_owned(),
                ..loaded.clone()
            };
            work(&settings, 1);
        }
        let exports = collector.exports();
        let paths: Vec<&str> = exports.iter().map(|export| export.path.as_str()).collect();
        assert_eq!(paths, ["/v1/traces", "/v1/traces", "/prefix/v1/traces"]);
        for export in exports {
            let header = |name: &str| export.headers.get(name).map_or("", String::as_str);
            assert_eq!((header("api-key"), header("x-scope")), ("hunter 2", "blog"));
            assert_eq!(header("content-type"), "application/x-protobuf");
            let expected = if compression == Compression::Gzip { "gzip" } else { "" };
            assert_eq!(header("content-encoding"), expected);
        }
        assert!(collector.spans().iter().all(|span| span.service == "the-blog"));
    }
}
