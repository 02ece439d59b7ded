//! The API with its identity provider, without the site, and a client that calls it.
//!
//! ```ignore
//! let api = TestApi::with(|settings| settings.api.max_body_bytes = 1000);
//! let id = api.alice().write("A title", "Some text");
//! api.bob().delete(&format!("/v1/posts/{id}")).problem(403, "not_author");
//! api.anonymous().get("/v1/posts").problem(401, "missing_token");
//! ```

use std::time::{Duration, Instant};

use blogctl::{
    config::{DatabaseSettings, IdpUser, Settings},
    serve,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::http::{HeaderMap, Request, request};

use super::{
    database::each_database,
    idp::{IdpControl, TokenBuilder, agent},
    system::{TestServer, settings_for},
};

/// The API and its identity provider on free ports.
pub struct TestApi {
    pub idp: TestServer,
    pub settings: Settings,
    server: Option<TestServer>,
    _folder: TempDir,
}

impl TestApi {
    /// Starts both with a new SQLite file.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// Starts both with settings changed by `change`.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [idp, api, web] = [(); 3].map(|()| serve::listen("127.0.0.1", 0).expect("a free port"));
        let mut settings = settings_for(folder.path(), &idp, &api, &web);
        change(&mut settings);
        Self {
            idp: TestServer::idp(idp, settings.clone()),
            server: Some(TestServer::api(api, settings.clone())),
            settings,
            _folder: folder,
        }
    }

    /// Starts both on this database, which gets its tables.
    pub fn on(database: &DatabaseSettings) -> Self {
        Self::with(|settings| {
            let migrate_at_start = Some(true);
            settings.database = DatabaseSettings {
                migrate_at_start,
                ..database.clone()
            };
            // Enough for whole batteries of them.
            settings.api.limit_searches_burst = 10_000;
        })
    }

    /// Stops the API, and starts another with the same settings.
    pub fn restart(&mut self) {
        self.server.take().expect("it runs").stop();
        let listener = serve::listen("127.0.0.1", 0).expect("a free port");
        self.server = Some(TestServer::api(listener, self.settings.clone()));
    }

    /// The development users: 0 is Alice, 1 is Bob, 2 is Chiara.
    pub fn user(&self, number: usize) -> &IdpUser {
        self.settings.idp.users.get(number).expect("a development user")
    }

    pub fn alice(&self) -> Client {
        self.bearer(|token| token.user(&self.user(0).oid))
    }

    pub fn bob(&self) -> Client {
        self.bearer(|token| token.user(&self.user(1).oid))
    }

    /// A user with another name, whose token was issued `seconds` after now.
    pub fn named(&self, number: usize, name: &str, seconds: i64) -> Client {
        self.named_at(number, name, chrono::Utc::now().timestamp() + seconds)
    }

    /// The same with the `iat` of the token.
    pub fn named_at(&self, number: usize, name: &str, issued_at: i64) -> Client {
        self.bearer(|token| {
            token
                .user(&self.user(number).oid)
                .claim("name", json!(name))
                .claim("iat", json!(issued_at))
        })
    }

    /// A client without a token.
    pub fn anonymous(&self) -> Client {
        self.client(None)
    }

    /// A client with Alice's token, changed by `change`.
    pub fn bearer(&self, change: impl FnOnce(TokenBuilder<'_>) -> TokenBuilder<'_>) -> Client {
        self.with_token(&change(self.control().token()).mint())
    }

    /// A client with any token.
    pub fn with_token(&self, token: &str) -> Client {
        self.client(Some(token.to_owned()))
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        self.server.as_ref().expect("it runs").url(path)
    }

    /// Controls the identity provider.
    pub fn control(&self) -> IdpControl {
        IdpControl::new(&self.idp)
    }

    fn client(&self, token: Option<String>) -> Client {
        Client {
            base: self.server.as_ref().expect("it runs").url(""),
            token,
        }
    }
}

/// Runs `test` on an API with an empty SQLite database, and with an empty PostgreSQL database if there is a server.
pub fn each_api(test: impl Fn(TestApi)) {
    each_database(|database| {
        // The folder of the database must outlive the API.
        test(TestApi::on(database));
    });
}

/// A client of the API, with or without a token.
#[derive(Clone)]
pub struct Client {
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of an API that runs elsewhere.
    pub fn at(base: &str, token: &str) -> Self {
        Self {
            base: base.to_owned(),
            token: Some(token.to_owned()),
        }
    }

    /// The access token that it sends.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub fn call(&self, method: &str, path: &str) -> Call {
        let call = Call {
            request: Request::builder().method(method).uri(format!("{}{path}", self.base)),
            body: None,
        };
        match &self.token {
            Some(token) => call.header("Authorization", &format!("Bearer {token}")),
            None => call,
        }
    }

    /// The same client, for another server.
    pub fn at_server(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            token: self.token.clone(),
        }
    }

    /// The same client with persistent connections, for many requests.
    pub fn keep_alive(&self) -> KeepAliveClient {
        KeepAliveClient {
            client: self.clone(),
            agent: agent(),
        }
    }

    pub fn get(&self, path: &str) -> ApiResponse {
        self.call("GET", path).send()
    }

    pub fn post(&self, path: &str, body: &Value) -> ApiResponse {
        self.call("POST", path).json(body).send()
    }

    pub fn put(&self, path: &str, body: &Value) -> ApiResponse {
        self.call("PUT", path).json(body).send()
    }

    pub fn delete(&self, path: &str) -> ApiResponse {
        self.call("DELETE", path).send()
    }

    /// Creates a post and returns its id.
    pub fn write(&self, title: &str, content: &str) -> i64 {
        let answer = self.post("/v1/posts", &json!({ "title": title, "content": content }));
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.value("id").as_i64().expect("an id")
    }

    /// Repeats the request until the response has this status.
    pub fn get_until(&self, path: &str, status: u16) -> ApiResponse {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let answer = self.get(path);
            if answer.status == status {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "{path} never answers {status}: {} {}",
                answer.status,
                answer.text
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A client for many requests.
#[derive(Clone)]
pub struct KeepAliveClient {
    client: Client,
    agent: ureq::Agent,
}

impl KeepAliveClient {
    pub fn status(&self, path: &str) -> u16 {
        self.status_with_token(path, self.client.token.as_deref().expect("a token"))
    }

    pub fn status_with_token(&self, path: &str, token: &str) -> u16 {
        let request = self.agent.get(format!("{}{path}", self.client.base));
        let mut answer = request
            .header("Authorization", format!("Bearer {token}"))
            .call()
            .expect("an answer");
        // The agent reuses a connection only if the response was read to its end.
        answer.body_mut().read_to_string().expect("text");
        answer.status().as_u16()
    }

    /// Sends a request, with a JSON body if there is one.
    ///
    /// # Errors
    /// When the connection fails or breaks, or the response takes more than a minute.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<ApiResponse, ureq::Error> {
        let mut call = self.client.call(method, path);
        for (name, value) in headers {
            call = call.header(name, value);
        }
        if let Some(body) = body {
            call = call.json(body);
        }
        call.try_send_with(&self.agent)
    }

    /// The same connections and token, for the server at another address.
    pub fn at_server(&self, base: &str) -> Self {
        Self {
            client: self.client.at_server(base),
            agent: self.agent.clone(),
        }
    }
}

/// A request under construction.
pub struct Call {
    request: request::Builder,
    body: Option<Vec<u8>>,
}

impl Call {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", &body.to_string())
    }

    pub fn body(mut self, content_type: &str, body: &str) -> Self {
        self.body = Some(body.as_bytes().to_vec());
        self.header("Content-Type", content_type)
    }

    pub fn send(self) -> ApiResponse {
        self.try_send_with(&agent()).expect("an answer")
    }

    fn try_send_with(self, agent: &ureq::Agent) -> Result<ApiResponse, ureq::Error> {
        let mut answer = match self.body {
            Some(body) => agent.run(self.request.body(body).expect("a request")),
            None => agent.run(self.request.body(()).expect("a request")),
        }?;
        Ok(ApiResponse {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text: answer
                .body_mut()
                .with_config()
                .limit(100_000_000)
                .read_to_string()
                .unwrap_or_default(),
        })
    }
}

/// A response of the API.
#[derive(Debug)]
pub struct ApiResponse {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl ApiResponse {
    /// The path of the next page, in `Link: <…>; rel="next"`.
    pub fn next_page(&self) -> Option<String> {
        let link = self.header("Link");
        let path = link.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")?;
        assert!(path.starts_with("/v1/posts?"), "{link}");
        Some(path.to_owned())
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect(&self.text)
    }

    /// One field of the JSON object.
    pub fn value(&self, name: &str) -> Value {
        self.json().get(name).cloned().unwrap_or_default()
    }

    /// The JSON, indented, with times and request ids masked.
    pub fn snapshot(&self) -> String {
        let mut json = self.json();
        redact(&mut json);
        serde_json::to_string_pretty(&json).expect("JSON")
    }

    /// Asserts that this is a problem document with this status and code; returns its `detail`.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("Content-Type"), "application/problem+json", "{self:?}");
        assert_eq!(self.value("status"), status, "{self:?}");
        assert_eq!(self.value("code"), code, "{self:?}");
        assert_eq!(self.value("request_id"), self.header("X-Request-ID"), "{self:?}");
        self.value("detail").as_str().expect("detail is a string").to_owned()
    }

    /// `(field, message)` of each invalid field of a 422.
    #[track_caller]
    pub fn wrong_fields(&self) -> Vec<(String, String)> {
        self.problem(422, "invalid");
        let errors = self.value("errors");
        let text = |error: &Value, name| error.get(name).and_then(Value::as_str).expect("text").to_owned();
        errors
            .as_array()
            .expect("errors")
            .iter()
            .map(|error| (text(error, "field"), text(error, "message")))
            .collect()
    }
}

fn redact(json: &mut Value) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "created_at" | "updated_at" => *value = json!(shape_of_time(value.as_str().expect("a time"))),
                    "request_id" => *value = json!("[request id]"),
                    _ => redact(value),
                }
            }
        }
        _ => {}
    }
}

/// Replaces digits by `0`, so that the format is still visible.
fn shape_of_time(time: &str) -> String {
    time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}
