//! Things that go wrong at a real identity provider, on demand: it is down, it is slow, it refuses.

use std::time::Duration;

use actix_web::{
    Error, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    rt::time::sleep,
    web,
};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use super::{control, state::Idp};

/// What goes wrong at the moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// Every request is answered with 503.
    pub down: bool,
    /// Every request waits this long first, in milliseconds.
    pub slow_ms: u64,
    /// `down` and `slow_ms` are for requests whose path contains this only, such as `discovery/v2.0/keys`.
    pub only_path: Option<String>,
    /// The next token requests are refused.
    pub fail_next: Option<FailNext>,
}

/// Refusals to come.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailNext {
    /// How many token requests.
    pub count: u32,
    /// AADSTS number.
    pub code: u32,
}

/// The fault in force.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Fault>);

impl Faults {
    /// Puts a fault in place of the one in force.
    pub fn set(&self, fault: Fault) {
        *self.lock() = fault;
    }

    /// The AADSTS number with which to refuse the token request at hand, if any.
    pub fn next_token_failure(&self) -> Option<u32> {
        let mut fault = self.lock();
        let next = fault.fail_next.as_mut().filter(|next| next.count > 0)?;
        next.count -= 1;
        Some(next.code)
    }

    fn of(&self, path: &str) -> Fault {
        let fault = self.lock().clone();
        if fault.only_path.as_deref().is_none_or(|part| path.contains(part)) {
            fault
        } else {
            Fault::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Fault> {
        self.0.lock()
    }
}

/// Middleware: does to a request what the fault in force says. Requests to the control interface are spared.
///
/// # Errors
/// Those of the service it wraps.
pub async fn inject<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let fault = match request.app_data::<web::Data<Idp>>() {
        Some(idp) if !control::is_control(request.path()) => idp.faults.of(request.path()),
        _ => Fault::default(),
    };
    if fault.slow_ms > 0 {
        sleep(Duration::from_millis(fault.slow_ms)).await;
    }
    if fault.down {
        return Ok(request.into_response(
            HttpResponse::ServiceUnavailable()
                .body("down, as told")
                .map_into_right_body(),
        ));
    }
    Ok(next.call(request).await?.map_into_left_body())
}
