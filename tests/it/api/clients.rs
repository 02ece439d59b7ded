//! Tools of others read the description: linters find nothing, and generated clients compile and work.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{api::TestApi, needs};

/// A folder with the description of a running API, and the tools listed in `tests/clients`.
struct ClientTools {
    api: TestApi,
    folder: TempDir,
    tools: PathBuf,
}

impl ClientTools {
    /// `None` if the tools are not installed.
    fn open() -> Option<Self> {
        let tools = PathBuf::from(needs("BLOGCTL_TEST_CLIENTS")?);
        let (api, folder) = (TestApi::start(), tempfile::tempdir().expect("a folder"));
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        for file in [
            "client.ts",
            "client.py",
            "patterns.mjs",
            "redocly.yaml",
            "spectral.yaml",
        ] {
            fs::copy(own.join(file), folder.path().join(file)).expect(file);
        }
        fs::write(
            folder.path().join("api.json"),
            api.anonymous().get("/v1/openapi.json").text,
        )
        .expect("written");
        fs::write(folder.path().join("package.json"), r#"{"type":"module"}"#).expect("written");
        symlink(tools.join("node_modules"), folder.path().join("node_modules")).expect("a link");
        Some(Self { api, folder, tools })
    }

    fn token(&self) -> String {
        self.api.control().token().user(&self.api.user(0).oid).mint()
    }

    /// Runs a tool, which must succeed, and returns its output.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{0}/node_modules/.bin:{0}/python/bin:{path}", self.tools.display());
        let ended = Command::new("timeout")
            .args(["120", program])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("NO_PROXY", "*")
            .env("NO_COLOR", "1")
            .env("REDOCLY_TELEMETRY", "off")
            .env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")
            .output()
            .expect("it runs");
        let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(
            ended.status.success(),
            "{program}: {printed}\n{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        printed
    }
}

#[test]
fn linters_find_nothing_in_the_description() {
    let Some(setup) = ClientTools::open() else { return };
    setup.run(
        "redocly",
        &["lint", "--config", "redocly.yaml", "--max-problems", "20", "api.json"],
    );
    setup.run(
        "spectral",
        &[
            "lint",
            "--ruleset",
            "spectral.yaml",
            "--fail-severity",
            "hint",
            "api.json",
        ],
    );
}

#[test]
fn a_generated_typescript_client_compiles_and_works() {
    let Some(setup) = ClientTools::open() else { return };
    setup.run("openapi-typescript", &["api.json", "--output", "api.d.ts"]);
    let strict = [
        "--strict",
        "--skipLibCheck",
        "--noEmitOnError",
        "--target",
        "es2022",
        "--module",
        "nodenext",
    ];
    setup.run("tsc", &[&strict[..], &["client.ts"]].concat());
    let printed = setup.run(
        "node",
        &["client.js", setup.api.url("/").trim_end_matches('/'), &setup.token()],
    );
    assert!(printed.contains("done"), "{printed}");
}

#[test]
fn a_generated_python_client_compiles_and_works() {
    let Some(setup) = ClientTools::open() else { return };
    let place = [
        "--path",
        "api.json",
        "--output-path",
        "blogctl_client",
        "--meta",
        "none",
        "--fail-on-warning",
    ];
    setup.run("openapi-python-client", &[&["generate"], &place[..]].concat());
    setup.run("python", &["-m", "compileall", "-q", "blogctl_client"]);
    let printed = setup.run(
        "python",
        &["client.py", setup.api.url("/").trim_end_matches('/'), &setup.token()],
    );
    assert!(printed.contains("done"), "{printed}");
}

#[test]
fn the_patterns_match_what_the_api_accepts_and_take_linear_time() {
    let Some(setup) = ClientTools::open() else { return };
    let alice = setup.api.alice();
    let mut cases = Vec::new();
    for text in [
        "a",
        " a ",
        "a b",
        "\ta\n",
        "\u{3000}a",
        "\u{200b}a",
        "a\u{200b}",
        "\u{200b}",
        " \u{200b} ",
        " ",
        "\n",
        "a\nb",
        "a\tb",
        "a\u{1}",
        "\u{1}a",
        "a\u{85}",
        "a\u{2028}b",
        "a\u{2028}",
        "é",
        "👋",
        "\u{2800}",
        "\u{feff}a",
        "a\u{7f}b",
    ] {
        for name in ["title", "content"] {
            let mut post = json!({ "title": "a", "content": "a" });
            post[name] = json!(text);
            let status = alice.post("/v1/posts", &post).status;
            assert!(matches!(status, 201 | 422), "{name} {text:?}: {status}");
            cases.push(json!([name, text, status == 201]));
        }
    }
    fs::write(setup.folder.path().join("cases.json"), json!(cases).to_string()).expect("written");
    let printed = setup.run("node", &["patterns.mjs"]);
    assert!(printed.contains("done"), "{printed}");
}
