//! Tables: from a file as they are, from the environment in JSON.

use figment::{error::Kind, value::Value};
use serde::de::DeserializeOwned;

use crate::config::secret_text::{SecretKind, secret_kind};

/// Reads arrays and tables of a file, or JSON in a text.
///
/// # Errors
/// Names a member that is missing or unknown. Says nothing else: that could repeat a value, which may be secret.
pub fn structured<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    let outcome = match value.as_str() {
        Some(json) => {
            let json: serde_json::Value = serde_json::from_str(json)
                .map_err(|error| format!("line {}, column {} is not valid JSON", error.line(), error.column()))?;
            Value::serialize(json).and_then(|value| value.deserialize())
        }
        None => value.deserialize(),
    };
    outcome.map_err(|error| match error.kind {
        // The name of an unknown member is given, and may be anything.
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
                "has a value that will not do".to_owned()
            }
        }
    };
}
pub(in crate::config) use tables;
