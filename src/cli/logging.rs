//! Logs: one line each on stderr, as text (time, level, target, message, request id) or as JSON.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
};

use env_logger::Target;
use log::{
    Record,
    kv::{Error, Key, Value, VisitSource},
};
use serde_json::{Map, Value as Json, json};

use crate::config::{LogFormat, LogSettings};

/// Starts logging; a second call changes nothing. The settings have been checked.
pub fn start(settings: &LogSettings) {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(&settings.level).target(Target::Stderr);
    match settings.format {
        LogFormat::Text => builder.format(|line, record| {
            let style = line.default_level_style(record.level());
            let (time, level, target) = (line.timestamp_millis(), record.level(), record.target());
            let (message, fields) = (one_line(record.args()), Fields::of(record).as_text());
            writeln!(line, "{time} {style}{level:<5}{style:#} {target} {message}{fields}")
        }),
        LogFormat::Json => builder.format(|line, record| {
            let time = line.timestamp_millis().to_string();
            writeln!(line, "{}", as_json(&time, record))
        }),
    };
    if builder.try_init().is_err() {
        log::debug!("logging runs already");
    }
}

/// What a record has beside its message, such as `request_id`.
#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(record: &Record<'_>) -> Self {
        let mut fields = Self::default();
        // It fails only if the visitor does.
        let _ = record.key_values().visit(&mut fields);
        fields
    }

    fn as_text(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            let _ = write!(text, " {key}={}", one_line(&format_args!("{value}")));
        }
        text
    }
}

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

/// One object: `time`, `level`, `target`, `message`, and the fields under their own names.
fn as_json(time: &str, record: &Record<'_>) -> Json {
    let fields = Fields::of(record).0.into_iter().map(|(key, value)| (key, Json::String(value)));
    let own = [
        ("time", json!(time)),
        ("level", json!(record.level().as_str().to_lowercase())),
        ("target", json!(record.target())),
        ("message", json!(record.args().to_string())),
    ];
    Json::Object(fields.chain(own.map(|(key, value)| (key.to_owned(), value))).collect::<Map<_, _>>())
}

/// Without control characters, so that what a client sends can neither forge a line nor steer a terminal.
fn one_line(message: &fmt::Arguments<'_>) -> String {
    let text = message.to_string();
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_forge_a_second_line() {
        assert_eq!(one_line(&format_args!("GET /{}", "a\nb\u{1b}[2J")), "GET /a\\nb\\u{1b}[2J");
    }

    #[test]
    fn a_record_is_one_json_object_in_one_line_whatever_it_holds() {
        let fields = [("request_id", "id-1"), ("message", "not this one")];
        let record = Record::builder()
            .level(log::Level::Warn)
            .target("blogctl::access")
            .args(format_args!("GET /\n\"}} {{"))
            .key_values(&fields)
            .build();
        let line = as_json("2026-01-31T08:00:00.000Z", &record);
        let expected = json!({
            "time": "2026-01-31T08:00:00.000Z", "level": "warn", "target": "blogctl::access",
            "message": "GET /\n\"} {", "request_id": "id-1",
        });
        assert_eq!(line, expected);
        assert!(!line.to_string().contains('\n'));
    }
}
