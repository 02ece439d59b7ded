//! Creates what the servers need: key and certificate, cookie key, and a database with posts. A second start uses the existing
//! files.

use std::path::Path;

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::Utc;

use super::{
    folder::{self, Folder},
    samples,
    values::Plan,
};
use crate::{
    certificate::{
        ClientCertificate, certificates_from_file,
        issue::{Destination, NewCertificate, Subject},
    },
    config::{CertificateSettings, Settings},
    db::Database,
};

/// Validity of the certificate.
const CERTIFICATE_DAYS: u32 = 365;
/// A certificate that expires within this many days is replaced.
const RENEW_DAYS: i64 = 14;
/// Length of the cookie key before base64.
const COOKIE_KEY_BYTES: usize = 48;

/// The result of the preparation.
pub struct Prepared {
    /// The settings of the servers.
    pub settings: Settings,
    /// One sentence for each thing that was created; empty on a second start.
    pub news: Vec<String>,
}

/// Creates what is missing.
///
/// # Errors
/// If something cannot be created.
pub fn prepare(folder: &Folder, plan: &Plan, own: &Settings) -> anyhow::Result<Prepared> {
    let mut news = Vec::new();
    if !is_usable(folder.path()) {
        let to = Destination {
            folder: folder.path().to_owned(),
            name: "client".to_owned(),
            overwrite: true,
            passphrase: None,
        };
        NewCertificate {
            subject: Subject::with_common_name("blogctl dev"),
            days: CERTIFICATE_DAYS,
            bits: 2048,
        }
        .write(&to)
        .context("cannot create a certificate")?;
        news.push(
            "Created a key and a certificate, and registered the certificate in the Entra ID emulator.".to_owned(),
        );
    }
    folder.write_once(folder::COOKIE_KEY, &cookie_key()?)?;
    let settings = plan.settings(own)?;
    let is_new = !folder.path().join(folder::DATABASE).exists();
    let database = Database::open(&settings.database)?;
    database.migrate()?;
    if is_new {
        samples::write(&database, &settings).context("cannot write the sample posts")?;
        news.push("Created a database with a few posts.".to_owned());
    }
    database.close();
    Ok(Prepared { settings, news })
}

/// Whether key and certificate exist, belong together, and do not expire soon.
fn is_usable(folder: &Path) -> bool {
    let combined = folder.join(folder::KEY_AND_CERTIFICATE);
    let registered = folder.join(folder::CERTIFICATE);
    let settings = CertificateSettings {
        path: Some(combined),
        ..CertificateSettings::default()
    };
    let Ok(certificate) = ClientCertificate::load(&settings) else {
        return false;
    };
    let is_registered =
        certificates_from_file(&registered).is_ok_and(|found| found.first() == certificate.chain().first());
    is_registered && certificate.details().days_left(Utc::now()) > RENEW_DAYS
}

fn cookie_key() -> anyhow::Result<String> {
    let mut bytes = [0; COOKIE_KEY_BYTES];
    openssl::rand::rand_bytes(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}
