//! The file of a trail: restarts, interrupted writes, rotation, the lock, and who may write it.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
};

use blogctl::{
    audit::{AuditLog, Event, Expectations, Origin},
    config::{AuditSettings, Role},
    hint::Hint as _,
};

use super::{lines, problems, record, settings, verify};
use crate::support::entra::wait_until;

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(path).expect("a file");
    file.write_all(bytes).expect("written");
}

/// All files of a folder, without the state.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "state"))
        .collect();
    files.sort();
    files
}

#[test]
fn a_restart_continues_the_chain() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("made/audit.jsonl");
    for start in [1, 11, 21] {
        record(&settings(&path), start..start + 10);
    }
    let lines = lines(&path);
    let numbers: Vec<_> = lines
        .iter()
        .map(|line| line["seq"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, (1..=33).collect::<Vec<_>>());
    assert!(lines.iter().all(|line| line["chain"] == lines[0]["chain"]));
    for name in ["audit.jsonl", "audit.jsonl.state"] {
        let mode = fs::metadata(path.with_file_name(name))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn an_interrupted_line_is_declared_by_the_next_start_and_cannot_be_changed_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let torn = br#"{"v":1,"time":"2026-01-31T08:00:00.000000Z","se"#;
    record(&settings(&path), 1..4);
    append(&path, torn);
    let report = verify(std::slice::from_ref(&path), Expectations::default());
    assert!(
        problems(&report)[0].starts_with("5: is incomplete: the process was killed"),
        "{report:?}"
    );

    record(&settings(&path), 4..6);
    let report = verify(std::slice::from_ref(&path), Expectations::default());
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.lines, report.notes.len(), report.notes[0].line), (8, 1, 5));
    let content = fs::read(&path).expect("a trail");
    let at = content
        .windows(torn.len())
        .position(|part| part == torn)
        .expect("the torn line stays");
    for n in 0..=torn.len() {
        let mut changed = content.clone();
        changed[at + n] ^= 1;
        assert!(!super::verify_bytes(&changed).is_intact(), "byte {n} of the torn line");
    }
    let mut removed = content;
    removed.drain(at..=at + torn.len());
    assert!(!super::verify_bytes(&removed).is_intact(), "the torn line was removed");
}

#[test]
fn lines_that_were_removed_while_the_server_was_stopped_are_missing_forever() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    for cut in ["whole lines", "half a line", "the file", "a changed line"] {
        let _ = fs::remove_dir_all(folder.path().join("x"));
        let path = folder.path().join("x/audit.jsonl");
        record(&settings(&path), 1..6);
        let text = fs::read_to_string(&path).expect("a trail");
        let end_of = |n: usize| text.match_indices('\n').nth(n - 1).expect("a line").0 + 1;
        match cut {
            "whole lines" => fs::write(&path, &text[..end_of(4)]).expect("written"),
            "half a line" => fs::write(&path, &text[..end_of(5) + 50]).expect("written"),
            "the file" => fs::remove_file(&path).expect("removed"),
            _ => {
                let at = end_of(5) + 50;
                fs::write(&path, format!("{}#{}", &text[..at], &text[at + 1..])).expect("written");
            }
        }
        record(&settings(&path), 6..9);
        let report = verify(&[path], Expectations::default());
        assert!(!report.is_intact(), "{cut}: {report:?}");
    }
    assert!(!path.exists());
}

#[test]
fn a_state_file_with_other_content_is_ignored() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    record(&settings(&path), 1..3);
    let chain = &lines(&path)[0]["chain"];
    let zeros = "0".repeat(64);
    for state in [
        String::new(),
        "not JSON".to_owned(),
        format!("{{\"chain\":{chain},\"seq\":99,\"hash\":\"no hash\"}}"),
        format!("{{\"chain\":{chain},\"seq\":18446744073709551615,\"hash\":\"{zeros}\"}}"),
    ] {
        fs::write(path.with_file_name("audit.jsonl.state"), &state).expect("written");
        record(&settings(&path), 3..4);
        let report = verify(std::slice::from_ref(&path), Expectations::default());
        assert!(report.is_intact(), "{state}: {report:?}");
    }
}

#[test]
fn a_full_file_is_renamed_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let settings = AuditSettings {
        max_mib: 1,
        ..settings(&path)
    };
    record(&settings, 0..4000);
    record(&settings, 4000..8000);
    let found = files(folder.path());
    assert!(found.len() > 2, "{found:?}");
    for file in &found {
        assert!(
            fs::metadata(file).expect("a file").len() <= 1024 * 1024,
            "{}",
            file.display()
        );
    }
    let report = verify(&found, Expectations::default());
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.lines, report.chains.len()), (8002, 1));
    let mut without = found.clone();
    let removed = without.remove(2);
    let report = verify(&without, Expectations::default());
    assert_eq!(report.findings.len(), 1, "{}: {report:?}", removed.display());
    assert!(
        report.findings[0].problem.contains("are missing before it"),
        "{report:?}"
    );
}

#[test]
fn a_full_file_never_replaces_another_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let settings = AuditSettings {
        max_mib: 1,
        ..settings(&path)
    };
    // Each start declares the bytes before it, which make the file large.
    record(&settings, 0..10);
    append(&path, &vec![b' '; 512 * 1024]);
    record(&settings, 0..0);
    append(&path, &vec![b' '; 512 * 1024]);
    // The name that the file would get: the number of its last line.
    let taken = folder.path().join("audit.jsonl.000000000013");
    fs::write(&taken, "precious").expect("written");
    record(&settings, 10..20);
    assert_eq!(fs::read_to_string(&taken).expect("a file"), "precious");
    let mut trail = files(folder.path());
    trail.retain(|path| *path != taken);
    let report = verify(&trail, Expectations::default());
    assert!(report.is_intact() && report.lines == 25, "{report:?}");
}

#[test]
fn a_file_that_another_program_renames_is_followed_by_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, renamed) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl-1"));
    let log = AuditLog::start(&settings(&path), Role::Api).expect("a trail");
    let record = |post_id| log.record(Event::PostCreated { post_id }, Origin::default());
    let has =
        |path: &Path, id: i64| fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("\"post_id\":{id},")));
    record(1);
    wait_until("a line", || has(&path, 1));
    fs::rename(&path, &renamed).expect("renamed");
    record(2);
    wait_until("a line in a new file", || has(&path, 2));
    log.record_stop();
    let report = verify(&[path.clone(), renamed.clone()], Expectations::default());
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.lines, report.chains.len()), (3, 1));
    // Renamed while no process runs.
    fs::rename(&path, folder.path().join("audit.jsonl-2")).expect("renamed");
    super::record(&settings(&path), 3..5);
    let report = verify(&files(folder.path()), Expectations::default());
    assert!(report.is_intact() && report.chains.len() == 1, "{report:?}");
}

#[test]
fn a_second_process_on_the_same_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let log = AuditLog::start(&settings(&path), Role::Api).expect("a trail");
    let error = AuditLog::start(&settings(&path), Role::Client).expect_err("refused");
    assert_eq!(
        error.to_string(),
        format!(
            "the audit trail {} cannot be used: another process appends to it",
            path.display()
        )
    );
    assert!(error.hint().expect("a hint").contains("{role}"));
    let both = settings(&folder.path().join("audit-{role}.jsonl"));
    let logs = [Role::Api, Role::Client].map(|role| AuditLog::start(&both, role).expect("its own file"));
    assert!(folder.path().join("audit-api.jsonl").exists() && folder.path().join("audit-client.jsonl").exists());
    log.record_stop();
    drop(logs);
    AuditLog::start(&settings(&path), Role::Api).expect("the first one has ended");
}

#[test]
fn a_file_that_others_may_change_or_read_and_a_file_with_other_content_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let refused = || {
        let error = AuditLog::start(&settings(&path), Role::Api)
            .expect_err("refused")
            .to_string();
        error.split_once("cannot be used: ").expect("a reason").1.to_owned()
    };
    record(&settings(&path), 1..3);
    for (mode, expected) in [
        (0o604, Some("other users may read it (mode 0604): chmod 600")),
        (0o660, Some("other users may write it (mode 0660): chmod 600")),
        (0o640, None),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("changed");
        match expected {
            Some(expected) => assert_eq!(refused(), expected),
            None => record(&settings(&path), 3..4),
        }
    }
    fs::write(&path, "# settings of another program\nkey = 1\n").expect("written");
    assert_eq!(refused(), "it does not end in lines of an audit trail");
    fs::remove_file(&path).expect("removed");
    std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
    assert_eq!(refused(), "it is a symbolic link");
    fs::remove_file(&path).expect("removed");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("changed");
    assert!(
        refused().contains("other users may write to its folder"),
        "{}",
        refused()
    );
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).expect("changed");
}

#[test]
fn a_hundred_threads_write_one_chain_without_losing_a_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let log = AuditLog::start(&settings(&path), Role::Api).expect("a trail");
    thread::scope(|scope| {
        for thread in 0..100 {
            let log = log.clone();
            scope.spawn(move || {
                for n in 0..50 {
                    log.record(
                        Event::PostCreated {
                            post_id: thread * 50 + n,
                        },
                        Origin::default(),
                    );
                }
            });
        }
    });
    log.record_stop();
    let lines = lines(&path);
    let mut ids: Vec<_> = lines.iter().filter_map(|line| line["post_id"].as_i64()).collect();
    // Of each thread in its order.
    for thread in 0..100 {
        let own: Vec<_> = ids.iter().filter(|id| **id / 50 == thread).copied().collect();
        assert!(own.is_sorted());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..5000).collect::<Vec<_>>());
}
