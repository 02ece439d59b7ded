//! Properties of all texts in settings, from any source: they are valid, or an error says where they are.

use std::{ffi::OsString, fs, os::unix::ffi::OsStringExt};

use blogctl::config::{Flag, Role, Settings, Sources};
use proptest::prelude::*;
use tempfile::TempDir;

fn names() -> Vec<&'static str> {
    let loaded = Settings::load(&Sources::default(), Role::Any).expect("the defaults are good");
    loaded.entries.iter().map(|entry| entry.name).collect()
}

fn variable(name: &str) -> String {
    format!("BLOG_{}", name.replace('.', "__").to_uppercase())
}

/// Text similar to values, and any other text.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-+]?[0-9]{0,25}(ms|s|m|h|d|KiB|MiB)?",
        "(https?|postgres|redis|sqlite|file)?(://?)?[a-z0-9@:/?#%\\[\\].-]{0,30}",
        "[\\[{\"', =.}\\]a-z0-9]{0,30}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        prop::sample::select(vec![
            "true",
            "on",
            "",
            "*",
            "[]",
            "{}",
            "null",
            "production",
            "debug",
            "{{x}}",
            "${HOME}"
        ])
        .prop_map(str::to_owned),
    ]
}

/// Loads the settings; any error must be complete.
fn check(sources: &Sources, context: &str) -> Result<(), TestCaseError> {
    match Settings::load(sources, Role::Any) {
        Ok(loaded) => prop_assert!(!loaded.entries.is_empty()),
        Err(errors) => {
            prop_assert!(!errors.0.is_empty());
            for error in &errors.0 {
                prop_assert!(
                    !error.setting.is_empty() && !error.problem.is_empty(),
                    "{context}: {error:?}"
                );
                prop_assert!(!error.hint.is_empty(), "{context}: {error:?}");
            }
            prop_assert!(!errors.to_string().is_empty());
        }
    }
    Ok(())
}

fn in_folder(folder: &TempDir) -> Sources {
    Sources {
        folder: Some(folder.path().to_owned()),
        ..Sources::default()
    }
}

proptest! {
    #[test]
    fn any_text_in_a_variable_or_flag_is_valid_or_an_error(name in prop::sample::select(names()), text in value()) {
        let environment = vec![(variable(name).into(), text.clone().into())];
        check(&Sources { environment, ..Sources::default() }, &format!("{name} = {text:?}"))?;
        let flag = Flag { name: "--set".to_owned(), setting: name.to_owned(), value: text.clone() };
        check(&Sources { flags: vec![flag], ..Sources::default() }, &format!("{name} = {text:?}"))?;
    }

    #[test]
    fn any_variables_are_valid_or_errors(
        given in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..4),
        name in prop::sample::select(names()),
        bytes in any::<Vec<u8>>(),
    ) {
        let mut environment: Vec<(OsString, OsString)> = Vec::new();
        for (name, value) in given {
            let prefixed = [b"BLOG_".to_vec(), name].concat();
            environment.push((OsString::from_vec(prefixed), OsString::from_vec(value)));
        }
        environment.push((variable(name).into(), OsString::from_vec(bytes)));
        check(&Sources { environment, ..Sources::default() }, name)?;
    }

    #[test]
    fn any_value_in_the_file_is_valid_or_an_error(
        name in prop::sample::select(names()),
        text in prop_oneof![value(), value().prop_map(|text| format!("{text:?}")), value().prop_map(|text| format!("[{text:?}]"))],
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("blog.toml"), format!("{name} = {text}\n")).expect("written");
        check(&in_folder(&folder), &format!("{name} = {text}"))?;
    }

    #[test]
    fn any_bytes_in_the_files_are_valid_or_errors(toml in any::<Vec<u8>>(), env in prop_oneof![
        any::<Vec<u8>>(), "(export )?[A-Z_]{0,12}[= ]{0,3}[\"'$#a-z\\\\ ]{0,12}\n?".prop_map(String::into_bytes)
    ]) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("blog.toml"), &toml).expect("written");
        check(&in_folder(&folder), "blog.toml")?;
        fs::remove_file(folder.path().join("blog.toml")).expect("removed");
        fs::write(folder.path().join(".env"), &env).expect("written");
        check(&in_folder(&folder), ".env")?;
    }
}
