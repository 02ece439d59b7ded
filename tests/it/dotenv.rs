//! `.env` files: blogctl reads them as python-dotenv does, the library of the earlier Python system.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use blogctl::config::parse_dotenv;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use crate::support::needs;

/// Typical lines, and every rule of the reader.
const TABLE: &[&str] = &[
    "A=b",
    "PASSWORD=Pa$$w0rd!",
    "API_TITLE=Blog API",
    "ENVIRONMENT=staging",
    "A='b c' # comment",
    "A=\"b\\nc\"",
    "A='b\\nc'",
    "A='it\\'s'",
    "A=\"say \\\"hi\\\"\"",
    "A=it's",
    "A=say \"hi\"",
    "A=C:\\new\\table",
    "A=b#c",
    "A=b # c",
    "A=b\t# c # d",
    "A=# c",
    "A= # c",
    "A=",
    "A",
    "A = b ",
    "export A=b",
    "export\tA = b",
    "export=1",
    "exportA=1",
    "export = 1",
    "'A B'=c",
    "A-B.C=1",
    "A=b\nA=c",
    "A=b\nA",
    "A=1\nB=${A}2\nA=3\nC=${A}",
    "B=${NOWHERE:-default}",
    "B=${NOWHERE:-}",
    "B=${NOWHERE}x",
    "B=$NOWHERE",
    "B=${OUTSIDE:-default}",
    "A\nB=${A:-default}",
    "OUTSIDE=file\nB=${OUTSIDE}",
    "B='${OUTSIDE}'\nC=\"${OUTSIDE}\"",
    "B=${a${OUTSIDE}",
    "B=${a:${OUTSIDE}}",
    "B=${A:-${OUTSIDE}}",
    "A=\"two\nlines\"\nB=1",
    "A='two\r\nlines'\r\nB=1\r\n",
    "A=1\rB=2\r",
    "A=\"open\nB=2",
    "A='open\nB=2",
    "A=\"b\"c\nB=2",
    "A=\"b\\\"\nB=2",
    "A='b\\\\'\nB=2",
    "A=\"b\\\\\"\nB=\"2\"",
    "not a binding\nB=2",
    "'open=1\nB=2",
    "=1\nB=2",
    "# comment\n\n   \n\tB=2",
    "A=\u{a0}b\u{a0}",
    "A=b\u{a0}#c",
    "A=\u{1c}b\u{1f}",
    "Ä=ü",
    "A=\"\\u00e4\\x41\\q\"",
    "A=\"\\a\\b\\f\\v\\t\\r\"",
    "{\"a\": 1}",
    "A=[\"x\", \"y\"]",
    "A==b",
    "A=b=c",
    "A: b",
];

fn of_blogctl(text: &str) -> BTreeMap<String, String> {
    let environment = |name: &str| (name == "OUTSIDE").then(|| "out".to_owned());
    parse_dotenv(text, environment).variables.into_iter().collect()
}

fn of_python(python: &str, texts: &[String]) -> Vec<BTreeMap<String, String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dotenv/read.py");
    let mut child = Command::new(python)
        .arg(script)
        .env_clear()
        .env("OUTSIDE", "out")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let input = serde_json::to_vec(texts).expect("JSON");
    let mut stdin = child.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("it ends").expect("it is read");
    serde_json::from_slice(&output.stdout).expect("what python-dotenv has read")
}

#[test]
fn a_file_is_read_as_python_dotenv_reads_it() {
    let Some(python) = needs("BLOGCTL_TEST_PYTHON") else {
        return;
    };
    let mut texts: Vec<String> = TABLE.iter().map(|text| (*text).to_owned()).collect();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let random = "(A|B|OUTSIDE|export |=|=|\\$\\{|\\}|:-|#| |\t|'|\"|\\\\|\n|\r|ü|x){0,40}";
    let random = proptest::string::string_regex(random).expect("a pattern");
    let lines = proptest::string::string_regex(
        "((A|B|OUTSIDE) ?= ?['\"]?(x|\\$\\{(A|B|OUTSIDE)(:-y)?\\}| |#|\\\\n|\\\\'|\\\\\"){0,6}['\"]?( # z)?\r?\n){1,5}",
    );
    let lines = lines.expect("a pattern");
    for _ in 0..2000 {
        texts.push(random.new_tree(&mut runner).expect("a text").current());
        texts.push(lines.new_tree(&mut runner).expect("a text").current());
    }
    let expected = of_python(&python, &texts);
    assert_eq!(expected.len(), texts.len());
    for (text, expected) in texts.iter().zip(&expected) {
        assert_eq!(&of_blogctl(text), expected, "{text:?}");
    }
}
