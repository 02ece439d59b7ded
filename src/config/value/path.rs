//! Paths of files. Where the content of a file stands in the place of its path, it is a secret, and never shown.

use std::path::PathBuf;

use figment::value::Value;
use serde_json::{Value as Json, json};

use super::{Form, SettingValue, text};
use crate::config::{quote::secret_in_place_of_path, sources::variable_of};

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

/// Which setting takes what the file of `setting` holds.
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
            "give the path of a file here; what such a file holds belongs into {content} ({})",
            variable_of(content)
        ),
        None => "give the path of a file here, and save to that file what stands here now".to_owned(),
    }
}
