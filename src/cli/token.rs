//! `blogctl token`

use std::{io::Write as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, anyhow};
use chrono::{DateTime, SecondsFormat};
use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    error_report::{WithHint as _, WrongUsage},
    settings::SettingsArguments,
};
use crate::{
    config::{DEV_API_ID, DEV_CLIENT_ID, Role, Settings},
    loopback::is_loopback,
    outbound,
};

/// Timeout of a request to the emulator, which runs on this machine.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Print an access token from the Entra ID emulator, for curl and /v1/docs
///
/// Requests it from a running "blogctl dev" or "blogctl serve-idp" on this machine, and prints only the token. It is valid for
/// one hour, and only for the API of the same system. For a token of a real tenant, use "az account get-access-token".
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  curl -H \"Authorization: Bearer $(blogctl token)\" http://localhost:8000/v1/posts
  blogctl token --user chiara                   an Admin, if app roles decide
  blogctl token --role reader                   with another role than the user's
  blogctl token --scope api://…/other           for another scope
  blogctl token --idp-port 9100                 from blogctl dev --idp-port 9100
  blogctl token --json | jq .expires_on")]
pub struct Arguments {
    /// User who signs in: e-mail address or the part before @, name, or object ID [default: the first user]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// App role in the token instead of the user's roles; may be repeated. reader, writer and admin mean Blog.Reader,
    /// Blog.Writer and Blog.Admin
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Scope to request [default: client.api_scope, or access_as_user of the emulator's API]
    #[arg(long, value_name = "SCOPE", conflicts_with = "app_only")]
    scope: Option<String>,
    /// Request a token for the application itself, without a user
    #[arg(long, conflicts_with = "user")]
    app_only: bool,
    /// Port of the emulator on this machine [setting: idp.port, or entra.authority_host]
    #[arg(long, value_name = "PORT")]
    idp_port: Option<u16>,
    /// Print JSON: the token, its type, its expiry, and its user
    #[arg(long)]
    json: bool,
}

/// Prints a token.
///
/// # Errors
/// If the settings name a real tenant, no emulator answers, or it rejects the request.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> anyhow::Result<()> {
    let settings = settings.load(Role::Any, Vec::new())?;
    let emulator = Emulator::find(arguments, &settings)?;
    let minted = emulator.mint(&arguments.request(&emulator))?;
    let text = if arguments.json {
        format!("{:#}\n", minted.as_json())
    } else {
        format!("{}\n", minted.token)
    };
    let mut stdout = std::io::stdout().lock();
    Ok(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())?)
}

impl Arguments {
    fn request(&self, emulator: &Emulator) -> Value {
        let scope = if self.app_only {
            // `{App ID URI}/.default` requests all permissions of the application.
            let api = emulator
                .scope
                .rsplit_once('/')
                .map_or(emulator.scope.as_str(), |(api, _)| api);
            format!("{api}/.default")
        } else {
            self.scope.clone().unwrap_or_else(|| emulator.scope.clone())
        };
        let mut request = Map::new();
        request.insert("client_id".to_owned(), json!(emulator.client_id));
        request.insert("scope".to_owned(), json!(scope));
        request.insert(
            "kind".to_owned(),
            json!(if self.app_only { "app_only" } else { "access" }),
        );
        if let Some(user) = &self.user {
            request.insert("user".to_owned(), json!(user));
        }
        if !self.roles.is_empty() {
            let roles: Vec<_> = self.roles.iter().map(|role| full_role(role)).collect();
            request.insert("claims".to_owned(), json!({ "roles": roles }));
        }
        Value::Object(request)
    }
}

fn full_role(role: &str) -> &str {
    match role.to_ascii_lowercase().as_str() {
        "reader" => "Blog.Reader",
        "writer" => "Blog.Writer",
        "admin" => "Blog.Admin",
        _ => role,
    }
}

/// The address of the emulator, and the application and scope to request a token for.
struct Emulator {
    base: Url,
    /// CA to trust for HTTPS.
    ca_file: Option<PathBuf>,
    client_id: String,
    scope: String,
}

impl Emulator {
    /// Finds the emulator by the flag, else by the settings. Settings for a real tenant are an error.
    fn find(arguments: &Arguments, settings: &Settings) -> anyhow::Result<Self> {
        let scheme = if settings.idp.tls { "https" } else { "http" };
        let on_port = |port: u16| Url::parse(&format!("{scheme}://localhost:{port}"));
        // `client.*` applies to the emulator only if `entra.authority_host` names it.
        let of_emulator = settings.entra.authority_host.as_ref().filter(|host| is_loopback(host));
        let base = match (arguments.idp_port, &settings.entra.authority_host, of_emulator) {
            (Some(port), _, _) => on_port(port)?,
            (None, _, Some(host)) => host.clone(),
            (None, Some(host), None) => return Err(real_tenant(&format!("entra.authority_host is {host}"), settings)),
            (None, None, None) if settings.entra.tenant_id.is_empty() => on_port(settings.idp.port)?,
            (None, None, None) => return Err(real_tenant("entra.tenant_id names a tenant of Entra ID", settings)),
        };
        let own = |value: &str, default: String| {
            if of_emulator.is_none() || value.is_empty() {
                default
            } else {
                value.to_owned()
            }
        };
        let state_ca = settings.idp.state_dir.join("idp-ca.pem");
        let ca_file = (base.scheme() == "https" && state_ca.exists()).then_some(state_ca);
        Ok(Self {
            base,
            ca_file: settings.entra.ca_file.clone().or(ca_file),
            client_id: own(&settings.client.client_id, DEV_CLIENT_ID.to_owned()),
            scope: own(&settings.client.api_scope, format!("api://{DEV_API_ID}/access_as_user")),
        })
    }

    fn mint(&self, request: &Value) -> anyhow::Result<Minted> {
        let base = self.base.as_str().trim_end_matches('/');
        let agent = outbound::agent(outbound::Target::Other, TIMEOUT, self.ca_file.as_deref())?;
        let response = agent.post(format!("{base}/_control/tokens")).send_json(request);
        let mut response = response
            .map_err(|error| anyhow!("no Entra ID emulator answers at {base}: {error}"))
            .hint("start it with \"blogctl dev\", or name the port of a running one with --idp-port")?;
        let status = response.status();
        let body =
            outbound::read_body(&mut response).with_context(|| format!("{base} did not send its whole response"))?;
        let rejection = || {
            let body: Value = serde_json::from_slice(&body).ok()?;
            Some(body.get("error")?.as_str()?.to_owned())
        };
        match serde_json::from_slice::<Minted>(&body) {
            Ok(minted) if status.is_success() => Ok(minted),
            _ => match rejection().filter(|_| status.is_client_error()) {
                Some(message) => {
                    Err(WrongUsage(format!("the Entra ID emulator rejects the request: {message}")).into())
                }
                None => Err(anyhow!(
                    "the server at {base} is not blogctl's Entra ID emulator ({status})"
                ))
                .hint("name the port of \"blogctl dev\" or \"blogctl serve-idp\" with --idp-port"),
            },
        }
    }
}

fn real_tenant(reason: &str, settings: &Settings) -> anyhow::Error {
    let api = &settings.api;
    let resource = [Some(&api.app_id_uri), api.client_id.as_ref()]
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty());
    let resource = resource.map_or("api://YOUR-API", String::as_str);
    let error = WrongUsage(format!("this command is for the Entra ID emulator, but {reason}"));
    let hinted: anyhow::Result<()> = Err(error).hint(format!(
        "for a token of that tenant: az account get-access-token --resource {resource} --query accessToken -o tsv; for a \
         running \"blogctl dev\": blogctl token --idp-port 9000"
    ));
    hinted.err().unwrap_or_else(|| anyhow!("{reason}"))
}

/// The response of the emulator.
#[derive(Deserialize)]
struct Minted {
    token: String,
    claims: Map<String, Value>,
}

impl Minted {
    fn as_json(&self) -> Value {
        let claim = |name: &str| self.claims.get(name).cloned().unwrap_or_default();
        let expires = claim("exp")
            .as_i64()
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        json!({
            "access_token": self.token,
            "token_type": "Bearer",
            "expires_on": expires.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)),
            "name": claim("name"),
            "oid": claim("oid"),
            "scope": claim("scp"),
            "roles": claim("roles"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_roles_mean_those_of_the_blog_and_others_are_unchanged() {
        for (role, full) in [
            ("reader", "Blog.Reader"),
            ("Writer", "Blog.Writer"),
            ("ADMIN", "Blog.Admin"),
            ("X.Y", "X.Y"),
        ] {
            assert_eq!(full_role(role), full);
        }
    }

    fn found(port: Option<u16>, change: impl FnOnce(&mut Settings)) -> Result<String, String> {
        let mut settings = Settings::default();
        change(&mut settings);
        let arguments = Arguments {
            user: None,
            roles: Vec::new(),
            scope: None,
            app_only: false,
            idp_port: port,
            json: false,
        };
        Emulator::find(&arguments, &settings)
            .map(|found| found.base.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_emulator_is_found_by_flag_or_settings_and_a_real_tenant_is_rejected() {
        let host = |host: &str| Some(Url::parse(host).unwrap());
        assert_eq!(found(None, |_| {}), Ok("http://localhost:9000/".to_owned()));
        assert_eq!(
            found(None, |settings| settings.idp.port = 9100),
            Ok("http://localhost:9100/".to_owned())
        );
        assert_eq!(
            found(None, |settings| settings.idp.tls = true),
            Ok("https://localhost:9000/".to_owned())
        );
        let dev = |settings: &mut Settings| {
            settings.entra.authority_host = host("http://localhost:9200");
            "11111111-2222-4333-8444-555555555555".clone_into(&mut settings.entra.tenant_id);
        };
        assert_eq!(found(None, dev), Ok("http://localhost:9200/".to_owned()));
        assert_eq!(found(Some(7), dev), Ok("http://localhost:7/".to_owned()));
        let real = |settings: &mut Settings| {
            "22222222-2222-4333-8444-555555555555".clone_into(&mut settings.entra.tenant_id);
        };
        assert!(found(None, real).unwrap_err().contains("entra.tenant_id"));
        assert_eq!(found(Some(9000), real), Ok("http://localhost:9000/".to_owned()));
        let remote = |settings: &mut Settings| settings.entra.authority_host = host("https://idp.example");
        assert!(found(None, remote).unwrap_err().contains("https://idp.example"));
    }
}
