//! Writes the log to stderr, one line per record: text (time, level, target, message, request id, trace id) or JSON.

mod background;
mod json;

use std::{
    fmt,
    io::{self, Write},
    panic::{self, PanicHookInfo},
    sync::{OnceLock, mpsc},
    thread,
    time::Duration,
};

use anstream::{AutoStream, ColorChoice};
use chrono::{SecondsFormat, Utc};
use env_logger::{Target, WriteStyle, fmt::style::Style};
use log::{
    LevelFilter, Record,
    kv::{Error, Key, Value, VisitSource},
};

use self::background::Background;
use crate::{
    config::{LogFormat, LogSettings},
    metrics,
    trace::{Scope, TraceContext},
};

/// At `trace`, this target logs every byte that is sent and received, including tokens and assertions. They must not get into
/// the log, even if the operator sets the level to `trace`.
const WIRE: &str = "ureq_proto::util";

/// At `info`, this target logs internals of the web framework: worker threads, runtime, signals.
const FRAMEWORK: &str = "actix_server";

/// Target of the records of this module.
const OWN: &str = "blogctl::log";

/// Longest wait until stderr accepts the last message of the process.
const LAST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// Logs each malformed request as an error, without the client. [`crate::serve::server`] logs such requests instead.
const MALFORMED: &str = "actix_http::h1::dispatcher";

/// The thread that writes the log, if it could be started.
static BACKGROUND: OnceLock<Background> = OnceLock::new();

/// Starts logging; a second call changes nothing. The settings are valid already.
pub fn start(settings: &LogSettings) {
    let mut builder = env_logger::Builder::new();
    if !settings
        .level
        .to_ascii_lowercase()
        .split(',')
        .any(|part| ["debug", "trace"].contains(&part.trim()))
    {
        // Before the filters of the settings, so that they can name the framework.
        builder.filter_module(FRAMEWORK, LevelFilter::Warn);
    }
    let is_coloured = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    builder
        .parse_filters(&settings.level)
        .filter_module(WIRE, LevelFilter::Info)
        .filter_module(MALFORMED, LevelFilter::Off);
    // Plain lines hold no styles, so the logger need not search each of them for some to remove.
    builder.target(target(settings.format)).write_style(WriteStyle::Always);
    match settings.format {
        LogFormat::Text => builder.format(move |line, record| {
            metrics::logs::logged(record.level());
            let style = if is_coloured {
                line.default_level_style(record.level())
            } else {
                Style::new()
            };
            let (time, level, target) = (line.timestamp_millis(), record.level(), record.target());
            write!(line, "{time} {style}{level:<5}{style:#} {target} ")?;
            write!(OneLine(line), "{}", record.args())?;
            write_fields(line, record)?;
            writeln!(line)
        }),
        LogFormat::Json => builder.format(|line, record| {
            metrics::logs::logged(record.level());
            let time = line.timestamp_millis().to_string();
            line.write_all(json::line(&time, record).as_bytes())
        }),
    };
    if builder.try_init().is_err() {
        log::debug!("logging is already running");
    }
}

/// Waits until all log lines are on stderr: before the process ends, and before anything else is written there.
pub fn finish() {
    if let Some(background) = BACKGROUND.get() {
        background.finish();
    }
}

/// Writes the last message of the process to stderr, after the log lines. Waits at most [`LAST_MESSAGE_TIMEOUT`] for a reader
/// that is stuck.
pub fn write_last(text: String) {
    finish();
    let (send, receive) = mpsc::channel();
    let writer = thread::Builder::new().name("last message".to_owned()).spawn(move || {
        // If stderr is closed, only the exit code remains.
        let _ = anstream::stderr().lock().write_all(text.as_bytes());
        let _ = send.send(());
    });
    if writer.is_ok() {
        let _ = receive.recv_timeout(LAST_MESSAGE_TIMEOUT);
    }
}

/// Writes in the background, also to a terminal: after Ctrl-S, a terminal accepts nothing.
fn target(format: LogFormat) -> Target {
    let notice = match format {
        LogFormat::Text => loss_in_text,
        LogFormat::Json => loss_in_json,
    };
    match Background::start(io::stderr(), notice) {
        Ok(background) => {
            log_panics();
            Target::Pipe(Box::new(BACKGROUND.get_or_init(|| background).clone()))
        }
        Err(_) => Target::Stderr,
    }
}

/// Logs panics like other records. The default hook would block a thread that serves requests while the reader of stderr is
/// stuck.
fn log_panics() {
    let log = |info: &PanicHookInfo<'_>| {
        let thread = thread::current();
        let (thread, location) = (thread.name().unwrap_or("without a name"), info.location());
        let location = location.map_or_else(|| "an unknown location".to_owned(), ToString::to_string);
        // Only literal messages: a formatted message may contain a part of a token or a key.
        let message = info
            .payload()
            .downcast_ref::<&'static str>()
            .copied()
            .unwrap_or("see the source");
        if log::log_enabled!(target: OWN, log::Level::Error) {
            log::error!(target: OWN, "thread {thread} panicked at {location}: {message}");
        } else {
            write_last(format!("thread {thread} panicked at {location}: {message}\n"));
        }
        if thread == "main" {
            // The process ends with its main thread.
            finish();
        }
    };
    panic::set_hook(Box::new(log));
}

fn loss_in_text(lost: u64) -> String {
    format!("{} WARN  {OWN} {}\n", now(), loss(lost))
}

fn loss_in_json(lost: u64) -> String {
    json::loss(OWN, &loss(lost), lost)
}

fn loss(lost: u64) -> String {
    let lines = if lost == 1 { "line" } else { "lines" };
    format!(
        "{} {lines} lost: the reader of stderr did not keep up, and a server does not wait for its log",
        thousands(lost)
    )
}

/// The time in the format of other lines.
fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `12,345`
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes the fields of a record as ` key=value`: its own, then the id and the trace of the request that this thread works for.
fn write_fields(line: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
    let mut fields = AsText {
        line,
        has_request_id: false,
    };
    // Fails only if the line cannot be written.
    record.key_values().visit(&mut fields).map_err(io::Error::other)?;
    let has_request_id = fields.has_request_id;
    Scope::with_current(|scope| {
        let id = scope.request_id();
        if !has_request_id && !id.is_empty() {
            write!(line, " request_id={id}")?;
        }
        match scope.context().map(TraceContext::trace_id) {
            Some(trace_id) => write!(line, " trace_id={trace_id}"),
            None => Ok(()),
        }
    })
    .unwrap_or(Ok(()))
}

/// Writes the fields of a record, such as `request_id`. The attributes that OpenTelemetry names, which contain a dot, are
/// left out: the message holds them already.
struct AsText<'w, W> {
    line: &'w mut W,
    has_request_id: bool,
}

impl<'kvs, W: Write> VisitSource<'kvs> for AsText<'_, W> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        if is_absent(&value) || key.as_str().contains('.') {
            return Ok(());
        }
        self.has_request_id |= key.as_str() == "request_id";
        write!(self.line, " {key}=")?;
        Ok(write!(OneLine(self.line), "{value}")?)
    }
}

/// An empty text means that the record has no such field.
fn is_absent(value: &Value<'_>) -> bool {
    value.to_borrowed_str().is_some_and(str::is_empty)
}

/// Escapes control characters, so that input of a client can neither forge a log line nor control a terminal.
struct OneLine<'w, W>(&'w mut W);

impl<W: Write> OneLine<'_, W> {
    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        fmt::Write::write_fmt(self, text).map_err(io::Error::other)
    }
}

impl<W: Write> fmt::Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Almost every line is of these bytes only.
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.write_all(text.as_bytes()).map_err(|_| fmt::Error);
        }
        let mut plain = text;
        while let Some(at) = plain.find(char::is_control) {
            let (before, rest) = plain.split_at(at);
            self.0.write_all(before.as_bytes()).map_err(|_| fmt::Error)?;
            let mut chars = rest.chars();
            for escaped in chars.next().into_iter().flat_map(char::escape_default) {
                self.0
                    .write_all(escaped.encode_utf8(&mut [0; 4]).as_bytes())
                    .map_err(|_| fmt::Error)?;
            }
            plain = chars.as_str();
        }
        self.0.write_all(plain.as_bytes()).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_lines_are_reported_in_one_line_of_either_format() {
        for (number, expected) in [
            (1, "1"),
            (999, "999"),
            (1000, "1,000"),
            (12_345, "12,345"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), expected);
        }
        let text = loss_in_text(12_345);
        assert!(
            text.ends_with('\n') && text.contains("WARN  blogctl::log 12,345 lines lost"),
            "{text}"
        );
        assert!(loss_in_json(1).contains("\"1 line lost"));
    }

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
    fn a_line_within_a_request_names_it_once() {
        let fields = |own: &[(&str, &str)]| {
            let record = Record::builder().key_values(&own).build();
            let mut line = Vec::new();
            write_fields(&mut line, &record).expect("memory");
            String::from_utf8(line).expect("text")
        };
        assert_eq!(
            fields(&[("client", "::1"), ("http.route", "/x"), ("none", "")]),
            " client=::1"
        );
        let context = TraceContext::start();
        let trace = context.trace_id();
        Scope::new("id-1", Some(context)).enter(|| {
            assert_eq!(fields(&[]), format!(" request_id=id-1 trace_id={trace}"));
            assert_eq!(
                fields(&[("request_id", "id-2")]),
                format!(" request_id=id-2 trace_id={trace}")
            );
        });
    }
}
