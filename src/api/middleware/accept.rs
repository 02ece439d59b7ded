//! `Accept` (RFC 9110 §12.5.1): this API responds with JSON only.

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, Accept, Header as _, QualityItem},
    middleware::Next,
    mime::Mime,
};

use crate::api::problem::Problem;

/// Middleware: rejects requests whose `Accept` excludes JSON.
///
/// # Errors
/// Those of the service it wraps.
pub async fn require_json(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static>>, Error> {
    if request.headers().contains_key(header::ACCEPT)
        // An unparsable header is ignored.
        && Accept::parse(&request).is_ok_and(|accept| !allows_json(&accept))
    {
        return Ok(request.error_response(Problem::not_acceptable()).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

/// The most specific entry that matches JSON decides; an empty list allows everything.
fn allows_json(accepted: &[QualityItem<Mime>]) -> bool {
    let rank = |item: &Mime| match (item.type_().as_str(), item.subtype().as_str()) {
        ("application", "json" | "problem") => Some(2),
        ("application", "*") => Some(1),
        ("*", "*") => Some(0),
        _ => None,
    };
    let named = accepted
        .iter()
        .filter_map(|entry| Some((rank(&entry.item)?, entry.quality)));
    accepted.is_empty()
        || named
            .max_by_key(|(rank, _)| *rank)
            .is_some_and(|(_, quality)| quality > header::q(0.0))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn is_allowed(accept: &str) -> bool {
        let request = TestRequest::default()
            .insert_header((header::ACCEPT, accept))
            .to_http_request();
        Accept::parse(&request).is_ok_and(|accept| allows_json(&accept))
    }

    #[test]
    fn the_most_specific_entry_decides() {
        for yes in [
            "*/*",
            "application/json",
            "application/*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "application/json;q=0.1",
            "text/plain, application/json",
            "*/*;q=0, application/json",
            "application/problem+json",
            "APPLICATION/JSON",
            "application/json; charset=utf-8",
        ] {
            assert!(is_allowed(yes), "{yes}");
        }
        for no in [
            "text/html",
            "application/xml",
            "application/json;q=0",
            "*/*;q=0",
            "application/*;q=0, */*",
            "image/*",
        ] {
            assert!(!is_allowed(no), "{no}");
        }
    }
}
