//! Content codings (RFC 9110 §8.4): negotiates one for a response, and compresses bytes. Each coded form of a resource
//! has a separate entity tag, because a strong tag identifies one form byte by byte (RFC 9110 §8.8.3.3).

use std::io::{self, Write as _};

use actix_web::{
    HttpRequest,
    http::header::{self, AcceptEncoding, ContentEncoding, Encoding, Header as _, HeaderValue},
    web::{self, Bytes},
};
use flate2::{Compression, write::GzEncoder};
use tokio::sync::Semaphore;

/// Largest body that is compressed on the serving thread, which takes about a third of a millisecond.
const MAX_INLINE_BYTES: usize = 32 * 1024;
/// How many larger bodies the process compresses at the same time. Others wait without holding a thread.
static LARGE_BODIES: Semaphore = Semaphore::const_new(4);

/// Smaller bodies are not compressed: the response fits into one packet, headers included.
pub const MIN_BYTES: usize = 1024;
/// Separates the tag of the uncompressed form from the name of the coding.
const SEPARATOR: char = ';';
/// Base-2 logarithm of brotli's window in bytes. A larger window takes more memory and gains little on text of a few
/// MiB.
const BROTLI_WINDOW: u32 = 20;

/// A coding that this program can apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// How much time to spend on compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// For a response to a single request.
    Fast,
    /// For bytes that are compressed once and sent many times.
    Thorough,
}

/// The client's `Accept-Encoding` excludes every form of the resource, including the uncompressed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAcceptable;

impl Coding {
    /// The coding that the client prefers; `None` for the uncompressed form. An unparsable header is ignored.
    ///
    /// # Errors
    /// When the client accepts none of the forms.
    pub fn negotiate(request: &HttpRequest) -> Result<Option<Self>, NotAcceptable> {
        if !request.headers().contains_key(header::ACCEPT_ENCODING) {
            return Ok(None);
        }
        let Ok(accepted) = AcceptEncoding::parse(request) else {
            return Ok(None);
        };
        let supported = [
            Encoding::brotli(),
            Encoding::gzip(),
            Encoding::zstd(),
            Encoding::identity(),
        ];
        match accepted.negotiate(supported.iter()) {
            None => Err(NotAcceptable),
            Some(Encoding::Known(ContentEncoding::Gzip)) => Ok(Some(Self::Gzip)),
            Some(Encoding::Known(ContentEncoding::Brotli)) => Ok(Some(Self::Brotli)),
            Some(Encoding::Known(ContentEncoding::Zstd)) => Ok(Some(Self::Zstd)),
            Some(_) => Ok(None),
        }
    }

    /// # Errors
    /// Never: writing to memory cannot fail.
    pub fn compress(self, bytes: &[u8], effort: Effort) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let level = if effort == Effort::Fast {
                    Compression::fast()
                } else {
                    Compression::default()
                };
                let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), level);
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Brotli => {
                let quality = if effort == Effort::Fast { 3 } else { 5 };
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 32 * 1024, quality, BROTLI_WINDOW);
                encoder.write_all(bytes)?;
                encoder.flush()?;
                Ok(encoder.into_inner())
            }
            Self::Zstd => {
                let level = if effort == Effort::Fast { 3 } else { 6 };
                let mut compressed = zstd::bulk::compress(bytes, level)?;
                compressed.shrink_to_fit();
                Ok(compressed)
            }
        }
    }

    /// Compresses the body of a response to a single request. A large body is compressed on another thread, a few at a
    /// time.
    ///
    /// # Errors
    /// When the thread pool is shut down.
    pub async fn compress_body(self, bytes: Bytes) -> io::Result<Bytes> {
        if bytes.len() <= MAX_INLINE_BYTES {
            return self.compress(&bytes, Effort::Fast).map(Bytes::from);
        }
        let permit = LARGE_BODIES.acquire().await.map_err(io::Error::other)?;
        // If the client disconnects, the work continues, and so does its permit.
        let compress = move || {
            let _permit = permit;
            self.compress(&bytes, Effort::Fast)
        };
        let compressed = web::block(compress).await;
        compressed.map_err(io::Error::other).flatten().map(Bytes::from)
    }

    /// The value of `Content-Encoding`.
    pub fn to_header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// The entity tag of this form of a resource, without quotes. `plain` is the tag of the uncompressed form.
    pub fn tag(self, plain: &str) -> String {
        format!("{plain}{SEPARATOR}{}", self.name())
    }

    /// The name in the IANA registry of content codings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

/// The tag of the uncompressed form, for the tag of any form.
pub fn uncompressed_tag(tag: &str) -> &str {
    tag.rsplit_once(SEPARATOR)
        .filter(|(_, coding)| ["gzip", "br", "zstd"].contains(coding))
        .map_or(tag, |(plain, _)| plain)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_a_known_coding_is_removed_from_a_tag() {
        for (tag, plain) in [
            ("7-1;gzip", "7-1"),
            ("7-1;br", "7-1"),
            ("7-1;zstd", "7-1"),
            ("7-1;x", "7-1;x"),
            ("7-1", "7-1"),
        ] {
            assert_eq!(uncompressed_tag(tag), plain);
        }
        for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
            assert_eq!(uncompressed_tag(&coding.tag("7-1")), "7-1");
        }
    }

    #[test]
    fn the_preferred_coding_is_chosen_and_an_impossible_wish_is_an_error() {
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", Ok(Some(Coding::Brotli))),
            ("gzip, deflate", Ok(Some(Coding::Gzip))),
            ("gzip;q=0.5, br", Ok(Some(Coding::Brotli))),
            ("zstd", Ok(Some(Coding::Zstd))),
            ("deflate", Ok(None)),
            ("identity", Ok(None)),
            ("", Ok(None)),
            ("gzip;q=0", Ok(None)),
            ("identity;q=0, compress", Err(NotAcceptable)),
            ("*;q=0", Err(NotAcceptable)),
        ] {
            let request = TestRequest::default()
                .insert_header((header::ACCEPT_ENCODING, accepted))
                .to_http_request();
            assert_eq!(Coding::negotiate(&request), expected, "{accepted:?}");
        }
        assert_eq!(Coding::negotiate(&TestRequest::default().to_http_request()), Ok(None));
    }
}
