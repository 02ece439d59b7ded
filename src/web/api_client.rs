//! The client of the REST API. It sends the user's access token and passes the request id on. When the API rejects the
//! token, it refreshes the token and retries once. It never logs a token or a post.

mod response;
mod types;

use std::{net::IpAddr, sync::Arc, time::Duration};

use actix_web::http::StatusCode;
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use super::{
    blocking_pools::BlockingPools,
    session::Ticket,
    storage::StoreError,
    token_store::{AccessTokens, TokenError},
};
use crate::{
    blocking_pool::PoolError,
    entra::{ClaimsChallenge, confidential_client::SignInError},
    outbound::PropagateTrace,
    serve::request_id,
    tls::ApiAgent,
};
use response::ApiResponse;
pub use response::Forbidden;
pub use types::{FieldError, NewPost, Post, PostList, PostQuery, Profile, Rights, VersionedPost};

/// Most users whose rights are cached.
const MAX_CACHED_RIGHTS: u64 = 20_000;
/// How long rights are cached after the user's last request.
const RIGHTS_LIFETIME: Duration = Duration::from_hours(1);

/// Why a call to the API failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The sign-in has ended.
    #[error("the user must sign in again")]
    SignInRequired,
    /// 401: the API rejects even a token that was just issued. Holds the problem code; empty when the API named none.
    #[error("the API rejects the access token: {0}")]
    TokenRejected(String),
    /// 401 with a claims challenge: the API requires more than a refreshed token can bring.
    #[error("the API requires a stronger sign-in")]
    StepUpRequired(ClaimsChallenge),
    /// Entra ID could not refresh the access token.
    #[error(transparent)]
    SignIn(SignInError),
    /// Entra ID could not refresh the access token for another request a moment ago.
    #[error("the access token could not be refreshed a moment ago")]
    RefreshFailedRecently,
    /// The token store does not answer.
    #[error(transparent)]
    TokenStore(StoreError),
    /// 403
    #[error("the API forbids it: {0:?}")]
    Forbidden(Forbidden),
    /// 404
    #[error("the API did not find it")]
    NotFound,
    /// 412: another user changed the post in the meantime.
    #[error("the post was changed in the meantime")]
    VersionConflict,
    /// 400, 414 or 431: the visitor changed a hidden field or an address.
    #[error("the API cannot parse what the visitor sent")]
    Malformed,
    /// 422: another post was created with the same idempotency key.
    #[error("another post was created with the same idempotency key")]
    IdempotencyKeyReused,
    /// 422, with the invalid fields.
    #[error("the API rejected the fields of the post")]
    Invalid(Vec<FieldError>),
    /// 413
    #[error("the text is too long for the API")]
    TooLarge,
    /// 429, with the seconds to wait if the API names them.
    #[error("the API received too many requests")]
    TooManyRequests(Option<u64>),
    /// The site has too many requests to the API in progress; this one was not sent.
    #[error("too many requests are in progress")]
    Busy,
    /// 503, with the seconds to wait if the API names them.
    #[error("the API is temporarily unavailable")]
    Unavailable(Option<u64>),
    /// The server at the API's address is not the API. Holds the status that it sent.
    #[error(
        "client.api_base_url leads to something that is not the API: it answered with status {0} and no problem document"
    )]
    NotTheApi(u16),
    /// The connection failed.
    #[error("the API cannot be reached: {0}")]
    Unreachable(String),
    /// The API did not answer within the timeout.
    #[error("the API did not answer in time")]
    TimedOut,
    /// Any other status.
    #[error("the API answered with status {0}")]
    UnexpectedStatus(u16),
    /// A response that is not what the API promises.
    #[error("the API's response cannot be parsed: {0}")]
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
    agent: ApiAgent,
    base: String,
    tokens: Arc<AccessTokens>,
    pools: Arc<BlockingPools>,
    /// What each user may do, as the API said last.
    rights: Cache<Ticket, Rights>,
}

/// The API on behalf of one user, within one request to the site.
pub struct UserApi {
    client: Arc<ApiClient>,
    ticket: Ticket,
    correlation: Correlation,
}

/// One request, without the access token.
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

/// Ties a call to the request that it serves.
#[derive(Debug, Clone)]
pub struct Correlation {
    /// See [`crate::serve::RequestId`]. In the logs of both servers.
    pub request_id: String,
    /// The browser's address, if known. The API uses it if `server.trusted_proxies` there lists this site.
    pub client: Option<IpAddr>,
}

impl ApiClient {
    /// A client for the API at `base`. The timeout of `agent` limits each request.
    pub fn new(agent: ApiAgent, base: &Url, tokens: Arc<AccessTokens>, pools: Arc<BlockingPools>) -> Self {
        Self {
            agent,
            base: base.as_str().trim_end_matches('/').to_owned(),
            tokens,
            pools,
            rights: Cache::builder()
                .max_capacity(MAX_CACHED_RIGHTS)
                .time_to_idle(RIGHTS_LIFETIME)
                .build(),
        }
    }

    /// The API on behalf of a signed-in user.
    pub fn on_behalf_of(self: &Arc<Self>, ticket: Ticket, correlation: Correlation) -> UserApi {
        UserApi {
            client: Arc::clone(self),
            ticket,
            correlation,
        }
    }

    /// Whether the API answers, and not another program at its address. Blocks.
    pub fn is_alive(&self) -> bool {
        let response = self.agent.get().get(format!("{}/health/live", self.base)).call();
        response.is_ok_and(|response| {
            let content_type = response
                .headers()
                .get("content-type")
                .and_then(|value| value.to_str().ok());
            response.status().is_success() && content_type.is_some_and(response::names_json)
        })
    }

    /// Caches what the user may do. An API that does not say has no roles: every user may write.
    fn cache_rights(&self, ticket: &Ticket, stated: Option<Rights>, result: &Result<ApiResponse, ApiError>) {
        let rights = match (stated, result) {
            (Some(stated), _) => stated,
            (None, Ok(_)) => Rights::Write,
            (None, Err(ApiError::Forbidden(Forbidden::RoleToRead | Forbidden::RoleToWrite))) => Rights::Read,
            (None, Err(_)) => return,
        };
        if self.rights.get(ticket) != Some(rights) {
            self.rights.insert(ticket.clone(), rights);
        }
    }

    /// What the user may do, as the API said last; `None` before its first response.
    pub fn cached_rights(&self, ticket: &Ticket) -> Option<Rights> {
        self.rights.get(ticket)
    }

    fn send(&self, token: &SecretString, correlation: &Correlation, call: &Call) -> Result<ApiResponse, ApiError> {
        let body = call.body.as_ref().map(ToString::to_string);
        let mut request = http::Request::builder()
            .extension(PropagateTrace)
            .method(call.method)
            .uri(format!("{}{}", self.base, call.path))
            .header("Authorization", format!("Bearer {}", token.expose_secret()))
            .header("Accept", "application/json")
            .header(request_id::HEADER.as_str(), &correlation.request_id);
        if let Some(client) = correlation.client {
            request = request.header("X-Forwarded-For", client.to_string());
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
                .map(|r| self.agent.get().run(r)),
            None => request.body(()).map(|r| self.agent.get().run(r)),
        };
        let response = sent
            .map_err(|error| ApiError::Unreachable(error.to_string()))?
            .map_err(response::transport_error)?;
        ApiResponse::read(response)
    }
}

impl UserApi {
    /// What the user may do, as the API said last; `None` before its first response.
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
        let (posts, response) = self.json(Call::new("GET", query.path())).await?;
        Ok(PostList {
            posts,
            total: response.total,
            next: response.next_cursor,
        })
    }

    /// `GET /v1/posts/{id}`
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn post(&self, id: u64) -> Result<VersionedPost, ApiError> {
        let (post, response) = self.json(Call::new("GET", format!("/v1/posts/{id}"))).await?;
        Ok(VersionedPost {
            post,
            etag: response.etag.unwrap_or_default(),
        })
    }

    /// `POST /v1/posts`. With an idempotency `key`, a repeated call creates no second post.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn create(&self, post: &NewPost, key: Option<&str>) -> Result<Post, ApiError> {
        let mut call = Call::new("POST", "/v1/posts").json(post);
        call.idempotency_key = key.map(str::to_owned);
        self.json(call).await.map(|(post, _)| post)
    }

    /// `PUT /v1/posts/{id}`, if the post still has this `etag`.
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
        let response = self.call(Call::new("DELETE", format!("/v1/posts/{id}"))).await?;
        // Another server's catch-all page would also be a success.
        if response.status == StatusCode::NO_CONTENT {
            Ok(())
        } else {
            Err(response.not_the_api())
        }
    }

    async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<(T, ApiResponse), ApiError> {
        let response = self.call(call).await?;
        let value = serde_json::from_slice(&response.body).map_err(|error| invalid_response(&error))?;
        Ok((value, response))
    }

    async fn call(&self, call: Call) -> Result<ApiResponse, ApiError> {
        let result = self.call_with_token(&Arc::new(call)).await;
        if let Err(error) = &result {
            log::info!(request_id = self.correlation.request_id; "API call: {error}");
        }
        result
    }

    /// Calls with a valid token. When the API rejects it, refreshes it and calls once more.
    async fn call_with_token(&self, call: &Arc<Call>) -> Result<ApiResponse, ApiError> {
        let tokens = &self.client.tokens;
        let token = tokens.valid(&self.ticket).await?;
        let mut response = self.send(token.clone(), call).await?;
        if response.status == StatusCode::UNAUTHORIZED && response.challenge.is_none() {
            log::info!(request_id = self.correlation.request_id; "the API rejected an access token; refreshing it");
            let token = tokens.replace_rejected(&self.ticket, token).await?;
            response = self.send(token, call).await?;
        }
        let rights = response.rights;
        let result = response.into_result(call.method);
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

/// Names the position of the JSON error, but quotes nothing: the response may contain a post.
fn invalid_response(error: &serde_json::Error) -> ApiError {
    ApiError::InvalidResponse(format!(
        "{:?} at line {} column {}",
        error.classify(),
        error.line(),
        error.column()
    ))
}
