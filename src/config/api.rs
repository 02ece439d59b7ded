//! `[api]`: the REST API and the tokens that it accepts.

use super::{
    check::{A_GUID, browser_origin, guid, host, word},
    loader::Loader,
};

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
    /// `api.cors_origins`, older name `CORS_ORIGINS`: origins whose scripts may call the API, or `*` alone for
    /// everybody's; a comma list or an array.
    pub cors_origins: Vec<String>,
    /// `api.max_content_chars`: longest content of a post, in characters.
    pub max_content_chars: usize,
    /// `api.max_body_bytes`: largest request body.
    pub max_body_bytes: usize,
    /// `api.ready_answers_mib`: memory for answers kept ready, in MiB; 0 keeps none. SQLite only.
    pub ready_answers_mib: u32,
}

impl ApiSettings {
    pub(super) fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        let uri = |uri: &String| uri.is_empty() || (word(uri) && uri.contains("://"));
        Self {
            host: loader.get_if("api.host", default.host, "an IP address or a host name", |name| host(name)),
            port: loader.get("api.port", default.port),
            app_id_uri: loader.get_if("api.app_id_uri", default.app_id_uri, "an App ID URI such as api://GUID", uri),
            client_id: loader.get_if("api.client_id", default.client_id, A_GUID, |id| {
                id.as_deref().is_none_or(guid)
            }),
            required_scope: loader.get_if(
                "api.required_scope",
                default.required_scope,
                "the name of one scope, such as access_as_user, without the API's URI",
                |scope| word(scope) && !scope.contains('/'),
            ),
            cors_origins: loader.get_if(
                "api.cors_origins",
                default.cors_origins,
                "origins as browsers send them, such as https://blog.example.com without a slash at the end, or * alone",
                |origins| *origins == ["*"] || origins.iter().all(|origin| browser_origin(origin)),
            ),
            max_content_chars: loader.get_if(
                "api.max_content_chars",
                default.max_content_chars,
                "a whole number from 1 to 1000000",
                |chars| (1..=1_000_000).contains(chars),
            ),
            max_body_bytes: loader.get_if(
                "api.max_body_bytes",
                default.max_body_bytes,
                "a whole number from 1024 to 67108864",
                |bytes| (1024..=64 * 1024 * 1024).contains(bytes),
            ),
            ready_answers_mib: loader.get_if(
                "api.ready_answers_mib",
                default.ready_answers_mib,
                "a whole number from 0 to 65536",
                |mib| *mib <= 65_536,
            ),
        }
    }
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
            ready_answers_mib: 128,
        }
    }
}
