//! Check: the API. Whether it answers, and whether it accepts the tokens that the site will send.

use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;

use super::{
    DoctorContext,
    entra::remedy_for_tls,
    finding::{Check, CheckResult},
};
use crate::{
    cli::serving::url,
    config::Settings,
    entra::{Authority, access_token::api_names},
    guid,
    hint::Hint as _,
    outbound,
    probe::{self, Target},
    tls::ApiAgent,
};

/// Longest wait for a response over a Unix socket.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(5);

pub fn check() -> Check {
    Check {
        name: "api",
        title: "API",
        settings: &["client.api_base_url", "api.port", "entra.ca_file"],
        after: &[],
        run,
    }
}

/// The protected resource metadata of the API (RFC 9728).
#[derive(Deserialize)]
struct ResourceMetadata {
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// How the check reaches the API.
enum ApiConnection {
    Url(Agent, String),
    UnixSocket(Target),
}

/// The result of a request.
enum Fetched {
    Answer(u16, Vec<u8>),
    /// The response was incomplete.
    Unfinished(String),
    Nothing(String),
}

fn run(context: &DoctorContext) -> Vec<CheckResult> {
    let api = &context.settings.api;
    let contradiction = contradiction(context);
    if let (false, Some(path)) = (context.client, &api.socket_path) {
        let connection = ApiConnection::UnixSocket(Target::Unix(path.clone()));
        return contradiction
            .into_iter()
            .chain(check_responses(context, &connection))
            .collect();
    }
    // On the API's own machine, its listening address is checked; the site uses the configured URL.
    let base = if context.client {
        context.settings.client.api_base_url.to_string()
    } else {
        let host = if matches!(api.host.as_str(), "0.0.0.0" | "::" | "[::]") {
            "localhost"
        } else {
            &api.host
        };
        let scheme = if context.settings.server.tls.is_on() {
            "https"
        } else {
            "http"
        };
        url(scheme, host, api.port)
    };
    let base = base.trim_end_matches('/');
    let agent = ApiAgent::once(&context.settings);
    let answers = match agent {
        Ok(agent) => check_responses(context, &ApiConnection::Url(agent, base.to_owned())),
        Err(error) => {
            let hint = error.hint().unwrap_or_default().into_owned();
            vec![CheckResult::failed(error.to_string(), "usable files", hint)]
        }
    };
    contradiction.into_iter().chain(answers).collect()
}

/// Compares the settings of site and API, if both are set.
fn contradiction(context: &DoctorContext) -> Option<CheckResult> {
    let Settings { client, api, .. } = &context.settings;
    let expected: Vec<_> = api_names(api)
        .into_iter()
        .map(|name| format!("{name}/{}", api.required_scope))
        .collect();
    if !(context.client && context.api) || expected.is_empty() || client.api_scope.is_empty() {
        return None;
    }
    if !is_accepted(&client.api_scope, &expected) {
        return Some(CheckResult::failed(
            format!("client.api_scope is {}", client.api_scope),
            format!(
                "{}, as api.app_id_uri, api.client_id and api.required_scope have it",
                list(&expected)
            ),
            "make them agree: the site requests tokens that this API rejects",
        ));
    }
    // `aud` of v2 tokens is the client ID of the API. It can be compared if the scope contains one.
    let (name, _) = client.api_scope.rsplit_once('/')?;
    let asked_for = guid::parse(name.strip_prefix("api://").unwrap_or(name))?;
    let own = api
        .client_id
        .as_deref()
        .and_then(guid::parse)
        .filter(|own| *own != asked_for)?;
    Some(CheckResult::warning(
        format!("client.api_scope belongs to the application {asked_for}, but api.client_id is {own}"),
        "the same application: the API rejects v2 tokens for another client ID",
        "correct api.client_id, or remove it if api.app_id_uri is api://GUID",
    ))
}

fn check_responses(context: &DoctorContext, connection: &ApiConnection) -> Vec<CheckResult> {
    let base = &connection.name();
    let ready = match connection.ask("/health/ready") {
        Fetched::Answer(200, _) => CheckResult::ok(format!("{base} answers and is ready")),
        Fetched::Answer(503, body) => CheckResult::warning(
            format!("{base} answers but is not ready{}", not_ready(&body)),
            "an API that can reach its database and the signing keys of Entra ID",
            format!("see {base}/health/ready and the log of the API, and run blogctl doctor --role api on its machine"),
        ),
        Fetched::Answer(status, _) => {
            return vec![not_blogctl(context, format!("{base}/health/ready answered {status}"))];
        }
        Fetched::Unfinished(reason) => {
            let seen = format!("{base}/health/ready sent an incomplete response: {reason}");
            return vec![not_blogctl(context, seen)];
        }
        Fetched::Nothing(reason) => return vec![not_there(context, base, &reason)],
    };
    // Every API of blogctl has this route.
    let metadata = match connection.ask("/.well-known/oauth-protected-resource") {
        Fetched::Answer(200, body) => match serde_json::from_slice(&body) {
            Ok(metadata) => compare(context, &metadata),
            Err(_) => {
                return vec![not_blogctl(
                    context,
                    format!("{base} answers, but it is not blogctl's API"),
                )];
            }
        },
        Fetched::Answer(404, _) => {
            let seen = format!("{base} is not blogctl's API; it may be the web site");
            return vec![not_blogctl(context, seen)];
        }
        Fetched::Answer(status, _) => {
            no_metadata(&format!("the API does not publish which tokens it accepts ({status})"))
        }
        Fetched::Unfinished(reason) | Fetched::Nothing(reason) => {
            no_metadata(&format!("the API does not publish which tokens it accepts: {reason}"))
        }
    };
    vec![ready, metadata]
}

impl ApiConnection {
    /// As findings show it.
    fn name(&self) -> String {
        match self {
            Self::Url(_, base) => base.clone(),
            Self::UnixSocket(target) => target.to_string(),
        }
    }

    fn ask(&self, path: &str) -> Fetched {
        match self {
            Self::Url(agent, base) => match agent.get(format!("{base}{path}")).call() {
                Ok(mut answer) => match outbound::read_body(&mut answer) {
                    Ok(body) => Fetched::Answer(answer.status().as_u16(), body),
                    Err(error) => Fetched::Unfinished(error.to_string()),
                },
                Err(error) => Fetched::Nothing(error.to_string()),
            },
            Self::UnixSocket(target) => match probe::get(target, path, SOCKET_TIMEOUT) {
                Ok(answer) => Fetched::Answer(answer.status, answer.body),
                Err(error) => Fetched::Nothing(error.to_string()),
            },
        }
    }
}

/// Another program answers instead of the API.
fn not_blogctl(context: &DoctorContext, seen: String) -> CheckResult {
    let remedy = if context.client {
        "set client.api_base_url (API_BASE_URL) to the URL of blogctl serve-api, by default port 8000; another program may use \
         that port"
    } else {
        "another program uses the port of the API: stop it, or choose another api.port"
    };
    CheckResult::failed(seen, "blogctl's API, which publishes which tokens it accepts", remedy)
}

/// The checks that are not ready, according to the API.
fn not_ready(body: &[u8]) -> String {
    let checks = serde_json::from_slice::<serde_json::Value>(body).ok();
    let checks = checks.as_ref().and_then(|report| report.get("checks")?.as_object());
    let failed = checks
        .into_iter()
        .flatten()
        .filter(|(_, state)| *state != "ok" && state["status"] != "ok");
    // The names come from the server, which may be another program.
    let name = |name: &String| {
        name.chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
            .take(40)
            .collect::<String>()
    };
    let names: Vec<_> = failed.map(|(check, _)| name(check)).take(5).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!(": {}", names.join(", "))
    }
}

/// A failure for the site, which needs the API; a warning for the API itself, which may not be started yet.
fn not_there(context: &DoctorContext, base: &str, reason: &str) -> CheckResult {
    let seen = format!("{base} does not answer: {reason}");
    if context.client {
        let is_other_scheme = reason.contains("InvalidContentType") || reason.contains("corrupt message");
        let remedy = if is_other_scheme {
            "use http:// in client.api_base_url (API_BASE_URL), unless a reverse proxy with TLS is in front of the API"
        } else if let Some(remedy) = remedy_for_tls(reason) {
            remedy
        } else if reason.to_ascii_lowercase().contains("timeout") {
            "check whether a firewall drops the requests, and whether client.api_base_url (API_BASE_URL) is correct"
        } else {
            "start blogctl serve-api, or set client.api_base_url (API_BASE_URL) to its URL"
        };
        CheckResult::failed(seen, "the API at client.api_base_url", remedy)
    } else {
        CheckResult::warning(
            seen,
            "a running API, if it should be running",
            "start blogctl serve-api when the other checks succeed",
        )
    }
}

fn no_metadata(seen: &str) -> CheckResult {
    CheckResult::warning(
        seen,
        "issuer and scopes at /.well-known/oauth-protected-resource",
        "compare api.app_id_uri and entra.tenant_id of the API manually, or use the same version of blogctl for both",
    )
}

/// Compares issuer and scope of the API with the tokens that the site will send.
fn compare(context: &DoctorContext, metadata: &ResourceMetadata) -> CheckResult {
    let issuer = match Authority::new(&context.settings.entra) {
        Ok(authority) => authority.issuer_v2(),
        Err(_) => return CheckResult::skipped("the tokens that the API accepts cannot be compared: see Settings"),
    };
    if !metadata.authorization_servers.contains(&issuer) {
        return CheckResult::failed(
            format!("the API accepts tokens from {}", list(&metadata.authorization_servers)),
            format!("tokens from {issuer}"),
            "use the same entra.tenant_id (TENANT_ID), entra.cloud and entra.authority_host for site and API",
        );
    }
    let wanted = if context.client {
        context.settings.client.api_scope.clone()
    } else {
        let name = api_names(&context.settings.api).into_iter().next();
        name.map(|name| format!("{name}/{}", context.settings.api.required_scope))
            .unwrap_or_default()
    };
    if wanted.is_empty() {
        return CheckResult::skipped("the scope that the API accepts cannot be compared: see Settings");
    }
    if !is_accepted(&wanted, &metadata.scopes_supported) {
        return CheckResult::failed(
            format!(
                "the API accepts tokens with the scope {}",
                list(&metadata.scopes_supported)
            ),
            format!("the scope {wanted}"),
            "make client.api_scope (API_SCOPE) of the site match api.app_id_uri and api.required_scope of the API",
        );
    }
    CheckResult::ok(format!("the API accepts tokens from this issuer for {wanted}"))
}

/// Whether an API that accepts `scopes` accepts the token of a site that requests the scope `wanted`.
fn is_accepted(wanted: &str, scopes: &[String]) -> bool {
    match wanted.strip_suffix("/.default") {
        // `.default` requests all granted scopes of the API.
        Some(api) => scopes
            .iter()
            .any(|scope| scope.rsplit_once('/').is_some_and(|(of, _)| of == api)),
        None => scopes.iter().any(|scope| scope == wanted),
    }
}

fn list(items: &[String]) -> String {
    let shown: Vec<_> = items
        .iter()
        .map(|item| item.chars().take(200).collect::<String>())
        .collect();
    if shown.is_empty() {
        "none".to_owned()
    } else {
        shown.join(" or ")
    }
}
