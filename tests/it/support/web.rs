//! A small browser over HTTP: it stores cookies, follows redirects between the site and the identity provider, and submits
//! forms with their hidden fields and with the headers that browsers add. And a fake of the API.
//!
//! ```ignore
//! let browser = Browser::new();
//! let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
//! let page = browser.submit(&form.with("title", "A title").with("content", "Some text"));
//! assert_eq!(page.status, 200);
//!
//! let api = FakeApi::start(|request| match request.method.as_str() {
//!     "POST" => HttpResponse::InternalServerError().finish(),
//!     _ => HttpResponse::Ok().json(json!([])),
//! });
//! ```

#![expect(clippy::panic, reason = "a test that cannot go on must fail")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, web};
use blogctl::{config::DEV_API_ID, serve};
use url::Url;

use super::{
    cookie_jar::CookieJar,
    entra::wait_until,
    system::{TestServer, TestSystem},
};

pub const ALICE: &str = "0a11ce00-0000-4000-8000-000000000001";
pub const BOB: &str = "0a11ce00-0000-4000-8000-000000000002";
pub const CHIARA: &str = "0a11ce00-0000-4000-8000-000000000003";

/// Longest chain of redirects.
const MAX_REDIRECTS: usize = 15;

/// A page as the browser got it.
#[derive(Debug, Clone)]
pub struct Page {
    pub url: Url,
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    /// The `Set-Cookie` headers of the last response.
    pub set_cookies: Vec<String>,
    pub body: String,
    /// All URLs of the redirects, including the last one.
    pub visited: Vec<Url>,
}

/// One form of a page.
#[derive(Debug, Clone)]
pub struct Form {
    pub action: Url,
    pub fields: Vec<(String, String)>,
}

/// A browser with a cookie jar.
pub struct Browser {
    agent: ureq::Agent,
    jar: CookieJar,
}

impl Page {
    /// The value of a header; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The target of the redirect.
    pub fn location(&self) -> Url {
        self.url.join(self.header("location")).expect("a location")
    }

    /// The kind of error page; empty for other pages.
    pub fn error(&self) -> &str {
        between(&self.body, "data-error=\"", "\"").unwrap_or("")
    }

    /// The HTML with entities resolved.
    pub fn text(&self) -> String {
        unescape(&self.body)
    }

    /// The form whose HTML contains `mark`.
    pub fn form(&self, mark: &str) -> Form {
        let html = self
            .body
            .split("<form")
            .skip(1)
            .filter_map(|rest| rest.split("</form>").next())
            .find(|html| html.contains(mark))
            .unwrap_or_else(|| panic!("a form with {mark:?} on {}: {}", self.url, self.body));
        let head = html.split('>').next().expect("a tag");
        let action = attribute(head, "action").unwrap_or_default();
        let mut fields = Vec::new();
        for tag in html.split("<input").skip(1).filter_map(|rest| rest.split('>').next()) {
            if let Some(name) = attribute(tag, "name") {
                fields.push((name, attribute(tag, "value").unwrap_or_default()));
            }
        }
        for area in html.split("<textarea").skip(1) {
            let (tag, rest) = area.split_once('>').expect("a tag");
            let text = rest.split("</textarea>").next().expect("its end");
            // A browser drops the first line break.
            let text = unescape(text.strip_prefix('\n').unwrap_or(text));
            fields.push((attribute(tag, "name").unwrap_or_default(), text));
        }
        let action = if action.is_empty() {
            self.url.clone()
        } else {
            self.url.join(&action).expect("an address")
        };
        Form { action, fields }
    }
}

impl Form {
    /// With this field set.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without this field.
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    /// Value of a field; empty when absent.
    pub fn value(&self, name: &str) -> &str {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Browser {
    pub fn new() -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(std::time::Duration::from_mins(1)))
            .build()
            .into();
        Self {
            agent,
            jar: CookieJar::default(),
        }
    }

    /// Another browser with the same cookies.
    pub fn clone_cookies(&self) -> Self {
        Self {
            jar: self.jar.clone(),
            ..Self::new()
        }
    }

    /// Value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.jar.get(name)
    }

    /// The value of the `Cookie` header.
    pub fn cookie_header(&self) -> String {
        self.jar.header()
    }

    pub fn forget_cookie(&self, name: &str) {
        self.jar.forget(name);
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.jar.set(name, value);
    }

    /// Opens a page, following redirects.
    pub fn get(&self, url: &str) -> Page {
        self.follow(self.get_once(url))
    }

    /// Sends one GET.
    pub fn get_once(&self, url: &str) -> Page {
        self.request("GET", &Url::parse(url).expect("a URL"), None, &[])
    }

    /// Submits a form from its own page, and follows redirects.
    pub fn submit(&self, form: &Form) -> Page {
        self.follow(self.submit_once(form))
    }

    /// Submits a form without following redirects.
    pub fn submit_once(&self, form: &Form) -> Page {
        let origin = form.action.origin().ascii_serialization();
        self.post(form, &[("Origin", &origin), ("Sec-Fetch-Site", "same-origin")])
    }

    /// Submits a form with only these headers, without following redirects.
    pub fn post(&self, form: &Form, headers: &[(&str, &str)]) -> Page {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(
                form.fields
                    .iter()
                    .map(|(name, value)| (name, value.replace('\n', "\r\n"))),
            )
            .finish();
        self.request("POST", &form.action, Some(body), headers)
    }

    /// Sends any request.
    pub fn request(&self, method: &str, url: &Url, form: Option<String>, headers: &[(&str, &str)]) -> Page {
        let mut request = http::Request::builder().method(method).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let cookies = self.jar.header();
        if !cookies.is_empty() {
            request = request.header("Cookie", cookies);
        }
        let mut response = match form {
            Some(form) => {
                let request = request
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .body(form);
                self.agent.run(request.expect("a request"))
            }
            None => self.agent.run(request.body(()).expect("a request")),
        }
        .unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        let set_cookies = self.jar.store_from(response.headers());
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        Page {
            url: url.clone(),
            status: response.status().as_u16(),
            headers,
            set_cookies,
            body: response.body_mut().read_to_string().unwrap_or_default(),
            visited: vec![url.clone()],
        }
    }

    /// Signs in on the site as a user of the emulator, and ends at `next`.
    pub fn sign_in(&self, system: &TestSystem, oid: &str, next: &str) -> Page {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("next", next)
            .finish();
        let picker = self.get(&system.web.url(&format!("/login?{query}")));
        self.pick(&picker, oid)
    }

    /// Picks a user on the emulator's page.
    pub fn pick(&self, picker: &Page, oid: &str) -> Page {
        self.submit(&picker.form(oid).with("oid", oid).without("email"))
    }

    /// Publishes a post, and returns the page that follows.
    pub fn publish(&self, system: &TestSystem, title: &str, content: &str) -> Page {
        let form = self.get(&system.web.url("/posts/new")).form("Publish");
        self.submit(&form.with("title", title).with("content", content))
    }

    fn follow(&self, mut page: Page) -> Page {
        for _ in 0..MAX_REDIRECTS {
            if !(300..400).contains(&page.status) {
                return page;
            }
            let mut visited = page.visited.clone();
            page = self.request("GET", &page.location(), None, &[]);
            visited.append(&mut page.visited);
            page.visited = visited;
        }
        panic!("redirected for ever: {:?}", page.visited);
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split(end).next()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    between(tag, &format!(" {name}=\""), "\"").map(unescape)
}

fn unescape(text: &str) -> String {
    let mut text = text.to_owned();
    for (entity, plain) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&#x2F;", "/"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, plain);
    }
    text
}

/// A request that [`FakeApi`] received.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    pub method: String,
    pub path: String,
    pub token: String,
    pub request_id: String,
    pub traceparent: String,
    pub tracestate: String,
    pub if_match: String,
    pub idempotency_key: String,
}

type Handler = Box<dyn Fn(&ReceivedRequest) -> HttpResponse + Send>;

/// An API that answers every request as the test says.
pub struct FakeApi {
    pub server: TestServer,
    state: FakeApiState,
}

#[derive(Clone)]
struct FakeApiState {
    handler: Arc<Mutex<Handler>>,
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
}

struct FakeApiServer {
    port: u16,
    task: actix_web::dev::Server,
}

impl FakeApi {
    pub fn start(handler: impl Fn(&ReceivedRequest) -> HttpResponse + Send + 'static) -> Self {
        let state = FakeApiState {
            handler: Arc::new(Mutex::new(Box::new(handler))),
            requests: Arc::default(),
        };
        let shared = state.clone();
        let server = TestServer::start(
            move || FakeApiServer::new(shared),
            |server: &FakeApiServer| (server.port, server.handle()),
            |server| server.task,
        );
        Self { server, state }
    }

    /// Replaces the handler.
    pub fn respond(&self, handler: impl Fn(&ReceivedRequest) -> HttpResponse + Send + 'static) {
        *self.state.handler.lock().expect("a handler") = Box::new(handler);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.state.requests.lock().expect("a list").clone()
    }

    pub fn url(&self) -> Url {
        Url::parse(&self.server.url("")).expect("a URL")
    }
}

impl FakeApiServer {
    fn new(state: FakeApiState) -> Self {
        let listener = serve::listen("127.0.0.1", 0).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let task = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::new(state.clone()))
                .default_service(web::to(answer))
        })
        .workers(2)
        .disable_signals()
        .listen(listener)
        .expect("it listens")
        .run();
        Self { port, task }
    }

    fn handle(&self) -> ServerHandle {
        self.task.handle()
    }
}

async fn answer(request: HttpRequest, state: web::Data<FakeApiState>) -> HttpResponse {
    let header = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let received = ReceivedRequest {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        token: header("authorization").trim_start_matches("Bearer ").to_owned(),
        request_id: header("x-request-id"),
        traceparent: header("traceparent"),
        tracestate: header("tracestate"),
        if_match: header("if-match"),
        idempotency_key: header("idempotency-key"),
    };
    state.requests.lock().expect("a list").push(received.clone());
    (state.handler.lock().expect("a handler"))(&received)
}

/// The cookie of a session that has ended because Entra ID rejected a refresh. Needs short-lived access tokens.
pub fn signed_out_session(browser: &Browser, system: &TestSystem, oid: &str) -> String {
    browser.sign_in(system, oid, "/");
    control(
        system,
        "PUT",
        "/fault",
        Some(&serde_json::json!({ "fail_next": { "count": 1, "code": 700_082 } })),
    );
    // The current token still serves this page; the refresh runs in the background.
    wait_until("the refresh is rejected", || {
        browser.get_once(&system.web.url("/posts")).status == 303
    });
    browser.cookie("blogctl").expect("a session")
}

/// Alice is a Writer, Bob a Reader, Chiara an Admin.
pub fn system_with_roles(is_required: bool) -> TestSystem {
    TestSystem::with(|settings| {
        settings.api.require_app_roles = is_required;
        for (user, role) in settings
            .idp
            .users
            .iter_mut()
            .zip(["Blog.Writer", "Blog.Reader", "Blog.Admin"])
        {
            user.roles = vec![role.to_owned()];
        }
        let api = settings
            .idp
            .apps
            .iter_mut()
            .find(|app| app.client_id == DEV_API_ID)
            .expect("the API");
        let role = api.app_roles.first().expect("a role").clone();
        let named = |value: &str| {
            let mut role = role.clone();
            value.clone_into(&mut role.value);
            role
        };
        api.app_roles = ["Blog.Reader", "Blog.Writer", "Blog.Admin"].map(named).to_vec();
    })
}

/// A post as the API sends it.
pub fn post_json(id: u64, title: &str, content: &str, oid: &str) -> serde_json::Value {
    let time = "2026-11-20T10:00:00Z";
    serde_json::json!({
        "id": id, "title": title, "content": content, "author_id": 1, "created_at": time, "updated_at": time,
        "author": { "id": 1, "oid": oid, "display_name": "Alice Archer", "created_at": time, "updated_at": time },
    })
}

/// Sends a command to the emulator.
pub fn control(system: &TestSystem, method: &str, path: &str, body: Option<&serde_json::Value>) -> serde_json::Value {
    let url = Url::parse(&system.idp.url(&format!("/_control{path}"))).expect("a URL");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let request = http::Request::builder().method(method).uri(url.as_str());
    let mut response = match body {
        Some(body) => agent.run(
            request
                .header("Content-Type", "application/json")
                .body(body.to_string())
                .expect("a request"),
        ),
        None => agent.run(request.body(()).expect("a request")),
    }
    .expect("an answer");
    assert!(response.status().is_success(), "{method} {path}: {}", response.status());
    response.body_mut().read_json().unwrap_or(serde_json::Value::Null)
}

/// Number of token requests with this grant type at the emulator.
pub fn grants(system: &TestSystem, grant_type: &str) -> usize {
    let requests = control(system, "GET", "/requests", None);
    let all = requests.as_array().expect("a list");
    all.iter().filter(|entry| entry["grant_type"] == grant_type).count()
}
