//! Processes stop without an end, and connections go silent or break.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{either, more, pass_seconds, stage::Stage};

fn rounds() -> usize {
    either(1, 5)
}

#[test]
fn a_frozen_api_loses_nothing() {
    Stage::each(|stage| {
        let writers = stage.writers();
        let mut recovered = Duration::ZERO;
        for _ in 0..rounds() {
            stage.api.signal(Signal::STOP);
            pass_seconds(2.0, 15.0);
            let start = Instant::now();
            stage.api.signal(Signal::CONT);
            recovered = recovered.max(writers.wait_for_since(start, more()));
        }
        // Requests may have reached their deadline during the sleep.
        stage.finish("API frozen", writers, recovered, &["503", "408", "broken"]);
    });
}

#[test]
fn a_frozen_database_loses_nothing() {
    let Some(mut stage) = Stage::postgres() else { return };
    let writers = stage.writers();
    let mut recovered = Duration::ZERO;
    for _ in 0..rounds() {
        stage.store.postgres().0.signal(Signal::STOP);
        // Longer than `database.deadline_seconds`.
        writers.wait_for_failures();
        pass_seconds(0.0, 10.0);
        let start = Instant::now();
        stage.store.postgres().0.signal(Signal::CONT);
        recovered = recovered.max(writers.wait_for_since(start, more()));
    }
    stage.finish("database frozen", writers, recovered, &["503"]);
}

#[test]
fn silent_connections_to_the_database_lose_nothing() {
    let Some(mut stage) = Stage::postgres() else { return };
    let writers = stage.writers();
    let mut recovered = Duration::ZERO;
    for _ in 0..rounds() {
        stage.store.postgres().1.silence_all();
        writers.wait_for_failures();
        pass_seconds(0.0, 10.0);
        // The old connections stay silent for ever; new ones work.
        let start = Instant::now();
        stage.store.postgres().1.recover();
        recovered = recovered.max(writers.wait_for_since(start, more()));
    }
    stage.finish("connections silent", writers, recovered, &["503"]);
}

#[test]
fn cut_connections_to_the_database_lose_nothing() {
    let Some(mut stage) = Stage::postgres() else { return };
    let writers = stage.writers();
    let mut recovered = Duration::ZERO;
    for _ in 0..either(5, 100) {
        let start = Instant::now();
        stage.store.postgres().1.cut_open_connections();
        recovered = recovered.max(writers.wait_for_since(start, 20));
    }
    stage.finish("connections cut", writers, recovered, &["503"]);
}
