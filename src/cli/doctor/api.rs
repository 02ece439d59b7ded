//! Check: the API. Whether it answers, and whether it expects the tokens that the site will bring.

use serde::Deserialize;
use ureq::Agent;

use super::{
    DoctorContext,
    entra::remedy_for_tls,
    finding::{Check, CheckResult},
};
use crate::{
    cli::serving::http_url,
    config::Settings,
    entra::{Authority, access_token::api_names},
    guid, outbound,
};

pub fn check() -> Check {
    Check {
        name: "api",
        title: "API",
        settings: &["client.api_base_url", "api.port", "entra.ca_file"],
        after: &[],
        run,
    }
}

/// What the API says of itself (RFC 9728).
#[derive(Deserialize)]
struct ResourceMetadata {
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// How asking it went.
enum Asked {
    Answer(u16, Vec<u8>),
    /// It began one.
    Unfinished(String),
    Nothing(String),
}

fn run(context: &DoctorContext) -> Vec<CheckResult> {
    let api = &context.settings.api;
    let contradiction = contradiction(context);
    // From the API's own machine it is looked for where it listens; the site knows its address.
    let base = if context.client {
        context.settings.client.api_base_url.to_string()
    } else {
        let host = if matches!(api.host.as_str(), "0.0.0.0" | "::") {
            "localhost"
        } else {
            &api.host
        };
        http_url(host, api.port)
    };
    let base = base.trim_end_matches('/');
    let agent = outbound::agent(
        context.settings.client.api_timeout,
        context.settings.entra.ca_file.as_deref(),
    );
    let answers = match agent {
        Ok(agent) => of_answers(context, &agent, base),
        Err(error) => vec![CheckResult::failed(
            error.to_string(),
            "a PEM file of certificates",
            "correct entra.ca_file",
        )],
    };
    contradiction.into_iter().chain(answers).collect()
}

/// What the settings of both, where they stand together, say of each other.
fn contradiction(context: &DoctorContext) -> Option<CheckResult> {
    let Settings { client, api, .. } = &context.settings;
    let expected: Vec<_> = api_names(api)
        .into_iter()
        .map(|name| format!("{name}/{}", api.required_scope))
        .collect();
    if !(context.client && context.api) || expected.is_empty() || client.api_scope.is_empty() {
        return None;
    }
    if !is_taken(&client.api_scope, &expected) {
        return Some(CheckResult::failed(
            format!("client.api_scope is {}", client.api_scope),
            format!(
                "{}, as api.app_id_uri, api.client_id and api.required_scope have it",
                list(&expected)
            ),
            "make them agree: the site asks for tokens that this API would refuse",
        ));
    }
    // `aud` of v2 tokens is the client id of whom they are for; where the scope holds one, it can be compared.
    let (name, _) = client.api_scope.rsplit_once('/')?;
    let asked_for = guid::parse(name.strip_prefix("api://").unwrap_or(name))?;
    let own = api
        .client_id
        .as_deref()
        .and_then(guid::parse)
        .filter(|own| *own != asked_for)?;
    Some(CheckResult::warning(
        format!("client.api_scope is of the application {asked_for}, and api.client_id is {own}"),
        "one and the same: the API refuses v2 tokens that are for another client id",
        "correct api.client_id, or leave it out where api.app_id_uri is api://GUID",
    ))
}

fn of_answers(context: &DoctorContext, agent: &Agent, base: &str) -> Vec<CheckResult> {
    let ready = match ask(agent, &format!("{base}/health/ready")) {
        Asked::Answer(200, _) => CheckResult::ok(format!("{base} answers, and is ready")),
        Asked::Answer(503, body) => CheckResult::warning(
            format!("{base} answers, but is not ready{}", not_ready(&body)),
            "its database and Entra ID's signing keys within its reach",
            format!("see {base}/health/ready, the API's log, and blogctl doctor --role api beside it"),
        ),
        Asked::Answer(status, _) => {
            return vec![of_another(context, format!("{base}/health/ready answered {status}"))];
        }
        Asked::Unfinished(reason) => {
            let seen = format!("{base}/health/ready began an answer that did not come to its end: {reason}");
            return vec![of_another(context, seen)];
        }
        Asked::Nothing(reason) => return vec![not_there(context, base, &reason)],
    };
    // Every API of this program has the route.
    let metadata = match ask(agent, &format!("{base}/.well-known/oauth-protected-resource")) {
        Asked::Answer(200, body) => match serde_json::from_slice(&body) {
            Ok(metadata) => compare(context, &metadata),
            Err(_) => return vec![of_another(context, format!("{base} answers, but is not blogctl's API"))],
        },
        Asked::Answer(404, _) => {
            let seen = format!("{base} is not blogctl's API; it may be the web site");
            return vec![of_another(context, seen)];
        }
        Asked::Answer(status, _) => tells_nothing(&format!("it does not tell what tokens it expects ({status})")),
        Asked::Unfinished(reason) | Asked::Nothing(reason) => {
            tells_nothing(&format!("it does not tell what tokens it expects: {reason}"))
        }
    };
    vec![ready, metadata]
}

fn ask(agent: &Agent, url: &str) -> Asked {
    match agent.get(url).call() {
        Ok(mut answer) => match outbound::read_body(&mut answer) {
            Ok(body) => Asked::Answer(answer.status().as_u16(), body),
            Err(error) => Asked::Unfinished(error.to_string()),
        },
        Err(error) => Asked::Nothing(error.to_string()),
    }
}

/// Another program is where the API should be.
fn of_another(context: &DoctorContext, seen: String) -> CheckResult {
    let remedy = if context.client {
        "set client.api_base_url (API_BASE_URL) to where blogctl serve-api listens, by default port 8000; another program may \
         listen there"
    } else {
        "another program listens where the API would: stop it, or choose another api.port"
    };
    CheckResult::failed(seen, "blogctl's API, which tells what tokens it expects", remedy)
}

/// What of it is not ready, as it says itself.
fn not_ready(body: &[u8]) -> String {
    let checks = serde_json::from_slice::<serde_json::Value>(body).ok();
    let checks = checks.as_ref().and_then(|report| report.get("checks")?.as_object());
    let failed = checks
        .into_iter()
        .flatten()
        .filter(|(_, state)| *state != "ok" && state["status"] != "ok");
    // Whatever answers there has chosen the names.
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

/// The site cannot do without it; the API itself may just not have been started yet.
fn not_there(context: &DoctorContext, base: &str, reason: &str) -> CheckResult {
    let seen = format!("{base} does not answer: {reason}");
    if context.client {
        let is_other_scheme = reason.contains("InvalidContentType") || reason.contains("corrupt message");
        let remedy = if is_other_scheme {
            "write http:// in client.api_base_url (API_BASE_URL), if nothing ends TLS in front of the API"
        } else if let Some(remedy) = remedy_for_tls(reason) {
            remedy
        } else if reason.to_ascii_lowercase().contains("timeout") {
            "see whether a firewall swallows the requests, and whether client.api_base_url (API_BASE_URL) is right"
        } else {
            "start blogctl serve-api, or set client.api_base_url (API_BASE_URL) to where it is"
        };
        CheckResult::failed(seen, "the API at client.api_base_url", remedy)
    } else {
        CheckResult::warning(
            seen,
            "the API, if it should be running",
            "start blogctl serve-api when the other checks are well",
        )
    }
}

fn tells_nothing(seen: &str) -> CheckResult {
    CheckResult::warning(
        seen,
        "its issuer and scopes at /.well-known/oauth-protected-resource",
        "compare api.app_id_uri and entra.tenant_id of the API by hand, or use the same version of blogctl for both",
    )
}

/// Its opinion of issuer and audience, beside what this system would bring.
fn compare(context: &DoctorContext, metadata: &ResourceMetadata) -> CheckResult {
    let issuer = match Authority::new(&context.settings.entra) {
        Ok(authority) => authority.issuer_v2(),
        Err(_) => return CheckResult::skipped("what it expects cannot be compared: see Settings"),
    };
    if !metadata.authorization_servers.contains(&issuer) {
        return CheckResult::failed(
            format!("it takes tokens of {}", list(&metadata.authorization_servers)),
            format!("tokens of {issuer}"),
            "give site and API the same entra.tenant_id (TENANT_ID), entra.cloud and entra.authority_host",
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
        return CheckResult::skipped("the scope that it expects cannot be compared: see Settings");
    }
    if !is_taken(&wanted, &metadata.scopes_supported) {
        return CheckResult::failed(
            format!("it takes tokens for the scope {}", list(&metadata.scopes_supported)),
            format!("the scope {wanted}"),
            "make client.api_scope (API_SCOPE) of the site agree with api.app_id_uri and api.required_scope of the API",
        );
    }
    CheckResult::ok(format!("it takes tokens of this issuer for {wanted}"))
}

/// Whether a site that asks for the scope `wanted` gets a token for an API that expects one of `scopes`.
fn is_taken(wanted: &str, scopes: &[String]) -> bool {
    match wanted.strip_suffix("/.default") {
        // All scopes of the API that are granted: Entra ID takes that, too.
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
        "nobody".to_owned()
    } else {
        shown.join(" or ")
    }
}
