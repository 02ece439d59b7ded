//! The entries of `client.credential`, loaded once for all checks, side by side: one that hangs holds up nobody.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Instant,
};

use super::Patient;
use crate::entra::{Credential, CredentialError, CredentialSource};

/// One entry of the list.
pub struct Entry {
    pub source: Arc<CredentialSource>,
    pub loaded: Result<Arc<Credential>, Unusable>,
}

/// Why an entry gave no credential.
pub enum Unusable {
    Error(CredentialError),
    TooSlow,
}

impl Unusable {
    /// What was seen.
    pub fn seen(&self) -> String {
        match self {
            Self::Error(error) => error.to_string(),
            Self::TooSlow => "it did not answer in time".to_owned(),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Error(error) => error.hint(),
            Self::TooSlow => {
                "look for a firewall that lets requests hang, or allow more time with --timeout".to_owned()
            }
        }
    }
}

/// All of them, in their order; none when none is set. `Err` when the settings do not allow to ask anybody.
pub fn load(patient: &Patient) -> Result<Vec<Entry>, String> {
    let sources = CredentialSource::all(&patient.settings).map_err(|error| error.to_string())?;
    // A vault takes several requests, of which the first to hang ends it.
    let deadline = Instant::now() + patient.timeout * 2;
    let started: Vec<_> = sources.into_iter().map(|source| start(Arc::new(source), patient)).collect();
    let entry = |(source, loading): (_, mpsc::Receiver<Result<Arc<Credential>, CredentialError>>)| {
        let left = deadline.saturating_duration_since(Instant::now());
        let loaded = match loading.recv_timeout(left) {
            Ok(loaded) => loaded.map_err(Unusable::Error),
            Err(_) => Err(Unusable::TooSlow),
        };
        Entry { source, loaded }
    };
    Ok(started.into_iter().map(entry).collect())
}

type Loading = mpsc::Receiver<Result<Arc<Credential>, CredentialError>>;

fn start(source: Arc<CredentialSource>, patient: &Patient) -> (Arc<CredentialSource>, Loading) {
    let (send, receive) = mpsc::channel();
    let (loading, limit) = (Arc::clone(&source), patient.timeout);
    // Who waited too long is no longer there.
    thread::spawn(move || drop(send.send(loading.load_within(limit))));
    (source, receive)
}
