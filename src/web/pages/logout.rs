//! `/logout`: ends the session here, then at Entra ID.

use std::sync::Arc;

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::{Deserialize, Serialize};

use crate::{
    audit::{self, Event},
    entra::ConfidentialClient,
    serve::RequestAudit,
    web::{
        blocking_pools::BlockingPools,
        csrf::{CsrfForm, ProtectedForm},
        error::{ErrorKind, PageError},
        health_checks::HealthChecks,
        request_context::RequestContext,
        sign_in::SignIns,
        user_sessions::{SignOutScope, UserSessions},
    },
};

/// The sign-out button.
#[derive(Deserialize)]
pub struct LogoutForm {
    #[serde(default)]
    csrf_token: String,
    /// `1`: also sign out in other browsers.
    everywhere: Option<String>,
}

impl ProtectedForm for LogoutForm {
    fn csrf_token(&self) -> &str {
        &self.csrf_token
    }

    fn when_signed_out() -> ErrorKind {
        ErrorKind::AlreadySignedOut
    }
}

impl LogoutForm {
    fn scope(&self) -> SignOutScope {
        if self.everywhere.as_deref() == Some("1") {
            SignOutScope::AllBrowsers
        } else {
            SignOutScope::ThisBrowser
        }
    }
}

#[derive(Serialize)]
struct LogoutPage {}

/// `GET /logout`: asks for confirmation, because a link must not sign a user out.
///
/// # Errors
/// When the page cannot be rendered.
pub async fn ask(context: RequestContext) -> Result<HttpResponse, PageError> {
    if context.session.account().is_none() {
        return Ok(RequestContext::redirect("/"));
    }
    context.page("logout.html", &LogoutPage {})
}

/// `POST /logout`
///
/// # Errors
/// When the form fails the CSRF check, or the session store does not answer.
pub async fn sign_out(
    CsrfForm { form, user }: CsrfForm<LogoutForm>,
    user_sessions: web::Data<UserSessions>,
    sign_ins: web::Data<SignIns>,
    health: web::Data<HealthChecks>,
    client: web::Data<ConfidentialClient>,
    pools: web::Data<BlockingPools>,
    trail: web::Data<RequestAudit>,
) -> Result<HttpResponse, PageError> {
    let (context, account) = (user.context, user.account);
    user_sessions.sign_out(&account, form.scope()).await?;
    let ended = match form.scope() {
        SignOutScope::ThisBrowser => None,
        // After the revocation. The user's sessions at Entra ID in other browsers are not this site's to end.
        SignOutScope::AllBrowsers => Some(user_sessions.end_all_of(account.user()).await),
    };
    let event = Event::SignedOut {
        scope: match form.scope() {
            SignOutScope::ThisBrowser => audit::SignOutScope::ThisBrowser,
            SignOutScope::AllBrowsers => audit::SignOutScope::AllBrowsers,
        },
        sessions: ended.as_ref().and_then(|ended| ended.as_ref().ok().copied()),
    };
    trail.record(&context.request, Some(account.user()), event);
    if let Some(count) = ended.transpose()? {
        log::info!(request_id = context.request_id(); "signed out everywhere: {count} sessions ended");
    }
    context.session.purge();
    sign_ins.loop_guard.reset(&context.request);

    // The cached addresses of Entra ID do not say whether it is up now.
    if health.is_entra_up().await {
        let (client, addresses) = (Arc::clone(&client), context.addresses.clone());
        let url = move || client.sign_out_url(&addresses.public_url, account.login_hint.as_deref());
        if let Ok(Ok(url)) = pools.discovery.run(url).await {
            return Ok(RequestContext::redirect(url.as_str()));
        }
    }
    log::warn!(request_id = context.request_id(); "signed out here but not at Entra, which does not answer");
    context.page_with_status(StatusCode::OK, "signed_out_here.html", &LogoutPage {})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::templates::{Layout, Templates};

    #[test]
    fn a_user_who_is_signed_out_here_only_is_informed() {
        let layout = Layout {
            css: "/c",
            icon: "/i",
            path: "/logout",
            account: None,
            flash: None,
            request_id: "the-id".to_owned(),
        };
        let html = Templates::parse()
            .unwrap()
            .render("signed_out_here.html", &layout, &LogoutPage {})
            .unwrap();
        assert!(html.contains("you may still be signed in there") && html.contains("the-id"));
    }
}
