//! The token endpoint: authenticates the client, checks its grant, and issues tokens (RFC 6749 §3.2).

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

use self::{assertion::JwtParts, response::TokenResponse};
use super::{
    error::{self, OAuthError, invalid_request},
    parameters::Parameters,
    random,
    request_log::TokenRequestDetails,
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
    let result = match read(&request, &form) {
        Ok(form) => {
            request.extensions_mut().insert(request_details(&form));
            // On another thread: signing two tokens takes milliseconds.
            let idp = idp.clone();
            web::block(move || grant(&idp, &tenant, &form))
                .await
                .unwrap_or_else(|_| Err(transient_error()))
        }
        Err(error) => Err(error),
    };
    let mut response = match &result {
        Ok(_) => HttpResponse::Ok(),
        Err(error) => HttpResponse::build(error.status()),
    };
    // RFC 6749 §5.1: tokens must not be cached.
    response
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((PRAGMA, "no-cache"));
    match result {
        Ok(tokens) => response.json(tokens),
        Err(error) => {
            log::info!("token request rejected: AADSTS{} {}", error.code, error.oauth_error);
            response.json(error.body(idp.authority.base_url(), &correlation_id, idp.clock.now()))
        }
    }
}

fn read(request: &HttpRequest, form: &[u8]) -> Result<Parameters, OAuthError> {
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
        // RFC 6749 §2.3.1: HTTP Basic carries a client secret, which no application here has.
        return Err(client_authentication::secret_rejected(""));
    }
    Parameters::parse(form)
}

fn request_details(form: &Parameters) -> TokenRequestDetails {
    let field = |name: &str| form.get(name).map(str::to_owned);
    let assertion = form
        .get("client_assertion")
        .and_then(|assertion| JwtParts::parse(assertion).ok());
    let (assertion_header, assertion_claims) = assertion.map(|parts| (parts.header, parts.claims)).unzip();
    TokenRequestDetails {
        form_fields: form.names(),
        grant_type: field("grant_type"),
        client_id: field("client_id"),
        scope: field("scope"),
        assertion_header,
        assertion_claims,
    }
}

fn grant(idp: &Idp, tenant: &str, form: &Parameters) -> Result<TokenResponse, OAuthError> {
    if let Some(code) = idp.faults.next_token_failure() {
        return Err(error::by_code(code));
    }
    idp.authority.check_tenant(tenant)?;
    let grant_type = form.require("grant_type")?;
    let (client, auth_method) = client_authentication::authenticate(idp, tenant, form)?;
    match grant_type {
        "authorization_code" => authorization_code::exchange(idp, &client, auth_method, form),
        "refresh_token" => refresh_token::exchange(idp, &client, auth_method, form),
        "client_credentials" => client_credentials::exchange(idp, &client, auth_method, form),
        other => Err(OAuthError::new(
            70003,
            "unsupported_grant_type",
            format!("The app requested an unsupported grant type '{other}'."),
        )),
    }
}

/// The client's own id for this request, if it is a GUID, as MSAL sends it.
fn correlation_id(request: &HttpRequest) -> String {
    let header = request
        .headers()
        .get("client-request-id")
        .and_then(|value| value.to_str().ok());
    header
        .and_then(guid::parse)
        .map_or_else(random::guid, |id| id.to_string())
}

fn transient_error() -> OAuthError {
    OAuthError::new(
        90033,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    )
}
