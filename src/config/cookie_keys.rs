//! `client.cookie_key` and `client.cookie_key_file`: one key, or several with the newest first.

use std::{fs, path::Path};

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    environment::Environment, loader::Loader, secret_file::warn_of_path, text_file::text_in, validate::weakness,
};

/// Shortest key: 32 characters have 128 bits even in hex.
const MIN_CHARS: usize = 32;

const A_KEY: &str = "32 random characters or more, such as openssl rand -base64 48 prints";
const KEYS: &str = "32 random characters or more, such as openssl rand -base64 48 prints, or an array of such keys, the \
                    newest first";

const SETTING: &str = "client.cookie_key";
const FILE_SETTING: &str = "client.cookie_key_file";

/// The rule of `client.cookie_key`: every key is long enough.
pub fn given(loader: &mut Loader, name: &'static str, default: Vec<SecretString>) -> Vec<SecretString> {
    loader.get_if(name, default, KEYS, |keys: &Vec<SecretString>| keys.iter().all(is_long))
}

/// The keys to use: those of the setting, or those in the file, one per line. In production they must not be guessable.
/// Empty if neither setting is set, or a key is invalid.
pub fn resolve(
    loader: &mut Loader,
    environment: Environment,
    given: Vec<SecretString>,
    file: Option<&Path>,
) -> Vec<SecretString> {
    warn_of_path(loader, SETTING, FILE_SETTING, given.first());
    let (keys, setting) = match (given.is_empty(), file) {
        (false, Some(_)) => {
            loader.reject_both(SETTING, FILE_SETTING);
            return Vec::new();
        }
        (true, Some(path)) => match fs::read(path).map(|bytes| text_in(&bytes)) {
            Ok(Some(text)) => (lines(&text), FILE_SETTING),
            Ok(None) => {
                loader.reject(
                    FILE_SETTING,
                    "names a file that is neither UTF-8 nor UTF-16 text",
                    "save it as UTF-8",
                );
                return Vec::new();
            }
            Err(error) => {
                let hint = "check that the file exists and that the account that runs blogctl can read it";
                loader.reject(
                    FILE_SETTING,
                    &format!("names a file that cannot be read: {error}"),
                    hint,
                );
                return Vec::new();
            }
        },
        (false, None) => (given, SETTING),
        (true, None) => return Vec::new(),
    };
    if keys.is_empty() || !keys.iter().all(is_long) {
        loader.reject(
            setting,
            "names a file in which a key is missing or too short",
            &format!("put one key on each line: {A_KEY}"),
        );
        return Vec::new();
    }
    let weakness = match environment {
        Environment::Production => keys.iter().find_map(|key| weakness(key.expose_secret())),
        Environment::Development => None,
    };
    if let Some(weakness) = weakness {
        loader.reject(setting, weakness, &format!("set it to {A_KEY}"));
        return Vec::new();
    }
    keys
}

fn lines(text: &str) -> Vec<SecretString> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(SecretString::from)
        .collect()
}

fn is_long(key: &SecretString) -> bool {
    key.expose_secret().chars().count() >= MIN_CHARS
}
