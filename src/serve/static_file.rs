//! Bytes that are the same for every client. All responses share them, and each coding is compressed once. Each form
//! has a strong entity tag (RFC 9110 §8.8.3), and a client that has the form already gets 304.

use std::{io, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::header::{self, ETag, EntityTag, Header as _, HeaderName, HeaderValue, IfNoneMatch},
    web::{self, Bytes},
};
use openssl::sha::sha256;
use tokio::sync::OnceCell;

use super::content_coding::{Coding, Effort, MIN_BYTES, NotAcceptable, uncompressed_tag};

/// A file to serve. Cheap to clone.
#[derive(Clone)]
pub struct StaticFile(Arc<Inner>);

struct Inner {
    content_type: HeaderValue,
    headers: Vec<(HeaderName, HeaderValue)>,
    tag: String,
    bytes: Bytes,
    is_compressible: bool,
    gzip: OnceCell<Bytes>,
    brotli: OnceCell<Bytes>,
    zstd: OnceCell<Bytes>,
}

impl StaticFile {
    /// Every response, including 304, has `headers`, and also `ETag` and `Vary`. Responses with a body have
    /// `Content-Type`.
    pub fn new(content_type: HeaderValue, headers: &[(HeaderName, HeaderValue)], bytes: Bytes) -> Self {
        let is_text = content_type.to_str().is_ok_and(|kind| {
            ["text/", "application/json", "application/javascript", "image/svg+xml"]
                .iter()
                .any(|text| kind.starts_with(text))
        });
        Self(Arc::new(Inner {
            headers: headers.to_vec(),
            tag: hex::encode(sha256(&bytes)),
            is_compressible: is_text && bytes.len() >= MIN_BYTES,
            content_type,
            bytes,
            gzip: OnceCell::new(),
            brotli: OnceCell::new(),
            zstd: OnceCell::new(),
        }))
    }

    /// JSON that caches must revalidate each time.
    pub fn json(bytes: Vec<u8>) -> Self {
        let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
        Self::new(
            HeaderValue::from_static("application/json"),
            &headers,
            Bytes::from(bytes),
        )
    }

    /// The uncompressed bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The response to a GET or HEAD request.
    ///
    /// # Errors
    /// When the client accepts none of the forms.
    pub async fn respond(&self, request: &HttpRequest) -> Result<HttpResponse, NotAcceptable> {
        let inner = &*self.0;
        let coding = Coding::negotiate(request)?.filter(|_| inner.is_compressible);
        if let Some(known) = matching_tag(request, &EntityTag::new_strong(inner.tag.clone())) {
            return Ok(inner
                .with_headers(&mut HttpResponse::NotModified())
                .insert_header(ETag(known))
                .finish());
        }
        let mut response = HttpResponse::Ok();
        inner
            .with_headers(&mut response)
            .insert_header((header::CONTENT_TYPE, inner.content_type.clone()));
        let compressed = match coding {
            Some(coding) => inner.compressed(coding).await.map(|bytes| (coding, bytes)),
            None => None,
        };
        let (tag, bytes) = match compressed {
            Some((coding, bytes)) => {
                response.insert_header((header::CONTENT_ENCODING, coding.to_header()));
                (coding.tag(&inner.tag), bytes)
            }
            None => (inner.tag.clone(), inner.bytes.clone()),
        };
        response.insert_header(ETag(EntityTag::new_strong(tag)));
        Ok(response.body(bytes))
    }
}

impl Inner {
    fn with_headers<'a>(&self, response: &'a mut HttpResponseBuilder) -> &'a mut HttpResponseBuilder {
        for header in &self.headers {
            response.insert_header(header.clone());
        }
        // Also on the uncompressed form: a cache must not send it to a client with another `Accept-Encoding`.
        response.append_header((header::VARY, "Accept-Encoding"))
    }

    /// Compresses on another thread at the first request for this form; concurrent requests wait for it. `None` if
    /// compression fails.
    async fn compressed(&self, coding: Coding) -> Option<Bytes> {
        let form = match coding {
            Coding::Gzip => &self.gzip,
            Coding::Brotli => &self.brotli,
            Coding::Zstd => &self.zstd,
        };
        let compress = || async {
            let bytes = self.bytes.clone();
            let compressed = web::block(move || coding.compress(&bytes, Effort::Thorough)).await;
            compressed.map_err(io::Error::other).flatten().map(Bytes::from)
        };
        match form.get_or_try_init(compress).await {
            Ok(bytes) => Some(bytes.clone()),
            Err(error) => {
                log::warn!(
                    "sending a static file uncompressed, because {} failed: {error}",
                    coding.name()
                );
                None
            }
        }
    }
}

/// The tag in `If-None-Match` that names the resource whose uncompressed form has the tag `uncompressed`, or one of its
/// compressed forms. `None` if the header names other tags, or is missing.
pub fn matching_tag(request: &HttpRequest, uncompressed: &EntityTag) -> Option<EntityTag> {
    if !request.headers().contains_key(header::IF_NONE_MATCH) {
        return None;
    }
    match IfNoneMatch::parse(request).ok()? {
        IfNoneMatch::Any => Some(uncompressed.clone()),
        IfNoneMatch::Items(tags) => {
            let named = tags
                .into_iter()
                .find(|known| uncompressed_tag(known.tag()) == uncompressed.tag())?;
            Some(EntityTag::new_strong(named.tag().to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use actix_web::{body::MessageBody as _, http::StatusCode, test::TestRequest};

    use super::*;

    fn file() -> StaticFile {
        let text = "A line that is repeated.\n".repeat(4000);
        let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
        StaticFile::new(
            HeaderValue::from_static("text/plain; charset=utf-8"),
            &headers,
            Bytes::from(text),
        )
    }

    async fn response_to(file: &StaticFile, headers: &[(HeaderName, &str)]) -> HttpResponse {
        let request = headers.iter().fold(TestRequest::default(), |request, header| {
            request.insert_header(header.clone())
        });
        file.respond(&request.to_http_request())
            .await
            .expect("an acceptable form")
    }

    fn header<'a>(response: &'a HttpResponse, name: &HeaderName) -> &'a str {
        response
            .headers()
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }

    #[actix_web::test]
    async fn each_form_is_compressed_once_and_has_a_tag_by_which_it_is_known() {
        let file = file();
        let mut tags = std::collections::BTreeSet::new();
        for coding in ["", "gzip", "br", "zstd"] {
            let first = response_to(&file, &[(header::ACCEPT_ENCODING, coding)]).await;
            assert_eq!(
                (first.status(), header(&first, &header::CONTENT_ENCODING)),
                (StatusCode::OK, coding)
            );
            assert_eq!(header(&first, &header::VARY), "Accept-Encoding");
            let tag = header(&first, &header::ETAG).to_owned();
            assert!(
                tags.insert(tag.clone()) && tag.starts_with('"'),
                "a separate strong tag: {tag}"
            );
            let known = response_to(
                &file,
                &[(header::ACCEPT_ENCODING, coding), (header::IF_NONE_MATCH, &tag)],
            )
            .await;
            assert_eq!(
                (known.status(), header(&known, &header::ETAG)),
                (StatusCode::NOT_MODIFIED, tag.as_str())
            );
            assert_eq!(header(&known, &header::CACHE_CONTROL), "no-cache");

            let bytes = first.into_body().try_into_bytes().expect("shared bytes");
            let again = response_to(&file, &[(header::ACCEPT_ENCODING, coding)]).await;
            let again = again.into_body().try_into_bytes().expect("shared bytes");
            assert_eq!(
                bytes.as_ptr(),
                again.as_ptr(),
                "the same memory, not compressed or copied again"
            );
            assert_eq!(bytes.len() < file.bytes().len(), !coding.is_empty());
            let mut text = Vec::new();
            match coding {
                "gzip" => {
                    flate2::read::GzDecoder::new(&*bytes)
                        .read_to_end(&mut text)
                        .expect("gzip");
                }
                "br" => {
                    brotli::Decompressor::new(&*bytes, 4096)
                        .read_to_end(&mut text)
                        .expect("brotli");
                }
                "zstd" => text = zstd::stream::decode_all(&*bytes).expect("zstd"),
                _ => text.extend_from_slice(&bytes),
            }
            assert_eq!(text, file.bytes());
        }
        let other = response_to(&file, &[(header::IF_NONE_MATCH, "\"other\"")]).await;
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[actix_web::test]
    async fn a_client_that_accepts_no_form_gets_none() {
        let request = TestRequest::default().insert_header((header::ACCEPT_ENCODING, "identity;q=0, compress"));
        assert!(file().respond(&request.to_http_request()).await.is_err());
    }
}
