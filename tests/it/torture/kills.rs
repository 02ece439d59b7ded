//! Processes end without a warning, as when the memory or the machine fails.

use std::time::{Duration, Instant};

use super::{either, more, pass_seconds, report::Row, stage::Stage};
use crate::support::{
    replicated_system::ReplicatedSystem,
    web::{ALICE, Browser},
};

fn rounds() -> usize {
    either(2, 15)
}

#[test]
fn kills_of_the_api_lose_nothing() {
    Stage::each(|stage| {
        let writers = stage.writers();
        let mut recovered = Duration::ZERO;
        for _ in 0..rounds() {
            stage.api.kill();
            let start = Instant::now();
            stage.api.start_without_waiting();
            recovered = recovered.max(writers.wait_for_since(start, more()));
        }
        stage.finish("API killed", writers, recovered, &["broken"]);
    });
}

#[test]
fn kills_of_the_database_lose_nothing() {
    let Some(mut stage) = Stage::postgres() else { return };
    let writers = stage.writers();
    let mut recovered = Duration::ZERO;
    for _ in 0..rounds() {
        stage.store.postgres().0.kill();
        writers.wait_for_failures();
        pass_seconds(0.5, 3.0);
        let start = Instant::now();
        stage.store.restart();
        recovered = recovered.max(writers.wait_for_since(start, more()));
    }
    stage.finish("database killed", writers, recovered, &["503"]);
}

#[test]
fn kills_of_api_and_database_together_lose_nothing() {
    let Some(mut stage) = Stage::postgres() else { return };
    let writers = stage.writers();
    let mut recovered = Duration::ZERO;
    for _ in 0..rounds() {
        stage.store.postgres().0.kill();
        stage.api.kill();
        let start = Instant::now();
        stage.store.restart();
        stage.api.start_without_waiting();
        recovered = recovered.max(writers.wait_for_since(start, more()));
    }
    stage.finish("API and database killed", writers, recovered, &["broken", "503"]);
}

#[test]
fn kills_of_redis_lose_no_post() {
    let Some(mut system) = ReplicatedSystem::start(&["server.drain_seconds=0"]) else {
        return;
    };
    let mut published = Vec::new();
    let mut remarks = (0, 0);
    let mut recovered = Duration::ZERO;
    for round in 0..rounds() {
        let browser = Browser::new();
        for n in 0..5 {
            published.push(publish(
                &system,
                &browser,
                &format!("Before kill {round}, post {n}"),
                &mut remarks,
            ));
        }
        system.redis.stop();
        // The site cannot know who the visitor is; its page says so. The load balancer may have noticed already.
        let page = browser.get_once(&system.site.url("/posts"));
        assert!([502, 503].contains(&page.status), "{} {}", page.status, page.body);
        pass_seconds(0.5, 5.0);
        let start = Instant::now();
        assert!(system.redis.restart(), "Redis starts again");
        published.push(publish(&system, &browser, &format!("After kill {round}"), &mut remarks));
        recovered = recovered.max(start.elapsed());
    }
    let stored = system.titles();
    let times = |title: &String| stored.iter().filter(|other| *other == title).count();
    let lost = published.iter().filter(|title| times(title) == 0).count();
    let doubled = stored.len() - published.len().min(stored.len());
    Row {
        scenario: "Redis killed",
        database: "PostgreSQL",
        acknowledged: published.len(),
        lost,
        doubled,
        recovered_in: Some(recovered),
        remarks: format!("new sign-ins: {}, retries: {}", remarks.0, remarks.1),
    }
    .record();
    assert_eq!((lost, doubled), (0, 0));
}

/// Publishes a post as a person does: signs in when asked, and repeats what the site could not do. Returns the title.
fn publish(system: &ReplicatedSystem, browser: &Browser, title: &str, remarks: &mut (usize, usize)) -> String {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        assert!(Instant::now() < deadline, "never published: {title}");
        let mut page = browser.get(&system.site.url("/posts/new"));
        if page.body.contains("data-user") {
            remarks.0 += 1;
            page = browser.pick(&page, ALICE);
        }
        if page.status == 200 && page.body.contains("post-form") {
            let form = page.form("Publish").with("title", title).with("content", "Words.");
            let shown = browser.submit(&form);
            if shown.status == 200 && shown.body.contains(title) && shown.body.contains("<article") {
                return title.to_owned();
            }
        }
        remarks.1 += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
}
