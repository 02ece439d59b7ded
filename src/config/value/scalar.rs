//! Settings of one word: text, numbers, booleans, URLs, and a choice between words.

use figment::value::Value;
use serde_json::{Value as Json, json};
use url::Url;

use super::{SettingValue, text};
use crate::config::redact::redacted_address;

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
        json!(redacted_address(self.as_str()))
    }
}

/// Implements `SettingValue` for an enum. The words are its serde names, in upper or lower case.
macro_rules! choices {
    ($type:ty => $expected:literal) => {
        impl $crate::config::value::SettingValue for $type {
            const EXPECTED: &'static str = $expected;

            fn read(value: &figment::value::Value) -> Result<Self, String> {
                let choice = $crate::config::value::text(value)?.trim().to_ascii_lowercase();
                serde_json::from_value(choice.into()).map_err(|_| String::new())
            }
            fn show(&self) -> serde_json::Value {
                serde_json::to_value(self).unwrap_or_default()
            }
        }
    };
}
pub(in crate::config) use choices;
