//! What many routes have in common: the guard's refusals, what a body may be refused for, the headers of every answer.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        ContentBuilder, Header, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema,
        Type,
        path::{Operation, PathItem},
        schema::SchemaType,
    },
};

use crate::api::problem::Document;

/// What every route under `/v1` that needs a token may answer, besides its own.
pub struct Guarded;

impl IntoResponses for Guarded {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (
                401,
                "No access token, or not one for this API; `code` says why",
                &["WWW-Authenticate"],
            ),
            (406, "`Accept` leaves out JSON, or `Accept-Encoding` every form", &[]),
            (414, "Path and query are too long", &[]),
            (431, "The headers are too large", &[]),
            (
                403,
                "The token does not allow this, or the post is somebody else's",
                &["WWW-Authenticate"],
            ),
            (
                429,
                "Too many requests of this caller, or from this address",
                &["Retry-After"],
            ),
            (500, "A fault of the server, logged under the request id", &[]),
            (
                503,
                "Entra's signing keys or the database are away at present",
                &["Retry-After"],
            ),
        ])
    }
}

/// What a route about one post may answer, besides its own.
pub struct OfOnePost;

impl IntoResponses for OfOnePost {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(404, "No such post", &[]), (422, "`id` is no integer", &[])])
    }
}

/// What a route that looks at `If-Match` may answer, besides its own.
pub struct Conditional;

impl IntoResponses for Conditional {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[(412, "The post is not in a state that the conditions allow", &[])])
    }
}

/// What a body may be refused for.
pub struct WithBody;

impl IntoResponses for WithBody {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            (400, "The body is not JSON, or a header is malformed", &[]),
            (408, "The body did not arrive in time", &[]),
            (411, "There is neither a body nor a length", &[]),
            (413, "The body is too large", &[]),
            (
                415,
                "The body is neither `application/json` nor of another type that ends in `+json`",
                &[],
            ),
            (
                422,
                "Fields or parameters are not as they must be; `errors` names them all",
                &[],
            ),
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
    let answer = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content);
    headers
        .iter()
        .fold(answer, |answer, name| answer.header(*name, header_of(name)))
        .build()
}

fn header_of(name: &str) -> Header {
    let (kind, description) = match name {
        "X-Request-ID" => (
            Type::String,
            "Names this request in the server's log; the client's own if it sent one",
        ),
        "RateLimit" => (
            Type::String,
            "What is left of the budget (draft-ietf-httpapi-ratelimit-headers)",
        ),
        "RateLimit-Policy" => (Type::String, "The budget that the request was taken from"),
        "Retry-After" => (Type::Integer, "Seconds after which it is worth asking again"),
        "WWW-Authenticate" => (
            Type::String,
            "The challenge (RFC 6750): error, what is missing, where to get a token",
        ),
        _ => (Type::String, ""),
    };
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind)))
        .description(Some(description))
        .build()
}

/// Adds what no handler says: headers that every answer has.
pub(super) fn complete(description: &mut OpenApi) {
    for operation in description.paths.paths.values_mut().flat_map(operations) {
        let is_guarded = operation.security.is_some();
        // Said, and not left out: what says nothing, generators take for what the whole API demands.
        operation.security.get_or_insert_default();
        for parameter in operation.parameters.iter_mut().flatten() {
            // A header that need not be there is text all the same, and never `null`.
            if let RefOr::T(parameter) = parameter
                && let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema
                && object.schema_type == SchemaType::from_iter([Type::String, Type::Null])
            {
                object.schema_type = Type::String.into();
            }
        }
        for (status, answer) in &mut operation.responses.responses {
            let RefOr::T(answer) = answer else { continue };
            answer
                .headers
                .insert("X-Request-ID".to_owned(), header_of("X-Request-ID").into());
            // An answer to a caller who is known, or the refusal by a budget.
            if is_guarded && (status.starts_with('2') || status == "429") {
                for name in ["RateLimit", "RateLimit-Policy"] {
                    answer.headers.insert(name.to_owned(), header_of(name).into());
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.delete]
        .into_iter()
        .filter_map(Option::as_mut)
}
