//! `blog.toml` and the tables in `docs/settings.md` are generated from the declarations of the settings.
//!
//! When one of them is stale: `INSTA_UPDATE=always cargo test --test it settings_files`, then look at the diff.

use std::{env, fmt::Write as _, fs, path::PathBuf};

use blogctl::config::{Alias, Declaration, Entry, Role, SECTIONS, Settings, Sources};
use serde_json::Value as Json;
use textwrap::WordSplitter;

#[test]
fn blog_toml_is_up_to_date() {
    check("blog.toml", |_| blog_toml());
}

#[test]
fn the_tables_of_the_settings_page_are_up_to_date() {
    check("docs/settings.md", settings_page);
}

#[test]
fn every_flag_that_names_a_setting_names_one_that_exists() {
    let mut seen = 0;
    for command in ["serve-api", "serve-client", "serve-idp", "dev"] {
        let help = std::process::Command::new(env!("CARGO_BIN_EXE_blogctl"))
            .args([command, "--help"])
            .output()
            .expect("blogctl runs");
        let help = String::from_utf8(help.stdout).expect("UTF-8");
        let names = help
            .split("[setting: ")
            .skip(1)
            .filter_map(|rest| rest.split(']').next());
        for name in names {
            let is_declared = SECTIONS
                .iter()
                .flat_map(|section| section.settings)
                .any(|setting| setting.name == name);
            assert!(is_declared, "{command} --help names the setting {name}");
            seen += 1;
        }
    }
    assert!(seen >= 6, "only {seen} settings are named");
}

/// Compares a file with what `generate` makes of it, or writes it if `INSTA_UPDATE=always`.
fn check(name: &str, generate: impl Fn(&str) -> String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    let current = fs::read_to_string(&path).expect("the file");
    let generated = generate(&current);
    if env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(&path, &generated).expect("written");
        return;
    }
    let stale = current.lines().zip(generated.lines()).find(|(is, should)| is != should);
    assert!(
        current == generated,
        "{name} is stale. Run INSTA_UPDATE=always cargo test --test it settings_files. First difference: {stale:#?}"
    );
}

const HEAD: &str = "\
# Settings of blogctl, each with its default; remove the # to change one. Generated from the declarations in src/config/
# by tests/it/settings_files.rs, which says how to regenerate it.
#
# Each source takes precedence over those before it:
#
#   the default  <  this file  <  .env  <  the environment  <  flags
#
# In the environment and in .env, `[section] key` is BLOG_SECTION__KEY, with two underscores; lists have commas between
# their items. On the command line it is --set section.key=value. The variables in brackets set the setting as well. An
# empty text means \"not set\". Paths are relative to the working directory.
#
# `blogctl config` shows each value in force and its origin.
# Do not commit secrets (client.cookie_key, client.key_passphrase, a password in database.url) with this file.
";

fn blog_toml() -> String {
    let entries = entries();
    let mut text = HEAD.to_owned();
    let mut names: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
    names.dedup();
    for name in names {
        let sections = || SECTIONS.iter().filter(|section| section.name == name);
        let about = sections().next().expect("a section").doc;
        let _ = write!(text, "\n{}[{name}]\n", comment(about));
        let (tables, values): (Vec<_>, Vec<_>) = sections()
            .flat_map(|section| section.settings)
            .partition(|setting| example(setting, entry(&entries, setting)).is_some());
        // In TOML, keys of a section must stand before its tables.
        let blocks = values
            .iter()
            .chain(&tables)
            .map(|setting| block(setting, entry(&entries, setting)));
        text += &blocks.collect::<Vec<_>>().join("\n");
    }
    text
}

/// A setting in `blog.toml`.
fn block(setting: &Declaration, entry: &Entry) -> String {
    let mut about = prose(setting.doc);
    if let Some((_, range)) = entry
        .accepts
        .strip_prefix("a whole number")
        .and_then(|rest| rest.split_once("from "))
    {
        let _ = write!(about, " From {range}.");
    }
    if !setting.aliases.is_empty() {
        let names: Vec<_> = setting.aliases.iter().map(|alias| alias.name).collect();
        let _ = write!(about, " [{}]", names.join(", "));
    }
    let value = example(setting, entry).unwrap_or_else(|| {
        let (_, key) = setting.name.rsplit_once('.').expect("a section");
        format!("{key} = {}", as_toml(&entry.default))
    });
    let mut text = comment(&about);
    for line in value.lines() {
        let _ = writeln!(text, "#{line}");
    }
    text
}

/// The tables of a setting whose values are tables: an example from its documentation, or its default.
fn example(setting: &Declaration, entry: &Entry) -> Option<String> {
    if let Some((_, rest)) = setting.doc.split_once("```toml") {
        let lines = rest.split("```").next().unwrap_or_default().trim().lines();
        return Some(lines.map(|line| line.trim().to_owned() + "\n").collect());
    }
    let tables = entry.default.as_array()?;
    let tables: Vec<_> = tables.iter().map(|table| table.as_object()).collect::<Option<_>>()?;
    let text = tables.iter().map(|table| {
        let mut text = format!("[[{}]]\n", setting.name);
        for (key, value) in table.iter().filter(|(_, value)| !is_empty(value)) {
            let _ = writeln!(text, "{key} = {}", as_toml(value));
        }
        text
    });
    let text = text.collect::<Vec<_>>().join("\n");
    (!text.is_empty()).then_some(text)
}

fn is_empty(value: &Json) -> bool {
    value.is_null() || *value == Json::Bool(false) || value.as_array().is_some_and(Vec::is_empty)
}

fn as_toml(value: &Json) -> String {
    match value {
        Json::Null => "\"\"".to_owned(),
        Json::String(text) => format!("{:?}", text.trim_end_matches('/')),
        Json::Array(items) => {
            let items = items.iter().map(|item| match item {
                Json::String(text) if text.parse::<u32>().is_ok() => text.clone(),
                Json::String(text) => format!("{text:?}"),
                item => as_toml(item),
            });
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        Json::Object(members) => {
            let members = members.iter().filter(|(_, value)| !is_empty(value));
            let members = members.map(|(key, value)| format!("{key} = {}", as_toml(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The page with the table of each section between `<!-- [section] -->` and `<!-- end -->`.
fn settings_page(page: &str) -> String {
    let entries = entries();
    let mut names: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
    names.dedup();
    names.into_iter().fold(page.to_owned(), |page, name| {
        let begin = format!("<!-- [{name}] -->\n");
        let (before, rest) = page
            .split_once(&begin)
            .unwrap_or_else(|| panic!("docs/settings.md has no {begin}"));
        let (_, after) = rest.split_once("<!-- end -->").expect("the end of the table");
        let rows: String = SECTIONS
            .iter()
            .filter(|section| section.name == name)
            .flat_map(|section| section.settings)
            .map(|setting| row(setting, entry(&entries, setting)))
            .collect();
        format!(
            "{before}{begin}| setting | default | accepts | alias | |\n|---|---|---|---|---|\n{rows}<!-- end -->{after}"
        )
    })
}

fn row(setting: &Declaration, entry: &Entry) -> String {
    let name = match example(setting, entry) {
        Some(_) => format!("[[{}]]", setting.name),
        None => setting.name.to_owned(),
    };
    let is_required = [Role::Api, Role::Client]
        .iter()
        .flat_map(|role| role.required())
        .any(|required| required.name == setting.name);
    let default = if is_required {
        "required".to_owned()
    } else {
        as_cell(&entry.default)
    };
    let aliases: Vec<_> = setting
        .aliases
        .iter()
        .map(|Alias { name, .. }| format!("`{name}`"))
        .collect();
    let doc = setting.doc.split("```").next().unwrap_or_default();
    let doc = doc.split_whitespace().collect::<Vec<_>>().join(" ");
    format!(
        "| `{name}` | {default} | {} | {} | {doc} |\n",
        entry.accepts,
        aliases.join(", ")
    )
}

fn as_cell(default: &Json) -> String {
    match default {
        Json::Null => String::new(),
        Json::String(text) => format!("`{}`", text.trim_end_matches('/')),
        Json::Array(items) => {
            let items = items.iter().map(|item| match item {
                Json::Object(members) => members["name"].as_str().unwrap_or_default().to_owned(),
                Json::String(text) => text.clone(),
                other => other.to_string(),
            });
            items.collect::<Vec<_>>().join(", ")
        }
        other => format!("`{other}`"),
    }
}

/// Markdown as plain text in one line, without the example.
fn prose(markdown: &str) -> String {
    let text = markdown.split("```").next().unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "");
    // A link stands for its page.
    let mut parts = text.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (target, rest) = part.split_once(')').expect("the end of a link");
        let before = text.rsplit_once('[').expect("the text of a link").0;
        format!("{before}docs/{target}{rest}")
    })
}

fn comment(text: &str) -> String {
    let options = textwrap::Options::new(120)
        .initial_indent("# ")
        .subsequent_indent("# ")
        .break_words(false)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(&prose(text), options) + "\n"
}

fn entries() -> Vec<Entry> {
    Settings::load_leniently(&Sources::default(), Role::Any).0.entries
}

fn entry<'e>(entries: &'e [Entry], setting: &Declaration) -> &'e Entry {
    let found = entries.iter().find(|entry| entry.name == setting.name);
    found.unwrap_or_else(|| panic!("{} is declared, but never read", setting.name))
}
