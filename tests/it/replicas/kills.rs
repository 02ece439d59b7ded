//! A person uses the site while its replicas and those of the API are killed one by one. The person sees at most pages that
//! ask to try again, and loses neither text nor sign-in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{browser::Browser, needs, replicated_system::ReplicatedSystem};

/// Each replica is killed at least twice.
const KILLS: usize = 8;
/// Longest time in which an action must succeed, with repetitions.
const DEADLINE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);
/// Pages that ask to try again: the load balancer's, the site's, and a form that was not saved.
const RETRY: &str = "#bad-gateway, [data-error], #form-error";

/// The killer of replicas, ended when dropped.
struct Killer {
    is_over: Arc<AtomicBool>,
    kills: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Killer {
    /// Kills one replica after the other, and restarts it before it kills the next.
    fn start(system: &Arc<ReplicatedSystem>) -> Self {
        let (is_over, kills) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (system, over, count) = (Arc::clone(system), Arc::clone(&is_over), Arc::clone(&kills));
        let thread = thread::spawn(move || {
            let replicas: Vec<_> = system.replicas().collect();
            // Site and API take turns.
            for n in [0, 2, 1, 3].into_iter().cycle() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                thread::sleep(Duration::from_millis(500));
                replicas[n].kill();
                count.fetch_add(1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(500));
                replicas[n].start();
            }
        });
        Self {
            is_over,
            kills,
            thread: Some(thread),
        }
    }

    fn kills(&self) -> usize {
        self.kills.load(Ordering::SeqCst)
    }

    /// Ends the kills; all replicas run again.
    fn end(mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.take().expect("it runs").join().expect("all replicas start");
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}

/// The person, who repeats what did not work.
struct Person<'a> {
    browser: &'a Browser,
    system: &'a ReplicatedSystem,
    /// How often a page asked to try again.
    retries: AtomicUsize,
}

impl Person<'_> {
    /// Waits for the next page; `false` if it asks to try again.
    async fn reaches(&self, wanted: &str) -> bool {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if self.browser.has(wanted).await {
                return true;
            }
            if self.browser.has(RETRY).await {
                self.retries.fetch_add(1, Ordering::SeqCst);
                assert!(!self.browser.text("h1").await.is_empty(), "the page says what happened");
                assert!(
                    !self.browser.has("[data-error='500'], [data-error='401']").await,
                    "a clear page, and no lost sign-in"
                );
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "never: {wanted} on {}",
                self.browser.path().await
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Opens a page.
    async fn open(&self, path: &str, wanted: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            self.browser.go(&self.system.site.url(path)).await;
            if self.reaches(wanted).await {
                return;
            }
            assert!(Instant::now() < deadline, "{path} does not open");
        }
    }

    /// Clicks on a button, and waits until the browser has left the page.
    async fn leave_by(&self, label: &str) {
        let script = |code: &str| self.browser.driver.execute(code.to_owned(), vec![]);
        script("window.isOldPage = true").await.expect("a page");
        self.browser.click(label).await;
        self.wait_for_new_page().await;
    }

    async fn wait_for_new_page(&self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let script = "return window.isOldPage !== true && document.readyState === 'complete'";
            let is_new = self.browser.driver.execute(script, vec![]).await;
            if is_new.is_ok_and(|is_new| is_new.json() == true) {
                return;
            }
            assert!(Instant::now() < deadline, "the page stays");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends the open form until it is saved. Whatever page is in between, the text is still there.
    async fn save(&self, label: &str, form_path: &str, title: &str, content: &str) {
        let deadline = Instant::now() + DEADLINE;
        self.browser.fill("title", title).await;
        self.browser.fill("content", content).await;
        self.leave_by(label).await;
        while !self.reaches("article .content").await {
            assert!(Instant::now() < deadline, "never saved: {title}");
            if self.browser.has("#bad-gateway").await {
                // Sends the same form again, as the browser offers.
                self.browser.driver.refresh().await.expect("sent again");
                self.wait_for_new_page().await;
                continue;
            }
            if !self.browser.has("form.post-form").await {
                self.open(form_path, "form.post-form").await;
            }
            assert_eq!(self.browser.value("title").await, title, "no text is lost");
            assert_eq!(self.browser.value("content").await, content, "no text is lost");
            self.leave_by(label).await;
        }
        assert_eq!(self.browser.text("h1").await, title);
        assert!(self.browser.text("article .content").await.contains(content));
    }

    async fn sign_in(&self, name: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < deadline, "never signed in");
            self.browser.go(&self.system.site.url("/login?next=/posts")).await;
            if !self.reaches("button[data-user], #account").await {
                continue;
            }
            if self.browser.has("button[data-user]").await {
                self.leave_by(name).await;
            }
            if self.reaches("#account").await {
                break;
            }
        }
        assert_eq!(self.browser.text("#account").await, name);
    }

    /// Deletes a post; afterwards it is not found.
    async fn delete(&self, path: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < deadline, "never deleted");
            self.browser.go(&self.system.site.url(&format!("{path}/delete"))).await;
            let is_there = self.reaches("button.danger").await;
            if is_there {
                self.leave_by("Delete post").await;
            } else if self.browser.has("[data-error='404']").await {
                return;
            }
        }
    }
}

#[actix_web::test]
async fn a_person_loses_neither_text_nor_sign_in_while_replicas_are_killed() {
    let Some(driver) = needs("BLOGCTL_TEST_CHROMEDRIVER") else {
        return;
    };
    let Some(system) = ReplicatedSystem::start(&[]) else {
        return;
    };
    let system = Arc::new(system);
    let browser = Browser::open(&driver).await;
    let killer = Killer::start(&system);
    let person = Person {
        browser: &browser,
        system: &system,
        retries: AtomicUsize::new(0),
    };
    person.sign_in("Alice Archer").await;
    system.control().forget_requests();
    let mut kept = Vec::new();
    for round in 0.. {
        if killer.kills() >= KILLS && round >= 3 {
            break;
        }
        let [first, second] = ["first", "second"].map(|version| format!("Round {round}, {version} version"));
        person.open("/posts/new", "form.post-form").await;
        person
            .save("Publish", "/posts/new", &first, "Words that took an hour.")
            .await;
        let path = browser.path().await;
        person.open(&format!("{path}/edit"), "form.post-form").await;
        person
            .save("Save changes", &format!("{path}/edit"), &second, "Better words.")
            .await;
        if round % 2 == 0 {
            person.delete(&path).await;
        } else {
            kept.push(second);
        }
        assert_eq!(
            system.control().requests_to("/authorize").len(),
            0,
            "the sign-in is still valid"
        );
    }
    // The sign-in survived all kills.
    person.open("/profile", "#account").await;
    killer.end();
    let mut stored = system.titles();
    stored.sort();
    kept.sort();
    assert_eq!(
        stored, kept,
        "each post once, in its last version, and none that was deleted"
    );
    // On all replicas.
    browser.go(&system.site.url("/logout")).await;
    person.leave_by("Sign out").await;
    for _ in 0..4 {
        browser.go(&system.site.url("/")).await;
        browser.find("a[href^='/login']").await;
        assert!(!browser.has("#account").await);
    }
    browser.close(&[404, 412, 502, 503]).await;
}
