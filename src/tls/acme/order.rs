//! Orders a certificate: account, order, challenges, certificate (RFC 8555 §7).

use std::time::Duration;

use chrono::{DateTime, Utc};
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rustls::pki_types::CertificateDer;

use super::{
    cache::{Cache, StoredAccount},
    error::AcmeError,
    http_client::AcmeHttp,
};
use crate::{config::AcmeSettings, tls::challenges::Challenges};

/// How the CA is asked whether it has verified the domains, and whether the certificate is issued.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_mins(2));

/// A certificate as the CA issued it, and its key, both in PEM.
pub(super) struct Issued {
    pub(super) chain: String,
    pub(super) key: String,
}

/// The time in which the CA suggests to renew, and how long that is valid.
pub(super) struct Suggestion {
    pub(super) start: DateTime<Utc>,
    pub(super) end: DateTime<Utc>,
    pub(super) ask_again: Duration,
}

/// The account in the cache, or a new one. Reports changed contacts to the CA.
///
/// # Errors
/// When the CA or the cache cannot be used.
pub(super) async fn account(settings: &AcmeSettings, cache: &Cache, http: AcmeHttp) -> Result<Account, AcmeError> {
    let builder = Account::builder_with_http(Box::new(http));
    let contact: Vec<String> = settings.contact.iter().map(|email| format!("mailto:{email}")).collect();
    let contact_refs: Vec<&str> = contact.iter().map(String::as_str).collect();
    if let Some(stored) = cache.account()? {
        let is_current = stored.contact == contact;
        if is_current {
            return Ok(builder.from_credentials(stored.credentials).await?);
        }
        let json = serde_json::to_value(&stored.credentials).map_err(AcmeError::Json)?;
        let account = builder.from_credentials(stored.credentials).await?;
        account.update_contacts(&contact_refs).await?;
        let credentials = serde_json::from_value(json).map_err(AcmeError::Json)?;
        cache.store_account(&StoredAccount { contact, credentials })?;
        return Ok(account);
    }
    let new = NewAccount {
        contact: &contact_refs,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let directory = settings.directory.as_ref().map(ToString::to_string).unwrap_or_default();
    let (account, credentials) = builder.create(&new, directory, None).await?;
    cache.store_account(&StoredAccount { contact, credentials })?;
    log::info!("created the ACME account {}", account.id());
    Ok(account)
}

/// Orders a certificate for the domains. Meanwhile `challenges` has the responses for the CA.
///
/// # Errors
/// When the CA rejects the order, or cannot verify a domain.
pub(super) async fn issue(account: &Account, domains: &[String], challenges: &Challenges) -> Result<Issued, AcmeError> {
    let identifiers: Vec<Identifier> = domains.iter().map(|domain| identifier(domain)).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let verified = verify(&mut order, challenges).await;
    challenges.clear();
    verified?;
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&POLLING).await?;
    Ok(Issued { chain, key })
}

async fn verify(order: &mut Order, challenges: &Challenges) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        // The CA remembers for a while what it has verified.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let domain = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
            return Err(AcmeError::NoHttpChallenge { domain });
        };
        challenges.add(
            challenge.token.clone(),
            challenge.key_authorization().as_str().to_owned(),
        );
        challenge.set_ready().await?;
    }
    match order.poll_ready(&POLLING).await {
        Ok(OrderStatus::Ready | OrderStatus::Valid) => Ok(()),
        outcome => match reason(order).await {
            Some(error) => Err(error),
            None => outcome.map(|_| ()).map_err(AcmeError::from),
        },
    }
}

/// Which domain the CA could not verify, and why.
async fn reason(order: &mut Order) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let domain = authorization.identifier().to_string();
        let state = authorization.refresh().await.ok()?;
        if state.status == AuthorizationStatus::Valid {
            continue;
        }
        let problem = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        let reason = problem.and_then(|problem| problem.detail.clone());
        return Some(AcmeError::NotVerified {
            domain,
            reason: reason.unwrap_or_else(|| "the CA does not say why".to_owned()),
        });
    }
    None
}

/// When the CA suggests to renew this certificate (RFC 9773); `None` if it suggests nothing.
pub(super) async fn suggestion(account: &Account, leaf: &[u8]) -> Option<Suggestion> {
    let leaf = CertificateDer::from(leaf);
    let identifier = CertificateIdentifier::try_from(&leaf).ok()?;
    let (info, ask_again) = account
        .renewal_info(&identifier)
        .await
        .inspect_err(|error| log::debug!("no suggestion for the renewal: {error}"))
        .ok()?;
    let time = |time: i64| DateTime::from_timestamp(time, 0);
    Some(Suggestion {
        start: time(info.suggested_window.start.unix_timestamp())?,
        end: time(info.suggested_window.end.unix_timestamp())?,
        ask_again,
    })
}

fn identifier(domain: &str) -> Identifier {
    match domain.parse() {
        Ok(address) => Identifier::Ip(address),
        Err(_) => Identifier::Dns(domain.to_ascii_lowercase()),
    }
}
