//! Tables: TOML in a file, JSON in the environment.

use figment::{error::Kind, value::Value};
use serde::de::DeserializeOwned;

use crate::config::secret_text::{SecretKind, secret_kind};

/// Parses arrays and tables from a file, or JSON from text.
///
/// # Errors
/// Names a missing, unknown or repeated member, or the place where JSON is invalid. Nothing else, because that could repeat a
/// value, which may be a secret.
pub fn structured<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    let parsed;
    let value = match value.as_str() {
        Some(json) => {
            let json: serde_json::Value = serde_json::from_str(json)
                .map_err(|error| format!("line {}, column {} is not valid JSON", error.line(), error.column()))?;
            parsed = Value::serialize(json).map_err(|_| String::new())?;
            &parsed
        }
        None => value,
    };
    value.deserialize().map_err(|error: figment::Error| match error.kind {
        // The user wrote the name of an unknown member, so it may be a secret.
        Kind::UnknownField(name, _) if secret_kind(&name).is_some_and(SecretKind::is_certain) => String::new(),
        kind @ (Kind::MissingField(_) | Kind::UnknownField(..) | Kind::DuplicateField(_)) => kind.to_string(),
        _ => String::new(),
    })
}

/// Makes a list of tables a setting's type.
macro_rules! tables {
    ($type:ty => $expected:literal) => {
        impl $crate::config::value::SettingValue for Vec<$type> {
            const EXPECTED: &'static str = $expected;
            const FORM: $crate::config::value::Form = $crate::config::value::Form::Structure;

            fn read(value: &figment::value::Value) -> Result<Self, String> {
                $crate::config::value::structured(value)
            }
            fn show(&self) -> serde_json::Value {
                serde_json::to_value(self).unwrap_or_default()
            }
            /// A table may hold a passphrase.
            fn quote(_: &figment::value::Value) -> String {
                "has an invalid value".to_owned()
            }
        }
    };
}
pub(in crate::config) use tables;
