//! Lists: arrays in a file, items separated by commas in the environment.

use figment::value::Value;
use serde_json::{Value as Json, json};

use super::{SettingValue, structure::structured};
use crate::config::quote::quotable;

/// An array, a comma list, or an array in JSON.
impl SettingValue for Vec<String> {
    const EXPECTED: &'static str = "an array of texts, or texts separated by commas";

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
    const EXPECTED: &'static str = "an array of whole numbers, or numbers separated by commas";

    fn read(value: &Value) -> Result<Self, String> {
        if value.as_str().is_none() {
            return structured(value);
        }
        let number = |text: &String| {
            text.parse()
                .map_err(|_| format!("{:?} is not such a number", quotable(text)))
        };
        Vec::<String>::read(value)?.iter().map(number).collect()
    }
    fn show(&self) -> Json {
        json!(self.iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}
