//! HTTP for the ACME client, through the agents of this program, which honour proxies and have timeouts.
//!
//! Requests block: only the thread that renews the certificate uses this client.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;
use ureq::Agent;

use crate::outbound;

/// How long the CA asks to wait, if it does.
#[derive(Debug, Clone, Default)]
pub(super) struct RetryAfter(Arc<Mutex<Option<Duration>>>);

impl RetryAfter {
    /// The time of the last response that rejected a request for now, once.
    pub(super) fn take(&self) -> Option<Duration> {
        self.0.lock().take()
    }

    fn note<T>(&self, response: &Response<T>) {
        if matches!(
            response.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            let seconds = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok());
            *self.0.lock() = seconds
                .and_then(|text| text.trim().parse().ok())
                .map(Duration::from_secs);
        }
    }
}

/// See the module.
pub(super) struct AcmeHttp {
    pub(super) agent: Agent,
    pub(super) retry_after: RetryAfter,
}

impl AcmeHttp {
    fn send(&self, request: Request<Bytes>) -> Result<BytesResponse, Error> {
        // A directory could name other URLs for later requests.
        if request.uri().scheme_str() != Some("https") {
            return Err(Error::Str("the CA names a URL that is not HTTPS"));
        }
        let (parts, body) = request.into_parts();
        let mut response = if body.is_empty() {
            self.agent.run(Request::from_parts(parts, ()))
        } else {
            self.agent.run(Request::from_parts(parts, body.to_vec()))
        }
        .map_err(|error| Error::Other(Box::new(error)))?;
        self.retry_after.note(&response);
        let body = outbound::read_body(&mut response).map_err(|error| Error::Other(Box::new(error)))?;
        let (parts, _) = response.into_parts();
        Ok(BytesResponse {
            parts,
            body: Box::new(Bytes::from(body)),
        })
    }
}

impl HttpClient for AcmeHttp {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (parts, body) = request.into_parts();
        let client = Self {
            agent: self.agent.clone(),
            retry_after: self.retry_after.clone(),
        };
        Box::pin(async move {
            // The crate reads bodies of responses only.
            let mut body = BytesResponse::from(Response::new(body)).body;
            let body = body.into_bytes().await.map_err(Error::Other)?;
            client.send(Request::from_parts(parts, body))
        })
    }
}
