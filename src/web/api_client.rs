//! The REST API, as this site calls it: the user's access token, the request id passed on, one refresh and one retry
//! when the API refuses the token. Never logs a token or a post.

mod response;
mod types;

use std::{sync::Arc, time::Duration};

use actix_web::http::StatusCode;
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use super::{
    blocking_pools::{BlockingPools, PoolError},
    session::Ticket,
    storage::StoreError,
    token_store::{AccessTokens, TokenError},
};
use crate::{
    entra::{ClaimsChallenge, confidential_client::SignInError},
    serve::{TraceContext, request_id, trace},
};
use response::ApiResponse;
pub use response::Forbidden;
pub use types::{FieldError, NewPost, Post, PostList, PostQuery, Profile, Rights, VersionedPost};

/// Most users whose rights are remembered, and for how long after their last request.
const MAX_KNOWN_RIGHTS: u64 = 20_000;
const RIGHTS_LIFETIME: Duration = Duration::from_hours(1);

/// Why the API did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The sign-in has ended.
    #[error("the user must sign in again")]
    SignInRequired,
    /// 401: the API rejects even a token that was issued a moment ago. With the code, empty when it names none.
    #[error("the API rejects the access token: {0}")]
    TokenRejected(String),
    /// 401 with a claims challenge: the API demands more of the token than a refresh can bring.
    #[error("the API asks for a stronger sign-in")]
    StepUpRequired(ClaimsChallenge),
    /// Entra could not prolong the sign-in.
    #[error(transparent)]
    SignIn(SignInError),
    /// The same, for somebody else, a moment ago.
    #[error("the sign-in could not be prolonged a moment ago")]
    RefreshFailedRecently,
    /// Nobody knows what tokens the user has.
    #[error(transparent)]
    TokenStore(StoreError),
    /// 403
    #[error("the API forbids it: {0:?}")]
    Forbidden(Forbidden),
    /// 404
    #[error("the API knows no such thing")]
    NotFound,
    /// 412: somebody changed the post meanwhile.
    #[error("the post has changed meanwhile")]
    VersionConflict,
    /// 400, 414 or 431: a hidden field or an address that this site did not make.
    #[error("the API cannot read what the visitor sent")]
    Malformed,
    /// 422: another post was made under the same key.
    #[error("another post was made under the same key")]
    IdempotencyKeyReused,
    /// 422, with what is wrong with which field.
    #[error("the API refused what was input")]
    Invalid(Vec<FieldError>),
    /// 413
    #[error("the API takes no text as long as this")]
    TooLarge,
    /// 429, with the seconds to wait when the API tells.
    #[error("the API asks to slow down")]
    TooManyRequests(Option<u64>),
    /// The site itself asks too much at once, and nothing was sent.
    #[error("too many requests are under way")]
    Busy,
    /// 503, with the seconds to wait when the API tells.
    #[error("the API cannot do it at present")]
    Unavailable(Option<u64>),
    /// Whatever answered, with this status, is not the API.
    #[error(
        "client.api_base_url leads to something that is not the API: it answered with status {0} and no problem document"
    )]
    NotTheApi(u16),
    /// No connection.
    #[error("the API cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("the API did not answer in time")]
    TimedOut,
    /// Any other status.
    #[error("the API answered with status {0}")]
    UnexpectedStatus(u16),
    /// An answer that is not what was agreed.
    #[error("the API's answer makes no sense: {0}")]
    InvalidResponse(String),
}

impl From<PoolError> for ApiError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Busy(_) => Self::Busy,
            PoolError::Aborted(_) => Self::Unreachable(error.to_string()),
        }
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::SignInRequired => Self::SignInRequired,
            TokenError::RefreshFailed(error) => Self::SignIn(error),
            TokenError::StepUpRequired(challenge) => Self::StepUpRequired(challenge),
            TokenError::FailedRecently => Self::RefreshFailedRecently,
            TokenError::Busy(error) => error.into(),
            TokenError::Store(error) => Self::TokenStore(error),
        }
    }
}

/// The API at one address.
pub struct ApiClient {
    agent: ureq::Agent,
    base: String,
    tokens: Arc<AccessTokens>,
    pools: Arc<BlockingPools>,
    /// What the API said last that each user may do.
    rights: Cache<Ticket, Rights>,
}

/// The API on behalf of one user, within one request to the site.
pub struct UserApi {
    client: Arc<ApiClient>,
    ticket: Ticket,
    correlation: Correlation,
}

/// One request, without its token.
struct Call {
    method: &'static str,
    path: String,
    if_match: Option<String>,
    idempotency_key: Option<String>,
    body: Option<serde_json::Value>,
}

impl Call {
    fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            if_match: None,
            idempotency_key: None,
            body: None,
        }
    }

    fn json(mut self, post: &NewPost) -> Self {
        self.body = Some(serde_json::json!({ "title": post.title, "content": post.content }));
        self
    }
}

/// What ties a call to the request that it is made for, in the logs of both servers.
#[derive(Debug, Clone)]
pub struct Correlation {
    /// See [`crate::serve::RequestId`].
    pub request_id: String,
    /// The trace that the request is part of.
    pub trace: TraceContext,
}

impl ApiClient {
    /// The API at `base`, over `agent`, whose timeout is the longest that one request may take.
    pub fn new(agent: ureq::Agent, base: &Url, tokens: Arc<AccessTokens>, pools: Arc<BlockingPools>) -> Self {
        Self {
            agent,
            base: base.as_str().trim_end_matches('/').to_owned(),
            tokens,
            pools,
            rights: Cache::builder()
                .max_capacity(MAX_KNOWN_RIGHTS)
                .time_to_idle(RIGHTS_LIFETIME)
                .build(),
        }
    }

    /// For a signed-in user.
    pub fn on_behalf_of(self: &Arc<Self>, ticket: Ticket, correlation: Correlation) -> UserApi {
        UserApi {
            client: Arc::clone(self),
            ticket,
            correlation,
        }
    }

    /// Whether the API answers at all, and not another program in its place. Blocks.
    pub fn is_alive(&self) -> bool {
        let answer = self.agent.get(format!("{}/health/live", self.base)).call();
        answer.is_ok_and(|answer| {
            let content_type = answer
                .headers()
                .get("content-type")
                .and_then(|value| value.to_str().ok());
            answer.status().is_success() && content_type.is_some_and(response::names_json)
        })
    }

    /// An API that does not say what a user may do has no roles: everybody may write.
    fn cache_rights(&self, ticket: &Ticket, said: Option<Rights>, result: &Result<ApiResponse, ApiError>) {
        let rights = match (said, result) {
            (Some(said), _) => said,
            (None, Ok(_)) => Rights::Write,
            (None, Err(ApiError::Forbidden(Forbidden::RoleToRead | Forbidden::RoleToWrite))) => Rights::Read,
            (None, Err(_)) => return,
        };
        if self.rights.get(ticket) != Some(rights) {
            self.rights.insert(ticket.clone(), rights);
        }
    }

    /// What the API said last that the user may do; `None` before the first response.
    pub fn cached_rights(&self, ticket: &Ticket) -> Option<Rights> {
        self.rights.get(ticket)
    }

    fn send(&self, token: &SecretString, correlation: &Correlation, call: &Call) -> Result<ApiResponse, ApiError> {
        let body = call.body.as_ref().map(ToString::to_string);
        let mut request = http::Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.base, call.path))
            .header("Authorization", format!("Bearer {}", token.expose_secret()))
            .header("Accept", "application/json")
            .header(request_id::HEADER.as_str(), &correlation.request_id)
            .header(trace::PARENT.as_str(), correlation.trace.next_traceparent());
        if let Some(state) = correlation.trace.state() {
            request = request.header(trace::STATE.as_str(), state);
        }
        if let Some(etag) = &call.if_match {
            request = request.header("If-Match", etag);
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let sent = match body {
            Some(json) => request
                .header("Content-Type", "application/json")
                .body(json)
                .map(|r| self.agent.run(r)),
            None => request.body(()).map(|r| self.agent.run(r)),
        };
        let response = sent
            .map_err(|error| ApiError::Unreachable(error.to_string()))?
            .map_err(response::no_answer)?;
        ApiResponse::read(response)
    }
}

impl UserApi {
    /// What the API said last that the user may do; `None` before its first response.
    pub fn cached_rights(&self) -> Option<Rights> {
        self.client.cached_rights(&self.ticket)
    }

    /// `GET /v1/profile`
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn profile(&self) -> Result<Profile, ApiError> {
        self.json(Call::new("GET", "/v1/profile"))
            .await
            .map(|(profile, _)| profile)
    }

    /// `GET /v1/posts`
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn posts(&self, query: &PostQuery) -> Result<PostList, ApiError> {
        let (posts, answer) = self.json(Call::new("GET", query.path())).await?;
        Ok(PostList {
            posts,
            total: answer.total,
            next: answer.next_cursor,
        })
    }

    /// `GET /v1/posts/{id}`
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn post(&self, id: u64) -> Result<VersionedPost, ApiError> {
        let (post, answer) = self.json(Call::new("GET", format!("/v1/posts/{id}"))).await?;
        Ok(VersionedPost {
            post,
            etag: answer.etag.unwrap_or_default(),
        })
    }

    /// `POST /v1/posts`; with a `key`, sent again it makes no second post.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn create(&self, post: &NewPost, key: Option<&str>) -> Result<Post, ApiError> {
        let mut call = Call::new("POST", "/v1/posts").json(post);
        call.idempotency_key = key.map(str::to_owned);
        self.json(call).await.map(|(post, _)| post)
    }

    /// `PUT /v1/posts/{id}`, provided that the post still has this `etag`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn change(&self, id: u64, post: &NewPost, etag: &str) -> Result<Post, ApiError> {
        let mut call = Call::new("PUT", format!("/v1/posts/{id}")).json(post);
        call.if_match = Some(etag.to_owned());
        self.json(call).await.map(|(post, _)| post)
    }

    /// `DELETE /v1/posts/{id}`
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delete(&self, id: u64) -> Result<(), ApiError> {
        let answer = self.answer(Call::new("DELETE", format!("/v1/posts/{id}"))).await?;
        // A catch-all page of another server is a success, too.
        if answer.status == StatusCode::NO_CONTENT {
            Ok(())
        } else {
            Err(answer.not_the_api())
        }
    }

    async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<(T, ApiResponse), ApiError> {
        let answer = self.answer(call).await?;
        let value = serde_json::from_slice(&answer.body).map_err(|error| invalid_response(&error))?;
        Ok((value, answer))
    }

    async fn answer(&self, call: Call) -> Result<ApiResponse, ApiError> {
        let result = self.call(&Arc::new(call)).await;
        if let Err(error) = &result {
            log::info!(request_id = self.correlation.request_id, trace_id = self.correlation.trace.trace_id(); "API call: {error}");
        }
        result
    }

    /// With a token that is good, and once more with a new one when the API refuses it.
    async fn call(&self, call: &Arc<Call>) -> Result<ApiResponse, ApiError> {
        let tokens = &self.client.tokens;
        let token = tokens.valid(&self.ticket).await?;
        let mut answer = self.send(token.clone(), call).await?;
        if answer.status == StatusCode::UNAUTHORIZED && answer.challenge.is_none() {
            log::info!(request_id = self.correlation.request_id, trace_id = self.correlation.trace.trace_id(); "the API refused an access token; refreshing it");
            let token = tokens.replace_rejected(&self.ticket, token).await?;
            answer = self.send(token, call).await?;
        }
        let rights = answer.rights;
        let result = answer.into_result(call.method);
        self.client.cache_rights(&self.ticket, rights, &result);
        result
    }

    async fn send(&self, token: SecretString, call: &Arc<Call>) -> Result<ApiResponse, ApiError> {
        let (client, correlation, call) = (Arc::clone(&self.client), self.correlation.clone(), Arc::clone(call));
        self.client
            .pools
            .api
            .run(move || client.send(&token, &correlation, &call))
            .await?
    }
}

/// Where the JSON goes wrong, without a word of it: the answer may hold a post.
fn invalid_response(error: &serde_json::Error) -> ApiError {
    ApiError::InvalidResponse(format!(
        "{:?} at line {} column {}",
        error.classify(),
        error.line(),
        error.column()
    ))
}
