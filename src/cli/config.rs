//! `blogctl config`

use std::io::Write;

use anstyle::{AnsiColor, Style};
use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::{settings::SettingsArguments, wrap};
use crate::config::{Entry, Origin, Role};

const NAME: Style = Style::new().bold();
const FROM_DEFAULT: Style = Style::new().dimmed();
const GIVEN: Style = AnsiColor::Green.on_default();

/// Values longer than this do not widen their column.
const WIDEST_VALUE: usize = 48;

/// Show the settings in force, and where each comes from
///
/// Secrets are shown as ********. All invalid settings are listed at once, with exit code 2.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl config
  blogctl config --set log.level=debug    the effect of a flag
  blogctl config --json | jq '.\"client.port\".value'")]
pub struct Arguments {
    /// Print JSON: an object with {value, origin} for each setting
    #[arg(long)]
    json: bool,
}

/// Prints the settings.
///
/// # Errors
/// If settings are invalid, or stdout cannot be written.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> anyhow::Result<()> {
    let loaded = settings.load_with_origins(Role::Any, Vec::new())?;
    let text = if arguments.json {
        as_json(&loaded.entries)?
    } else {
        as_table(&loaded.entries, wrap::stdout_width())
    };
    anstream::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn as_json(entries: &[Entry]) -> serde_json::Result<String> {
    let entry = |entry: &Entry| {
        (
            entry.name.to_owned(),
            json!({"value": entry.value, "origin": entry.origin.to_string()}),
        )
    };
    let all: Map<String, Json> = entries.iter().map(entry).collect();
    serde_json::to_string_pretty(&all).map(|text| text + "\n")
}

fn as_table(entries: &[Entry], width: Option<usize>) -> String {
    let names = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let shown: Vec<String> = entries.iter().map(|entry| as_text(&entry.value)).collect();
    let values = shown
        .iter()
        .map(|text| text.chars().count())
        .filter(|n| *n <= WIDEST_VALUE)
        .max()
        .unwrap_or(0);
    let line = |(entry, value): (&Entry, &String)| {
        let origin = if entry.origin == Origin::Default {
            FROM_DEFAULT
        } else {
            GIVEN
        };
        let Entry { name, origin: from, .. } = entry;
        let line = format!("{NAME}{name:<names$}{NAME:#}  {value:<values$}  {origin}{from}{origin:#}");
        wrap::wrap(&line, names + 2, width) + "\n"
    };
    entries.iter().zip(&shown).map(line).collect()
}

fn as_text(value: &Json) -> String {
    match value {
        Json::Null => "(not set)".to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(items) if items.is_empty() => "(none)".to_owned(),
        Json::Array(items) => items.iter().map(as_text).collect::<Vec<_>>().join(", "),
        // Users and app registrations have names.
        Json::Object(fields) => fields.get("name").map_or_else(|| value.to_string(), as_text),
        other => other.to_string(),
    }
}
