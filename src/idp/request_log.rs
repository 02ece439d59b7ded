//! The last requests, so that a test can see what a client sent. Holds no code, token, secret or signature.

use std::collections::VecDeque;

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{control, parameters::Parameters, state::Idp, token::AssertionParts};

/// Requests remembered.
const CAPACITY: usize = 1000;

/// One request.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Method.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// Names of the query's parameters.
    pub query_fields: Vec<String>,
    /// Status of the answer.
    pub status: u16,
    /// More about a token request.
    #[serde(flatten)]
    pub note: Option<Note>,
}

/// What a token request held.
#[derive(Debug, Clone, Serialize)]
pub struct Note {
    /// Names of the form's fields.
    pub form_fields: Vec<String>,
    /// `grant_type`
    pub grant_type: Option<String>,
    /// `client_id`
    pub client_id: Option<String>,
    /// `scope`
    pub scope: Option<String>,
    /// JOSE header of the client assertion, if it can be read.
    pub assertion_header: Option<Map<String, Value>>,
    /// Claims of the client assertion, if they can be read.
    pub assertion_claims: Option<Map<String, Value>>,
}

impl Note {
    /// What is worth remembering of a token request.
    pub fn of(form: &Parameters) -> Self {
        let own = |name: &str| form.get(name).map(str::to_owned);
        let assertion = form
            .get("client_assertion")
            .and_then(|assertion| AssertionParts::read(assertion).ok());
        let (assertion_header, assertion_claims) = assertion.map(|parts| (parts.header, parts.claims)).unzip();
        Self {
            form_fields: form.names(),
            grant_type: own("grant_type"),
            client_id: own("client_id"),
            scope: own("scope"),
            assertion_header,
            assertion_claims,
        }
    }
}

/// The requests remembered, oldest first.
#[derive(Debug, Default)]
pub struct Journal(Mutex<VecDeque<Entry>>);

impl Journal {
    /// All of them.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().iter().cloned().collect()
    }

    /// Forgets them.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn push(&self, entry: Entry) {
        let mut entries = self.lock();
        if entries.len() == CAPACITY {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock()
    }
}

/// Middleware: remembers each request after it has been answered, those to the control interface left out.
///
/// # Errors
/// Those of the service it wraps.
pub async fn record(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response = next.call(request).await?;
    let request = response.request();
    if let (Some(idp), false) = (
        request.app_data::<web::Data<Idp>>(),
        control::is_control(request.path()),
    ) {
        let query = url::form_urlencoded::parse(request.query_string().as_bytes());
        idp.journal.push(Entry {
            method: request.method().to_string(),
            path: request.path().to_owned(),
            query_fields: query.map(|(name, _)| name.into_owned()).collect(),
            status: response.status().as_u16(),
            note: request.extensions().get::<Note>().cloned(),
        });
    }
    Ok(response)
}
