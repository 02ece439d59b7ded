//! Each kind of change in a trail is found, and said where.

use std::{collections::BTreeSet, fs};

use blogctl::audit::{Expectations, Verifier};
use proptest::prelude::*;

use super::{problems, record, settings, verify, verify_bytes};
use crate::support::binary::CommandOutput;

/// A trail with seven lines: six posts and the stop.
fn trail() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    record(&settings(&path), 1..7);
    fs::read(&path).expect("a trail")
}

fn split(content: &[u8]) -> Vec<Vec<u8>> {
    content
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

fn hash_of(line: &[u8]) -> String {
    let line: serde_json::Value = serde_json::from_slice(line).expect("a line");
    line["hash"].as_str().expect("a hash").to_owned()
}

#[test]
fn an_untouched_trail_is_intact() {
    let report = verify_bytes(&trail());
    assert!(report.is_intact() && report.notes.is_empty(), "{report:?}");
    assert_eq!((report.lines, report.chains.len()), (7, 1));
    assert_eq!((report.chains[0].first, report.chains[0].head.seq), (1, 7));
}

#[test]
fn a_flipped_bit_in_any_byte_is_found() {
    let content = trail();
    for at in 0..content.len() {
        let mut changed = content.clone();
        changed[at] ^= 1 << (at % 8);
        let report = verify_bytes(&changed);
        assert!(!report.is_intact(), "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_other_byte_in_any_place_is_found(at in 0_usize..2000, byte: u8) {
        let content = trail_once();
        let mut changed = content.clone();
        let at = at % changed.len();
        prop_assume!(changed[at] != byte);
        changed[at] = byte;
        prop_assert!(!verify_bytes(&changed).is_intact());
    }

    #[test]
    fn bytes_that_are_inserted_anywhere_are_found(at in 0_usize..5000, bytes in prop::collection::vec(any::<u8>(), 1..50)) {
        let mut changed = trail_once().clone();
        let at = at % (changed.len() + 1);
        changed.splice(at..at, bytes);
        prop_assert!(!verify_bytes(&changed).is_intact());
    }

    #[test]
    fn no_content_makes_the_verification_fail(content in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(!verify_bytes(&content).is_intact());
    }
}

fn trail_once() -> &'static Vec<u8> {
    static TRAIL: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    TRAIL.get_or_init(trail)
}

#[test]
fn a_removed_a_repeated_and_a_moved_line_are_found() {
    let lines = split(&trail());
    for at in 0..lines.len() - 1 {
        let mut without = lines.clone();
        without.remove(at);
        let report = verify_bytes(&without.concat());
        assert!(!report.is_intact(), "without line {at}");
    }
    for at in 0..lines.len() {
        for to in 0..=lines.len() {
            let mut repeated = lines.clone();
            repeated.insert(to, lines[at].clone());
            assert!(!verify_bytes(&repeated.concat()).is_intact(), "line {at} again at {to}");
        }
        for other in at + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(at, other);
            assert!(
                !verify_bytes(&swapped.concat()).is_intact(),
                "lines {at} and {other} swapped"
            );
        }
    }
}

#[test]
fn each_finding_says_which_line_and_why() {
    let lines = split(&trail());
    let without = |removed: std::ops::Range<usize>| {
        let mut rest = lines.clone();
        rest.drain(removed);
        problems(&verify_bytes(&rest.concat()))
    };
    assert_eq!(
        without(2..3),
        ["3: number 3 is missing before it, after line 2 of trail"]
    );
    assert_eq!(
        without(2..5),
        ["3: numbers 3 to 5 are missing before it, after line 2 of trail"]
    );
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    assert_eq!(
        problems(&verify_bytes(&swapped.concat())),
        [
            "3: number 3 is missing before it, after line 2 of trail",
            "4: has the number 3, which is not after 4: lines were reordered or repeated",
        ]
    );
    let text = String::from_utf8(lines.concat()).expect("text");
    let changed = text.replacen("\"post_id\":3", "\"post_id\":4", 1);
    assert_eq!(
        problems(&verify_bytes(changed.as_bytes())),
        ["3: was changed: its hash does not match its content"]
    );
    // The attacker computes the hash of the changed line anew, but not those of the lines after it.
    let line = changed.lines().nth(2).expect("a line");
    let (body, _) = line.split_once(",\"hash\"").expect("a hash");
    let hash = hex::encode(openssl::sha::sha256(body.as_bytes()));
    let mut forged = lines.clone();
    forged[2] = format!("{body},\"hash\":\"{hash}\"}}\n").into_bytes();
    assert_eq!(
        problems(&verify_bytes(&forged.concat())),
        ["4: does not continue line 3 of trail: that line was replaced"]
    );
}

#[test]
fn lines_that_are_cut_off_at_the_end_are_found_by_a_noted_hash_and_a_cut_line_without_one() {
    let content = trail();
    let lines = split(&content);
    let noted = Expectations {
        expected: BTreeSet::from([hash_of(&lines[5])]),
        ..Expectations::default()
    };
    let check = |content: &[u8]| {
        let mut verifier = Verifier::new(noted.clone());
        verifier.file("trail", content).expect("memory");
        verifier.finish()
    };
    assert!(check(&content).is_intact());
    assert!(
        check(&lines[..6].concat()).is_intact(),
        "the noted line is the last one"
    );
    let cut = check(&lines[..5].concat());
    assert!(
        cut.findings[0]
            .problem
            .contains("is missing: lines were cut off at the end"),
        "{cut:?}"
    );
    assert!(
        verify_bytes(&lines[..5].concat()).is_intact(),
        "nothing shows it without a noted hash"
    );
    for end in 1..content.len() {
        let is_at_line_end = content[end - 1] == b'\n';
        assert_eq!(verify_bytes(&content[..end]).is_intact(), is_at_line_end, "{end}");
    }
    assert!(!verify_bytes(b"").is_intact(), "an empty file has lost all lines");
}

#[test]
fn a_trail_without_its_beginning_needs_the_hash_of_the_line_before() {
    let lines = split(&trail());
    let rest = lines[3..].concat();
    let problem = &problems(&verify_bytes(&rest))[0];
    assert!(
        problem.contains("has the number 4: earlier lines were removed"),
        "{problem}"
    );
    let check = |hash: &str| {
        let mut verifier = Verifier::new(Expectations {
            from: BTreeSet::from([hash.to_owned()]),
            ..Expectations::default()
        });
        verifier.file("trail", rest.as_slice()).expect("memory");
        verifier.finish().is_intact()
    };
    assert!(check(&hash_of(&lines[2])));
    assert!(!check(&hash_of(&lines[1])));
}

#[test]
fn chains_of_several_replicas_may_alternate_in_one_log() {
    let (one, other) = (split(&trail()), split(&trail()));
    let mixed: Vec<u8> = one
        .iter()
        .zip(&other)
        .flat_map(|(one, other)| [one.clone(), other.clone()])
        .flatten()
        .collect();
    let report = verify_bytes(&mixed);
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.chains.len(), 2);
    let without: Vec<u8> = split(&mixed)
        .into_iter()
        .enumerate()
        .filter(|(n, _)| *n != 5)
        .flat_map(|(_, line)| line)
        .collect();
    assert_eq!(
        problems(&verify_bytes(&without)),
        ["7: number 3 is missing before it, after line 4 of trail"]
    );
}

#[test]
fn the_command_explains_and_its_exit_code_says_whether_the_trail_is_intact() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    record(&settings(&path), 1..7);
    let run = |arguments: &[&str]| CommandOutput::run(folder.path(), &[&["audit"][..], arguments].concat());

    let good = run(&["verify", "audit.jsonl", "./audit.jsonl"]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.stdout.contains("lines 1 to 7, last hash "), "{good:?}");
    assert!(
        good.stdout.ends_with("7 valid lines: the trail is intact\n"),
        "the same file twice: {good:?}"
    );
    let head = run(&["head", "audit.jsonl"]);
    let hash = head.stdout.trim();
    assert!(good.stdout.contains(&format!("last hash {hash}\n")), "{head:?}");
    assert_eq!(run(&["verify", "--expect", hash, "audit.jsonl"]).code, Some(0));

    let text = fs::read_to_string(&path).expect("a trail");
    fs::write(&path, text.replace("\"post_id\":5", "\"post_id\":6")).expect("written");
    let bad = run(&["verify", "audit.jsonl"]);
    assert_eq!(bad.code, Some(1), "{bad:?}");
    assert!(
        bad.stdout
            .starts_with("audit.jsonl, line 5: was changed: its hash does not match its content\n"),
        "{bad:?}"
    );
    let bad = run(&["verify", "--json", "audit.jsonl"]);
    let json: serde_json::Value = serde_json::from_str(&bad.stdout).expect("JSON");
    assert_eq!(
        (bad.code, &json["intact"], &json["findings"][0]["line"]),
        (Some(1), &false.into(), &5.into())
    );

    for arguments in [
        &["verify", "missing.jsonl"][..],
        &["verify", "."],
        &["verify"],
        &["verify", "--expect", "short", "audit.jsonl"],
        &["head", "missing.jsonl"],
    ] {
        let output = run(arguments);
        assert_eq!(output.code, Some(2), "{output:?}");
    }
}

#[test]
fn files_are_checked_in_any_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = split(&trail());
    let parts = [&lines[..2], &lines[2..5], &lines[5..]];
    let files: Vec<_> = parts
        .iter()
        .enumerate()
        .map(|(n, lines)| {
            let path = folder.path().join(format!("part{n}"));
            fs::write(&path, lines.concat()).expect("written");
            path
        })
        .collect();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let report = verify(&order.map(|n| files[n].clone()), Expectations::default());
        assert!(report.is_intact(), "{order:?}: {report:?}");
        assert_eq!(report.chains.len(), 1);
    }
    let report = verify(&[files[2].clone(), files[0].clone()], Expectations::default());
    let expected = format!(
        "numbers 3 to 5 are missing before it, after line 2 of {}",
        files[0].display()
    );
    assert_eq!(problems(&report), [format!("1: {expected}")]);
}

#[test]
fn a_file_of_any_line_length_is_read_in_bounded_memory() {
    // A line that is longer than any buffer, between valid ones.
    let lines = split(&trail());
    let mut content = lines[0].clone();
    content.extend(std::iter::repeat_n(b'x', 3_000_000));
    content.push(b'\n');
    content.extend(lines[1..].concat());
    assert_eq!(
        problems(&verify_bytes(&content)),
        ["2: is not a line of an audit trail"]
    );
}
