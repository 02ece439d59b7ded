//! `/login`: sends the browser to Entra ID, and remembers the page to open afterwards.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use chrono::Utc;
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::{
    entra::{ConfidentialClient, SignInHints},
    serve::TrustedProxies,
    web::{
        blocking_pools::BlockingPools,
        error::{ErrorKind, PageError},
        request_context::RequestContext,
        sign_in::{OriginCheck, PendingCookie, SignIns, check_origin, links::sign_in_href, return_path::ReturnPath},
    },
};

/// Longest hint, in bytes. No account name is longer.
const MAX_HINT: usize = 320;

/// `/login?next=/posts/new&switch=1`. Invalid parameters are ignored: anyone may write such a link.
#[derive(Deserialize)]
pub struct LoginQuery {
    /// The page to open afterwards: a path of this site.
    next: Option<String>,
    /// `1`: let the user pick another account.
    switch: Option<String>,
    /// `login`, `select_account` or `consent`: what Entra ID asks for even if the user is signed in there.
    prompt: Option<String>,
    /// Name of the account to sign in.
    login_hint: Option<String>,
    /// Organisation of the account: a domain, `organizations` or `consumers`.
    domain_hint: Option<String>,
}

impl LoginQuery {
    fn hints(&self) -> SignInHints {
        let prompt = self
            .prompt
            .as_deref()
            .filter(|prompt| ["login", "select_account", "consent"].contains(prompt));
        let prompt = if self.switch.as_deref() == Some("1") {
            Some("select_account")
        } else {
            prompt
        };
        let is_valid = |hint: &&String| !hint.is_empty() && hint.len() <= MAX_HINT && !hint.contains(char::is_control);
        let is_domain = |hint: &&String| {
            hint.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        SignInHints {
            prompt: prompt.map(str::to_owned),
            login_hint: self.login_hint.as_ref().filter(is_valid).cloned(),
            domain_hint: self.domain_hint.as_ref().filter(is_valid).filter(is_domain).cloned(),
            challenge: None,
        }
    }
}

/// `GET /login`
///
/// # Errors
/// When the browser came under another address, signs in over and over, or Entra ID's metadata cannot be fetched.
pub async fn start(
    context: RequestContext,
    query: web::Query<LoginQuery>,
    sign_ins: web::Data<SignIns>,
    proxies: web::Data<TrustedProxies>,
    client: web::Data<ConfidentialClient>,
    pools: web::Data<BlockingPools>,
) -> Result<HttpResponse, PageError> {
    let next = query.next.as_deref().and_then(|text| context.return_path(text));
    if let Some(redirect) = redirect_to_own_origin(&context, &proxies, next.as_ref())? {
        return Ok(redirect);
    }
    let next = next.unwrap_or_else(ReturnPath::home);
    let mut hints = SignInHints {
        challenge: context.session.pending_challenge(),
        ..query.hints()
    };
    let account = context.session.account();
    if let (Some(account), None) = (&account, &hints.prompt) {
        if hints.challenge.is_none() {
            return Ok(RequestContext::redirect(next.as_str()));
        }
        // The challenge is for this user; another account would not meet it.
        hints.login_hint.clone_from(&account.login_hint);
    }
    // A user who asks for a prompt has decided to sign in again, so this is not a loop.
    if account.is_none() && hints.prompt.is_none() && sign_ins.loop_guard.is_looping(&context.request) {
        log::error!(
            request_id = context.request_id();
            "a browser signs in again and again, and its session is lost each time; hint: let replicas share sessions \
             (redis.url), or send each browser to the same one"
        );
        return Err(PageError::from(ErrorKind::SignInLoop).with_next(next));
    }
    let client = Arc::clone(&client);
    let request = pools.discovery.run(move || client.authorization_request(&hints)).await;
    let request = request
        .map_err(|error| PageError::from(error).with_next(next.clone()))?
        .map_err(|error| {
            log::error!(request_id = context.request_id(); "sign-in cannot be started: {error}");
            PageError::from(error).with_next(next.clone())
        })?;
    let pending = PendingCookie {
        nonce: request.pending.nonce,
        code_verifier: request.pending.code_verifier.expose_secret().to_owned(),
        next: next.as_str().to_owned(),
        started_at: Utc::now(),
    };
    let stored = sign_ins.pending.begin(&context.request, &request.state, &pending);
    stored.ok_or_else(|| PageError::from(ErrorKind::Internal))?;
    Ok(RequestContext::redirect(request.url.as_str()))
}

/// Sends a browser that came under another name of this machine to the site's own address. A sign-in that starts under
/// one name and ends under another would be lost, with its cookie.
///
/// # Errors
/// When the browser came under another address.
fn redirect_to_own_origin(
    context: &RequestContext,
    proxies: &TrustedProxies,
    next: Option<&ReturnPath>,
) -> Result<Option<HttpResponse>, PageError> {
    let public_url = &context.addresses.public_url;
    match check_origin(&context.request, public_url, proxies) {
        OriginCheck::Matches => Ok(None),
        OriginCheck::LoopbackAlias => {
            let origin = public_url.origin().ascii_serialization();
            Ok(Some(RequestContext::redirect(&format!(
                "{origin}{}",
                sign_in_href(next)
            ))))
        }
        OriginCheck::Mismatch(used) => {
            let error = PageError::from(ErrorKind::WrongOrigin {
                used,
                own: public_url.clone(),
                redirect_path: context.addresses.redirect_uri.path().to_owned(),
            });
            Err(error.with_next(next.cloned().unwrap_or_else(ReturnPath::home)))
        }
        OriginCheck::Invalid => Err(ErrorKind::BadRequest.into()),
    }
}
