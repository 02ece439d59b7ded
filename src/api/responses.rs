//! The error responses that many routes share, for the API description.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, ToSchema,
    openapi::{ContentBuilder, Header, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type},
};

use crate::api::problem::Document;

/// The error responses of every route that needs an access token.
pub struct CommonErrors;

impl IntoResponses for CommonErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                401,
                "No valid access token for this API; `code` says why",
                &["WWW-Authenticate"],
            ),
            (
                406,
                "`Accept` excludes JSON, or `Accept-Encoding` excludes every form",
                &[],
            ),
            (414, "Path and query are too long", &[]),
            (431, "The headers are too large", &[]),
            (
                403,
                "The token does not allow this, or the caller is not the author",
                &["WWW-Authenticate"],
            ),
            (
                429,
                "Too many requests by this caller or from this address",
                &["Retry-After"],
            ),
            (500, "An error of the server, logged under the request id", &[]),
            (
                503,
                "Entra's signing keys or the database are unavailable",
                &["Retry-After"],
            ),
        ])
    }
}

/// The error responses of a route for one post.
pub struct PostErrors;

impl IntoResponses for PostErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (404, "The post does not exist", &[]),
            (422, "`id` is not an integer", &[]),
        ])
    }
}

/// The error responses of a route with preconditions.
pub struct PreconditionErrors;

impl IntoResponses for PreconditionErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(412, "The post does not satisfy the preconditions", &[])])
    }
}

/// The error responses of a route with a request body.
pub struct BodyErrors;

impl IntoResponses for BodyErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (400, "The body is not JSON, or a header is malformed", &[]),
            (408, "The body did not arrive in time", &[]),
            (411, "The request declares no body", &[]),
            (413, "The body is too large", &[]),
            (
                415,
                "The body is neither `application/json` nor another type that ends in `+json`",
                &[],
            ),
            (422, "Fields or parameters are invalid; `errors` lists all of them", &[]),
        ])
    }
}

fn problems(all: &[(u16, &str, &[&str])]) -> BTreeMap<String, RefOr<Response>> {
    all.iter()
        .map(|(status, description, headers)| (status.to_string(), problem(description, headers).into()))
        .collect()
}

fn problem(description: &str, headers: &[&str]) -> Response {
    let document = RefOr::Ref(Ref::from_schema_name(Document::name()));
    let content = ContentBuilder::new().schema(Some(document)).build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content);
    headers
        .iter()
        .fold(response, |response, name| response.header(*name, header(name)))
        .build()
}

pub(super) fn header(name: &str) -> Header {
    let (kind, description) = match name {
        "X-Request-ID" => (
            Type::String,
            "Identifies the request in the server's log; the client's own id if it sent one",
        ),
        "RateLimit" => (
            Type::String,
            "What is left of the rate limit (draft-ietf-httpapi-ratelimit-headers)",
        ),
        "RateLimit-Policy" => (Type::String, "The rate limit that the request counted against"),
        "Retry-After" => (Type::Integer, "Seconds after which a client may retry"),
        "WWW-Authenticate" => (
            Type::String,
            "The challenge (RFC 6750): the error, what is missing, where to get a token",
        ),
        _ => (Type::String, ""),
    };
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .description(Some(description))
        .build()
}
