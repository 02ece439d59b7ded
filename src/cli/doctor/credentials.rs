//! The entries of `client.credential`, loaded once for all checks, in parallel.

use std::{sync::Arc, time::Instant};

use super::{DoctorContext, parallel::run_parallel};
use crate::entra::{Credential, CredentialError, CredentialSource};

/// Describes an entry that did not load in time.
pub const TOO_SLOW: &str = "it did not answer in time";
/// What to do about an entry that did not load in time.
pub const MORE_TIME: &str = "check for a firewall that drops requests, or allow more time with --timeout";

/// One entry of the list.
pub struct Entry {
    pub source: Arc<CredentialSource>,
    pub loaded: Result<Arc<Credential>, Unusable>,
}

/// Why an entry has no usable credential.
pub enum Unusable {
    Error(CredentialError),
    TooSlow,
}

impl Unusable {
    /// What happened.
    pub fn seen(&self) -> String {
        match self {
            Self::Error(error) => error.to_string(),
            Self::TooSlow => TOO_SLOW.to_owned(),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Error(error) => error.hint(),
            Self::TooSlow => MORE_TIME.to_owned(),
        }
    }
}

/// Loads all entries, in their order. `Err` if the settings for requests are invalid.
pub fn load(context: &DoctorContext) -> Result<Vec<Entry>, String> {
    let sources = CredentialSource::from_settings(&context.settings).map_err(|error| error.to_string())?;
    // A vault needs several requests; the first that times out ends it.
    let deadline = Instant::now() + context.timeout * 2;
    let limit = context.timeout;
    let sources: Vec<_> = sources.into_iter().map(Arc::new).collect();
    let loads = sources
        .iter()
        .map(Arc::clone)
        .map(|source| move || source.load_within(limit))
        .collect();
    let entry = |(source, loaded): (_, Option<Result<_, _>>)| {
        let loaded = loaded.map_or(Err(Unusable::TooSlow), |loaded| loaded.map_err(Unusable::Error));
        Entry { source, loaded }
    };
    Ok(sources
        .into_iter()
        .zip(run_parallel(loads, deadline))
        .map(entry)
        .collect())
}
