//! Secrets: shown as asterisks, and not quoted even if they are invalid.

use figment::value::Value;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value as Json, json};

use super::{Form, SettingValue, structure::structured, text};
use crate::config::redact::HIDDEN;

impl SettingValue for SecretString {
    const EXPECTED: &'static str = "text";
    const FORM: Form = Form::Secret;

    fn read(value: &Value) -> Result<Self, String> {
        // A `.env` file with the line ends of another system leaves half of a line end.
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
        "has an invalid value".to_owned()
    }
}

/// An array (also in JSON), or one text, which may contain commas. Empty text means no secret.
impl SettingValue for Vec<SecretString> {
    const EXPECTED: &'static str = "text, or an array of texts";
    const FORM: Form = Form::Secret;

    fn read(value: &Value) -> Result<Self, String> {
        match value.as_str() {
            Some(text) if text.trim().is_empty() => Ok(Vec::new()),
            Some(text) if !text.trim_start().starts_with('[') => Ok(vec![SecretString::from(text)]),
            // The error could repeat a part of the secret.
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
        "has an invalid value".to_owned()
    }
}
