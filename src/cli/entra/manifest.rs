//! `blogctl entra manifest`

use std::{fmt::Write as _, io::Write as _, process::ExitCode};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::{
    config::Settings,
    entra::registration::{UNKNOWN_API, Wanted, described},
};

/// Print the two app registrations that these settings need
///
/// As Microsoft Graph JSON, or as a script of az commands that makes them and prints the settings that follow. The
/// script holds the certificate without its key; nothing in it is secret.
#[derive(Debug, Args)]
pub(super) struct Manifest {
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// An object {api, site} of Microsoft Graph applications
    Json,
    /// A shell script that makes both
    Az,
}

impl Manifest {
    pub(super) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let wanted = super::wanted(settings)?;
        let (api, site) = described(&wanted);
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(&json!({ "api": api, "site": site }))? + "\n",
            Format::Az => script(&wanted, api, site)?,
        };
        anstream::stdout().lock().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Entra gives client ids as it makes registrations, so the site's permission can only be filled in by the script.
fn script(wanted: &Wanted, mut api: Value, mut site: Value) -> serde_json::Result<String> {
    if let Some(api) = api.as_object_mut() {
        api.remove("identifierUris");
    }
    if let Some(id) = site.pointer_mut("/requiredResourceAccess/0/resourceAppId") {
        *id = json!(UNKNOWN_API);
    }
    if let Some(site) = site.as_object_mut() {
        // Uploaded by itself, so that the same command serves for the next one.
        site.remove("keyCredentials");
    }
    let mut text = String::from(
        "#!/bin/sh\n# Makes the two app registrations of blogctl in the tenant that az is signed in to (az login).\n",
    );
    if wanted.site_client_id.is_some() || wanted.api_client_id.is_some() {
        text.push_str(
            "# The settings name registrations already. This makes new ones; compare the old ones with blogctl entra diff.\n",
        );
    }
    let uri = wanted.app_id_uri.as_deref().filter(|uri| !uri.starts_with("api://"));
    let _ = write!(
        text,
        "set -eu\nfolder=$(mktemp -d)\ntrap 'rm -r \"$folder\"' EXIT\n\
         graph=https://graph.microsoft.com/v1.0/applications\n\
         create() {{ az rest --method POST --url \"$graph\" --headers Content-Type=application/json --body \"@$1\" --query appId --output tsv; }}\n\n\
         cat > \"$folder/api.json\" <<'JSON'\n{}\nJSON\n\
         api=$(create \"$folder/api.json\")\n\
         az ad app update --id \"$api\" --identifier-uris {}\n\
         az ad sp create --id \"$api\" --output none\n\n\
         cat > \"$folder/site.json\" <<'JSON'\n{}\nJSON\n\
         sed \"s/{UNKNOWN_API}/$api/\" \"$folder/site.json\" > \"$folder/site-of-api.json\"\n\
         site=$(create \"$folder/site-of-api.json\")\n\
         az ad sp create --id \"$site\" --output none\n",
        serde_json::to_string_pretty(&api)?,
        uri.map_or_else(|| "\"api://$api\"".to_owned(), quoted),
        serde_json::to_string_pretty(&site)?,
    );
    match &wanted.certificate {
        Some((_, der)) => {
            let _ = write!(
                text,
                "\ncat > \"$folder/cert.pem\" <<'PEM'\n{}PEM\n\
                 az ad app credential reset --id \"$site\" --cert \"@$folder/cert.pem\" --append --output none\n",
                pem(der)
            );
        }
        None => text.push_str(
            "\n# There is no certificate yet. After blogctl cert new:\n\
             #   az ad app credential reset --id \"$site\" --cert @cert/client-cert.pem --append\n",
        ),
    }
    let uri = uri.map_or_else(|| "api://$api".to_owned(), str::to_owned);
    let _ = write!(
        text,
        "\ncat <<SETTINGS\n[entra]\ntenant_id = \"$(az account show --query tenantId --output tsv)\"\n\
         [client]\nclient_id = \"$site\"\napi_scope = \"{uri}/{}\"\n[api]\napp_id_uri = \"{uri}\"\nclient_id = \"$api\"\nSETTINGS\n",
        wanted.scope
    );
    Ok(text)
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The certificate alone: the file that client.cert_path names may hold the key as well.
fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
