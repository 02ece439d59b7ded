//! Reads the settings one by one, and continues after an error, so that all errors are reported at once.
//!
//! Records each name that was read: any other name that has a value is not a setting.

use figment::value::Value;
use serde_json::Value as Json;

use super::{
    error::{ConfigError, ConfigErrorKind},
    quote::{hidden_because, quotable},
    redact::HIDDEN,
    secret_text::secret_kind,
    section::Declaration,
    sources::{Collected, Given, Origin, variable_of},
    validate::thumbprint,
    value::{Form, SettingValue, cleaned, unquoted},
};

/// Least similarity (1 is identical) at which a known name is suggested for an unknown one.
const MIN_SIMILARITY: f64 = 0.6;

/// A setting, its value and where that came from.
#[derive(Debug, Clone)]
pub struct Entry {
    /// `section.key`
    pub name: &'static str,
    /// The value in force; secrets hidden, `null` when not set.
    pub value: Json,
    /// The default, in the same form.
    pub default: Json,
    /// Which values are accepted, such as `a whole number from 0 to 65535`.
    pub accepts: String,
    /// Where the value in force was set.
    pub origin: Origin,
}

/// Reads settings, and collects the errors in them.
pub struct Loader {
    given: Vec<Given>,
    unknown_variables: Vec<String>,
    declarations: Vec<&'static Declaration>,
    entries: Vec<Entry>,
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl Loader {
    /// A loader for everything that was collected from the sources.
    pub fn new(collected: Collected, declarations: Vec<&'static Declaration>) -> Self {
        let Collected {
            given,
            unknown_variables,
            errors,
            warnings,
        } = collected;
        Self {
            given,
            unknown_variables,
            declarations,
            entries: Vec::new(),
            errors,
            warnings,
        }
    }

    /// Reads a setting that accepts every value of its type.
    pub fn get<T: SettingValue + Clone>(&mut self, name: &'static str, default: T) -> T {
        self.get_if(name, default, T::EXPECTED, |_| true)
    }

    /// Reads a setting whose value must pass `is_valid`; `expected` completes the sentence "must be …". The default need not
    /// pass.
    pub fn get_if<T: SettingValue + Clone>(
        &mut self,
        name: &'static str,
        default: T,
        expected: &str,
        is_valid: impl Fn(&T) -> bool,
    ) -> T {
        let mut entry = Entry {
            name,
            value: default.show(),
            default: default.show(),
            accepts: expected.to_owned(),
            origin: Origin::Default,
        };
        let mut result = default;
        if let Some(given) = self.given.iter().rev().find(|given| given.setting == name) {
            entry.origin = given.origin.clone();
            let value = cleaned(given.value.clone(), T::FORM);
            self.warn_about_quotes(name, &value, T::FORM, &entry.origin);
            match T::read(&value) {
                // An empty value in a file means "not set". An empty flag is an error.
                _ if is_blank(&value) && !matches!(entry.origin, Origin::Flag(_)) => {}
                Ok(valid) if is_valid(&valid) => {
                    entry.value = without_secrets(name, valid.show());
                    result = valid;
                }
                Ok(_) => self.reject_value::<T>(name, &value, &entry.origin, expected.to_owned()),
                Err(more) if more.is_empty() => {
                    self.reject_value::<T>(name, &value, &entry.origin, expected.to_owned());
                }
                Err(more) => self.reject_value::<T>(name, &value, &entry.origin, format!("{expected}: {more}")),
            }
        }
        self.entries.push(entry);
        result
    }

    fn reject_value<T: SettingValue>(&mut self, name: &str, value: &Value, origin: &Origin, expected: String) {
        let (hint, expected) = match T::advice(name, value) {
            Some(advice) => (advice, None),
            None => (format!("must be {expected}"), Some(expected)),
        };
        let secret = value.as_str().and_then(hidden_because);
        let secret = secret.filter(|_| matches!(T::FORM, Form::Text | Form::Path));
        self.errors.push(ConfigError {
            kind: ConfigErrorKind::Invalid { expected },
            setting: name.to_owned(),
            problem: secret.unwrap_or_else(|| T::quote(value)),
            origin: Some(origin.to_string()),
            hint,
        });
    }

    /// Records something that works but is probably not intended.
    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Quotation marks around a secret are part of it, but probably not intended.
    fn warn_about_quotes(&mut self, name: &str, value: &Value, form: Form, origin: &Origin) {
        let is_quoted = value.as_str().is_some_and(|text| text != unquoted(text));
        if form == Form::Secret && is_quoted {
            self.warn(format!(
                "{name} begins and ends with a quotation mark ({origin}), and both are part of the secret: Docker's \
                 --env-file does not remove quotation marks"
            ));
        }
    }

    /// Records that a setting contradicts other settings.
    pub fn reject(&mut self, name: &'static str, problem: &str, hint: &str) {
        let origin = self
            .entries
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| entry.origin.to_string());
        self.errors.push(ConfigError {
            kind: ConfigErrorKind::Conflict,
            setting: name.to_owned(),
            problem: problem.to_owned(),
            origin,
            hint: hint.to_owned(),
        });
    }

    /// Records that two settings are set that exclude each other.
    pub fn reject_both(&mut self, one: &'static str, other: &'static str) {
        self.reject(
            other,
            &format!("is set together with {one}, but only one of them can be used"),
            &format!("set {one} or {other}, not both"),
        );
    }

    /// Records that a required setting is missing, unless the value of the setting or of one of its `alternatives` is
    /// already reported as invalid.
    pub fn require(&mut self, name: &'static str, alternatives: &[&str], expected: &str) {
        let is_about_it = |error: &ConfigError| error.setting == name || alternatives.contains(&error.setting.as_str());
        if self.errors.iter().any(is_about_it) {
            return;
        }
        let (section, key) = name.rsplit_once('.').unwrap_or(("", name));
        let alias = self
            .declarations
            .iter()
            .find(|declaration| declaration.name == name)
            .and_then(|declaration| declaration.aliases.last())
            .map_or_else(String::new, |alias| format!(" (alias {})", alias.name));
        let remedy = format!(
            "set {key} under [{section}] in blog.toml, or {}{alias}",
            variable_of(name)
        );
        self.errors.push(ConfigError {
            setting: name.to_owned(),
            problem: "is not set".to_owned(),
            origin: None,
            hint: format!("{expected}; {remedy}"),
            kind: ConfigErrorKind::Missing {
                expected: expected.to_owned(),
                remedy,
            },
        });
    }

    /// All settings, and all errors and warnings, including those about unknown names.
    pub fn finish(mut self) -> (Vec<Entry>, Vec<ConfigError>, Vec<String>) {
        let known: Vec<&'static str> = self.entries.iter().map(|entry| entry.name).collect();
        for Given { setting, origin, .. } in &self.given {
            if known.contains(&setting.as_str()) {
                continue;
            }
            let hint = most_similar(setting, &known).map_or_else(
                || "blogctl config lists all settings".to_owned(),
                |name| match origin {
                    Origin::Environment(_) | Origin::DotEnv(_) => format!("did you mean {}?", variable_of(name)),
                    Origin::Default | Origin::File(_) | Origin::Flag(_) => format!("did you mean {name}?"),
                },
            );
            self.errors.push(ConfigError {
                kind: ConfigErrorKind::Unknown,
                // The name is whatever stands before `=`, and may be a secret.
                setting: quotable(setting).into_owned(),
                problem: "is not a setting".to_owned(),
                origin: Some(origin.to_string()),
                hint,
            });
        }
        for variable in &self.unknown_variables {
            let similar = known
                .iter()
                .map(|name| variable_of(name))
                .find(|name| name.replace("__", "_") == *variable);
            if let Some(similar) = similar {
                self.warnings.push(format!(
                    "{variable} is not a setting: did you mean {similar}, with two underscores?"
                ));
            }
        }
        (self.entries, self.errors, self.warnings)
    }
}

fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// A setting's value as `blogctl config` shows it, without anything that could be a secret, in whatever setting it is.
fn without_secrets(name: &str, value: Json) -> Json {
    match value {
        // A thumbprint looks like a secret, but is public.
        Json::String(text) if name.ends_with("cert_thumbprint") && thumbprint(&text) => Json::String(text),
        Json::String(text) if secret_kind(&text).is_some() => Json::String(HIDDEN.to_owned()),
        Json::Array(items) => Json::Array(items.into_iter().map(|item| without_secrets(name, item)).collect()),
        Json::Object(members) => Json::Object(
            members
                .into_iter()
                .map(|(key, value)| {
                    let value = without_secrets(&key, value);
                    (key, value)
                })
                .collect(),
        ),
        other => other,
    }
}

/// The known name that is most similar to `unknown`. If that has no section, only the keys are compared.
fn most_similar(unknown: &str, known: &[&'static str]) -> Option<&'static str> {
    let similarity = |name: &'static str| {
        let comparable = if unknown.contains('.') {
            name
        } else {
            name.rsplit_once('.').map_or(name, |(_, key)| key)
        };
        strsim::normalized_damerau_levenshtein(unknown, comparable)
    };
    known
        .iter()
        // `max_by` returns the last of several equal names; the first is wanted.
        .rev()
        .map(|name| (*name, similarity(name)))
        .filter(|(_, similarity)| *similarity >= MIN_SIMILARITY)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name)
}
