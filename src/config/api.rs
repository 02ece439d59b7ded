//! `[api]`: the REST API and the tokens that it accepts.

/// `[api]`.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// `api.host`: address to listen on.
    pub host: String,
    /// `api.port`; 0 picks a free one.
    pub port: u16,
    /// `api.app_id_uri`, older name `API_APP_ID_URI`: such as `api://…`, the audience of v1 tokens.
    pub app_id_uri: String,
    /// `api.client_id`: the application (client) id of the API, a GUID, the audience of v2 tokens. When not set and
    /// `app_id_uri` is `api://GUID`, that GUID.
    pub client_id: Option<String>,
    /// `api.required_scope`, older name `REQUIRED_SCOPE`: a token's `scp` must hold it.
    pub required_scope: String,
    /// `api.cors_origins`, older name `CORS_ORIGINS`: origins whose scripts may call the API; a comma list or an array.
    pub cors_origins: Vec<String>,
    /// `api.max_content_chars`: longest content of a post, in characters.
    pub max_content_chars: usize,
    /// `api.max_body_bytes`: largest request body.
    pub max_body_bytes: usize,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8000,
            app_id_uri: String::new(),
            client_id: None,
            required_scope: "access_as_user".to_owned(),
            cors_origins: Vec::new(),
            max_content_chars: 50_000,
            max_body_bytes: 1024 * 1024,
        }
    }
}
