//! Unmodified Schemathesis against the running API: the API does what the description says.

use std::{fs, path::Path, process::Command};

use crate::support::{api::TestApi, needs};

/// All checks are on. The number of examples is limited, not the time, so that each run is the same on any machine.
const SETTINGS: &str = include_str!("../../schemathesis/schemathesis.toml");

#[test]
fn schemathesis_finds_nothing_that_differs_from_the_description() {
    let Some(python) = needs("BLOGCTL_TEST_PYTHON") else {
        return;
    };
    let api = TestApi::with(|settings| settings.api.rate_limits = false);
    for n in 1..=3 {
        api.alice().write(&format!("Post {n}"), "Text");
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("schemathesis.toml"), SETTINGS).expect("written");
    let token = api.control().token().user(&api.user(0).oid).mint();
    let program = Path::new(&python).with_file_name("schemathesis");
    let ended = Command::new(program)
        .current_dir(folder.path())
        .args([
            "--config-file",
            "schemathesis.toml",
            "run",
            &api.url("/v1/openapi.json"),
            "--no-color",
        ])
        .arg(format!("--header=Authorization: Bearer {token}"))
        .env("NO_PROXY", "*")
        .output()
        .expect("schemathesis runs");
    let printed = String::from_utf8_lossy(&ended.stdout).replace(&token, "TOKEN");
    assert!(
        ended.status.success(),
        "{printed}\n{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(printed.contains("No issues found"), "{printed}");
    assert_eq!(
        api.alice().get("/health/ready").status,
        200,
        "and it is as well as before"
    );
}
