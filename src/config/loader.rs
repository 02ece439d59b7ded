//! Reads settings one by one from everything that was given, and goes on after a mistake, so that all are told at once.
//!
//! Remembers each name it was asked for: what was given and not asked for does not exist.

use figment::{
    Figment, Metadata, Profile, Provider,
    util::nest,
    value::{Dict, Map, Value},
};
use serde_json::Value as Json;

use super::{
    Mistake,
    aliases::older_name_of,
    quote::{hidden_because, quotable},
    redact::HIDDEN,
    secret_text::secret_kind,
    sources::{Collected, Given, Origin, variable_of},
    validate::thumbprint,
    value::{Form, SettingValue, cleaned, unquoted},
};

/// Least likeness (1 is the same) of a name that is offered in place of an unknown one.
const LIKE_ENOUGH: f64 = 0.6;

/// A setting, its value and where that came from.
#[derive(Debug, Clone)]
pub struct Entry {
    /// `section.key`
    pub name: &'static str,
    /// The value in force; secrets hidden, `null` when not set.
    pub value: Json,
    /// The value when nobody gives one.
    pub default: Json,
    /// Such as `default`, `blog.toml`, `environment variable FLASK_PORT`.
    pub origin: String,
}

/// Hands out settings, and collects what is wrong with them.
pub struct Loader {
    figment: Figment,
    given: Vec<(String, Origin)>,
    not_settings: Vec<String>,
    entries: Vec<Entry>,
    mistakes: Vec<Mistake>,
    warnings: Vec<String>,
}

impl Loader {
    /// A loader of all that was given.
    pub fn new(collected: Collected) -> Self {
        let Collected {
            given,
            not_settings,
            mistakes,
            warnings,
        } = collected;
        let names = given
            .iter()
            .map(|given| (given.setting.clone(), given.origin.clone()))
            .collect();
        let figment = given.into_iter().fold(Figment::new(), Figment::merge);
        Self {
            figment,
            given: names,
            not_settings,
            entries: Vec::new(),
            mistakes,
            warnings,
        }
    }

    /// A setting of which every value of its type will do.
    pub fn get<T: SettingValue + Clone>(&mut self, name: &'static str, default: T) -> T {
        self.get_if(name, default, "", |_| true)
    }

    /// A setting whose value must pass `check`; `expected` says what does: `must be …`. The default need not pass.
    pub fn get_if<T: SettingValue + Clone>(
        &mut self,
        name: &'static str,
        default: T,
        expected: &str,
        check: impl Fn(&T) -> bool,
    ) -> T {
        let mut entry = Entry {
            name,
            value: default.show(),
            default: default.show(),
            origin: "default".to_owned(),
        };
        let mut taken = default;
        if let Ok(found) = self.figment.find_value(name) {
            entry.origin = self
                .figment
                .get_metadata(found.tag())
                .map(|m| m.name.to_string())
                .unwrap_or_default();
            let found = cleaned(found, T::FORM);
            self.warn_of_quotes(name, &found, T::FORM, &entry.origin);
            let reason = match T::read(&found) {
                // "Not set", in a file that has every setting.
                _ if is_blank(&found) && !entry.origin.starts_with(FLAG) => None,
                Ok(value) if check(&value) => {
                    entry.value = without_secrets(name, value.show());
                    taken = value;
                    None
                }
                Ok(_) => Some(format!("must be {expected}")),
                Err(more) => {
                    let expected = if expected.is_empty() { T::EXPECTED } else { expected };
                    let more = if more.is_empty() {
                        String::new()
                    } else {
                        format!(": {more}")
                    };
                    Some(format!("must be {expected}{more}"))
                }
            };
            if let Some(hint) = reason {
                let hint = T::advice(name, &found).unwrap_or(hint);
                let secret = found.as_str().and_then(hidden_because);
                let secret = secret.filter(|_| matches!(T::FORM, Form::Text | Form::Path));
                let (problem, origin) = (secret.unwrap_or_else(|| T::quote(&found)), Some(entry.origin.clone()));
                self.mistakes.push(Mistake {
                    setting: name.to_owned(),
                    problem,
                    origin,
                    hint,
                });
            }
        }
        self.entries.push(entry);
        taken
    }

    /// Records something that works and is probably not meant.
    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Of a secret nothing is taken away, so that is told.
    fn warn_of_quotes(&mut self, name: &str, value: &Value, form: Form, origin: &str) {
        let is_quoted = value.as_str().is_some_and(|text| text != unquoted(text));
        if form == Form::Secret && is_quoted {
            self.warn(format!(
                "{name} begins and ends with a quotation mark ({origin}), and both count: Docker's --env-file leaves them \
                 around values"
            ));
        }
    }

    /// Records that a setting does not go together with others.
    pub fn refuse(&mut self, name: &'static str, problem: &str, hint: &str) {
        let origin = self
            .entries
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| entry.origin.clone());
        self.mistakes.push(Mistake {
            setting: name.to_owned(),
            problem: problem.to_owned(),
            origin,
            hint: hint.to_owned(),
        });
    }

    /// Records that a setting is needed and not there. Not when its value was wrong, or that of one of `others` that may
    /// stand in its place: that has been told.
    pub fn demand(&mut self, name: &'static str, others: &[&str], what: &str) {
        let is_it = |mistake: &Mistake| mistake.setting == name || others.contains(&mistake.setting.as_str());
        if self.mistakes.iter().any(is_it) {
            return;
        }
        let (section, key) = name.split_once('.').unwrap_or(("", name));
        let older = older_name_of(name).map_or_else(String::new, |older| format!(" (older name {older})"));
        self.mistakes.push(Mistake {
            setting: name.to_owned(),
            problem: "is not set".to_owned(),
            origin: None,
            hint: format!(
                "{what}; set {key} under [{section}] in blog.toml, or {}{older}",
                variable_of(name)
            ),
        });
    }

    /// Everything that was asked for, and what is wrong, unknown names included.
    pub fn finish(mut self) -> (Vec<Entry>, Vec<Mistake>, Vec<String>) {
        let known: Vec<&'static str> = self.entries.iter().map(|entry| entry.name).collect();
        for (setting, origin) in &self.given {
            if known.contains(&setting.as_str()) {
                continue;
            }
            let hint = nearest(setting, &known).map_or_else(
                || "blogctl config lists all settings".to_owned(),
                |name| match origin {
                    Origin::Environment(_) | Origin::DotEnv(_) => format!("did you mean {}?", variable_of(name)),
                    Origin::File(_) | Origin::Flag(_) => format!("did you mean {name}?"),
                },
            );
            let problem = "is not a setting".to_owned();
            // A name is what stands before `=`, which may be anything.
            let setting = quotable(setting).into_owned();
            self.mistakes.push(Mistake {
                setting,
                problem,
                origin: Some(origin.to_string()),
                hint,
            });
        }
        for variable in &self.not_settings {
            let meant = known
                .iter()
                .map(|name| variable_of(name))
                .find(|name| name.replace("__", "_") == *variable);
            if let Some(meant) = meant {
                self.warnings.push(format!(
                    "{variable} is not a setting: did you mean {meant}, with two underscores?"
                ));
            }
        }
        (self.entries, self.mistakes, self.warnings)
    }
}

/// How the origin of a flag's value begins.
const FLAG: &str = "flag ";

fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// A setting's value as `blogctl config` shows it: nothing in it that could be a secret, whatever the setting is for.
fn without_secrets(name: &str, value: Json) -> Json {
    match value {
        // Its digits are random, and public.
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

/// The known name most like `wrong`; of a name without section, the one whose key is most like it.
fn nearest(wrong: &str, known: &[&'static str]) -> Option<&'static str> {
    let likeness = |name: &'static str| {
        let comparable = if wrong.contains('.') {
            name
        } else {
            name.split_once('.').map_or(name, |(_, key)| key)
        };
        strsim::normalized_damerau_levenshtein(wrong, comparable)
    };
    known
        .iter()
        // Of several that are alike, the first.
        .rev()
        .map(|name| (*name, likeness(name)))
        .filter(|(_, likeness)| *likeness >= LIKE_ENOUGH)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name)
}

/// Each value is a provider of its own, so that figment remembers each one's origin.
impl Provider for Given {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let content = nest(&self.setting, self.value.clone()).into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(content))
    }
}
