//! `[server.tls]`: HTTPS without a proxy in front.

use std::path::PathBuf;

use secrecy::SecretString;

use super::{
    acme::AcmeSettings,
    certificate::CertificateSettings,
    loader::Loader,
    rules::number,
    secret_file::{secret_file, warn_of_path},
    section::section,
};

section! {
    /// HTTPS without a proxy in front, for the API, the site and the emulator. See [tls.md](tls.md).
    #[derive(Debug, Clone)]
    pub struct TlsSettings = "server.tls" {
        /// PFX file (PKCS#12), or PEM file with the server's certificate, the certificates between it and the CA, and the
        /// private key unless `server.tls.key_path` is set. With it, the server speaks HTTPS only. A replaced file is loaded
        /// without a restart.
        pub cert_path: Option<PathBuf> = None;

        /// PEM file with the private key, if it is not in `server.tls.cert_path`: RSA with 2048 bits or more, EC (P-256,
        /// P-384) or Ed25519.
        pub key_path: Option<PathBuf> = None;

        /// Decrypts an encrypted private key or the PFX file. Secret.
        pub key_passphrase: Option<SecretString> = None;

        /// File with the passphrase, instead of `server.tls.key_passphrase`. A line break at the end of the file is ignored.
        pub key_passphrase_file: Option<PathBuf> = None, secret_file;

        /// PEM file with the CAs of client certificates. The API then serves only clients that have a certificate from one of
        /// them, except `/health…`: [tls.md](tls.md#client-certificates). The site and the emulator ignore it.
        pub client_ca: Option<PathBuf> = None;

        /// Port of a second listener, for plain HTTP, on the same address: the site redirects every request to its public URL
        /// (308), the API rejects every request (403), and both answer the challenges of `server.tls.acme`. 0 picks a free
        /// one.
        pub redirect_port: Option<u16> = None;

        /// How long browsers remember to use HTTPS only (`Strict-Transport-Security`), in seconds; 0 sends no such header. The
        /// site sends it whenever `client.public_url` is HTTPS on another host than localhost.
        pub hsts_seconds: u32 = 31_536_000, number(0..=MAX_HSTS_SECONDS);
    }
    also {
        /// `[server.tls.acme]`
        pub acme: AcmeSettings = AcmeSettings::default();
    }
}

/// Ten years.
const MAX_HSTS_SECONDS: u32 = 315_360_000;

impl TlsSettings {
    /// Whether the servers speak HTTPS.
    pub fn is_on(&self) -> bool {
        self.cert_path.is_some() || self.acme.directory.is_some()
    }

    /// Certificate and key in the form of the client certificate's settings.
    pub fn certificate(&self) -> CertificateSettings {
        CertificateSettings {
            path: self.cert_path.clone(),
            key_path: self.key_path.clone(),
            key_passphrase: self.key_passphrase.clone(),
            key_passphrase_file: self.key_passphrase_file.clone(),
            ..CertificateSettings::default()
        }
    }

    /// Reads both sections, and checks the settings that depend on each other.
    pub(super) fn load(loader: &mut Loader) -> Self {
        let mut settings = Self::read(loader);
        warn_of_path(
            loader,
            "server.tls.key_passphrase",
            "server.tls.key_passphrase_file",
            settings.key_passphrase.as_ref(),
        );
        settings.acme = AcmeSettings::load(loader);
        if settings.key_passphrase.is_some() && settings.key_passphrase_file.is_some() {
            loader.reject_both("server.tls.key_passphrase", "server.tls.key_passphrase_file");
        }
        if settings.cert_path.is_some() && settings.acme.directory.is_some() {
            loader.reject_both("server.tls.cert_path", "server.tls.acme.directory");
        }
        if settings.acme.directory.is_some() && settings.redirect_port.is_none() {
            loader.reject(
                "server.tls.acme.directory",
                "is set without server.tls.redirect_port, so the CA could not verify the domains",
                "set server.tls.redirect_port to 80, or to the port to which port 80 of the domains is forwarded",
            );
        }
        settings.check_pointless(loader);
        settings
    }

    /// Settings without effect are probably a mistyped or forgotten `cert_path`: the server would speak plain HTTP.
    fn check_pointless(&self, loader: &mut Loader) {
        let given = [
            ("server.tls.key_path", self.key_path.is_some(), self.cert_path.is_some()),
            ("server.tls.client_ca", self.client_ca.is_some(), self.is_on()),
            ("server.tls.redirect_port", self.redirect_port.is_some(), self.is_on()),
        ];
        for (name, is_given, has_effect) in given {
            if is_given && !has_effect {
                loader.reject(
                    name,
                    "is set without server.tls.cert_path, so it has no effect",
                    "set server.tls.cert_path to the certificate of the server, or remove this setting",
                );
            }
        }
    }
}
