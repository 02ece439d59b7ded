//! Clocks jump: that of the API's machine, and that of the identity provider.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::{
    either, pass_seconds,
    stage::{Stage, Store},
};
use crate::support::{entra::wait_until, needs};

#[test]
fn jumps_of_the_clock_lose_nothing() {
    // The path of libfaketime, which changes what the process sees of the clock.
    let Some(library) = needs("BLOGCTL_TEST_FAKETIME") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clock = folder.path().join("clock");
    // Replaced as a whole, because the process reads the file all the time.
    let set = |offset: &str| {
        let new = folder.path().join("clock.new");
        fs::write(&new, offset).expect("written");
        fs::rename(new, &clock).expect("set");
    };
    set("+0s");
    let clock_path = clock.display().to_string();
    let environment = [
        ("LD_PRELOAD", &*library),
        ("FAKETIME_TIMESTAMP_FILE", &*clock_path),
        ("FAKETIME_NO_CACHE", "1"),
        // Only the time of day jumps, as on a real machine.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let store_folder = tempfile::tempdir().expect("a temporary folder");
    let store = Store::sqlite_in(store_folder.path());
    let stage = Stage::with(store_folder, store, &[], &environment);
    let writers = stage.writers();
    let mut recovered = Duration::ZERO;
    for _ in 0..either(1, 5) {
        // Within `api.clock_skew_seconds`, so that tokens stay valid.
        for offset in ["+30s", "-30s"] {
            set(offset);
            writers.wait_for(50);
        }
        // Two hours later they have expired.
        set("+7200s");
        writers.wait_for_failures();
        pass_seconds(0.2, 2.0);
        let start = Instant::now();
        set("+0s");
        recovered = recovered.max(writers.wait_for_since(start, 50));
        // Two hours earlier, new ones are not yet valid; those that were verified stay so.
        set("-7200s");
        let new = stage.client();
        wait_until("new tokens are rejected", || new.get("/v1/posts").status == 401);
        writers.wait_for(50);
        set("+0s");
        wait_until("new tokens are accepted", || new.get("/v1/posts").status == 200);
    }
    stage.finish("API's clock jumps", writers, recovered, &["401"]);
}

#[test]
fn a_jump_of_the_identity_providers_clock_loses_nothing() {
    let stage = Stage::sqlite();
    let writers = stage.writers();
    stage.control().advance_clock(Duration::from_hours(2));
    // Tokens of the future are rejected; older ones stay valid.
    assert_eq!(stage.client().get("/v1/posts").status, 401);
    writers.wait_for(50);
    let start = Instant::now();
    stage.control().advance_clock(Duration::ZERO);
    assert_eq!(stage.client().get("/v1/posts").status, 200);
    let recovered = writers.wait_for_since(start, 50);
    stage.finish("provider's clock jumps", writers, recovered, &[]);
}
