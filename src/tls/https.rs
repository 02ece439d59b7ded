//! HTTPS of one server, as its settings describe it.

use std::io;

use actix_web::rt;
use url::Url;

use super::{
    acme::Acme,
    certificate_files,
    challenges::Challenges,
    error::{Purpose, TlsError},
    installation::Installation,
    names::is_for,
    plain_http::{self, Answer, PlainHttp},
    served_certificate::ServedCertificate,
};
use crate::{
    config::{ServerSettings, Settings},
    file_watch::FileWatch,
    serve::{self, Tls},
};

/// The server that speaks HTTPS.
#[derive(Debug, Clone)]
pub enum HttpsRole {
    /// The API: may require client certificates, and rejects plain HTTP.
    Api,
    /// The site at this public URL, to which plain HTTP is redirected.
    Site(Url),
    /// The emulator: has only a certificate in files.
    Emulator,
}

impl HttpsRole {
    /// The server in the metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Site(_) => "client",
            Self::Emulator => "idp",
        }
    }
}

/// HTTPS of a server. Dropping it ends what keeps the certificate up to date.
pub struct Https {
    tls: Tls,
    served: ServedCertificate,
    _upkeep: Upkeep,
    plain_http: Option<serve::Server>,
}

/// Keeps the certificate up to date.
#[expect(dead_code, reason = "each runs until it is dropped")]
enum Upkeep {
    Files(FileWatch),
    Acme(Acme),
}

impl Https {
    /// Loads or orders the certificate that `[server.tls]` describes, and keeps it up to date. `None` when the settings
    /// describe none. `host` is the address for plain HTTP.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn start(settings: &Settings, host: &str, role: &HttpsRole) -> Result<Option<Self>, TlsError> {
        let tls_settings = &settings.server.tls;
        let uses_acme = tls_settings.acme.directory.is_some() && !matches!(role, HttpsRole::Emulator);
        if tls_settings.cert_path.is_none() && !uses_acme {
            return Ok(None);
        }
        let (client_ca, answer) = match role {
            HttpsRole::Api => (tls_settings.client_ca.clone(), Some(Answer::Rejection)),
            HttpsRole::Site(public_url) if public_url.scheme() != "https" => {
                return Err(TlsError::PublicUrl(public_url.clone()));
            }
            HttpsRole::Site(public_url) => (None, Some(Answer::Redirect(public_url.clone()))),
            HttpsRole::Emulator => (None, None),
        };
        let challenges = uses_acme.then(Challenges::default);
        let plain_http = answer
            .zip(tls_settings.redirect_port)
            .map(|(answer, port)| {
                let challenges = challenges.clone();
                listen(&settings.server, host, port, PlainHttp { answer, challenges })
            })
            .transpose()?;
        let warning_days = &settings.client.expiry_warning_days;
        let (tls, served, upkeep) = if let Some(challenges) = challenges {
            if let HttpsRole::Site(public_url) = role {
                warn_of_other_domains(public_url, &tls_settings.acme.domains);
            }
            let (acme, tls, served) =
                Acme::start(role.name(), &tls_settings.acme, client_ca, challenges, warning_days)?;
            (tls, served, Upkeep::Acme(acme))
        } else {
            let files = tls_settings.certificate();
            let identity = certificate_files::load(&files, Purpose::Server)?;
            let installation = Installation::new(role.name(), identity, client_ca)?;
            installation.publish_expiry();
            if let HttpsRole::Site(public_url) = role {
                warn_of_other_names(public_url, installation.leaf());
            }
            let (tls, served) = (installation.tls(), installation.served());
            let watch = certificate_files::watch(files, installation, warning_days)?;
            (tls, served, Upkeep::Files(watch))
        };
        Ok(Some(Self {
            tls,
            served,
            _upkeep: upkeep,
            plain_http,
        }))
    }

    /// The configuration for [`serve::Options`].
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// The certificate in use.
    pub fn served_certificate(&self) -> ServedCertificate {
        self.served.clone()
    }

    /// The port for plain HTTP, if there is one.
    pub fn plain_http_port(&self) -> Option<u16> {
        self.plain_http.as_ref().map(serve::Server::port)
    }

    /// Serves until `main` is stopped. Plain HTTP is answered as long.
    ///
    /// # Errors
    /// Those of `main`.
    pub async fn serve(self, main: serve::Server) -> io::Result<()> {
        let Some(plain_http) = self.plain_http else {
            return main.run().await;
        };
        let handle = plain_http.handle();
        let running = rt::spawn(plain_http.run());
        let served = main.run().await;
        handle.stop(true).await;
        if let Ok(Err(error)) = running.await {
            log::error!("the listener for plain HTTP failed: {error}");
        }
        served
    }
}

fn listen(settings: &ServerSettings, host: &str, port: u16, responder: PlainHttp) -> Result<serve::Server, TlsError> {
    let listener = serve::listen(host, port)?;
    let server = plain_http::listen(listener, settings, responder).map_err(TlsError::Socket)?;
    log::info!("answering plain HTTP on {host} port {}", server.port());
    Ok(server)
}

/// Warns if the certificate is not for the host of the public URL. That is right behind a proxy which connects by another
/// name, so it is not an error.
fn warn_of_other_names(public_url: &Url, leaf: &[u8]) {
    let name = host_of(public_url);
    if !is_for(leaf, name) {
        log::warn!(
            "the certificate of server.tls.cert_path is not for {name}, the host of client.public_url: browsers that connect \
             directly reject it; hint: have one issued with the alternative name {name}"
        );
    }
}

/// The same for the names that the certificate is ordered for.
fn warn_of_other_domains(public_url: &Url, domains: &[String]) {
    let name = host_of(public_url);
    if !domains.iter().any(|domain| domain.eq_ignore_ascii_case(name)) {
        log::warn!("server.tls.acme.domains does not contain {name}, the host of client.public_url; hint: add it");
    }
}

/// An IPv6 address without its brackets.
fn host_of(url: &Url) -> &str {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}
