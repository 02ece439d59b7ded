//! The JSON form of a log line: an object with the fields of OpenTelemetry's log data model.

use chrono::{SecondsFormat, Utc};
use log::{
    Level, Record,
    kv::{Error, Key, Value, VisitSource},
};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::is_absent;
use crate::trace::{Scope, TraceContext};

/// One line. The names are stable.
#[derive(Serialize)]
struct Line<'r> {
    timestamp: &'r str,
    severity_text: &'static str,
    severity_number: u8,
    body: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_flags: Option<String>,
    scope: InstrumentationScope<'r>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map<String, Json>,
}

#[derive(Serialize)]
struct InstrumentationScope<'r> {
    name: &'r str,
}

/// The line of a record that is logged on this thread.
pub(super) fn line(timestamp: &str, record: &Record<'_>) -> String {
    let mut attributes = Attributes(Map::new());
    // Fails only if the visitor fails, which it does not.
    let _ = record.key_values().visit(&mut attributes);
    let Attributes(mut attributes) = attributes;
    let scope = Scope::current().unwrap_or_default();
    if !scope.request_id().is_empty() {
        attributes
            .entry("request_id")
            .or_insert_with(|| Json::from(scope.request_id()));
    }
    let context = scope.context();
    let body = record.args().to_string();
    write(&Line {
        timestamp,
        severity_text: record.level().as_str(),
        severity_number: severity_number(record.level()),
        body: &body,
        trace_id: context.map(TraceContext::trace_id),
        span_id: context.and_then(TraceContext::span_id),
        trace_flags: context.map(TraceContext::flags),
        scope: InstrumentationScope { name: record.target() },
        attributes,
    })
}

/// The line that reports lost lines.
pub(super) fn loss(target: &str, message: &str, lost: u64) -> String {
    write(&Line {
        timestamp: &Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        severity_text: Level::Warn.as_str(),
        severity_number: severity_number(Level::Warn),
        body: message,
        trace_id: None,
        span_id: None,
        trace_flags: None,
        scope: InstrumentationScope { name: target },
        attributes: Map::from_iter([("lost_lines".to_owned(), Json::from(lost))]),
    })
}

fn write(line: &Line<'_>) -> String {
    // Text and numbers can always be written.
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}

/// OpenTelemetry's log data model, "Field: SeverityNumber".
fn severity_number(level: Level) -> u8 {
    match level {
        Level::Error => 17,
        Level::Warn => 13,
        Level::Info => 9,
        Level::Debug => 5,
        Level::Trace => 1,
    }
}

/// Collects the fields of a record. Numbers stay numbers.
struct Attributes(Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for Attributes {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        if !is_absent(&value) {
            let json = value
                .to_u64()
                .map(Json::from)
                .or_else(|| value.to_i64().map(Json::from))
                .or_else(|| value.to_f64().map(Json::from))
                .or_else(|| value.to_bool().map(Json::from))
                .unwrap_or_else(|| Json::from(value.to_string()));
            self.0.insert(key.to_string(), json);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(line: &str) -> Json {
        assert_eq!(line.find('\n'), Some(line.len() - 1), "one line");
        serde_json::from_str(line).expect("JSON")
    }

    #[test]
    fn a_record_is_one_json_object_in_one_line_whatever_it_holds() {
        let fields = [
            ("request_id", Value::from("id-1")),
            ("absent", Value::from("")),
            ("body", Value::from("not this one")),
            ("status", Value::from(404_u16)),
            ("duration", Value::from(1.5)),
        ];
        let record = Record::builder()
            .level(Level::Warn)
            .target("blogctl::access")
            .args(format_args!("GET /\n\"}} {{"))
            .key_values(&fields)
            .build();
        let expected = json!({
            "timestamp": "2026-01-31T08:00:00.000Z", "severity_text": "WARN", "severity_number": 13,
            "body": "GET /\n\"} {", "scope": { "name": "blogctl::access" },
            "attributes": { "request_id": "id-1", "body": "not this one", "status": 404, "duration": 1.5 },
        });
        assert_eq!(parsed(&line("2026-01-31T08:00:00.000Z", &record)), expected);
    }

    #[test]
    fn every_line_within_a_request_has_its_id_and_its_trace() {
        let record = Record::builder().args(format_args!("deep")).build();
        let context = TraceContext::start();
        let within = parsed(&Scope::new("the-request", Some(context.clone())).enter(|| line("", &record)));
        assert_eq!(within["attributes"]["request_id"], "the-request");
        assert_eq!(within["trace_id"], context.trace_id());
        assert_eq!(within["span_id"], context.span_id().expect("its own"));
        assert_eq!(within["trace_flags"], "00");
        let outside = parsed(&line("", &record));
        for absent in ["attributes", "trace_id", "span_id", "trace_flags"] {
            assert_eq!(outside.get(absent), None, "{absent}");
        }
        let remote = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let remote = TraceContext::from_headers([&remote[..]], []);
        let relayed = parsed(&Scope::new("", remote).enter(|| line("", &record)));
        assert_eq!(
            relayed.get("span_id"),
            None,
            "the caller's span is not a span of this process"
        );
    }

    #[test]
    fn lost_lines_are_reported_in_the_same_form() {
        let line = parsed(&loss("blogctl::log", "1 line lost", 1));
        assert_eq!(
            (&line["severity_text"], &line["body"]),
            (&json!("WARN"), &json!("1 line lost"))
        );
        assert_eq!(line["attributes"]["lost_lines"], 1);
    }
}
