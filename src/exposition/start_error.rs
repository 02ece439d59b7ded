use std::{borrow::Cow, io};

use crate::{hint::Hint, serve::ListenError};

/// Why the metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The server cannot listen on its port.
    #[error("metrics: {0}")]
    Listen(#[from] ListenError),
    /// The socket cannot be used.
    #[error("metrics: the listening socket cannot be used: {0}")]
    Socket(#[source] io::Error),
}

impl Hint for StartError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Listen(ListenError::InUse { .. }) => Some(Cow::from(
                "choose another port with --set metrics.port=PORT (BLOG_METRICS__PORT); each process on a machine needs its \
                 own, and 0 picks a free one",
            )),
            Self::Listen(error) => error.hint("metrics.port").map(Cow::Owned),
            Self::Socket(_) => None,
        }
    }
}
