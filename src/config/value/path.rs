//! Paths of files. If the content of a file is set instead of its path, it may be a secret, and is never shown.

use std::path::PathBuf;

use figment::value::Value;
use serde_json::{Value as Json, json};

use super::{Form, SettingValue, text};
use crate::config::{quote::secret_in_place_of_path, sources::variable_of};

/// Rejects the content of a file instead of its path: otherwise every message about the file would repeat it.
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

/// Names the setting that accepts the content of the file of `setting`.
pub(in crate::config) fn advice_for_content(setting: &str) -> String {
    let content = match setting {
        "client.cert_path" => Some("client.cert_base64"),
        "client.key_path" => Some("client.key_base64"),
        "client.key_passphrase_file" => Some("client.key_passphrase"),
        "client.cookie_key_file" => Some("client.cookie_key"),
        _ => None,
    };
    match content {
        Some(content) => format!(
            "set it to the path of a file, and put the content of such a file into {content} ({})",
            variable_of(content)
        ),
        None => "save the current value to a file, and set this to the path of that file".to_owned(),
    }
}
