//! What must be there before the servers start: key and certificate, cookie key, database with posts in it. A second
//! start finds it all, and takes no time.

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

/// How long the certificate is good for.
const CERTIFICATE_DAYS: u32 = 365;
/// A certificate that would expire within so many days is made anew.
const RENEW_DAYS: i64 = 14;
/// Length of the cookie key before it is written as base64.
const COOKIE_KEY_BYTES: usize = 48;

/// All is there.
pub struct Prepared {
    /// What the servers start with.
    pub settings: Settings,
    /// What was made just now, a sentence each; empty on a second start.
    pub news: Vec<String>,
}

/// Makes what is missing.
///
/// # Errors
/// When something cannot be made.
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
        .context("cannot make a certificate")?;
        news.push(
            "Made a key and a certificate, and registered the certificate with the identity provider.".to_owned(),
        );
    }
    folder.write_once(folder::COOKIE_KEY, &cookie_key()?)?;
    let settings = plan.settings(own)?;
    let is_new = !folder.path().join(folder::DATABASE).exists();
    let database = Database::open(&settings.database)?;
    database.migrate()?;
    if is_new {
        samples::write(&database, &settings).context("cannot write the sample posts")?;
        news.push("Made a database with a few posts.".to_owned());
    }
    database.close();
    Ok(Prepared { settings, news })
}

/// Key and certificate are there, belong together, and do not expire soon.
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
