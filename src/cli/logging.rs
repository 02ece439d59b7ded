//! Logs: one line each on stderr, as text (time, level, target, message, request id) or as JSON.

mod background;

use std::{
    fmt,
    io::{self, IsTerminal as _, Write},
    sync::OnceLock,
};

use env_logger::Target;
use log::{
    LevelFilter, Record,
    kv::{Error, Key, Value, VisitSource},
};
use serde_json::{Map, Value as Json, json};

use self::background::Background;
use crate::config::{LogFormat, LogSettings};

/// At `trace` this writes every byte that is sent and received, tokens and assertions included: whoever asks for all that there
/// is to log does not ask for those.
const WIRE: &str = "ureq_proto::util";

/// The lines on their way, when they are not written at once.
static BACKGROUND: OnceLock<Background> = OnceLock::new();

/// Starts logging; a second call changes nothing. The settings have been checked.
pub fn start(settings: &LogSettings) {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(&settings.level).filter_module(WIRE, LevelFilter::Info).target(target());
    match settings.format {
        LogFormat::Text => builder.format(|line, record| {
            let style = line.default_level_style(record.level());
            let (time, level, target) = (line.timestamp_millis(), record.level(), record.target());
            write!(line, "{time} {style}{level:<5}{style:#} {target} ")?;
            write!(OneLine(line), "{}", record.args())?;
            // It fails only if the line cannot be written to.
            record.key_values().visit(&mut AsText(line)).map_err(io::Error::other)?;
            writeln!(line)
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

/// Waits until all that was logged is on stderr: before the process ends, and before anything else is said there.
pub fn finish() {
    if let Some(background) = BACKGROUND.get() {
        background.finish();
    }
}

/// At once for somebody who looks on; otherwise in the background.
fn target() -> Target {
    let stderr = io::stderr();
    if stderr.is_terminal() {
        return Target::Stderr;
    }
    match Background::start(stderr) {
        Ok(background) => Target::Pipe(Box::new(BACKGROUND.get_or_init(|| background).clone())),
        Err(_) => Target::Stderr,
    }
}

/// What a record has beside its message, such as `request_id`, as ` key=value`.
struct AsText<'w, W>(&'w mut W);

impl<'kvs, W: Write> VisitSource<'kvs> for AsText<'_, W> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        if is_nothing(&value) {
            return Ok(());
        }
        write!(self.0, " {key}=")?;
        Ok(write!(OneLine(self.0), "{value}")?)
    }
}

/// The same as members of an object.
struct AsMembers(Map<String, Json>);

impl<'kvs> VisitSource<'kvs> for AsMembers {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        if !is_nothing(&value) {
            self.0.insert(key.to_string(), Json::String(value.to_string()));
        }
        Ok(())
    }
}

/// Empty text stands for a field that this record does not have.
fn is_nothing(value: &Value<'_>) -> bool {
    value.to_borrowed_str().is_some_and(str::is_empty)
}

/// Passes text on without control characters, so that what a client sends can neither forge a line nor steer a terminal.
struct OneLine<'w, W>(&'w mut W);

impl<W: Write> OneLine<'_, W> {
    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        fmt::Write::write_fmt(self, text).map_err(io::Error::other)
    }
}

impl<W: Write> fmt::Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = text;
        while let Some(at) = plain.find(char::is_control) {
            let (before, rest) = plain.split_at(at);
            self.0.write_all(before.as_bytes()).map_err(|_| fmt::Error)?;
            let mut chars = rest.chars();
            for escaped in chars.next().into_iter().flat_map(char::escape_default) {
                self.0.write_all(escaped.encode_utf8(&mut [0; 4]).as_bytes()).map_err(|_| fmt::Error)?;
            }
            plain = chars.as_str();
        }
        self.0.write_all(plain.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// One object: `time`, `level`, `target`, `message`, and the fields under their own names.
fn as_json(time: &str, record: &Record<'_>) -> Json {
    let mut members = AsMembers(Map::new());
    // It fails only if the visitor does.
    let _ = record.key_values().visit(&mut members);
    let own = [
        ("time", json!(time)),
        ("level", json!(record.level().as_str().to_lowercase())),
        ("target", json!(record.target())),
        ("message", json!(record.args().to_string())),
    ];
    members.0.extend(own.map(|(key, value)| (key.to_owned(), value)));
    Json::Object(members.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_forge_a_second_line() {
        let one_line = |text: &str| {
            let mut line = Vec::new();
            write!(OneLine(&mut line), "GET /{text} 200").expect("memory");
            String::from_utf8(line).expect("text")
        };
        assert_eq!(one_line("a\nb\u{1b}[2J"), "GET /a\\nb\\u{1b}[2J 200");
        assert_eq!(one_line("\r\n\u{85}ä\u{2028}"), "GET /\\r\\n\\u{85}ä\u{2028} 200");
        assert_eq!(one_line(""), "GET / 200");
    }

    #[test]
    fn a_record_is_one_json_object_in_one_line_whatever_it_holds() {
        let fields = [("request_id", "id-1"), ("trace_id", ""), ("message", "not this one")];
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
