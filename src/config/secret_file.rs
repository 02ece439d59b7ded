//! Settings that name a file which contains a secret.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use figment::value::Value;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::{
    loader::Loader,
    quote::is_path,
    text_file::text_in,
    value::{Form, SettingValue, advice_for_content, text},
};

/// The rule of such a setting: it must be a path.
pub fn secret_file(loader: &mut Loader, name: &'static str, default: Option<PathBuf>) -> Option<PathBuf> {
    loader.get(name, default.map(SecretFile)).map(|SecretFile(path)| path)
}

/// Longest password, in bytes: libpq rejects one of 65,536. Tokens have some thousand.
pub const MAX_PASSWORD_BYTES: u64 = 60_000;

/// Reads the password in a file, without line breaks at its end. `None` after an error, which `loader` reports.
pub fn read_password(loader: &mut Loader, name: &'static str, path: &Path) -> Option<Zeroizing<String>> {
    match password_in_file(path) {
        Ok(password) => Some(password),
        Err(problem) => {
            let hint = "write only the password into the file, and let the account that runs blogctl read it";
            loader.reject(name, &format!("names a file that {problem}"), hint);
            None
        }
    }
}

/// The password in a file, without line breaks at its end.
///
/// # Errors
/// Says what is wrong with the file, as the end of a sentence such as "the file …".
pub fn password_in_file(path: &Path) -> Result<Zeroizing<String>, String> {
    let bytes = read_bounded(path).map_err(|error| format!("cannot be read: {error}"))?;
    let text = text_in(&bytes).ok_or("is neither UTF-8 nor UTF-16 text")?;
    password_in_text(text).ok_or_else(|| "does not hold one line with a password".to_owned())
}

/// A password without line breaks at its end. `None` when it is not one line of text, or longer than [`MAX_PASSWORD_BYTES`].
pub fn password_in_text(mut text: Zeroizing<String>) -> Option<Zeroizing<String>> {
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    let is_password = !text.is_empty() && length as u64 <= MAX_PASSWORD_BYTES && !text.contains(char::is_control);
    is_password.then_some(text)
}

fn read_bounded(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Opening a pipe could block forever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    // UTF-16 takes twice the space.
    let max_bytes = 2 * MAX_PASSWORD_BYTES;
    File::open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("it is larger than {max_bytes} bytes")));
    }
    Ok(bytes)
}

/// Warns when a secret is the path of an existing file: probably the content of the file is meant.
pub fn warn_of_path(loader: &mut Loader, setting: &str, file_setting: &str, value: Option<&SecretString>) {
    let is_path = |value: &SecretString| {
        let text = value.expose_secret();
        text.starts_with('/') && Path::new(text).symlink_metadata().is_ok()
    };
    if value.is_some_and(is_path) {
        loader.warn(format!(
            "{setting} is the path of a file, and the path itself is used as the secret: set {file_setting} to read the file"
        ));
    }
}

/// The path of a file that contains only a secret. Text that neither names a file nor looks like a path is probably the secret
/// itself, so it is never shown.
#[derive(Debug, Clone)]
struct SecretFile(PathBuf);

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
        "names no file, and is not shown because it may be the secret itself".to_owned()
    }
    fn advice(setting: &str, _: &Value) -> Option<String> {
        Some(advice_for_content(setting))
    }
}
