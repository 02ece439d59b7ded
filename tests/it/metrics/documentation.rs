//! docs/monitoring.md describes what the program exposes, and nothing names a metric that does not exist.
//!
//! When the table is stale: `INSTA_UPDATE=always cargo test --test it metrics::documentation`, then look at the diff.

use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::PathBuf};

use blogctl::metrics::{self, FamilyInfo, Kind};

const PAGE: &str = "docs/monitoring.md";
const BEGIN: &str = "<!-- [metrics] -->\n";
const END: &str = "<!-- end -->";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_table_of_metrics_is_up_to_date() {
    let page = read(PAGE);
    let (before, rest) = page.split_once(BEGIN).expect("the begin of the table");
    let (_, after) = rest.split_once(END).expect("the end of the table");
    let rows: String = metrics::families().iter().map(row).collect();
    let generated = format!(
        "{before}{BEGIN}| metric | type | labels | unit | meaning |\n|---|---|---|---|---|\n{rows}{END}{after}"
    );
    if env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(path(PAGE), &generated).expect("written");
        return;
    }
    let stale = page.lines().zip(generated.lines()).find(|(is, should)| is != should);
    assert!(page == generated, "{PAGE} is stale. First difference: {stale:#?}");
}

fn row(family: &FamilyInfo) -> String {
    let mut labels = String::new();
    for label in &family.labels {
        let _ = write!(labels, "{}`{label}`", if labels.is_empty() { "" } else { ", " });
    }
    format!(
        "| `{}` | {} | {labels} | {} | {} |\n",
        family.name,
        family.kind.as_str(),
        unit(family),
        family.help
    )
}

fn unit(family: &FamilyInfo) -> &'static str {
    let name = family.name.trim_end_matches("_total");
    match () {
        () if name.ends_with("_timestamp_seconds") => "Unix time",
        () if name.ends_with("_seconds") => "seconds",
        () if name.ends_with("_bytes") => "bytes",
        () => "number",
    }
}

#[test]
fn each_family_has_a_sound_description() {
    let mut names = BTreeSet::new();
    for family in metrics::families() {
        let name = &family.name;
        assert!(names.insert(name.clone()), "{name} twice");
        let is_own = ["blogctl_", "process_", "http_server_", "http_client_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        assert!(is_own, "{name}");
        assert_eq!(family.kind == Kind::Counter, name.ends_with("_total"), "{name}");
        assert!(
            !family.help.ends_with('.') && family.help.len() > 10,
            "{name}: {}",
            family.help
        );
        assert!(!family.help.contains('|') && !family.help.contains('\n'), "{name}");
    }
    assert!(names.len() > 40, "{names:?}");
}

#[test]
fn every_metric_that_a_file_names_exists() {
    let names: Vec<&FamilyInfo> = metrics::families().iter().collect();
    let exists = |word: &str| {
        names.iter().any(|family| {
            let suffix = word.strip_prefix(family.name.as_str());
            match (family.kind, suffix) {
                (Kind::Histogram, Some("_bucket" | "_sum" | "_count")) => true,
                // In prose, a histogram may be named as such.
                (_, suffix) => suffix == Some(""),
            }
        })
    };
    assert!(exists("blogctl_connections") && !exists("blogctl_connections_bucket") && !exists("blogctl_nothing"));
    let mut seen = 0;
    for file in [
        PAGE,
        "docs/deploy/scaling.md",
        "deploy/alerts/blogctl.rules.yml",
        "deploy/grafana/blogctl.json",
        "deploy/helm/blogctl/values.yaml",
    ] {
        let text = read(file);
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let is_metric = ["http_server_", "http_client_", "process_"]
                .iter()
                .any(|prefix| word.starts_with(prefix))
                || (word.starts_with("blogctl_") && word.matches('_').count() >= 2);
            if is_metric {
                assert!(exists(word), "{file} names {word}");
                seen += 1;
            }
        }
    }
    assert!(seen > 150, "only {seen} names were found");
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() {
    let alerts: BTreeSet<String> = read("deploy/alerts/blogctl.rules.yml")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned))
        .collect();
    let page = read(PAGE);
    let runbooks: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("### Blogctl").map(|rest| format!("Blogctl{rest}")))
        .collect();
    assert_eq!(alerts, runbooks);
    assert!(alerts.len() >= 20, "{alerts:?}");
}
