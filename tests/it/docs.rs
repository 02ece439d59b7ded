//! The documentation matches the program: links work, tables are complete, commands exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use blogctl::{
    config::{Entry, Role, Settings, Sources},
    entra::aadsts::KNOWN,
};
use serde_json::Value as Json;

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = read(&page);
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(target, _)| target);
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() {
                page.clone()
            } else {
                page.with_file_name("").join(file)
            };
            let leads_there = file.exists() && (anchor.is_empty() || anchors(&read(&file)).contains(anchor));
            if !leads_there {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_settings_page_has_every_setting_with_its_default_and_older_name() {
    let mut documented = settings_page();
    for entry in entries(Vec::new()) {
        let row = documented.remove(entry.name);
        let cells = row.unwrap_or_else(|| panic!("docs/settings.md does not name {}", entry.name));
        assert_eq!(literal(&cells[0]), shown(&entry), "default of {}", entry.name);
        for alias in aliases(&cells) {
            let with_alias = entries(vec![(alias.clone().into(), "true".into())]);
            let origin = with_alias
                .iter()
                .find(|with| with.name == entry.name)
                .map(|with| with.origin.to_string());
            assert_eq!(
                origin,
                Some(format!("environment variable {alias}")),
                "alias of {}",
                entry.name
            );
        }
    }
    assert!(
        documented.is_empty(),
        "docs/settings.md names settings that do not exist: {:?}",
        documented.keys()
    );
}

#[test]
fn the_page_for_users_of_the_python_system_has_every_older_name() {
    let page = read(&root().join("docs/from-python.md"));
    let mut seen = 0;
    // The other names of `azure.…` are Azure's, and those of `telemetry.…` OpenTelemetry's.
    for (setting, cells) in settings_page()
        .into_iter()
        .filter(|(setting, _)| !setting.starts_with("azure.") && !setting.starts_with("telemetry."))
    {
        for alias in aliases(&cells) {
            let row = format!("| `{alias}` | `{setting}`");
            assert!(page.contains(&row), "docs/from-python.md has no row {row}");
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} aliases found");
}

#[test]
fn the_readme_names_every_command() {
    let readme = read(&root().join("README.md"));
    let help = text(&blogctl(&["--help"]).stdout);
    let listed = help.split_once("Commands:\n").expect("a list of commands").1;
    let listed = listed.lines().take_while(|line| !line.trim().is_empty());
    let commands: Vec<&str> = listed
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(
        commands.contains(&"dev") && commands.contains(&"serve-api"),
        "{commands:?}"
    );
    for command in commands {
        assert!(
            readme.contains(&format!("`blogctl {command}")),
            "README.md does not name blogctl {command}"
        );
    }
}

#[test]
fn every_command_line_in_the_documentation_is_valid() {
    let mut seen = 0;
    for page in pages() {
        let page_text = read(&page);
        // Every second part between fences is code; outside of the fences, every second part between back-ticks.
        let parts = |of_fences: usize| page_text.split("```").skip(of_fences).step_by(2);
        let in_blocks = parts(1).flat_map(str::lines).map(str::trim);
        let in_lines = parts(0).flat_map(|text| text.split('`').skip(1).step_by(2));
        for line in in_blocks
            .chain(in_lines)
            .filter_map(|line| line.strip_prefix("blogctl "))
        {
            let line = line.split(" #").next().unwrap_or_default();
            let line = &line.replace('\n', " ");
            let words: Vec<&str> = line.split_whitespace().collect();
            let names = words
                .iter()
                .take(2)
                .take_while(|word| is_command_name(word))
                .copied()
                .collect::<Vec<_>>();
            let help = (1..=names.len())
                .rev()
                .map(|n| help_of(&names[..n]))
                .find(|help| help.status.success());
            let help = text(
                &help
                    .unwrap_or_else(|| panic!("{}: blogctl {line}", page.display()))
                    .stdout,
            );
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap_or_default();
                let is_there = help
                    .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
                    .any(|word| word == flag);
                assert!(is_there, "{}: blogctl {line}: there is no {flag}", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} command lines found");
}

#[test]
fn the_decision_on_dependencies_lists_exactly_those_in_use() {
    let page = read(&root().join("docs/decisions/0012-dependencies.md"));
    let first_cells = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let explained: BTreeSet<&str> = first_cells
        .flat_map(|cell| cell.split(", "))
        .filter_map(|name| name.trim_matches('`').split('`').next())
        .collect();
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().expect("TOML");
    let sections = ["dependencies", "dev-dependencies"].map(|section| &manifest[section]);
    // Dependencies of one operating system.
    let targets = manifest["target"].as_table().expect("a table").values();
    let used: BTreeSet<&str> = sections
        .into_iter()
        .chain(targets.map(|target| &target["dependencies"]))
        .flat_map(|section| section.as_table().expect("a table").keys())
        .map(String::as_str)
        .collect();
    assert_eq!(explained, used);
}

#[test]
fn troubleshooting_explains_exactly_the_codes_that_the_site_explains() {
    let page = read(&root().join("docs/troubleshooting.md"));
    let first_cells = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let documented: BTreeSet<u32> = first_cells
        .flat_map(|cell| cell.split(", "))
        .filter_map(|code| code.trim().parse().ok())
        .collect();
    let known: BTreeSet<u32> = KNOWN.iter().map(|known| known.code).collect();
    // Tables of the same page list the API's statuses.
    let documented: BTreeSet<u32> = documented.into_iter().filter(|code| *code > 599).collect();
    assert_eq!(documented, known);
}

#[test]
fn troubleshooting_quotes_the_titles_that_the_sites_error_pages_have() {
    let page = read(&root().join("docs/troubleshooting.md"));
    let code: String = fs::read_dir(root().join("src/web/error"))
        .expect("a folder")
        .map(|entry| read(&entry.expect("an entry").path()))
        .collect();
    let (_, of_the_site) = page.split_once("\n## The site\n").expect("a section on the site");
    let (of_the_site, _) = of_the_site.split_once("\n## ").expect("a section after it");
    let first_cells = of_the_site
        .lines()
        .filter_map(|line| line.strip_prefix("| \"")?.split(" |").next());
    let titles: Vec<&str> = first_cells
        .flat_map(|cell| cell.trim_end_matches('"').split("\", \""))
        .map(|title| title.trim_start_matches("… "))
        .collect();
    assert!(titles.len() > 10, "{titles:?}");
    for title in titles {
        assert!(code.contains(title), "no error page has the title {title:?}");
    }
}

#[test]
fn the_index_of_decisions_lists_each_record_once_with_its_title() {
    let folder = root().join("docs/decisions");
    let mut rows: Vec<String> = fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .filter(|name| name != "README.md")
        .map(|name| {
            let heading = read(&folder.join(&name)).lines().next().unwrap_or_default().to_owned();
            let (number, title) = heading
                .strip_prefix("# ")
                .and_then(|heading| heading.split_once(": "))
                .unwrap_or_else(|| panic!("{name} begins with {heading:?} instead of `# NNNN: title`"));
            format!("| [{number}]({name}) | {title} |")
        })
        .collect();
    rows.sort();
    let index = read(&folder.join("README.md"));
    let listed: Vec<&str> = index.lines().filter(|line| line.starts_with("| [")).collect();
    assert_eq!(listed, rows);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Markdown pages of the repository.
fn pages() -> Vec<PathBuf> {
    let pages: Vec<PathBuf> = [
        "",
        "cert",
        "docs",
        "docs/decisions",
        "docs/deploy",
        "deploy/helm/blogctl",
    ]
    .iter()
    .flat_map(|folder| fs::read_dir(root().join(folder)).expect("a folder"))
    .map(|entry| entry.expect("an entry").path())
    .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    .collect();
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a page")
}

/// The anchors of a page's headings, as Git hosts generate them.
fn anchors(page: &str) -> BTreeSet<String> {
    let slug = |heading: &str| -> String {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    page.lines().filter(|line| line.starts_with('#')).map(slug).collect()
}

/// The rows of the settings tables: setting to its other cells.
fn settings_page() -> BTreeMap<String, Vec<String>> {
    let page = read(&root().join("docs/settings.md"));
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.filter(|(name, _)| name.contains('.'))
        .map(|(name, cells)| {
            let cells = cells.split('|').map(|cell| cell.trim().to_owned()).collect();
            (name.trim_matches(['[', ']']).to_owned(), cells)
        })
        .collect()
}

fn entries(environment: Vec<(OsString, OsString)>) -> Vec<Entry> {
    let folder = tempfile::tempdir().expect("a folder");
    let sources = Sources {
        folder: Some(folder.path().to_owned()),
        environment,
        ..Sources::default()
    };
    Settings::load_leniently(&sources, Role::Any).0.entries
}

/// The text between back-ticks, unless it is a pattern such as `{public_url}/callback`.
fn literal(cell: &str) -> Option<String> {
    let inner = cell.strip_prefix('`')?.strip_suffix('`')?;
    (!inner.contains('{')).then(|| inner.to_owned())
}

/// A default as the page shows it; `None` if the page describes it in words.
fn shown(entry: &Entry) -> Option<String> {
    match &entry.default {
        Json::Null | Json::Array(_) => None,
        Json::String(text) => Some(text.trim_end_matches('/').to_owned()),
        other => Some(other.to_string()),
    }
}

/// The aliases in a row of the settings tables.
fn aliases(cells: &[String]) -> Vec<String> {
    let aliases: Vec<_> = cells[2].split(", ").filter_map(literal).collect();
    let is_variable = |name: &String| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    assert!(aliases.iter().all(is_variable), "{aliases:?}");
    aliases
}

fn is_command_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase()) && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

fn help_of(command: &[&str]) -> Output {
    blogctl(&[command, &["--help"]].concat())
}

fn blogctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_blogctl"))
        .args(arguments)
        .output()
        .expect("blogctl runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn the_security_page_names_tests_that_exist() {
    let page = read(&root().join("docs/security.md"));
    let mut named = 0;
    for name in page
        .split('`')
        .filter(|text| text.contains("::") && !text.contains(' ') && *text != "module::name")
    {
        let (module, test) = name.rsplit_once("::").expect("just seen");
        let file = root()
            .join("tests/it")
            .join(format!("{}.rs", module.replace("::", "/")));
        assert!(file.exists(), "{name}: there is no {}", file.display());
        assert!(has_test(&read(&file), test), "there is no test {name}");
        named += 1;
    }
    assert!(named > 30, "only {named} tests are named");
}

/// Whether a file has a test function of this name. A function within `proptest!` has parameters.
fn has_test(file: &str, name: &str) -> bool {
    let lines: Vec<&str> = file.lines().map(str::trim).collect();
    let is_named = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .is_some_and(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
    };
    let attributes = |at: usize| lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
    lines.iter().enumerate().any(|(at, line)| {
        is_named(line) && attributes(at).any(|line| matches!(*line, "#[test]" | "#[actix_web::test]"))
    })
}

#[test]
fn tests_are_found_within_proptest_and_helpers_are_not() {
    let file = "proptest! {\n    #[test]\n    fn a_property(text in any()) {}\n}\nfn a_helper() {}\n\
                #[actix_web::test]\n#[ignore]\nasync fn slow() {}\n";
    assert!(has_test(file, "a_property") && has_test(file, "slow"));
    assert!(!has_test(file, "a_helper") && !has_test(file, "a_prop") && !has_test(file, "nothing"));
}
