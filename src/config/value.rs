//! Converts the values of settings from files, environment variables and flags, and shows them.
//!
//! A file has numbers, booleans and arrays; the environment and flags have only text. Every type accepts both.

mod list;
mod path;
mod scalar;
mod secret;
mod structure;

use figment::value::Value;
use serde_json::Value as Json;

pub(super) use path::advice_for_content;
pub(super) use scalar::choices;
pub(super) use structure::{structured, tables};

use super::quote::{hidden_because, quotable};

/// Longest part of an invalid value that a message repeats, in characters.
const LONGEST_QUOTE: usize = 60;

/// What a value consists of. It decides what is removed from the value before it is parsed, and how messages quote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A word, a number, a URL or a list of them. Blanks around it are removed, and so are quotation marks, which Docker's
    /// `--env-file` leaves, and invisible characters that are copied from a web page.
    Text,
    /// A path. Only quotation marks around it and line breaks at its end are removed.
    Path,
    /// A secret. Nothing is removed.
    Secret,
    /// Tables, or JSON.
    Structure,
}

/// A type that a setting can have.
pub trait SettingValue: Sized {
    /// What is accepted: completes the sentence "must be …".
    const EXPECTED: &'static str;

    /// What a value consists of.
    const FORM: Form = Form::Text;

    /// Parses a value.
    ///
    /// # Errors
    /// Adds to [`Self::EXPECTED`] where that helps; otherwise empty.
    fn read(value: &Value) -> Result<Self, String>;

    /// The value for `blogctl config`: secrets hidden, `null` if not set.
    fn show(&self) -> Json;

    /// An invalid value for a message, without anything that could be a secret.
    fn quote(value: &Value) -> String {
        quote(value)
    }

    /// What to do about an invalid value, if correcting it is not enough.
    fn advice(_setting: &str, _value: &Value) -> Option<String> {
        None
    }
}

/// Invisible characters (writing direction, width) that are copied together with a value from a web page or a Windows dialog.
const INVISIBLE: [char; 12] = [
    '\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202c}', '\u{2060}',
    '\u{2066}', '\u{2069}', '\u{feff}',
];

/// Removes what has no meaning in a value of this form.
pub fn cleaned(value: Value, form: Form) -> Value {
    match (value, form) {
        (Value::String(tag, text), Form::Text) => {
            let visible: String = text.chars().filter(|c| !INVISIBLE.contains(c)).collect();
            Value::String(tag, unquoted(visible.trim()).trim().to_owned())
        }
        (Value::String(tag, text), Form::Path) => {
            Value::String(tag, unquoted(text.trim_end_matches(['\r', '\n'])).to_owned())
        }
        (Value::Array(tag, items), Form::Text) => {
            Value::Array(tag, items.into_iter().map(|item| cleaned(item, form)).collect())
        }
        (value, _) => value,
    }
}

/// Removes a pair of quotation marks around a text.
pub fn unquoted(text: &str) -> &str {
    let inside = |mark| text.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}

/// The text of a value.
///
/// # Errors
/// If it is not text; the message is empty.
pub fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(String::new)
}

fn quote(value: &Value) -> String {
    match value {
        Value::String(_, text) => {
            // Any part of JSON may be invalid, and any part may be a secret.
            if text.trim_start().starts_with(['[', '{']) {
                return "has an invalid value".to_owned();
            }
            // Before the text is shortened: a part of a secret may not look like one.
            if let Some(reason) = hidden_because(text) {
                return reason;
            }
            let text = quotable(text);
            let short: String = text.chars().take(LONGEST_QUOTE).collect();
            let more = if short.len() < text.len() { "…" } else { "" };
            format!("is {short:?}{more}")
        }
        Value::Char(_, c) => format!("is {:?}", c.to_string()),
        Value::Bool(_, yes) => format!("is {yes}"),
        Value::Num(_, number) => number
            .to_i128()
            .map(|n| n.to_string())
            .or_else(|| number.to_f64().map(|n| n.to_string()))
            .map_or_else(|| "is a number".to_owned(), |n| format!("is {n}")),
        Value::Empty(..) => "is empty".to_owned(),
        Value::Dict(..) => "is a table".to_owned(),
        Value::Array(..) => "is an array".to_owned(),
    }
}

/// Empty text means "not set".
impl<T: SettingValue> SettingValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const FORM: Form = T::FORM;

    fn read(value: &Value) -> Result<Self, String> {
        if value.as_str().is_some_and(|text| text.trim().is_empty()) {
            return Ok(None);
        }
        T::read(value).map(Some)
    }
    fn show(&self) -> Json {
        self.as_ref().map_or(Json::Null, T::show)
    }
    fn quote(value: &Value) -> String {
        T::quote(value)
    }
    fn advice(setting: &str, value: &Value) -> Option<String> {
        T::advice(setting, value)
    }
}
