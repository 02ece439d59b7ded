//! Makes certificates and client assertions with OpenSSL alone, without code of the site or of the emulator.

use std::sync::OnceLock;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    ec::{EcGroup, EcKey},
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::{Padding, Rsa},
    sign::{RsaPssSaltlen, Signer},
    x509::{X509, X509NameBuilder},
};
use serde_json::{Value, json};

/// A private key and a certificate for it.
pub struct Identity {
    pub key: PKey<Private>,
    pub certificate: X509,
}

impl Identity {
    pub fn pem(&self) -> String {
        String::from_utf8(self.certificate.to_pem().expect("PEM")).expect("text")
    }

    pub fn sha1(&self) -> Vec<u8> {
        self.certificate
            .digest(MessageDigest::sha1())
            .expect("a digest")
            .to_vec()
    }

    pub fn sha256(&self) -> Vec<u8> {
        self.certificate
            .digest(MessageDigest::sha256())
            .expect("a digest")
            .to_vec()
    }

    pub fn der_base64(&self) -> String {
        STANDARD.encode(self.certificate.to_der().expect("DER"))
    }

    fn made(common_name: &str, from_days: i64, to_days: i64) -> Self {
        let key = PKey::from_rsa(Rsa::generate(2048).expect("RSA")).expect("a key");
        let mut name = X509NameBuilder::new().expect("a name");
        name.append_entry_by_text("CN", common_name).expect("a name");
        let name = name.build();
        let day = |days: i64| Asn1Time::from_unix(chrono::Utc::now().timestamp() + days * 86400).expect("a time");
        let mut builder = X509::builder().expect("a builder");
        builder.set_version(2).expect("v3");
        let serial = BigNum::from_u32(1)
            .and_then(|number| number.to_asn1_integer())
            .expect("a number");
        builder.set_serial_number(&serial).expect("a serial number");
        builder.set_subject_name(&name).expect("a subject");
        builder.set_issuer_name(&name).expect("an issuer");
        builder.set_not_before(&day(from_days)).expect("a time");
        builder.set_not_after(&day(to_days)).expect("a time");
        builder.set_pubkey(&key).expect("a key");
        builder.sign(&key, MessageDigest::sha256()).expect("a signature");
        Self {
            key,
            certificate: builder.build(),
        }
    }
}

/// Registered for the site.
pub fn registered() -> &'static Identity {
    static MADE: OnceLock<Identity> = OnceLock::new();
    MADE.get_or_init(|| Identity::made("registered", -1, 30))
}

/// Registered for another application.
pub fn of_other_client() -> &'static Identity {
    static MADE: OnceLock<Identity> = OnceLock::new();
    MADE.get_or_init(|| Identity::made("other client", -1, 30))
}

/// Registered nowhere.
pub fn unregistered() -> &'static Identity {
    static MADE: OnceLock<Identity> = OnceLock::new();
    MADE.get_or_init(|| Identity::made("unregistered", -1, 30))
}

/// Registered for the site, expired yesterday.
pub fn expired() -> &'static Identity {
    static MADE: OnceLock<Identity> = OnceLock::new();
    MADE.get_or_init(|| Identity::made("expired", -30, -1))
}

/// Registered for the site, valid from tomorrow.
pub fn not_yet_valid() -> &'static Identity {
    static MADE: OnceLock<Identity> = OnceLock::new();
    MADE.get_or_init(|| Identity::made("not yet valid", 1, 30))
}

/// A client assertion: valid, except for what the test changes.
pub struct Assertion {
    pub header: Value,
    pub claims: Value,
    pub alg: &'static str,
    pub signer: &'static Identity,
}

impl Assertion {
    /// In the recommended form: PS256, `x5t#S256`, integer times, a new `jti`.
    pub fn good(client_id: &str, audience: &str) -> Self {
        let now = chrono::Utc::now().timestamp();
        let mut assertion = Self {
            header: json!({ "typ": "JWT" }),
            claims: json!({
                "aud": audience, "iss": client_id, "sub": client_id, "jti": uuid::Uuid::new_v4().to_string(),
                "iat": now, "nbf": now - 5, "exp": now + 300,
            }),
            alg: "PS256",
            signer: registered(),
        };
        assertion.name_certificate(registered());
        assertion
    }

    /// Puts this certificate into `x5t#S256`.
    pub fn name_certificate(&mut self, identity: &Identity) {
        self.header["x5t#S256"] = json!(URL_SAFE_NO_PAD.encode(identity.sha256()));
    }

    /// Puts this certificate into the header, and signs with its key.
    pub fn use_certificate(&mut self, identity: &'static Identity) {
        self.name_certificate(identity);
        self.signer = identity;
    }

    /// In the form of AD FS and old clients: RS256 and `x5t`.
    pub fn in_old_form(&mut self) {
        self.alg = "RS256";
        self.header.as_object_mut().expect("an object").remove("x5t#S256");
        self.header["x5t"] = json!(URL_SAFE_NO_PAD.encode(self.signer.sha1()));
    }

    /// In the form of MSAL for Python 1.39: a padded thumbprint, fractional times, no `nbf`, a line break in `x5c`.
    pub fn in_msal_form(&mut self) {
        self.header["x5t#S256"] = json!(URL_SAFE.encode(self.signer.sha256()));
        let mut x5c = self.signer.der_base64();
        x5c.insert(64, '\n');
        self.header["x5c"] = json!([x5c]);
        let now = chrono::Utc::now().timestamp_millis();
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
        let seconds = now as f64 / 1000.0 + 0.25;
        self.claims["iat"] = json!(seconds);
        self.claims["exp"] = json!(seconds + 600.0);
        self.claims.as_object_mut().expect("an object").remove("nbf");
    }

    pub fn remove_header(&mut self, name: &str) {
        self.header.as_object_mut().expect("an object").remove(name);
    }

    pub fn remove_claim(&mut self, name: &str) {
        self.claims.as_object_mut().expect("an object").remove(name);
    }

    pub fn sign(mut self) -> String {
        if self.header.get("alg").is_none() {
            self.header["alg"] = json!(self.alg);
        }
        let [header, claims] = [&self.header, &self.claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let input = format!("{header}.{claims}");
        let signature = signature(self.alg, &self.signer.key, input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn signature(alg: &str, key: &PKey<Private>, input: &[u8]) -> Vec<u8> {
    let sha256 = MessageDigest::sha256();
    match alg {
        "RS256" => Signer::new(sha256, key).and_then(|mut signer| signer.sign_oneshot_to_vec(input)),
        "RS384" => Signer::new(MessageDigest::sha384(), key).and_then(|mut signer| signer.sign_oneshot_to_vec(input)),
        "PS256" => Signer::new(sha256, key).and_then(|mut signer| {
            signer.set_rsa_padding(Padding::PKCS1_PSS)?;
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
            signer.set_rsa_mgf1_md(sha256)?;
            signer.sign_oneshot_to_vec(input)
        }),
        "HS256" => {
            // The attack: the public RS256 key becomes the shared secret of HS256.
            let secret = PKey::hmac(&key.public_key_to_pem().expect("PEM")).expect("a key");
            Signer::new(sha256, &secret).and_then(|mut signer| signer.sign_oneshot_to_vec(input))
        }
        "ES256" => {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
            let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
            Signer::new(sha256, &key).and_then(|mut signer| signer.sign_oneshot_to_vec(input))
        }
        _ => Ok(Vec::new()),
    }
    .expect("a signature")
}
