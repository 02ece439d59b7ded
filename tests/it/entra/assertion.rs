//! The client assertion, parsed and verified with OpenSSL alone: exactly what Entra's documentation requires.

use std::{collections::HashSet, path::Path};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use blogctl::{certificate::ClientCertificate, config::AssertionForm, entra::assertion::ClientAssertion};
use chrono::{DateTime, Utc};
use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Padding,
    sha::{sha1, sha256},
    sign::{RsaPssSaltlen, Verifier},
    x509::X509,
};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use url::Url;

use crate::support::{
    certificates::{TestCertificate, file, key_pem, pem, settings},
    entra::{SITE, keys, rsa_key},
};

const TOKEN_ENDPOINT: &str = "https://login.microsoftonline.com/11111111-2222-4333-8444-555555555555/oauth2/v2.0/token";

struct Parts {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    raw_claims: String,
    input: String,
    signature: Vec<u8>,
}

/// An assertion made with the certificate in a file.
fn sign(path: &Path, form: AssertionForm, send_x5c: bool, now: DateTime<Utc>) -> Parts {
    let certificate = ClientCertificate::load(&settings(path)).expect("a certificate");
    let audience = Url::parse(TOKEN_ENDPOINT).expect("a URL");
    let assertion = ClientAssertion {
        certificate: &certificate,
        form,
        send_x5c,
        client_id: SITE,
        audience: &audience,
    };
    let assertion = assertion.sign(now).expect("an assertion");
    take_apart(assertion.expose_secret())
}

/// Parses strictly, without a JOSE library: base64url without padding.
fn take_apart(assertion: &str) -> Parts {
    let (input, signature) = assertion.rsplit_once('.').expect("three parts");
    let (header, claims) = input.split_once('.').expect("three parts");
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url without padding");
    let object = |json: &[u8]| serde_json::from_slice(json).expect("a JSON object");
    Parts {
        header: object(&decode(header)),
        claims: object(&decode(claims)),
        raw_claims: String::from_utf8(decode(claims)).expect("UTF-8"),
        input: input.to_owned(),
        signature: decode(signature),
    }
}

fn certificate_in(folder: &Path) -> (X509, std::path::PathBuf) {
    let certificate = TestCertificate::new("site", &keys()[0].key).make();
    let path = file(folder, "client.pem", &[&key_pem(&keys()[0].key), &pem(&certificate)]);
    (certificate, path)
}

fn der(certificate: &X509) -> Vec<u8> {
    certificate.to_der().expect("DER")
}

/// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of exactly 32 bytes (RFC 7518 §3.5).
fn is_ps256(parts: &Parts, key: &PKey<Private>) -> bool {
    let mut verifier = Verifier::new(MessageDigest::sha256(), key).expect("a verifier");
    verifier.set_rsa_padding(Padding::PKCS1_PSS).expect("PSS");
    verifier.set_rsa_mgf1_md(MessageDigest::sha256()).expect("MGF1");
    verifier
        .set_rsa_pss_saltlen(RsaPssSaltlen::custom(32))
        .expect("a salt length");
    verifier
        .verify_oneshot(&parts.signature, parts.input.as_bytes())
        .unwrap_or(false)
}

fn is_rs256(parts: &Parts, key: &PKey<Private>) -> bool {
    let mut verifier = Verifier::new(MessageDigest::sha256(), key).expect("a verifier");
    verifier.set_rsa_padding(Padding::PKCS1).expect("PKCS#1 v1.5");
    verifier
        .verify_oneshot(&parts.signature, parts.input.as_bytes())
        .unwrap_or(false)
}

fn names(object: &Map<String, Value>) -> Vec<&str> {
    let mut names: Vec<_> = object.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn the_header_has_only_algorithm_type_and_sha_256_thumbprint() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, path) = certificate_in(folder.path());
    let parts = sign(&path, AssertionForm::Ps256Sha256, false, Utc::now());
    assert_eq!(names(&parts.header), ["alg", "typ", "x5t#S256"]);
    assert_eq!(parts.header["alg"], "PS256");
    assert_eq!(parts.header["typ"], "JWT");
    assert_eq!(
        parts.header["x5t#S256"],
        URL_SAFE_NO_PAD.encode(sha256(&der(&certificate)))
    );
}

#[test]
fn the_signature_is_ps256_with_a_salt_of_32_bytes_and_of_this_key_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, path) = certificate_in(folder.path());
    let mut parts = sign(&path, AssertionForm::Ps256Sha256, false, Utc::now());
    assert!(is_ps256(&parts, &keys()[0].key));
    assert!(!is_ps256(&parts, &keys()[1].key));
    assert!(!is_rs256(&parts, &keys()[0].key));
    parts.input.push('A');
    assert!(!is_ps256(&parts, &keys()[0].key), "the verification itself can fail");
}

#[test]
fn keys_of_3072_and_4096_bits_sign_too() {
    let folder = tempfile::tempdir().expect("a folder");
    for bits in [3072, 4096] {
        let key = rsa_key(bits);
        let certificate = TestCertificate::new("site", &key).make();
        let path = file(
            folder.path(),
            &format!("{bits}.pem"),
            &[&key_pem(&key), &pem(&certificate)],
        );
        assert!(
            is_ps256(&sign(&path, AssertionForm::Ps256Sha256, false, Utc::now()), &key),
            "{bits}"
        );
    }
}

#[test]
fn the_older_form_is_rs256_with_the_sha_1_thumbprint() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, path) = certificate_in(folder.path());
    let parts = sign(&path, AssertionForm::Rs256Sha1, false, Utc::now());
    assert_eq!(names(&parts.header), ["alg", "typ", "x5t"]);
    assert_eq!(parts.header["alg"], "RS256");
    assert_eq!(parts.header["x5t"], URL_SAFE_NO_PAD.encode(sha1(&der(&certificate))));
    assert!(is_rs256(&parts, &keys()[0].key));
}

#[test]
fn the_claims_are_exactly_those_of_rfc_7523() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, path) = certificate_in(folder.path());
    let now = Utc::now();
    let parts = sign(&path, AssertionForm::Ps256Sha256, false, now);
    assert_eq!(names(&parts.claims), ["aud", "exp", "iat", "iss", "jti", "nbf", "sub"]);
    assert_eq!(parts.claims["aud"], TOKEN_ENDPOINT);
    assert_eq!(parts.claims["iss"], SITE);
    assert_eq!(parts.claims["sub"], SITE);
    let time = |name: &str| parts.claims[name].as_i64().expect("an integer");
    assert_eq!(time("iat"), now.timestamp());
    assert!(
        (1..=30).contains(&(time("iat") - time("nbf"))),
        "nbf lies a few seconds back"
    );
    assert!(
        (300..=600).contains(&(time("exp") - time("nbf"))),
        "exp is 5 to 10 minutes after nbf"
    );
    for name in ["exp", "iat", "nbf"] {
        let text = format!("\"{name}\":{}", time(name));
        let rest = parts.raw_claims.split_once(&text).expect("written as an integer").1;
        assert!(rest.starts_with([',', '}']), "no fraction, no exponent: {name}");
    }
}

#[test]
fn every_assertion_has_its_own_random_guid() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, path) = certificate_in(folder.path());
    let now = Utc::now();
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let parts = sign(&path, AssertionForm::Ps256Sha256, false, now);
        let jti = parts.claims["jti"].as_str().expect("a text").to_owned();
        assert_eq!(uuid::Uuid::parse_str(&jti).expect("a GUID").get_version_num(), 4);
        assert!(seen.insert(jti), "a jti occurred twice");
    }
}

#[test]
fn x5c_is_an_array_of_standard_base64_of_der_with_the_leaf_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root_key, leaf_key) = (&keys()[1].key, &keys()[0].key);
    let root = TestCertificate::new("root", root_key).make();
    let leaf = TestCertificate {
        issuer: Some((&root, root_key)),
        ..TestCertificate::new("site", leaf_key)
    }
    .make();
    // In reverse order, as some authorities deliver it.
    let path = file(
        folder.path(),
        "chain.pem",
        &[&pem(&root), &pem(&leaf), &key_pem(leaf_key)],
    );
    let parts = sign(&path, AssertionForm::Ps256Sha256, true, Utc::now());
    let entries = parts.header["x5c"].as_array().expect("an array");
    let decoded: Vec<_> = entries
        .iter()
        .map(|entry| {
            STANDARD
                .decode(entry.as_str().expect("a text"))
                .expect("standard base64")
        })
        .collect();
    assert_eq!(decoded, [der(&leaf), der(&root)]);
    for der in decoded {
        X509::from_der(&der).expect("a certificate in DER");
    }
    assert_eq!(parts.header["x5t#S256"], URL_SAFE_NO_PAD.encode(sha256(&der(&leaf))));
}

#[test]
fn an_expired_certificate_signs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, path) = certificate_in(folder.path());
    let certificate = ClientCertificate::load(&settings(&path)).expect("a certificate");
    let audience = Url::parse(TOKEN_ENDPOINT).expect("a URL");
    let assertion = ClientAssertion {
        certificate: &certificate,
        form: AssertionForm::Ps256Sha256,
        send_x5c: false,
        client_id: SITE,
        audience: &audience,
    };
    let error = assertion
        .sign(Utc::now() + chrono::TimeDelta::days(33))
        .expect_err("expired");
    assert!(error.to_string().contains("client.pem expired 3 days ago"), "{error}");
    assertion.sign(Utc::now()).expect("still in date now");
}
