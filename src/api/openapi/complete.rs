//! Completes the description that is generated from the handlers.

use utoipa::openapi::{
    OpenApi, RefOr, Schema, Type,
    path::{Operation, PathItem},
    schema::SchemaType,
};

use crate::api::responses::header;

/// Adds the headers that every response has, and corrects what the handlers' types cannot express.
pub(super) fn complete(description: &mut OpenApi) {
    for operation in description.paths.paths.values_mut().flat_map(operations) {
        let needs_token = operation.security.is_some();
        // An explicitly empty list: without it, generators assume that the operation needs the API's default security.
        operation.security.get_or_insert_default();
        for parameter in operation.parameters.iter_mut().flatten() {
            // An optional header is a string, and never `null`.
            if let RefOr::T(parameter) = parameter
                && let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema
                && object.schema_type == SchemaType::from_iter([Type::String, Type::Null])
            {
                object.schema_type = Type::String.into();
            }
        }
        for (status, response) in &mut operation.responses.responses {
            let RefOr::T(response) = response else { continue };
            response
                .headers
                .insert("X-Request-ID".to_owned(), header("X-Request-ID").into());
            // Responses to an authenticated caller, and rejections by a rate limit.
            if needs_token && (status.starts_with('2') || status == "429") {
                for name in ["RateLimit", "RateLimit-Policy"] {
                    response.headers.insert(name.to_owned(), header(name).into());
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
