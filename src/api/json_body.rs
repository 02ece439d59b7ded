//! Reads a JSON request body of bounded size. The servers bound the time in which it must arrive: see `serve`.

use std::{
    future::{Future, ready},
    pin::Pin,
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::{JsonBody as Reading, Payload},
    http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    mime::{self, Mime},
    web,
};
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::config::ApiSettings;

/// The parsed body of a request with `Content-Type: application/json`, or another type whose suffix is `+json`.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let headers = request.headers();
        let has_length = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
        if !has_length {
            return Box::pin(ready(Err(Problem::length_required())));
        }
        if !is_json(request) {
            return Box::pin(ready(Err(Problem::unsupported_media_type())));
        }
        let limit = request
            .app_data::<web::Data<ApiSettings>>()
            .map(|settings| settings.max_body_bytes);
        let limit = limit.unwrap_or_else(|| ApiSettings::default().max_body_bytes);
        // Without the web server's own check of the type, which takes no blank before the parameters.
        let reading = Reading::<T>::new(request, payload, None, false).limit(limit);
        Box::pin(async move { Ok(Self(reading.await?)) })
    }
}

/// Only the type matters (RFC 6838 §4.2.8 for `+json`), not its parameters (RFC 8259 §11). Types that an HTML form can
/// send must not be accepted: with them, pages of other sites could write without CORS. `text/json` is not registered.
fn is_json(request: &HttpRequest) -> bool {
    let mut values = request.headers().get_all(CONTENT_TYPE);
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    // Blanks may stand before the parameters (RFC 9110 §5.6.6), which the parser does not take.
    let essence = value.to_str().ok().and_then(|value| value.split(';').next());
    let mime = essence.and_then(|essence| essence.trim().parse::<Mime>().ok());
    mime.is_some_and(|mime| match mime.suffix() {
        Some(suffix) => suffix == mime::JSON,
        None => mime.type_() == mime::APPLICATION && mime.subtype() == mime::JSON,
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_json_types_are_json() {
        let is_json = |values: &[&str]| {
            let request = values.iter().fold(TestRequest::default(), |request, value| {
                request.append_header((CONTENT_TYPE, *value))
            });
            super::is_json(&request.to_http_request())
        };
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json ; charset=utf-8",
            "application/json\t;charset=utf-8",
            "application/json;charset=UTF-8;x=\"y\"",
            "application/merge-patch+json",
            "application/vnd.blog.post+json; v=1",
            "model/gltf+json",
        ] {
            assert!(is_json(&[good]), "{good}");
        }
        for bad in [
            "text/json",
            "text/plain",
            "application/x-json",
            "application/json+xml",
            "application/jsonp",
            "application/json-seq",
            "application/json, text/plain",
            "application/json text/plain;",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "image/json",
            "json",
            "+json",
            "application/",
            "*/*",
            "",
        ] {
            assert!(!is_json(&[bad]), "{bad}");
        }
        assert!(!is_json(&[]) && !is_json(&["application/json", "text/plain"]));
    }
}
