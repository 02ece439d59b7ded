//! `client.cookie_key` and `client.cookie_key_file`: one key, or several of which the first is the newest.

use std::{fs, path::PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Environment,
    loader::Loader,
    secret_file::{secret_file, warn_of_path},
    text_in,
    validate::weakness,
};

/// Shortest key: 32 characters hold 128 bits even in hex.
const MIN_CHARS: usize = 32;

/// What a key must be.
const A_KEY: &str = "32 random characters or more, such as openssl rand -base64 48 prints";
/// What the setting may be.
const KEYS: &str = "32 random characters or more, such as openssl rand -base64 48 prints, or an array of such keys, the \
                    newest first";

const SETTING: &str = "client.cookie_key";
const FILE_SETTING: &str = "client.cookie_key_file";

/// From the setting, or from the file that another setting names, a key a line. In development any will do that is long
/// enough. Empty when neither is set, or one is wrong.
pub(super) fn read(loader: &mut Loader, environment: Environment) -> Vec<SecretString> {
    let given = loader.get_if(SETTING, Vec::new(), KEYS, |keys: &Vec<SecretString>| {
        keys.iter().all(is_long)
    });
    warn_of_path(loader, SETTING, FILE_SETTING, given.first());
    let file: Option<PathBuf> = secret_file(loader, FILE_SETTING);
    let (keys, setting) = match (given.is_empty(), file) {
        (false, Some(_)) => {
            loader.refuse(
                FILE_SETTING,
                "is set beside client.cookie_key",
                "set one of them, and leave out the other",
            );
            return Vec::new();
        }
        (true, Some(path)) => match fs::read(&path).map(|bytes| text_in(&bytes)) {
            Ok(Some(text)) => (lines(&text), FILE_SETTING),
            Ok(None) => {
                loader.refuse(
                    FILE_SETTING,
                    "names a file that is neither UTF-8 nor UTF-16 text",
                    "save it as UTF-8",
                );
                return Vec::new();
            }
            Err(error) => {
                let hint = "check that the file exists and that the user blogctl runs as may read it";
                loader.refuse(
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
        loader.refuse(
            setting,
            "names a file in which a key is missing or too short",
            &format!("a line holds {A_KEY}"),
        );
        return Vec::new();
    }
    let weakness = match environment {
        Environment::Production => keys.iter().find_map(|key| weakness(key.expose_secret())),
        Environment::Development => None,
    };
    if let Some(weakness) = weakness {
        loader.refuse(setting, weakness, &format!("set it to {A_KEY}"));
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
