//! `Link: <…>; rel="next"` (RFC 8288): where the next page of a list is.

use actix_web::{
    HttpRequest,
    http::header::{HeaderValue, InvalidHeaderValue},
};
use url::form_urlencoded;

use super::pagination;
use crate::blog::Paging;

/// The header's value: the request's own path and parameters, but from `next` on.
///
/// # Errors
/// Never in practice: whatever a parameter holds is percent-encoded.
pub fn next(request: &HttpRequest, next: Paging) -> Result<HeaderValue, InvalidHeaderValue> {
    let kept =
        form_urlencoded::parse(request.query_string().as_bytes()).filter(|(name, _)| name != "after" && name != "skip");
    let (name, place) = match next {
        Paging::After(cursor) => ("after", pagination::encode(cursor)),
        Paging::Skip(skip) => ("skip", skip.to_string()),
    };
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(kept)
        .append_pair(name, &place)
        .finish();
    HeaderValue::try_from(format!("<{}?{query}>; rel=\"next\"", request.path()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::blog::Cursor;

    #[test]
    fn the_other_parameters_are_kept_and_cannot_break_out() {
        let uri = "/v1/posts?q=a%3E%22%0D%0A%26b&skip=4&limit=2&after=old&x=%ff";
        let request = TestRequest::with_uri(uri).to_http_request();
        let link = next(
            &request,
            Paging::After(Cursor {
                created_at_micros: 1,
                id: 2,
            }),
        )
        .expect("a header value");
        let expected =
            "</v1/posts?q=a%3E%22%0D%0A%26b&limit=2&x=%EF%BF%BD&after=AQAAAAAAAAABAAAAAAAAAAI>; rel=\"next\"";
        assert_eq!(link, expected);
        let link = next(&request, Paging::Skip(20)).expect("a header value");
        assert_eq!(
            link,
            "</v1/posts?q=a%3E%22%0D%0A%26b&limit=2&x=%EF%BF%BD&skip=20>; rel=\"next\""
        );
    }
}
