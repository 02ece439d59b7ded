//! The disk is full, a file may not grow, and the file of the database is replaced.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, prlimit};

use super::{
    either, more, pass_seconds,
    stage::{Stage, Store},
};
use crate::support::small_disk::SmallDisk;

fn rounds() -> usize {
    either(1, 5)
}

#[test]
fn a_full_disk_under_sqlite_loses_nothing() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stage = Stage::with(folder, Store::sqlite_in(disk.path()), &[], &[]);
    let writers = stage.writers();
    let mut recovered = Duration::ZERO;
    for _ in 0..rounds() {
        disk.fill();
        writers.wait_for_failures();
        pass_seconds(0.5, 5.0);
        let start = Instant::now();
        disk.free();
        recovered = recovered.max(writers.wait_for_since(start, more()));
    }
    stage.finish("disk full", writers, recovered, &["503"]);
}

#[test]
fn a_full_disk_under_postgresql_loses_nothing() {
    let Some(disk) = SmallDisk::mount(320) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(store) = Store::postgres_in(disk.path()) else {
        return;
    };
    let mut stage = Stage::with(folder, store, &[], &[]);
    let writers = stage.writers();
    let mut recovered = Duration::ZERO;
    for _ in 0..rounds() {
        disk.fill();
        writers.wait_for_failures();
        pass_seconds(0.5, 5.0);
        let start = Instant::now();
        disk.free();
        // It ends if it could not write its log.
        pass_seconds(0.5, 0.5);
        if !stage.store.postgres().0.is_running() {
            stage.store.restart();
        }
        recovered = recovered.max(writers.wait_for_since(start, more()));
    }
    stage.finish("disk full", writers, recovered, &["503"]);
}

#[test]
fn a_limit_of_file_sizes_loses_nothing() {
    let stage = Stage::sqlite();
    let writers = stage.writers();
    let mut recovered = Duration::ZERO;
    for _ in 0..rounds() {
        limit_files(&stage, Some(0));
        writers.wait_for_failures();
        pass_seconds(0.5, 5.0);
        let start = Instant::now();
        limit_files(&stage, None);
        recovered = recovered.max(writers.wait_for_since(start, more()));
    }
    stage.finish("file size limited", writers, recovered, &["503"]);
}

/// Limits the size of files that the API writes, in bytes.
fn limit_files(stage: &Stage, bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(Some(stage.api.pid()), Resource::Fsize, limit).expect("the limit is set");
}

#[test]
fn a_replaced_file_loses_nothing() {
    let stage = Stage::sqlite();
    let writers = stage.writers();
    let mut recovered = Duration::ZERO;
    let [file, aside, other] = ["blog.db", "aside.db", "other.db"].map(|name| stage.folder.path().join(name));
    fs::write(&other, "").expect("written");
    for _ in 0..rounds() {
        fs::rename(&file, &aside).expect("moved away");
        fs::copy(&other, &file).expect("replaced");
        writers.wait_for_failures();
        let before = writers.failures("503");
        pass_seconds(0.5, 3.0);
        assert!(writers.failures("503") > before, "no write is acknowledged");
        // The operator puts the file back.
        let start = Instant::now();
        fs::rename(&aside, &file).expect("put back");
        recovered = recovered.max(writers.wait_for_since(start, more()));
    }
    stage.finish("file replaced", writers, recovered, &["503"]);
}
