//! `[api]`: the REST API, and the access tokens that it accepts.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    database::FileMode,
    loader::Loader,
    origin::parse_origin,
    rules::{each, number, optional, text, text_or_empty},
    section::section,
    socket_path::socket_path,
    validate::{A_GUID, A_HOST, guid, host, public_uri, word},
    value::choices,
};

const GUIDS: &str = "GUIDs such as 7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f";

/// How the calling application must have authenticated to Entra ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequiredClientAuth {
    /// In any way, or not at all (public clients).
    #[default]
    Any,
    /// With a certificate: `azpacr` or `appidacr` is 2.
    Certificate,
}

choices!(RequiredClientAuth => "any or certificate");

section! {
    /// The REST API, and the access tokens that it accepts.
    #[derive(Debug, Clone)]
    pub struct ApiSettings = "api" {
        /// Address that the API listens on.
        pub host: String = "127.0.0.1".to_owned(), text(A_HOST, host);

        /// Port that the API listens on. 0 picks a free one. `PORT` and `WEBSITES_PORT`, as platforms set them, set
        /// it for `serve-api` and `health`: [sockets.md](sockets.md#port-and-websites_port).
        pub port: u16 = 8000;

        /// Unix socket that the API listens on, instead of `api.host` and `api.port`: for a reverse proxy on the same
        /// machine. A socket that a stopped process left behind is replaced. See [sockets.md](sockets.md).
        pub socket_path: Option<PathBuf> = None, socket_path;

        /// Mode of that socket, in octal. To connect, a process needs write permission.
        pub socket_mode: FileMode = FileMode(0o660);

        /// App ID URI of the API's app registration, such as `api://GUID`: the audience of version 1 tokens. Not required if
        /// `api.client_id` is set.
        #[alias(API_APP_ID_URI)]
        pub app_id_uri: String = String::new(), text_or_empty("an App ID URI such as api://GUID", |uri| {
            public_uri(uri) && uri.contains("://")
        });

        /// Application (client) ID of the API's app registration, a GUID: the audience of version 2 tokens. Default: the GUID
        /// in an `api.app_id_uri` of the form `api://GUID`.
        pub client_id: Option<String> = None, optional(A_GUID, guid);

        /// Scope that a token must have in `scp`, without the API's URI.
        #[alias(REQUIRED_SCOPE)]
        pub required_scope: String = "access_as_user".to_owned(), text(
            "the name of one scope, such as access_as_user, without the API's URI",
            |scope| word(scope) && !scope.contains('/'),
        );

        /// IDs of further tenants whose tokens are accepted, in addition to `entra.tenant_id`: GUIDs of tenants in the same
        /// cloud. Their users are users of this blog.
        pub tenants: Vec<String> = Vec::new(), each(GUIDS, guid);

        /// How many seconds the clocks of Entra ID and of this machine may differ.
        pub clock_skew_seconds: u32 = 60, number(0..=300);

        /// Let applications call the API without a user. Their app role (`Blog.Reader`, `Blog.Writer` or `Blog.Admin`)
        /// decides what they may do.
        pub allow_app_only: bool = false;

        /// Let app roles decide what users may do, too: [api.md](api.md#permissions). Otherwise every signed-in user may
        /// write posts, and change and delete their own.
        pub require_app_roles: bool = false;

        /// How the calling application must have authenticated to Entra ID: `any`, or `certificate` (`azpacr` or `appidacr`
        /// is 2; no secrets, no public clients).
        pub required_client_auth: RequiredClientAuth = RequiredClientAuth::Any;

        /// Client IDs of the applications that may call the API. If none is listed, every application may.
        pub allowed_client_apps: Vec<String> = Vec::new(), each(GUIDS, guid);

        /// Authentication contexts of Conditional Access that a user's sign-in must have met, such as `c1`.
        pub required_acrs: Vec<String> = Vec::new(), each(
            "authentication contexts from c1 to c99",
            authentication_context,
        );

        /// Origins whose scripts may call the API from a browser, such as `https://app.example.com`. `*` alone lets every
        /// origin call, without credentials. A wildcard within an origin is an error, since it would match nothing.
        #[alias(CORS_ORIGINS)]
        pub cors_origins: Vec<String> = Vec::new(), cors_origins;

        /// Show the API as a page at `/v1/docs`. If false, the page and its files are 404; `/v1/openapi.json` stays.
        pub docs: bool = true;

        /// Longest content of a post, in characters.
        pub max_content_chars: usize = 50_000, number(1..=1_000_000);

        /// Largest request body, in bytes.
        pub max_body_bytes: usize = 1024 * 1024, number(1024..=64 * 1024 * 1024);

        /// Apply the rate limits below. Beyond a limit: 429 with `Retry-After`. See [api.md](api.md#rate-limits).
        pub rate_limits: bool = true;

        /// All replicas share the rate limits, if `redis.url` is set. Otherwise each server process counts separately. While
        /// Redis does not answer, each one counts separately, too. See [replicas.md](replicas.md).
        pub share_rate_limits: bool = true;

        /// Requests per second from one address, from all callers behind it together: a web site in front of the API needs
        /// as many as all its users. IPv6 addresses count by their first 64 bits.
        pub limit_address_per_second: u32 = 1000, number(1..=MAX_LIMIT);

        /// Requests that one address may send at once.
        pub limit_address_burst: u32 = 2000, number(1..=MAX_LIMIT);

        /// Rejected access tokens per minute from one address. Beyond it, tokens that are not known to be valid are rejected
        /// without validation.
        pub limit_failures_per_minute: u32 = 60, number(1..=MAX_LIMIT);

        /// Reads per second by one caller.
        pub limit_reads_per_second: u32 = 100, number(1..=MAX_LIMIT);

        /// Reads that one caller may send at once.
        pub limit_reads_burst: u32 = 500, number(1..=MAX_LIMIT);

        /// Writes per second by one caller.
        pub limit_writes_per_second: u32 = 10, number(1..=MAX_LIMIT);

        /// Writes that one caller may send at once.
        pub limit_writes_burst: u32 = 100, number(1..=MAX_LIMIT);

        /// Searches (`q`) per second by one caller. They count as reads as well.
        pub limit_searches_per_second: u32 = 5, number(1..=MAX_LIMIT);

        /// Searches that one caller may send at once.
        pub limit_searches_burst: u32 = 50, number(1..=MAX_LIMIT);

        /// Memory for cached responses, in MiB; 0 turns the cache off. A cached response is used only while none of its data
        /// has changed. SQLite only. Compressed responses take up to a quarter of this in addition, on either database.
        pub ready_answers_mib: u32 = 128, number(0..=65_536);
    }
}

const MAX_LIMIT: u32 = 100_000_000;

/// Checks each entry separately, so that the message names the invalid one and the reason.
fn cors_origins(loader: &mut Loader, name: &'static str, default: Vec<String>) -> Vec<String> {
    let origins = loader.get(name, default);
    if origins != ["*"]
        && let Some((n, error)) = (1..)
            .zip(&origins)
            .find_map(|(n, entry)| Some((n, parse_origin(entry).err()?)))
    {
        loader.reject(name, &format!("is invalid: entry {n} {error}"), error.hint());
    }
    origins
}

/// Whether Entra ID has an authentication context of this name: `c1` to `c99`.
fn authentication_context(acr: &str) -> bool {
    acr.strip_prefix('c').is_some_and(|number| {
        !number.starts_with(['0', '+']) && number.parse::<u8>().is_ok_and(|number| (1..=99).contains(&number))
    })
}
