//! The thread that obtains the certificate and renews it in time. No failure stops the server: the certificate in use stays in
//! use, and the next attempt follows later.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use instant_acme::Account;
use tokio::runtime::Runtime;
use ureq::Agent;

use super::{
    cache::Cache,
    error::AcmeError,
    http_client::{AcmeHttp, RetryAfter},
    order, schedule,
};
use crate::{
    certificate::{CertificateLocation, ExpiryNotifier, TlsIdentity},
    config::AcmeSettings,
    hint::Hint as _,
    tls::{challenges::Challenges, installation::Installation, names::is_for, report::report},
};

/// Longest time between two looks at the clock: it may jump, and the machine may be suspended.
const MAX_WAIT: Duration = Duration::from_mins(10);
/// Shortest and longest time between two questions when to renew, whatever the CA asks for (RFC 9773 §4.3.2).
const SUGGESTION_INTERVALS: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(24));

/// See the module.
pub(super) struct Renewal {
    pub(super) settings: AcmeSettings,
    pub(super) cache: Cache,
    pub(super) agent: Agent,
    pub(super) challenges: Challenges,
    pub(super) installation: Installation,
    pub(super) expiry: ExpiryNotifier,
    pub(super) runtime: Runtime,
    pub(super) state: State,
    /// The last error of the client CAs.
    pub(super) last_error: Option<String>,
}

/// What the next step depends on.
pub(super) struct State {
    /// When to order the next certificate.
    pub(super) due: DateTime<Utc>,
    /// When to ask the CA again when to renew.
    pub(super) ask_at: DateTime<Utc>,
    pub(super) failures: u32,
}

impl Renewal {
    /// Runs until told to stop.
    pub(super) fn run(&mut self, stop: &Receiver<()>) {
        loop {
            self.step();
            let wait = (self.state.due - Utc::now()).to_std().unwrap_or_default().min(MAX_WAIT);
            match stop.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn step(&mut self) {
        let now = Utc::now();
        if report(self.installation.reload_client_cas().err(), &mut self.last_error) {
            self.installation.count_failure();
        }
        if let Some(details) = self.installation.served().details()
            && let Some((level, text)) = self.expiry.next_warning(&details, now)
        {
            log::log!(level, "{text}");
        }
        if now >= self.state.due {
            self.renew();
        } else if now >= self.state.ask_at {
            self.ask();
        }
    }

    fn renew(&mut self) {
        let retry_after = RetryAfter::default();
        match self.obtain(&retry_after) {
            Ok(()) => {}
            Err(error) => self.postpone(&error, retry_after.take()),
        }
    }

    fn obtain(&mut self, retry_after: &RetryAfter) -> Result<(), AcmeError> {
        let domains = &self.settings.domains;
        let issued = self.runtime.block_on(async {
            let account = order::account(&self.settings, &self.cache, self.http(retry_after)).await?;
            match order::issue(&account, domains, &self.challenges).await {
                // The CA has lost its data, or the account was deactivated.
                Err(error) if error.is_unknown_account() => {
                    self.cache.forget_account()?;
                    let account = order::account(&self.settings, &self.cache, self.http(retry_after)).await?;
                    order::issue(&account, domains, &self.challenges).await
                }
                outcome => outcome,
            }
        })?;
        let pem = issued.chain + issued.key.as_str();
        let location = CertificateLocation::from(self.cache.certificate_path());
        let identity = TlsIdentity::from_pem(pem.as_bytes(), &location, Utc::now()).map_err(AcmeError::Unusable)?;
        if let Some(domain) = domains.iter().find(|domain| !is_covered(&identity, domain)) {
            return Err(AcmeError::OtherNames { domain: domain.clone() });
        }
        // Without the file, the certificate lasts until the next restart.
        if let Err(error) = self.cache.store_certificate(pem.as_bytes()) {
            log::error!(
                "the new certificate cannot be stored: {error}; hint: {}",
                error.hint().unwrap_or_default()
            );
        }
        let state = State::after(&identity);
        self.installation
            .install(identity)
            .map_err(|error| AcmeError::NotInstalled(error.to_string()))?;
        self.state = state;
        Ok(())
    }

    fn postpone(&mut self, error: &AcmeError, asked: Option<Duration>) {
        self.state.failures = self.state.failures.saturating_add(1);
        let delay = schedule::retry_delay(self.state.failures, error.failure(), asked, schedule::jitter());
        self.state.due = Utc::now() + delay;
        if asked.is_some()
            && let Err(error) = self.cache.store_pause(self.state.due)
        {
            log::debug!("the pause is not stored: {error}");
        }
        let consequence = if self.installation.served().details().is_some() {
            "the current certificate stays in use"
        } else {
            "the server is not ready"
        };
        let until = self.state.due.format("%Y-%m-%d %H:%M UTC");
        let hint = error.hint().unwrap_or_default();
        log::warn!("no certificate from the ACME CA, {consequence}; next attempt {until}: {error}; hint: {hint}");
    }

    /// Asks the CA when to renew: it may have to revoke the certificate before.
    fn ask(&mut self) {
        self.state.ask_at = Utc::now() + SUGGESTION_INTERVALS.1;
        let retry_after = RetryAfter::default();
        let suggestion = self.runtime.block_on(async {
            let account: Account = order::account(&self.settings, &self.cache, self.http(&retry_after))
                .await
                .ok()?;
            order::suggestion(&account, self.installation.leaf()).await
        });
        let Some(suggestion) = suggestion else { return };
        let (shortest, longest) = SUGGESTION_INTERVALS;
        self.state.ask_at = Utc::now() + suggestion.ask_again.clamp(shortest, longest);
        let is_within = (suggestion.start..=suggestion.end).contains(&self.state.due);
        if !is_within {
            self.state.due = schedule::time_within(suggestion.start, suggestion.end, schedule::jitter());
            log::info!(
                "the CA suggests to renew the certificate on {}",
                self.state.due.format("%Y-%m-%d %H:%M UTC")
            );
        }
    }

    fn http(&self, retry_after: &RetryAfter) -> AcmeHttp {
        AcmeHttp {
            agent: self.agent.clone(),
            retry_after: retry_after.clone(),
        }
    }
}

impl State {
    /// With this certificate.
    pub(super) fn after(identity: &TlsIdentity) -> Self {
        let details = identity.details();
        Self {
            due: schedule::renewal_time(details.not_before, details.not_after, schedule::jitter()),
            ask_at: Utc::now(),
            failures: 0,
        }
    }

    /// Without a certificate.
    pub(super) fn without_certificate() -> Self {
        Self {
            due: Utc::now(),
            ask_at: Utc::now(),
            failures: 0,
        }
    }
}

fn is_covered(identity: &TlsIdentity, domain: &str) -> bool {
    identity.chain().first().is_some_and(|leaf| is_for(leaf, domain))
}
