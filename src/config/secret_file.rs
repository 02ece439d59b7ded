//! Settings that name a file which holds a secret.

use std::path::{Path, PathBuf};

use figment::value::Value;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;

use super::{
    loader::Loader,
    quote::is_path,
    value::{Form, SettingValue, advice_for_content, text},
};

/// The path of a file that holds a secret.
pub fn secret_file(loader: &mut Loader, setting: &'static str) -> Option<PathBuf> {
    loader
        .get::<Option<SecretFile>>(setting, None)
        .map(|SecretFile(path)| path)
}

/// A secret that is the path of a file which is there: probably the file is meant.
pub fn warn_of_path(loader: &mut Loader, setting: &str, file_setting: &str, value: Option<&SecretString>) {
    let is_path = |value: &SecretString| {
        let text = value.expose_secret();
        text.starts_with('/') && Path::new(text).symlink_metadata().is_ok()
    };
    if value.is_some_and(is_path) {
        loader.warn(format!(
            "{setting} is the path of a file, and the path itself counts: {file_setting} takes a path"
        ));
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
