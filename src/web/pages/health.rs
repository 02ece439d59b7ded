//! `/health`: for machines that watch the site.
//!
//! `live`: the process answers. `ready`: the site can serve; that holds as soon as it runs and finds sessions, since it
//! explains to its visitors when Entra or the API is down, which a load balancer that took it away could not. `/health`
//! itself asks both, too. Answers are remembered for a few seconds, so that nobody can make the site flood anybody.

use std::{
    sync::{Mutex, PoisonError, TryLockError},
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, HttpResponseBuilder, http::StatusCode};
use serde_json::{Value, json};

use crate::web::{error_page::PageError, site::Site, visit::Visit};

/// How long an answer is remembered.
const FRESH: Duration = Duration::from_secs(5);

/// What was found out last.
#[derive(Default)]
pub struct HealthMemory {
    entra: Remembered,
    api: Remembered,
    sessions: Remembered,
}

/// An answer, and when it was given.
#[derive(Default)]
struct Remembered {
    last: Mutex<Option<(Instant, bool)>>,
    /// Held by who asks.
    asking: Mutex<()>,
}

/// `GET /health/live`
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /health/ready`: 503 when this replica does not reach the Redis in which sessions are: another one may. With the state
/// of the certificate, for whoever watches it; also an expired one takes nothing away from what the site can still explain.
///
/// # Errors
/// When the check itself breaks.
pub async fn ready(visit: Visit) -> Result<HttpResponse, PageError> {
    let has_sessions = visit.blocking(|site| Ok::<_, PageError>(site.health.has_sessions(site))).await?;
    Ok(answer(has_sessions).json(json!({
        "status": word(has_sessions),
        "checks": { "sessions": word(has_sessions), "certificate": certificate(&visit.site) },
    })))
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
///
/// # Errors
/// When the check itself breaks.
pub async fn report(visit: Visit) -> Result<HttpResponse, PageError> {
    let checks = visit.blocking(|site| {
        let health = &site.health;
        Ok::<_, PageError>([health.entra_answers(site), health.api_answers(site), health.has_sessions(site)])
    });
    let [entra, api, sessions] = checks.await?;
    let all = entra && api && sessions;
    Ok(answer(all).json(json!({
        "status": word(all),
        "checks": {
            "entra": word(entra),
            "api": word(api),
            "sessions": word(sessions),
            "certificate": certificate(&visit.site),
        },
    })))
}

fn answer(is_well: bool) -> HttpResponseBuilder {
    HttpResponse::build(if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE })
}

fn word(is_well: bool) -> &'static str {
    if is_well { "ok" } else { "unavailable" }
}

/// All of them block.
impl HealthMemory {
    /// Whether Entra answers, or did a moment ago.
    pub fn entra_answers(&self, site: &Site) -> bool {
        self.entra.or_ask(|| site.provider.answers())
    }

    fn api_answers(&self, site: &Site) -> bool {
        self.api.or_ask(|| site.api.is_alive())
    }

    fn has_sessions(&self, site: &Site) -> bool {
        self.sessions.or_ask(|| site.sessions.ping().is_ok())
    }
}

impl Remembered {
    /// One caller at a time asks. The others get what was known before, so that a server that hangs holds one thread and not
    /// all of them; only while nothing is known do they wait.
    fn or_ask(&self, ask: impl FnOnce() -> bool) -> bool {
        let last = || *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || last().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, answer)| answer);
        if let Some(answer) = fresh() {
            return answer;
        }
        let turn = match (self.asking.try_lock(), last()) {
            (Ok(turn), _) => turn,
            // Whoever asked has panicked, and asks no more.
            (Err(TryLockError::Poisoned(turn)), _) => turn.into_inner(),
            (Err(TryLockError::WouldBlock), Some((_, answer))) => return answer,
            (Err(TryLockError::WouldBlock), None) => self.asking.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let answer = fresh().unwrap_or_else(ask);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), answer));
        drop(turn);
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn who_panics_while_asking_does_not_freeze_the_answer() {
        let remembered = Remembered::default();
        let long_ago = Instant::now().checked_sub(FRESH).unwrap();
        *remembered.last.lock().unwrap() = Some((long_ago, false));
        let asking = std::panic::AssertUnwindSafe(|| remembered.or_ask(|| panic!("while asking")));
        assert!(std::panic::catch_unwind(asking).is_err());
        assert!(remembered.or_ask(|| true));
    }

    #[test]
    fn while_one_asks_the_others_get_what_was_known_before() {
        let remembered = Remembered::default();
        let long_ago = Instant::now().checked_sub(FRESH).unwrap();
        *remembered.last.lock().unwrap() = Some((long_ago, true));
        let [asked, go_on] = [(); 2].map(|()| Barrier::new(2));
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| {
                remembered.or_ask(|| {
                    asked.wait();
                    go_on.wait();
                    false
                })
            });
            asked.wait();
            assert!(remembered.or_ask(|| unreachable!("one asks already")));
            go_on.wait();
            assert!(!slow.join().unwrap());
        });
        assert!(!remembered.or_ask(|| unreachable!("it was asked a moment ago")));
    }
}
