//! `/health`: for machines that watch the site.
//!
//! `live`: the process answers. `ready`: the site can serve; that holds as soon as it runs and finds sessions, since it
//! explains to its visitors when Entra or the API is down, which a load balancer that took it away could not. `/health`
//! itself asks both, too. Answers are remembered for a few seconds, so that nobody can make the site flood anybody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, HttpResponseBuilder, http::StatusCode, rt::time::timeout, web};
use futures_util::future::join3;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    background,
    web::{blocking_pools::Lane, request_context::Visit, state::Site},
};

/// How long an answer is remembered.
const FRESH: Duration = Duration::from_secs(5);

/// How long a probe waits for what it asks.
const WAIT: Duration = Duration::from_secs(1);
/// An answer from before serves for so long while nobody answers the next question.
const STALE: Duration = Duration::from_secs(15);

/// What was found out last.
#[derive(Default)]
pub struct HealthMemory {
    entra: Arc<Remembered>,
    api: Arc<Remembered>,
    sessions: Arc<Remembered>,
}

/// An answer, and when it was given.
#[derive(Default)]
struct Remembered {
    last: Mutex<Option<(Instant, bool)>>,
    is_asked: AtomicBool,
    /// Somebody has answered.
    answered: Notify,
}

/// `GET /health/live`
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /health/ready`: 503 when this replica does not reach the Redis in which sessions are: another one may. With the state
/// of the certificate, for whoever watches it; also an expired one takes nothing away from what the site can still explain.
pub async fn ready(visit: Visit) -> HttpResponse {
    let has_sessions = has_sessions(&visit.site).await;
    answer(has_sessions).json(json!({
        "status": word(has_sessions),
        "checks": { "sessions": word(has_sessions), "certificate": certificate(&visit.site), "threads": threads() },
    }))
}

/// What has become of the threads beside the requests, such as the one that watches the certificate. One that has panicked takes
/// nothing away from what the site can still do, but somebody should know.
fn threads() -> Value {
    let panicked = background::reports().into_iter().filter(|report| report.panics > 0);
    let list =
        panicked.map(|report| json!({ "name": report.name, "status": report.status.word(), "panics": report.panics }));
    json!({ "status": background::status().word(), "panicked": list.collect::<Vec<_>>() })
}

/// How many days the certificate has left, in words that machines compare; and which entries of the list cannot be used, and
/// why, without saying where they are. A site that proves itself by a federated token has no certificate.
fn certificate(site: &Site) -> Value {
    let (now, credential) = (site.client.now(), site.client.credential());
    let entries = site.client.unusable_entries();
    let unusable: Vec<_> = entries
        .iter()
        .enumerate()
        .filter_map(|(n, (source, reason))| Some(json!({ "entry": n + 1, "source": source, "reason": (*reason)? })))
        .collect();
    let files = if unusable.is_empty() { "ok" } else { "unusable" };
    let Some(certificate) = credential.certificate() else {
        return json!({ "status": "not_needed", "files": files, "unusable": unusable });
    };
    let days_left = certificate.details().days_left(now);
    let status = match certificate.check_dates(now) {
        // "expired" or "not_yet_valid".
        Err(error) => error.reason(),
        Ok(()) if days_left <= site.soon_days => "expires_soon",
        Ok(()) => "ok",
    };
    json!({ "status": status, "days_left": days_left, "files": files, "unusable": unusable })
}

/// `GET /health`: 503 when Entra, the API or the place of the sessions does not answer.
pub async fn report(visit: Visit) -> HttpResponse {
    let site = &visit.site;
    let (entra, api, sessions) = join3(entra_answers(site), api_answers(site), has_sessions(site)).await;
    let all = entra && api && sessions;
    answer(all).json(json!({
        "status": word(all),
        "checks": {
            "entra": word(entra),
            "api": word(api),
            "sessions": word(sessions),
            "certificate": certificate(site),
            "threads": threads(),
        },
    }))
}

fn answer(is_well: bool) -> HttpResponseBuilder {
    HttpResponse::build(if is_well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    })
}

fn word(is_well: bool) -> &'static str {
    if is_well { "ok" } else { "unavailable" }
}

/// Whether Entra answers, or did a moment ago.
pub async fn entra_answers(site: &web::Data<Site>) -> bool {
    let asked = site.clone();
    site.health
        .entra
        .or_ask(&site.lanes.probes, move || asked.provider.is_reachable())
        .await
}

async fn api_answers(site: &web::Data<Site>) -> bool {
    let asked = site.clone();
    site.health
        .api
        .or_ask(&site.lanes.probes, move || asked.api.is_alive())
        .await
}

async fn has_sessions(site: &web::Data<Site>) -> bool {
    if site.redis.is_none() {
        return true;
    }
    let asked = site.clone();
    site.health
        .sessions
        .or_ask(&site.lanes.probes, move || asked.sessions.ping().is_ok())
        .await
}

impl Remembered {
    /// One asks at a time, on a thread for that; all wait a little for the answer, and go on with the one of before.
    async fn or_ask(self: &Arc<Self>, lane: &Lane, ask: impl FnOnce() -> bool + Send + 'static) -> bool {
        if let Some(answer) = self.last(FRESH) {
            return answer;
        }
        let answered = self.answered.notified();
        tokio::pin!(answered);
        answered.as_mut().enable();
        if !self.is_asked.swap(true, Ordering::AcqRel) {
            let asking = Asking(Arc::clone(self));
            lane.start(move || {
                let answer = ask();
                *asking.0.last.lock() = Some((Instant::now(), answer));
            });
        }
        // Answered in the meantime, or not at all.
        if self.last(FRESH).is_none() {
            let _ = timeout(WAIT, answered).await;
        }
        self.last(STALE).unwrap_or(false)
    }

    /// What was answered within this time.
    fn last(&self, within: Duration) -> Option<bool> {
        let last = *self.last.lock();
        last.filter(|(at, _)| at.elapsed() < within).map(|(_, answer)| answer)
    }
}

/// Held by who asks; also one who panics, or finds no thread, asks no more.
struct Asking(Arc<Remembered>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.is_asked.store(false, Ordering::Release);
        self.0.answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn lane() -> Lane {
        Lane::new("a test", 4, WAIT).unwrap()
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(FRESH).unwrap()
    }

    #[actix_web::test]
    async fn who_panics_while_asking_does_not_freeze_the_answer() {
        let (remembered, lane) = (Arc::<Remembered>::default(), lane());
        *remembered.last.lock() = Some((long_ago(), false));
        assert!(!remembered.or_ask(&lane, || panic!("while asking")).await);
        assert!(remembered.or_ask(&lane, || true).await);
    }

    #[actix_web::test]
    async fn while_one_asks_the_others_get_what_was_known_before_and_after_a_while_that_it_is_away() {
        let (remembered, lane) = (Arc::<Remembered>::default(), lane());
        *remembered.last.lock() = Some((long_ago(), true));
        let (answer, hangs) = mpsc::channel::<()>();
        let hang = move || {
            let _ = hangs.recv();
            true
        };
        assert!(remembered.or_ask(&lane, hang).await, "from before");
        assert!(remembered.or_ask(&lane, || unreachable!("one asks already")).await);
        *remembered.last.lock() = Some((Instant::now().checked_sub(STALE).unwrap(), true));
        assert!(
            !remembered.or_ask(&lane, || unreachable!("one asks already")).await,
            "for too long"
        );
        drop(answer);
        while remembered.is_asked.load(Ordering::Acquire) {
            actix_web::rt::task::yield_now().await;
        }
        assert!(
            remembered
                .or_ask(&lane, || unreachable!("it was asked a moment ago"))
                .await
        );
    }

    #[actix_web::test]
    async fn without_a_free_thread_nobody_waits_for_ever() {
        let (remembered, lane) = (Arc::<Remembered>::default(), Lane::new("a test", 1, WAIT).unwrap());
        let (_end, hangs) = mpsc::channel::<()>();
        assert!(lane.start(move || {
            let _ = hangs.recv();
        }));
        assert!(!remembered.or_ask(&lane, || true).await);
        assert!(!remembered.is_asked.load(Ordering::Acquire), "the next one may ask");
    }
}
