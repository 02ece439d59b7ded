//! Micro-benchmarks of the work for each request or sign-in: `cargo bench --bench micro`.
//!
//! The tokens are real: the development identity provider issues them on a free port.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on should stop"
)]

use std::{net::TcpListener, sync::Arc, thread};

use blogctl::{
    api::posts_as_json,
    blog::{Post, User, UserKey},
    certificate::{
        ClientCertificate,
        issue::{Destination, NewCertificate, Subject},
    },
    config::{ApiSettings, AssertionForm, CertificateSettings, DEV_API_ID, DEV_CLIENT_ID, DEV_TENANT_ID, Settings},
    entra::{AccessTokenValidator, Provider, assertion::ClientAssertion},
    idp,
};
use chrono::Utc;
use divan::Bencher;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

fn main() {
    divan::main();
}

/// An identity provider that runs until the process ends, a validator of its tokens, and one token.
struct Bench {
    provider: Arc<Provider>,
    settings: ApiSettings,
    token: String,
    forged: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pem = certificate(folder.path());
        let mut settings = Settings::default();
        settings.entra.tenant_id = DEV_TENANT_ID.to_owned();
        for app in &mut settings.idp.apps {
            app.certificates = app.certificates.iter().map(|_| pem.clone()).collect();
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://localhost:{}", listener.local_addr().expect("bound").port());
        settings.entra.authority_host = Some(Url::parse(&url).expect("a URL"));
        let entra = settings.entra.clone();
        thread::spawn(move || {
            let server = idp::Server::from_listener(listener, &settings).expect("the provider");
            actix_web::rt::System::new().block_on(server.run()).expect("it runs");
        });
        let provider = Arc::new(Provider::new(&entra).expect("a provider"));
        let mint = |sign_with: &str| -> String {
            let scope = format!("api://{DEV_API_ID}/access_as_user");
            let body = json!({ "client_id": DEV_CLIENT_ID, "scope": scope, "sign_with": sign_with });
            let mut answer = ureq::post(format!("{url}/_control/tokens"))
                .send_json(body)
                .expect("a token");
            let answer: Value = answer.body_mut().read_json().expect("JSON");
            answer["token"].as_str().expect("a token").to_owned()
        };
        let settings = ApiSettings {
            client_id: Some(DEV_API_ID.to_owned()),
            ..ApiSettings::default()
        };
        let (token, forged) = (mint("current"), mint("foreign"));
        Self {
            provider,
            settings,
            token,
            forged,
        }
    }

    fn validator(&self) -> AccessTokenValidator {
        let validator = AccessTokenValidator::new(Arc::clone(&self.provider), &self.settings);
        validator.prepare().expect("keys");
        validator
    }
}

fn certificate(folder: &std::path::Path) -> std::path::PathBuf {
    let to = Destination {
        folder: folder.to_owned(),
        name: "client".to_owned(),
        overwrite: false,
        passphrase: None,
    };
    let new = NewCertificate {
        subject: Subject::with_common_name("bench"),
        days: 30,
        bits: 2048,
    };
    new.write(&to).expect("a certificate").combined
}

/// The first request with a token: decodes it, verifies RS256, applies every rule.
#[divan::bench]
fn validate_a_new_token(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    bencher.with_inputs(|| bench.validator()).bench_refs(|validator| {
        validator
            .validate_now(&bench.token)
            .expect("keys are in memory")
            .expect("valid")
    });
}

/// Every further request with that token.
#[divan::bench]
fn validate_a_remembered_token(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    let validator = bench.validator();
    validator.validate(&bench.token).expect("valid");
    bencher.bench(|| {
        validator
            .validate_now(&bench.token)
            .expect("keys are in memory")
            .expect("valid")
    });
}

/// A forged token that the cache does not know.
#[divan::bench]
fn refuse_a_new_forgery(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    bencher.with_inputs(|| bench.validator()).bench_refs(|validator| {
        validator
            .validate_now(&bench.forged)
            .expect("keys are in memory")
            .expect_err("forged")
    });
}

/// A forged token that was rejected a moment ago.
#[divan::bench]
fn refuse_a_known_forgery(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    let validator = bench.validator();
    validator.validate(&bench.forged).expect_err("forged");
    bencher.bench(|| {
        validator
            .validate_now(&bench.forged)
            .expect("keys are in memory")
            .expect_err("forged")
    });
}

/// The client assertion of each sign-in and refresh: PS256 with a key of 2048 bits.
#[divan::bench]
fn build_a_client_assertion(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = CertificateSettings {
        path: Some(certificate(folder.path())),
        ..CertificateSettings::default()
    };
    let certificate = ClientCertificate::load(&settings).expect("a certificate");
    let audience = Url::parse("https://login.microsoftonline.com/common/oauth2/v2.0/token").expect("a URL");
    let form = AssertionForm::Ps256Sha256;
    let assertion = ClientAssertion {
        certificate: &certificate,
        form,
        send_x5c: false,
        client_id: DEV_CLIENT_ID,
        audience: &audience,
    };
    bencher.bench(|| assertion.sign(Utc::now()).expect("an assertion"));
}

/// A page of twenty posts of a kilobyte each, as in the list.
#[divan::bench]
fn write_a_page_as_json(bencher: Bencher<'_, '_>) {
    let now = Utc::now();
    let key = UserKey {
        tenant_id: Uuid::nil(),
        object_id: Uuid::nil(),
    };
    let author = User {
        id: 1,
        key,
        display_name: "Alice Archer".to_owned(),
        created_at: now,
        updated_at: now,
    };
    let post = |id| Post {
        id,
        title: "What the first winter taught us".to_owned(),
        content: "A line of \"ordinary\" prose, with a word or two in it.\n".repeat(16),
        is_truncated: None,
        author: author.clone(),
        created_at: now,
        updated_at: now,
    };
    let posts: Vec<Post> = (1..=20).map(post).collect();
    bencher.bench(|| posts_as_json(&posts).expect("JSON"));
}
