//! Six rejections by Entra ID lead to a retry with another certificate, and no others.

use std::sync::Arc;

use blogctl::{
    config::{ClientSettings, CredentialSettings, Settings},
    entra::{ConfidentialClient, PendingSignIn, Provider, aadsts::KNOWN},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use url::Url;

use crate::support::{
    certificates::{TestCertificate, file, key_pem, pem, settings},
    entra::{API, SITE, ScriptedProvider, ScriptedResponse, keys},
};

/// The rejections that concern the certificate.
const OF_THE_CERTIFICATE: [u32; 6] = [700_027, 700_024, 7_000_214, 7_000_277, 1_000_502, 7_000_274];

#[test]
fn six_rejections_cause_one_retry_with_another_certificate() {
    let provider = ScriptedProvider::start();
    let folder = tempfile::tempdir().expect("a folder");
    // Two usable certificates: after each rejection there is another one to try.
    let certificate = |n: usize| {
        let key = &keys()[n].key;
        let leaf = pem(&TestCertificate::new("site", key).make());
        CredentialSettings::File(settings(&file(
            folder.path(),
            &format!("{n}.pem"),
            &[&key_pem(key), &leaf],
        )))
    };
    let client = ClientSettings {
        client_id: SITE.to_owned(),
        api_scope: format!("api://{API}/access_as_user"),
        credential: vec![certificate(0), certificate(1)],
        ..ClientSettings::default()
    };
    let settings = Settings {
        entra: provider.settings(),
        client,
        ..Settings::default()
    };
    let entra = Arc::new(Provider::new(&provider.settings()).expect("a provider"));
    let redirect_uri = Url::parse("http://localhost:5000/callback").expect("a URL");
    let client = ConfidentialClient::new(entra, &settings, redirect_uri).expect("a client");
    let redeem = || {
        let pending = PendingSignIn {
            nonce: "nonce".to_owned(),
            code_verifier: SecretString::from("v".repeat(43)),
        };
        client
            .redeem_code(&SecretString::from("the code"), &pending)
            .expect_err("rejected");
    };
    let refresh = || {
        drop(
            client
                .refresh(&SecretString::from("the refresh token"))
                .expect_err("rejected"),
        );
    };
    let requests = [("redemption", &redeem as &dyn Fn()), ("refresh", &refresh)];

    let rejection = |code: u32| json!({ "error": "invalid_client", "error_codes": [code], "error_description": format!("AADSTS{code}: no") });
    let known = KNOWN.iter().map(|known| known.code);
    // An unknown code, and responses without a code.
    let mut refusals: Vec<(Option<u32>, Value)> = known
        .chain([999_999])
        .map(|code| (Some(code), rejection(code)))
        .collect();
    refusals.push((None, json!({ "error": "invalid_client" })));
    refusals.push((
        None,
        json!({ "error": "invalid_client", "error_codes": [], "error_description": "no" }),
    ));
    for (code, answer) in refusals {
        let expected = if code.is_some_and(|code| OF_THE_CERTIFICATE.contains(&code)) {
            2
        } else {
            1
        };
        for (name, request) in requests {
            provider.script().token = ScriptedResponse::with_status(401, &answer);
            provider.script().token_forms.clear();
            let before = client.credential().name();
            request();
            assert_eq!(provider.script().token_forms.len(), expected, "{name}: {answer}");
            assert_eq!(
                client.credential().name(),
                before,
                "nor does the other one do better: {name}: {answer}"
            );
        }
    }
}
