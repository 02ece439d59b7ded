//! Reads a JSON request body of bounded size within a bounded time.

use std::{
    future::{Future, ready},
    pin::Pin,
    time::Duration,
};

use actix_web::{
    FromRequest, HttpRequest,
    dev::{JsonBody as Reading, Payload},
    error::JsonPayloadError,
    http::{
        Version,
        header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    },
    mime::{self, Mime},
    rt::time::timeout,
    web,
};
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::config::{ApiSettings, ServerSettings};

/// The parsed body of a request with `Content-Type: application/json`, or another type whose suffix is `+json`.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for JsonBody<T> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let headers = request.headers();
        let has_length = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
        // HTTP/2 does not need a declared length.
        if !has_length && request.version() < Version::HTTP_2 {
            return Box::pin(ready(Err(Problem::length_required())));
        }
        if !is_json(request) {
            return Box::pin(ready(Err(Problem::unsupported_media_type())));
        }
        let limit = request
            .app_data::<web::Data<ApiSettings>>()
            .map(|settings| settings.max_body_bytes);
        let limit = limit.unwrap_or_else(|| ApiSettings::default().max_body_bytes);
        let time_limit = request
            .app_data::<web::Data<ServerSettings>>()
            .map(|settings| settings.body_timeout);
        let time_limit = time_limit.unwrap_or_else(|| ServerSettings::default().body_timeout);
        let reading = Reading::<T>::new(request, payload, None, true).limit(limit);
        Box::pin(async move { within(time_limit, reading).await.map(Self) })
    }
}

/// Only the type matters (RFC 6838 §4.2.8 for `+json`), not its parameters (RFC 8259 §11). Types that an HTML form can
/// send must not be accepted: with them, pages of other sites could write without CORS. `text/json` is not registered.
fn is_json(request: &HttpRequest) -> bool {
    let mut values = request.headers().get_all(CONTENT_TYPE);
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let mime = value.to_str().ok().and_then(|value| value.parse::<Mime>().ok());
    mime.is_some_and(|mime| match mime.suffix() {
        Some(suffix) => suffix == mime::JSON,
        None => mime.type_() == mime::APPLICATION && mime.subtype() == mime::JSON,
    })
}

async fn within<T>(limit: Duration, reading: impl Future<Output = Result<T, JsonPayloadError>>) -> Result<T, Problem> {
    let read = timeout(limit, reading).await.map_err(|_| Problem::body_timeout())?;
    Ok(read?)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use actix_web::{ResponseError as _, test::TestRequest};

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

    #[actix_web::test]
    async fn a_body_that_never_arrives_times_out() {
        let problem = within::<()>(Duration::ZERO, pending())
            .await
            .expect_err("nothing arrives");
        assert_eq!((problem.status_code().as_u16(), problem.code()), (408, "body_timeout"));
        assert_eq!(within(Duration::from_secs(30), ready(Ok(7))).await.ok(), Some(7));
    }
}
