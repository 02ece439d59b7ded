//! `[api]`: the REST API and the tokens that it accepts.

use serde::{Deserialize, Serialize};

use super::{
    loader::Loader,
    origin::parse_origin,
    validate::{A_GUID, guid, host, word},
    value::choices,
};

const GUIDS: &str = "GUIDs such as 7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f";

/// How the calling application must have proved itself to Entra.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequiredClientAuth {
    /// In any way, or, as a public client, not at all.
    #[default]
    Any,
    /// By certificate: `azpacr` or `appidacr` is 2.
    Certificate,
}

choices!(RequiredClientAuth => "any or certificate");

/// `[api]`.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
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
    /// `api.tenants`: ids of further tenants whose tokens are taken, GUIDs, beside `entra.tenant_id`.
    pub tenants: Vec<String>,
    /// `api.clock_skew_seconds`: how far the clocks of Entra and this machine may be apart, 0–300.
    pub clock_skew_seconds: u32,
    /// `api.allow_app_only`: let applications call by themselves, without a user, by app role.
    pub allow_app_only: bool,
    /// `api.require_app_roles`: users too may do only what their app role says.
    pub require_app_roles: bool,
    /// `api.required_client_auth`: how the calling application must have proved itself.
    pub required_client_auth: RequiredClientAuth,
    /// `api.allowed_client_apps`: client ids of the applications that may call, GUIDs; all where it is empty.
    pub allowed_client_apps: Vec<String>,
    /// `api.required_acrs`: authentication contexts that a user's sign-in must have met, such as `c1`.
    pub required_acrs: Vec<String>,
    /// `api.cors_origins`, older name `CORS_ORIGINS`: origins whose scripts may call the API, or `*` alone for
    /// everybody's; a comma list or an array.
    pub cors_origins: Vec<String>,
    /// `api.docs`: whether `/v1/docs` shows the API as a page.
    pub docs: bool,
    /// `api.max_content_chars`: longest content of a post, in characters.
    pub max_content_chars: usize,
    /// `api.max_body_bytes`: largest request body.
    pub max_body_bytes: usize,
    /// `api.rate_limits`: whether the limits below are in force.
    pub rate_limits: bool,
    /// `api.limit_address_per_second`: requests that one address may send, all callers behind it together.
    pub limit_address_per_second: u32,
    /// `api.limit_address_burst`: requests that one address may send at once.
    pub limit_address_burst: u32,
    /// `api.limit_failures_per_minute`: refused access tokens of one address, after which unknown ones are not looked at.
    pub limit_failures_per_minute: u32,
    /// `api.limit_reads_per_second`: reads of one caller.
    pub limit_reads_per_second: u32,
    /// `api.limit_reads_burst`: reads of one caller at once.
    pub limit_reads_burst: u32,
    /// `api.limit_writes_per_second`: writes of one caller.
    pub limit_writes_per_second: u32,
    /// `api.limit_writes_burst`: writes of one caller at once.
    pub limit_writes_burst: u32,
    /// `api.limit_searches_per_second`: searches of one caller, which count as reads as well.
    pub limit_searches_per_second: u32,
    /// `api.limit_searches_burst`: searches of one caller at once.
    pub limit_searches_burst: u32,
    /// `api.ready_answers_mib`: memory for answers kept ready, in MiB; 0 keeps none. SQLite only.
    pub ready_answers_mib: u32,
}

impl ApiSettings {
    pub(super) fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        let uri = |uri: &String| uri.is_empty() || (word(uri) && uri.contains("://"));
        Self {
            host: loader.get_if("api.host", default.host, "an IP address or a host name", |name| {
                host(name)
            }),
            port: loader.get("api.port", default.port),
            app_id_uri: loader.get_if(
                "api.app_id_uri",
                default.app_id_uri,
                "an App ID URI such as api://GUID",
                uri,
            ),
            client_id: loader.get_if("api.client_id", default.client_id, A_GUID, |id| {
                id.as_deref().is_none_or(guid)
            }),
            required_scope: loader.get_if(
                "api.required_scope",
                default.required_scope,
                "the name of one scope, such as access_as_user, without the API's URI",
                |scope| word(scope) && !scope.contains('/'),
            ),
            tenants: loader.get_if("api.tenants", default.tenants, GUIDS, |ids| all_guids(ids)),
            clock_skew_seconds: loader.get_if(
                "api.clock_skew_seconds",
                default.clock_skew_seconds,
                "a whole number from 0 to 300",
                |seconds| *seconds <= 300,
            ),
            allow_app_only: loader.get("api.allow_app_only", default.allow_app_only),
            require_app_roles: loader.get("api.require_app_roles", default.require_app_roles),
            required_client_auth: loader.get("api.required_client_auth", default.required_client_auth),
            allowed_client_apps: loader.get_if("api.allowed_client_apps", default.allowed_client_apps, GUIDS, |ids| {
                all_guids(ids)
            }),
            required_acrs: loader.get_if(
                "api.required_acrs",
                default.required_acrs,
                "authentication contexts from c1 to c99",
                |acrs| acrs.iter().all(|acr| authentication_context(acr)),
            ),
            cors_origins: read_cors_origins(loader, default.cors_origins),
            docs: loader.get("api.docs", default.docs),
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
            rate_limits: loader.get("api.rate_limits", default.rate_limits),
            limit_address_per_second: loader.get_if(
                "api.limit_address_per_second",
                default.limit_address_per_second,
                A_LIMIT,
                |limit| is_a_limit(*limit),
            ),
            limit_address_burst: loader.get_if(
                "api.limit_address_burst",
                default.limit_address_burst,
                A_LIMIT,
                |limit| is_a_limit(*limit),
            ),
            limit_failures_per_minute: loader.get_if(
                "api.limit_failures_per_minute",
                default.limit_failures_per_minute,
                A_LIMIT,
                |limit| is_a_limit(*limit),
            ),
            limit_reads_per_second: loader.get_if(
                "api.limit_reads_per_second",
                default.limit_reads_per_second,
                A_LIMIT,
                |limit| is_a_limit(*limit),
            ),
            limit_reads_burst: loader.get_if("api.limit_reads_burst", default.limit_reads_burst, A_LIMIT, |limit| {
                is_a_limit(*limit)
            }),
            limit_writes_per_second: loader.get_if(
                "api.limit_writes_per_second",
                default.limit_writes_per_second,
                A_LIMIT,
                |limit| is_a_limit(*limit),
            ),
            limit_writes_burst: loader.get_if("api.limit_writes_burst", default.limit_writes_burst, A_LIMIT, |limit| {
                is_a_limit(*limit)
            }),
            limit_searches_per_second: loader.get_if(
                "api.limit_searches_per_second",
                default.limit_searches_per_second,
                A_LIMIT,
                |limit| is_a_limit(*limit),
            ),
            limit_searches_burst: loader.get_if(
                "api.limit_searches_burst",
                default.limit_searches_burst,
                A_LIMIT,
                |limit| is_a_limit(*limit),
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
            tenants: Vec::new(),
            clock_skew_seconds: 60,
            allow_app_only: false,
            require_app_roles: false,
            required_client_auth: RequiredClientAuth::Any,
            allowed_client_apps: Vec::new(),
            required_acrs: Vec::new(),
            cors_origins: Vec::new(),
            docs: true,
            max_content_chars: 50_000,
            max_body_bytes: 1024 * 1024,
            rate_limits: true,
            limit_address_per_second: 1000,
            limit_address_burst: 2000,
            limit_failures_per_minute: 60,
            limit_reads_per_second: 100,
            limit_reads_burst: 500,
            limit_writes_per_second: 10,
            limit_writes_burst: 100,
            limit_searches_per_second: 5,
            limit_searches_burst: 50,
            ready_answers_mib: 128,
        }
    }
}

/// Each entry is checked by itself, so that the message says which one is wrong and why.
fn read_cors_origins(loader: &mut Loader, default: Vec<String>) -> Vec<String> {
    let origins = loader.get("api.cors_origins", default);
    if origins != ["*"]
        && let Some((n, error)) = (1..)
            .zip(&origins)
            .find_map(|(n, entry)| Some((n, parse_origin(entry).err()?)))
    {
        loader.refuse(
            "api.cors_origins",
            &format!("is wrong: entry {n} {error}"),
            error.hint(),
        );
    }
    origins
}

/// Beyond any server.
const MAX_LIMIT: u32 = 100_000_000;
const A_LIMIT: &str = "a whole number from 1 to 100000000";

fn is_a_limit(limit: u32) -> bool {
    (1..=MAX_LIMIT).contains(&limit)
}

fn all_guids(ids: &[String]) -> bool {
    ids.iter().all(|id| guid(id))
}

/// As Entra numbers them: `c1` to `c99`.
fn authentication_context(acr: &str) -> bool {
    acr.strip_prefix('c').is_some_and(|number| {
        !number.starts_with(['0', '+']) && number.parse::<u8>().is_ok_and(|number| (1..=99).contains(&number))
    })
}
