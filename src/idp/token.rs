//! The token endpoint: who the client is, what it offers, and the tokens for it (RFC 6749 §3.2).

mod assertion;
mod authorization_code;
mod client_authentication;
mod client_credentials;
mod federated;
mod refresh_token;
mod response;

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA},
    web,
};

use self::{assertion::Parts, response::TokenResponse};
use super::{
    error::{self, Refusal, invalid_request},
    parameters::Parameters,
    random,
    request_log::Note,
    state::Idp,
};

use crate::guid;

/// `POST /{tenant}/oauth2/v2.0/token`
pub async fn exchange(
    idp: web::Data<Idp>,
    tenant: web::Path<String>,
    request: HttpRequest,
    form: web::Bytes,
) -> HttpResponse {
    let correlation_id = correlation_id(&request);
    let answer = match read(&request, &form) {
        Ok(form) => {
            request.extensions_mut().insert(note(&form));
            // Signing two tokens takes milliseconds.
            let idp = idp.clone();
            web::block(move || grant(&idp, &tenant, &form))
                .await
                .unwrap_or_else(|_| Err(stopping()))
        }
        Err(refusal) => Err(refusal),
    };
    let mut response = match &answer {
        Ok(_) => HttpResponse::Ok(),
        Err(refusal) => HttpResponse::build(refusal.status()),
    };
    // RFC 6749 §5.1: nothing may keep a token.
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((PRAGMA, "no-cache"));
    match answer {
        Ok(tokens) => response.json(tokens),
        Err(refusal) => {
            log::info!("token request refused: AADSTS{} {}", refusal.code, refusal.error);
            response.json(refusal.body(idp.authority.base_url(), &correlation_id, idp.clock.now()))
        }
    }
}

fn read(request: &HttpRequest, form: &[u8]) -> Result<Parameters, Refusal> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(invalid_request(
            900_561,
            "The endpoint only accepts POST requests with a form (application/x-www-form-urlencoded).",
        ));
    }
    if request.headers().contains_key(AUTHORIZATION) {
        // RFC 6749 §2.3.1: HTTP Basic carries a client secret, and no application here has one.
        return Err(client_authentication::secret_refused(""));
    }
    Parameters::parse(form)
}

fn note(form: &Parameters) -> Note {
    let own = |name: &str| form.get(name).map(str::to_owned);
    let assertion = form
        .get("client_assertion")
        .and_then(|assertion| Parts::read(assertion).ok());
    let (assertion_header, assertion_claims) = assertion.map(|parts| (parts.header, parts.claims)).unzip();
    Note {
        form_fields: form.names(),
        grant_type: own("grant_type"),
        client_id: own("client_id"),
        scope: own("scope"),
        assertion_header,
        assertion_claims,
    }
}

fn grant(idp: &Idp, tenant: &str, form: &Parameters) -> Result<TokenResponse, Refusal> {
    if let Some(code) = idp.faults.next_token_failure() {
        return Err(error::by_code(code));
    }
    idp.authority.check_tenant(tenant)?;
    let grant_type = form.require("grant_type")?;
    let (client, proof) = client_authentication::authenticate(idp, tenant, form)?;
    match grant_type {
        "authorization_code" => authorization_code::exchange(idp, &client, proof, form),
        "refresh_token" => refresh_token::exchange(idp, &client, proof, form),
        "client_credentials" => client_credentials::exchange(idp, &client, proof, form),
        other => Err(Refusal::new(
            70003,
            "unsupported_grant_type",
            format!("The app requested an unsupported grant type '{other}'."),
        )),
    }
}

/// What the client calls this request, if it does so with a GUID; MSAL does.
fn correlation_id(request: &HttpRequest) -> String {
    let given = request
        .headers()
        .get("client-request-id")
        .and_then(|value| value.to_str().ok());
    given
        .and_then(guid::parse)
        .map_or_else(random::guid, |id| id.to_string())
}

fn stopping() -> Refusal {
    Refusal::new(
        90033,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    )
}
