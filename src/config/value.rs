//! How a setting's value is read from what a file, an environment variable or a flag holds, and how it is shown.
//!
//! A file has numbers, booleans and arrays; the environment and flags have text only. Both are taken for every type.

use std::{net::IpAddr, path::PathBuf};

use figment::value::Value;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use url::Url;

use super::{
    AppRegistration, AssertionForm, AzureIdentity, Cloud, CredentialSettings, Environment, IdpUser, LogFormat,
    PreparedStatements, RequiredClientAuth,
    redact::masked,
    secret_text::{SecretKind, hidden_because, is_path, quotable, secret_kind},
};

/// What stands in place of a secret.
pub const HIDDEN: &str = "********";

/// Longest part of a wrong value that a message repeats, in characters.
const LONGEST_QUOTE: usize = 60;

/// What a value is made of: decides what may be taken from it before it is read, and how it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A word, a number, a URL or a list of them. Blanks around it, quotation marks that Docker's `--env-file` leaves, and
    /// invisible characters that come along from a web page mean nothing.
    Text,
    /// A path. Only quotation marks and line ends around it mean nothing.
    Path,
    /// A secret, of which every character counts.
    Secret,
    /// Tables, or JSON.
    Structure,
}

/// A type that a setting can have.
pub trait SettingValue: Sized {
    /// What is expected, for a message: `must be …`.
    const EXPECTED: &'static str;

    /// What it is made of.
    const FORM: Form = Form::Text;

    /// Reads it.
    ///
    /// # Errors
    /// Says more than [`Self::EXPECTED`] where that helps; empty otherwise.
    fn read(value: &Value) -> Result<Self, String>;

    /// For `blogctl config`: secrets hidden, `null` when not set.
    fn show(&self) -> Json;

    /// A wrong value, for a message. Nothing that could be a secret.
    fn quote(value: &Value) -> String {
        quote(value)
    }

    /// What to do about a wrong value, where that is more than to correct it.
    fn advice(_setting: &str, _value: &Value) -> Option<String> {
        None
    }
}

/// Invisible characters: marks of writing direction and width, which come along when a value is copied from a web page or a
/// Windows dialog.
const INVISIBLE: [char; 12] = [
    '\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202c}', '\u{2060}',
    '\u{2066}', '\u{2069}', '\u{feff}',
];

/// A value without what means nothing in its form.
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

/// Without a pair of quotation marks around it.
pub fn unquoted(text: &str) -> &str {
    let inside = |mark| text.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    inside('"').or_else(|| inside('\'')).unwrap_or(text)
}

/// A value as text, when it is text.
pub fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(String::new)
}

fn quote(value: &Value) -> String {
    match value {
        Value::String(_, text) => {
            // Of JSON, which part is wrong is not known, and each may be a secret.
            if text.trim_start().starts_with(['[', '{']) {
                return "has a value that will not do".to_owned();
            }
            // Before it is cut: what is left of a secret would no longer look like one.
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

impl SettingValue for String {
    const EXPECTED: &'static str = "text";

    fn read(value: &Value) -> Result<Self, String> {
        text(value).map(str::to_owned)
    }
    fn show(&self) -> Json {
        if self.is_empty() { Json::Null } else { json!(self) }
    }
}

impl SettingValue for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &Value) -> Result<Self, String> {
        if let Some(yes) = value.to_bool() {
            return Ok(yes);
        }
        match text(value)?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(String::new()),
        }
    }
    fn show(&self) -> Json {
        json!(self)
    }
}

macro_rules! whole_numbers {
    ($($type:ty => $expected:literal),* $(,)?) => { $(
        impl SettingValue for $type {
            const EXPECTED: &'static str = $expected;

            fn read(value: &Value) -> Result<Self, String> {
                let number = match value.to_i128().or_else(|| value.to_u128()?.try_into().ok()) {
                    Some(number) => number,
                    None => text(value)?.trim().parse().map_err(|_| String::new())?,
                };
                Self::try_from(number).map_err(|_| String::new())
            }
            fn show(&self) -> Json {
                json!(self)
            }
        }
    )* };
}

whole_numbers! {
    u16 => "a whole number from 0 to 65535",
    u32 => "a whole number",
    u64 => "a whole number",
    usize => "a whole number",
}

impl SettingValue for Url {
    const EXPECTED: &'static str = "a URL such as https://blog.example.com";

    fn read(value: &Value) -> Result<Self, String> {
        Self::parse(text(value)?.trim()).map_err(|error| error.to_string())
    }
    fn show(&self) -> Json {
        json!(masked(self.as_str()))
    }
}

/// What a file holds, put into the place of its path, is a mistake that never gets further: each message about the file would
/// repeat it.
impl SettingValue for PathBuf {
    const EXPECTED: &'static str = "the path of a file";
    const FORM: Form = Form::Path;

    fn read(value: &Value) -> Result<Self, String> {
        let path = text(value)?;
        match secret_in_place_of_path(path) {
            None => Ok(Self::from(path)),
            Some(_) => Err(String::new()),
        }
    }
    fn show(&self) -> Json {
        json!(self.display().to_string())
    }
    fn advice(setting: &str, value: &Value) -> Option<String> {
        value
            .as_str()
            .and_then(secret_in_place_of_path)
            .map(|_| advice_for_content(setting))
    }
}

/// What kind of secret stands in the place of a path, if one does.
pub fn secret_in_place_of_path(path: &str) -> Option<SecretKind> {
    secret_kind(path).filter(|_| !is_path(path))
}

/// Which setting takes what the file of `setting` holds.
fn advice_for_content(setting: &str) -> String {
    let content = match setting {
        "client.cert_path" => Some("client.cert_base64"),
        "client.key_path" => Some("client.key_base64"),
        "client.key_passphrase_file" => Some("client.key_passphrase"),
        "client.cookie_key_file" => Some("client.cookie_key"),
        _ => None,
    };
    match content {
        Some(content) => format!(
            "give the path of a file here; what such a file holds belongs into {content} ({})",
            super::variable_of(content)
        ),
        None => "give the path of a file here, and save to that file what stands here now".to_owned(),
    }
}

/// The path of a file that holds nothing but a secret. Text that neither names a file nor looks like a path is most probably the
/// secret itself, so it is never shown.
#[derive(Debug, Clone)]
pub struct SecretFile(pub PathBuf);

impl SettingValue for SecretFile {
    const EXPECTED: &'static str = "the path of a file";
    const FORM: Form = Form::Path;

    fn read(value: &Value) -> Result<Self, String> {
        let path = text(value)?;
        if is_path(path) {
            Ok(Self(path.into()))
        } else {
            Err(String::new())
        }
    }
    fn show(&self) -> Json {
        self.0.show()
    }
    fn quote(_: &Value) -> String {
        "names no file, and is not shown since it may be the secret itself".to_owned()
    }
    fn advice(setting: &str, _: &Value) -> Option<String> {
        Some(advice_for_content(setting))
    }
}

impl SettingValue for SecretString {
    const EXPECTED: &'static str = "text";
    const FORM: Form = Form::Secret;

    fn read(value: &Value) -> Result<Self, String> {
        // A file with line ends of another system leaves half of one.
        text(value).map(|text| Self::from(text.trim_end_matches(['\r', '\n'])))
    }
    fn show(&self) -> Json {
        if self.expose_secret().is_empty() {
            Json::Null
        } else {
            json!(HIDDEN)
        }
    }
    fn quote(_: &Value) -> String {
        "has a value that will not do".to_owned()
    }
}

/// An array (also in JSON), or one text, which may hold commas. Empty text is none.
impl SettingValue for Vec<SecretString> {
    const EXPECTED: &'static str = "text, or an array of texts";
    const FORM: Form = Form::Secret;

    fn read(value: &Value) -> Result<Self, String> {
        match value.as_str() {
            Some(text) if text.trim().is_empty() => Ok(Vec::new()),
            Some(text) if !text.trim_start().starts_with('[') => Ok(vec![SecretString::from(text)]),
            // What is wrong with it could be part of it.
            _ => structured(value).map_err(|_| String::new()),
        }
    }
    fn show(&self) -> Json {
        match self.len() {
            0 => Json::Null,
            1 => json!(HIDDEN),
            count => json!(vec![HIDDEN; count]),
        }
    }
    fn quote(_: &Value) -> String {
        "has a value that will not do".to_owned()
    }
}

/// Empty text is the same as not set.
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

/// An array, a comma list, or an array in JSON.
impl SettingValue for Vec<String> {
    const EXPECTED: &'static str = "an array of texts, or one text with commas between them";

    fn read(value: &Value) -> Result<Self, String> {
        if let Some(text) = value.as_str().filter(|text| !text.trim_start().starts_with('[')) {
            return Ok(text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect());
        }
        structured(value)
    }
    fn show(&self) -> Json {
        json!(self)
    }
}

/// An array, or a comma list.
impl SettingValue for Vec<u32> {
    const EXPECTED: &'static str = "an array of whole numbers, or one text with commas between them";

    fn read(value: &Value) -> Result<Self, String> {
        if value.as_str().is_none() {
            return structured(value);
        }
        let number = |text: &String| {
            text.parse()
                .map_err(|_| format!("{:?} is no such number", quotable(text)))
        };
        Vec::<String>::read(value)?.iter().map(number).collect()
    }
    fn show(&self) -> Json {
        json!(self.iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}

/// In CIDR form; an address alone is a network of its own.
impl SettingValue for Vec<IpNet> {
    const EXPECTED: &'static str = "networks such as 10.0.0.0/8, or IP addresses";

    fn read(value: &Value) -> Result<Self, String> {
        let network = |text: &String| {
            text.parse()
                .ok()
                .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        };
        Vec::<String>::read(value)?
            .iter()
            .map(|text| network(text).ok_or_else(|| format!("{:?} is neither", quotable(text))))
            .collect()
    }
    fn show(&self) -> Json {
        json!(self.iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}

macro_rules! structured {
    ($($type:ty => $expected:literal),* $(,)?) => { $(
        impl SettingValue for $type {
            const EXPECTED: &'static str = $expected;
            const FORM: Form = Form::Structure;

            fn read(value: &Value) -> Result<Self, String> {
                structured(value)
            }
            fn show(&self) -> Json {
                shown(self)
            }
        }
    )* };
}

structured! {
    Vec<IdpUser> => "tables [[idp.users]] with oid, name, email and roles (in the environment: an array of objects in JSON)",
    Vec<AppRegistration> => "tables [[idp.apps]] (in the environment: an array of objects in JSON)",
}

/// It may hold a passphrase: a wrong one is never repeated.
impl SettingValue for Vec<CredentialSettings> {
    const EXPECTED: &'static str = "tables [[client.credential]] with source (file, key_vault_sign, key_vault_certificate, \
                                    workload_identity or managed_identity) and its keys (in the environment: an array of \
                                    objects in JSON)";
    const FORM: Form = Form::Structure;

    fn read(value: &Value) -> Result<Self, String> {
        structured(value).map_err(|problem| {
            if is_about_a_name(&problem) {
                problem
            } else {
                String::new()
            }
        })
    }
    fn show(&self) -> Json {
        shown(self)
    }
    fn quote(_: &Value) -> String {
        "has a value that will not do".to_owned()
    }
}

macro_rules! choices {
    ($($type:ty => $expected:literal),* $(,)?) => { $(
        impl SettingValue for $type {
            const EXPECTED: &'static str = $expected;

            fn read(value: &Value) -> Result<Self, String> {
                let choice = text(value)?.trim().to_ascii_lowercase();
                serde_json::from_value(Json::String(choice)).map_err(|_| String::new())
            }
            fn show(&self) -> Json {
                shown(self)
            }
        }
    )* };
}

choices! {
    Environment => "development or production",
    Cloud => "public, us-government or china",
    AssertionForm => "ps256-sha256 or rs256-sha1",
    AzureIdentity => "auto, managed, workload or cli",
    LogFormat => "text or json",
    PreparedStatements => "auto, on or off",
    RequiredClientAuth => "any or certificate",
}

/// From a file's arrays and tables, or from JSON in a text.
fn structured<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    let outcome = match value.as_str() {
        Some(json) => serde_json::from_str(json).map_err(|error| error.to_string()),
        None => value.deserialize().map_err(|error| error.to_string()),
    };
    // What stands in quotation marks is a part of the value.
    outcome.map_err(|problem| {
        let repeats_value = problem.contains(['"', '`']) && !is_about_a_name(&problem);
        if repeats_value || secret_kind(&problem).is_some_and(SecretKind::is_certain) {
            String::new()
        } else {
            problem
        }
    })
}

/// Whether what serde says of a structure is about the name of a member only: anything else repeats values.
fn is_about_a_name(problem: &str) -> bool {
    ["missing field", "unknown field"]
        .iter()
        .any(|start| problem.starts_with(start))
}

fn shown(value: &impl Serialize) -> Json {
    serde_json::to_value(value).unwrap_or(Json::Null)
}
