//! The users and applications of the tenant: the settings, with the certificates read from their files.

use std::{fs, io, path::PathBuf, sync::Arc};

use parking_lot::RwLock;

use super::{
    certificate::{CertificateError, RegisteredCertificate},
    error::{self, OAuthError},
};
use crate::config::{AppRegistration, IdpSettings, IdpUser};

/// Why the registrations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// A certificate file cannot be read.
    #[error("the certificate {path} of the app registration {name} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Name of the registration.
        name: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A certificate file holds no usable certificate.
    #[error("the certificate {path} of the app registration {name} cannot be used: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Name of the registration.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two registrations have the same client id.
    #[error("two app registrations have the client id {client_id}; give each its own client id")]
    DuplicateClientId {
        /// The client id.
        client_id: String,
    },
}

/// The users and applications of the tenant.
#[derive(Debug)]
pub struct Registrations {
    users: Vec<IdpUser>,
    apps: Vec<Arc<App>>,
}

impl Registrations {
    /// Reads the certificate files that the settings name.
    ///
    /// # Errors
    /// See [`RegistrationError`].
    pub fn load(settings: &IdpSettings) -> Result<Self, RegistrationError> {
        let mut apps: Vec<Arc<App>> = Vec::new();
        for registration in &settings.apps {
            if apps.iter().any(|app| app.client_id() == registration.client_id) {
                return Err(RegistrationError::DuplicateClientId {
                    client_id: registration.client_id.clone(),
                });
            }
            apps.push(Arc::new(App::load(registration)?));
        }
        Ok(Self {
            users: settings.users.clone(),
            apps,
        })
    }

    pub fn users(&self) -> &[IdpUser] {
        &self.users
    }

    /// The user with this object id.
    pub fn user(&self, oid: &str) -> Option<&IdpUser> {
        self.users.iter().find(|user| user.oid.eq_ignore_ascii_case(oid))
    }

    /// The user with this e-mail address.
    pub fn user_by_email(&self, email: &str) -> Option<&IdpUser> {
        self.users
            .iter()
            .find(|user| user.email.eq_ignore_ascii_case(email.trim()))
    }

    pub fn apps(&self) -> &[Arc<App>] {
        &self.apps
    }

    /// The application with this client id.
    ///
    /// # Errors
    /// AADSTS700016 when there is none.
    pub fn client(&self, client_id: &str, tenant: &str) -> Result<&Arc<App>, OAuthError> {
        self.app(client_id)
            .ok_or_else(|| error::unknown_client(client_id, tenant))
    }

    pub fn app(&self, client_id: &str) -> Option<&Arc<App>> {
        self.apps.iter().find(|app| app.client_id() == client_id)
    }

    /// The API with this App ID URI or client id.
    pub fn api(&self, identifier: &str) -> Option<&Arc<App>> {
        self.apps.iter().find(|app| {
            let Some(app_id_uri) = &app.registration.app_id_uri else {
                return false;
            };
            app_id_uri == identifier || app.client_id() == identifier
        })
    }
}

#[derive(Debug)]
pub struct App {
    pub registration: AppRegistration,
    certificates: RwLock<Vec<RegisteredCertificate>>,
}

impl App {
    pub fn client_id(&self) -> &str {
        &self.registration.client_id
    }

    pub fn certificates(&self) -> Vec<RegisteredCertificate> {
        self.certificates.read().clone()
    }

    pub fn replace_certificates(&self, certificates: Vec<RegisteredCertificate>) {
        *self.certificates.write() = certificates;
    }

    fn load(registration: &AppRegistration) -> Result<Self, RegistrationError> {
        let read = |path: &PathBuf| {
            let name = || registration.name.clone();
            let pem = fs::read(path).map_err(|source| RegistrationError::Unreadable {
                path: path.clone(),
                name: name(),
                source,
            })?;
            RegisteredCertificate::from_pem(&pem).map_err(|error: CertificateError| RegistrationError::Unusable {
                path: path.clone(),
                name: name(),
                reason: error.to_string(),
            })
        };
        let certificates = registration.certificates.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self {
            registration: registration.clone(),
            certificates: RwLock::new(certificates),
        })
    }
}
