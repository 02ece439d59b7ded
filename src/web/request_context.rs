//! One request to the site: what every page needs of it, and how a page is answered.

use std::{
    future::{Ready, ready},
    time::Duration,
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{StatusCode, header},
    rt::time::timeout,
    web,
};
use serde::Serialize;

use super::{
    api_client::{Correlation, Rights, UsersApi},
    csrf,
    drafts::Typed,
    middleware::error_pages::{Kind, PageError},
    session::{Account, TypedSession},
    state::Site,
    templates::{Layout, LayoutAccount},
};
use crate::serve::{RequestId, TraceContext};

/// A page that asks only what to offer waits no longer than this.
const RIGHTS_TIMEOUT: Duration = Duration::from_secs(2);

/// A visitor, signed in or not.
pub struct Visit {
    /// The request.
    pub request: HttpRequest,
    /// What the whole site shares.
    pub site: web::Data<Site>,
    /// What is remembered of this browser.
    pub session: TypedSession,
}

impl Visit {
    /// Of this request.
    ///
    /// # Errors
    /// When the server was put together without a [`Site`].
    pub fn of(request: &HttpRequest) -> Result<Self, PageError> {
        let Some(site) = request.app_data::<web::Data<Site>>() else {
            return Err(Kind::Internal.into());
        };
        Ok(Self {
            request: request.clone(),
            site: site.clone(),
            session: TypedSession::of(request),
        })
    }

    /// What a call to the API is to carry of this request.
    pub fn correlation(&self) -> Correlation {
        Correlation {
            request_id: self.request_id(),
            trace: TraceContext::get_or_start(&self.request),
        }
    }

    /// The path of the page, percent-decoded, as routes see it.
    pub fn page_path(&self) -> &str {
        self.request.match_info().as_str()
    }

    /// The request's id.
    pub fn request_id(&self) -> String {
        RequestId::get(&self.request).as_str().to_owned()
    }

    /// The trace that the request is part of, for log lines; empty when it is part of none.
    pub fn trace_id(&self) -> String {
        TraceContext::id(&self.request)
    }

    /// Does what uses the users' sessions, tokens or drafts: at once when they are in memory, on the threads of Redis when they are there.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn blocking<T, E>(
        &self,
        work: impl FnOnce(&Site) -> Result<T, E> + Send + 'static,
    ) -> Result<T, PageError>
    where
        T: Send + 'static,
        E: Into<PageError> + Send + 'static,
    {
        let site = self.site.clone();
        let outcome = match self.site.redis.clone() {
            Some(redis) => redis.off_thread(move || work(&site)).await?,
            None => work(&site),
        };
        outcome.map_err(Into::into)
    }

    /// A page, with what is to be said once.
    ///
    /// # Errors
    /// When the template cannot be rendered.
    pub fn page<T: Serialize>(&self, template: &str, page: &T) -> Result<HttpResponse, PageError> {
        let flash = self.session.take_flash();
        self.render(StatusCode::OK, template, page, flash)
    }

    /// A page that tells of a mistake.
    ///
    /// # Errors
    /// When the template cannot be rendered.
    pub fn page_with_status<T: Serialize>(
        &self,
        status: StatusCode,
        template: &str,
        page: &T,
    ) -> Result<HttpResponse, PageError> {
        self.render(status, template, page, None)
    }

    /// Sends the browser on with a GET.
    pub fn redirect(to: &str) -> HttpResponse {
        HttpResponse::SeeOther().insert_header((header::LOCATION, to)).finish()
    }

    fn render<T: Serialize>(
        &self,
        status: StatusCode,
        template: &str,
        page: &T,
        flash: Option<String>,
    ) -> Result<HttpResponse, PageError> {
        let account = self.session.account();
        let layout = Layout {
            css: self.site.assets.url("site.css"),
            icon: self.site.assets.url("icon.svg"),
            path: self.page_path(),
            account: account.as_ref().map(|account| LayoutAccount {
                name: account.display_name(),
                csrf_token: csrf::mask(&account.csrf_token),
                may_write: self
                    .site
                    .api
                    .known_rights(&account.ticket)
                    .map_or(!account.seems_reader, Rights::may_write),
            }),
            flash,
            request_id: self.request_id(),
        };
        let html = self.site.templates.render(template, &layout, page).map_err(|error| {
            log::error!(request_id = self.request_id(), trace_id = self.trace_id(); "{error}");
            PageError::from(Kind::Internal)
        })?;
        Ok(HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .body(html))
    }
}

impl FromRequest for Visit {
    type Error = PageError;
    type Future = Ready<Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

/// A visitor who is signed in: a handler that takes this is closed to all others.
pub struct SignedIn {
    /// The visit.
    pub visit: Visit,
    /// Who.
    pub account: Account,
}

impl SignedIn {
    /// What the user typed on this page, and could not send.
    ///
    /// # Errors
    /// When the place for it does not answer.
    pub async fn draft(&self) -> Result<Option<Typed>, PageError> {
        let (author, path) = (self.account.user(), self.visit.page_path().to_owned());
        self.visit.blocking(move |site| site.drafts.find(author, &path)).await
    }

    /// Keeps what the user typed on this page, until it is sent.
    ///
    /// # Errors
    /// When the place for it does not answer.
    pub async fn keep_draft(&self, typed: Typed) -> Result<(), PageError> {
        let (author, path) = (self.account.user(), self.visit.page_path().to_owned());
        self.visit
            .blocking(move |site| site.drafts.keep(author, &path, typed))
            .await
    }

    /// Forgets what the user typed at `path`: it is sent, or its post is gone.
    pub async fn forget_draft(&self, path: &str) {
        let (author, path) = (self.account.user(), path.to_owned());
        // The worst is a text that is offered once more.
        let _ = self.visit.blocking(move |site| site.drafts.forget(author, &path)).await;
    }

    /// Whether the API would take a new post. Asks it only about somebody who seems to be a Reader; while it does not answer, its
    /// answer to the post itself decides.
    pub async fn may_write(&self) -> bool {
        let known = self.api().known_rights();
        if known.map_or(!self.account.seems_reader, Rights::may_write) {
            return true;
        }
        // The role may be new, or not count.
        let _ = timeout(RIGHTS_TIMEOUT, self.api().profile()).await;
        self.api().known_rights().is_none_or(Rights::may_write)
    }

    /// The API on the user's behalf.
    pub fn api(&self) -> UsersApi {
        self.visit
            .site
            .api
            .on_behalf_of(self.account.ticket.clone(), self.visit.correlation())
    }
}

impl FromRequest for SignedIn {
    type Error = PageError;
    type Future = Ready<Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Visit::of(request).and_then(|visit| match visit.session.account() {
            Some(account) => Ok(Self { visit, account }),
            None => Err(Kind::SignInAgain.into()),
        }))
    }
}
