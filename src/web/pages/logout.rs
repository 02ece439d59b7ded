//! `/logout`: ends the session here, then at Entra.

use actix_web::{HttpResponse, http::StatusCode};
use serde::{Deserialize, Serialize};

use crate::web::{
    csrf::{Checked, ProtectedForm},
    middleware::error_pages::{Kind, PageError},
    pages::health,
    request_context::Visit,
    session::UserKey,
};

/// The sign-out button.
#[derive(Deserialize)]
pub struct LogoutForm {
    #[serde(default)]
    csrf_token: String,
    /// `1`: in other browsers, too.
    everywhere: Option<String>,
}

impl ProtectedForm for LogoutForm {
    fn csrf_token(&self) -> &str {
        &self.csrf_token
    }

    fn when_signed_out() -> Kind {
        Kind::SignedOutAlready
    }
}

#[derive(Serialize)]
struct LogoutPage {}

/// `GET /logout`: asks, since a link must not sign anybody out.
///
/// # Errors
/// When the page cannot be rendered.
pub async fn ask(visit: Visit) -> Result<HttpResponse, PageError> {
    if visit.session.account().is_none() {
        return Ok(Visit::redirect("/"));
    }
    visit.page("logout.html", &LogoutPage {})
}

/// `POST /logout`
///
/// # Errors
/// When the form cannot be trusted.
pub async fn sign_out(checked: Checked<LogoutForm>) -> Result<HttpResponse, PageError> {
    let Checked { form, user } = checked;
    let visit = user.visit;
    // With it the browser's other sessions: those that a late answer has pushed out of its cookie, too.
    let (ticket, at_provider) = (user.account.ticket.clone(), user.account.provider_session());
    let everywhere = (form.everywhere.as_deref() == Some("1")).then(|| user.account.user());
    let ended = visit.blocking(move |site| {
        // First, since it alone ends every sign-in, even if Redis fails at what comes next.
        if let Some(user) = everywhere {
            site.sign_outs.end_everywhere(user)?;
        }
        let others = at_provider
            .map(|session| site.sessions.end_provider_session(&session))
            .transpose()?;
        site.tokens.forget(&[ticket])?;
        site.tokens.forget(&others.unwrap_or_default())
    });
    ended.await?;
    if let Some(user) = everywhere {
        end_everywhere(&visit, user).await?;
    }
    visit.session.purge();
    visit.site.lost_sessions.forget(&visit.request);

    let login_hint = user.account.login_hint;
    // Its addresses may be known from better times.
    if health::entra_answers(&visit.site).await {
        let site = visit.site.clone();
        let url = move || site.client.sign_out_url(&site.public_url, login_hint.as_deref());
        if let Ok(Ok(url)) = visit.site.lanes.discovery.run(url).await {
            return Ok(Visit::redirect(url.as_str()));
        }
    }
    log::warn!(request_id = visit.request_id(), trace_id = visit.trace_id(); "signed out here but not at Entra, which does not answer");
    visit.page_with_status(StatusCode::OK, "signed_out_here.html", &LogoutPage {})
}

/// Ends the user's sessions in all browsers, after the note that they have ended. Entra's own sessions there are not this site's to end.
async fn end_everywhere(visit: &Visit, user: UserKey) -> Result<(), PageError> {
    let ended = visit.blocking(move |site| {
        let tickets = site.sessions.end_sessions_of(user)?;
        site.tokens.forget(&tickets).map(|()| tickets.len())
    });
    let count = ended.await?;
    log::info!(request_id = visit.request_id(), trace_id = visit.trace_id(); "signed out everywhere: {count} sessions ended");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::templates::{Layout, Templates};

    #[test]
    fn who_is_signed_out_here_only_is_told_so() {
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
