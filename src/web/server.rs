//! Puts the site together: Entra client, sessions, pages, API client.

use std::{io, net::TcpListener};

use actix_web::dev::ServerHandle;

use crate::{config::Settings, serve::ListenError};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// A bound server, not yet running.
pub struct Server {}

impl Server {
    /// Listens where the settings say, and prepares everything.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn bind(settings: &Settings) -> Result<Self, StartError> {
        let _ = settings;
        unimplemented!()
    }
    /// The same on a socket that listens already.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn on(listener: TcpListener, settings: &Settings) -> Result<Self, StartError> {
        let _ = (listener, settings);
        unimplemented!()
    }
    /// The port it listens on.
    pub fn port(&self) -> u16 {
        unimplemented!()
    }
    /// Stops it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        unimplemented!()
    }
    /// Serves until stopped.
    ///
    /// # Errors
    /// When the sockets fail.
    pub async fn run(self) -> io::Result<()> {
        unimplemented!()
    }
}
