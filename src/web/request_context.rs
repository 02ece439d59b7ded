//! The parts of a request that handlers need, and how they respond with a page.

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
    addresses::Addresses,
    api_client::{ApiClient, Correlation, Rights, UserApi},
    csrf_token,
    error::{ErrorKind, PageError},
    session::{Account, TypedSession},
    sign_in::return_path::ReturnPath,
    static_files::StaticFiles,
    templates::{Layout, LayoutAccount, Templates},
};
use crate::serve::{RequestId, TrustedProxies};

/// How long a page waits for the API when it only wants to know what to offer.
const RIGHTS_TIMEOUT: Duration = Duration::from_secs(2);

/// One request of a visitor, signed in or not.
pub struct RequestContext {
    /// The request.
    pub request: HttpRequest,
    /// What the site stores about this browser.
    pub session: TypedSession,
    /// The site's own addresses.
    pub addresses: web::Data<Addresses>,
    api: web::Data<ApiClient>,
    templates: web::Data<Templates>,
    static_files: web::Data<StaticFiles>,
}

impl RequestContext {
    /// The context of `request`.
    ///
    /// # Errors
    /// When the server was built without the components of the site.
    pub fn from_http(request: &HttpRequest) -> Result<Self, PageError> {
        Ok(Self {
            request: request.clone(),
            session: TypedSession::from_http(request),
            addresses: component(request)?,
            api: component(request)?,
            templates: component(request)?,
            static_files: component(request)?,
        })
    }

    /// A component of the site that only some pages need.
    ///
    /// # Errors
    /// When the server was built without it.
    pub fn component<T: 'static>(&self) -> Result<web::Data<T>, PageError> {
        component(&self.request)
    }

    /// Connects requests to the API with this request.
    pub fn correlation(&self) -> Correlation {
        let peer = self.request.peer_addr().map(|peer| peer.ip());
        let proxies = self.component::<TrustedProxies>().ok();
        Correlation {
            request_id: self.request_id(),
            client: proxies.and_then(|proxies| proxies.client(peer, self.request.headers())),
        }
    }

    /// The path of the page, percent-decoded, as routes see it.
    pub fn page_path(&self) -> &str {
        self.request.match_info().as_str()
    }

    /// The page to return to after a sign-in, if `text` names one.
    pub fn return_path(&self, text: &str) -> Option<ReturnPath> {
        self.addresses.return_path(text)
    }

    /// The id of the request, for log lines and error pages.
    pub fn request_id(&self) -> String {
        RequestId::get(&self.request).as_str().to_owned()
    }

    /// Renders a page with status 200, and shows the flash message.
    ///
    /// # Errors
    /// When the template cannot be rendered.
    pub fn page<T: Serialize>(&self, template: &str, page: &T) -> Result<HttpResponse, PageError> {
        let flash = self.session.take_flash();
        self.render(StatusCode::OK, template, page, flash)
    }

    /// Renders a page that reports an error; the flash message waits for the next page.
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

    /// Redirects the browser with status 303, so that it follows with a GET.
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
            css: self.static_files.url("site.css"),
            icon: self.static_files.url("icon.svg"),
            path: self.page_path(),
            account: account.as_ref().map(|account| LayoutAccount {
                name: account.display_name(),
                csrf_token: csrf_token::mask(&account.csrf_token),
                may_write: may_write(self.api.cached_rights(&account.ticket), account),
            }),
            flash,
            request_id: self.request_id(),
        };
        let html = self.templates.render(template, &layout, page).map_err(|error| {
            log::error!(request_id = self.request_id(); "{error}");
            PageError::from(ErrorKind::Internal)
        })?;
        Ok(HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .body(html))
    }
}

/// Whether the user may write, as far as the site knows: what the API said last, else a guess from the access token.
fn may_write(cached: Option<Rights>, account: &Account) -> bool {
    cached.map_or(!account.seems_reader, Rights::may_write)
}

fn component<T: 'static>(request: &HttpRequest) -> Result<web::Data<T>, PageError> {
    let data = request.app_data::<web::Data<T>>().cloned();
    data.ok_or_else(|| ErrorKind::Internal.into())
}

impl FromRequest for RequestContext {
    type Error = PageError;
    type Future = Ready<Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::from_http(request))
    }
}

/// The request of a signed-in user: a handler that takes this is closed to everyone else.
pub struct SignedInUser {
    /// The request.
    pub context: RequestContext,
    /// Who is signed in.
    pub account: Account,
}

impl SignedInUser {
    /// Whether the API would accept a new post. Asks it only about users who seem to be Readers. While it does not
    /// answer, it decides when the post is sent.
    pub async fn may_write(&self) -> bool {
        if may_write(self.api().cached_rights(), &self.account) {
            return true;
        }
        // The role may be new, or the API may not check roles.
        let _ = timeout(RIGHTS_TIMEOUT, self.api().profile()).await;
        self.api().cached_rights().is_none_or(Rights::may_write)
    }

    /// The API on the user's behalf.
    pub fn api(&self) -> UserApi {
        let client = self.context.api.clone().into_inner();
        client.on_behalf_of(self.account.ticket.clone(), self.context.correlation())
    }
}

impl FromRequest for SignedInUser {
    type Error = PageError;
    type Future = Ready<Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(
            RequestContext::from_http(request).and_then(|context| match context.session.account() {
                Some(account) => Ok(Self { context, account }),
                None => Err(ErrorKind::SignInRequired.into()),
            }),
        )
    }
}
