//! Who may use the control interface: programs on this machine, and no web page that a browser on it shows.

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{HOST, HeaderName, ORIGIN},
    },
    middleware::Next,
};

use super::problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Middleware: refuses every request that did not come straight from a local program.
///
/// # Errors
/// Those of the service it wraps.
pub async fn only_local_programs<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    match objection(&request) {
        None => Ok(next.call(request).await?.map_into_left_body()),
        Some(reason) => {
            let refusal = problem(StatusCode::FORBIDDEN, reason).map_into_right_body();
            Ok(request.into_response(refusal))
        }
    }
}

fn objection(request: &ServiceRequest) -> Option<&'static str> {
    if !request.peer_addr().is_some_and(|peer| peer.ip().is_loopback()) {
        return Some("only this machine may use the control interface");
    }
    // Browsers send these themselves; a page cannot leave them out of a request that changes something.
    if request.headers().contains_key(ORIGIN) || request.headers().contains_key(SEC_FETCH_SITE) {
        return Some("no web page may use the control interface");
    }
    // A name that an attacker's DNS points at this machine would pass for the same origin.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(actix_web::http::uri::Authority::as_str));
    if !host.is_some_and(is_local_name) {
        return Some("the control interface goes by localhost and 127.0.0.1 only");
    }
    None
}

fn is_local_name(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machines_own_names_pass() {
        for own in ["localhost", "localhost:9000", "127.0.0.1:9000", "[::1]:9000", "[::1]"] {
            assert!(is_local_name(own), "{own}");
        }
        for foreign in
            ["", "evil.example:9000", "localhost.evil.example", "localhost:9000:80", "127.0.0.1.evil.example"]
        {
            assert!(!is_local_name(foreign), "{foreign}");
        }
    }
}
