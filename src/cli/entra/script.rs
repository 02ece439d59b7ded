//! `blogctl entra manifest --format az`: a shell script that creates both app registrations. Entra ID assigns client IDs when it
//! creates them, so the script inserts the ID of the API into the site's registration.

use std::fmt::Write as _;

use chrono::Utc;
use serde_json::{Value, json};

use crate::{
    config::Cloud,
    guid,
    registration::{ExpectedCredential, ExpectedRegistrations, UNKNOWN_API},
};

const START: &str = "set -eu
folder=$(mktemp -d)
trap 'rm -r \"$folder\"' EXIT
graph=$(az cloud show --query endpoints.microsoftGraphResourceId --output tsv)
graph=${graph%/}/v1.0/applications
tenant=$(az account show --query tenantId --output tsv)
create() { az rest --method POST --url \"$graph\" --headers Content-Type=application/json --body \"@$1\" --query appId --output tsv; }
# A new registration needs some seconds to be available everywhere.
retry() {
    tries=1
    until \"$@\"; do
        if [ $tries -ge 6 ]; then return 1; fi
        tries=$((tries + 1))
        echo \"retrying in 5 seconds ...\" >&2
        sleep 5
    done
}
";

/// The script that creates these registrations. `api` and `site` are applications in Microsoft Graph.
pub(super) fn script(wanted: &ExpectedRegistrations, mut api: Value, mut site: Value) -> serde_json::Result<String> {
    if let Some(api) = api.as_object_mut() {
        api.remove("identifierUris");
    }
    if let Some(id) = site.pointer_mut("/requiredResourceAccess/0/resourceAppId") {
        *id = json!(UNKNOWN_API);
    }
    // A URI with a client ID belongs to that registration only, so a new one gets its own. The operator chose any other URI.
    let is_of_registration = |uri: &&str| uri.strip_prefix("api://").is_some_and(|id| guid::parse(id).is_some());
    let chosen = wanted.app_id_uri.as_deref().filter(|uri| !is_of_registration(uri));
    let mut text = heading(wanted);
    let _ = write!(
        text,
        "{START}\n\
         cat > \"$folder/api.json\" <<'JSON'\n{}\nJSON\n\
         api=$(create \"$folder/api.json\")\n\
         echo \"Created the app registration of the API: $api\" >&2\n\
         retry az ad app update --id \"$api\" --identifier-uris {}\n\
         retry az ad sp create --id \"$api\" --output none\n\n\
         cat > \"$folder/site.json\" <<'JSON'\n{}\nJSON\n\
         sed \"s/{UNKNOWN_API}/$api/\" \"$folder/site.json\" > \"$folder/site-of-api.json\"\n\
         site=$(create \"$folder/site-of-api.json\")\n\
         echo \"Created the app registration of the web site: $site\" >&2\n\
         retry az ad sp create --id \"$site\" --output none\n",
        serde_json::to_string_pretty(&api)?,
        chosen.map_or_else(|| "\"api://$api\"".to_owned(), quoted),
        serde_json::to_string_pretty(&site)?,
    );
    for (n, proof) in wanted.credentials.iter().enumerate() {
        text.push_str(&step(n + 1, proof));
    }
    if wanted.credentials.is_empty() {
        text.push_str("\n# There is no certificate yet. After blogctl cert new, run:\n");
        text.push_str(UPLOAD);
    }
    text.push_str(&settings(wanted, chosen));
    Ok(text)
}

/// Prints the resulting settings. `chosen` is the App ID URI, unless it contains the new client ID.
fn settings(wanted: &ExpectedRegistrations, chosen: Option<&str>) -> String {
    let of_uri = |name: &str, rest: &str| match chosen {
        Some(uri) => line(name, &[Part::Text(uri), Part::Text(rest)]),
        None => line(name, &[Part::Text("api://"), Part::Variable("api"), Part::Text(rest)]),
    };
    let scope = format!("/{}", wanted.scope);
    let cloud = cloud_names(wanted.cloud).map(|(name, _)| line("cloud", &[Part::Text(name)]));
    let lines = [
        Some("'[entra]'".to_owned()),
        Some(line("tenant_id", &[Part::Variable("tenant")])),
        cloud,
    ]
    .into_iter()
    .flatten()
    .chain([
        "'[client]'".to_owned(),
        line("client_id", &[Part::Variable("site")]),
        of_uri("api_scope", &scope),
        "'[api]'".to_owned(),
        of_uri("app_id_uri", ""),
        line("client_id", &[Part::Variable("api")]),
    ]);
    format!(
        "\nprintf '%s\\n' \\\n    {}\n",
        lines.collect::<Vec<_>>().join(" \\\n    ")
    )
}

/// A part of the value of a setting.
enum Part<'a> {
    Text(&'a str),
    /// A variable of the script, which contains a GUID.
    Variable(&'static str),
}

/// A setting in TOML, quoted as one word of the shell.
fn line(name: &str, value: &[Part<'_>]) -> String {
    let value: String = value
        .iter()
        .map(|part| match part {
            Part::Text(text) => quoted(&escaped(text)),
            Part::Variable(name) => format!("\"${name}\""),
        })
        .collect();
    format!("'{name} = \"'{value}'\"'")
}

/// Escapes text within a TOML string, which allows all escapes of JSON.
fn escaped(text: &str) -> String {
    let string = json!(text).to_string().replace('\u{7f}', "\\u007f");
    string
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or_default()
        .to_owned()
}

fn heading(wanted: &ExpectedRegistrations) -> String {
    let mut text = String::from(
        "#!/bin/sh\n# Creates the two app registrations of blogctl in the tenant that az is signed in to (az login).\n\
         # Each run creates new ones. If a run fails, delete the registrations that it created; it prints their IDs:\n\
         #   az ad app delete --id CLIENT_ID\n",
    );
    if let Some((_, name)) = cloud_names(wanted.cloud) {
        let _ = writeln!(text, "# Before signing in: az cloud set --name {name}");
    }
    if wanted.site_client_id.is_some() || wanted.api_client_id.is_some() {
        text.push_str("# The settings already name app registrations: compare them with blogctl entra diff.\n");
    }
    text
}

/// Command that adds a certificate to an existing app registration.
const UPLOAD: &str = "#   az ad app credential reset --id \"$site\" --cert @cert/client-cert.pem --append\n";

/// Additional step for one credential. Certificates are part of the registration.
fn step(n: usize, proof: &ExpectedCredential) -> String {
    match proof {
        ExpectedCredential::Certificate { details, .. } if details.not_after < Utc::now() => format!(
            "\n# The certificate {} expired on {}: create a new one with blogctl cert new, and upload it.\n",
            comment(&details.subject),
            details.not_after.format("%Y-%m-%d")
        ),
        ExpectedCredential::Certificate { .. } => String::new(),
        ExpectedCredential::Unreadable { name, reason, hint } => format!(
            "\n# Not uploaded: {}: {}\n#   hint: {}\n# Afterwards:\n{UPLOAD}",
            comment(name),
            comment(reason),
            comment(hint)
        ),
        ExpectedCredential::Federated { name, issuer, audience } => {
            let issuer = issuer.as_deref().unwrap_or("ISSUER");
            let parameters = json!({
                "name": format!("blogctl-{n}"), "issuer": issuer, "subject": "SUBJECT", "audiences": [audience],
            });
            format!(
                "\n# {} authenticates the site with a token that the registration must trust. Replace the words in capitals: SUBJECT\n\
                 # is the object ID of a managed identity, or system:serviceaccount:NAMESPACE:NAME of the cluster whose OIDC\n\
                 # issuer is ISSUER.\n\
                 #   az ad app federated-credential create --id \"$site\" --parameters {}\n",
                comment(name),
                quoted(&parameters.to_string())
            )
        }
    }
}

/// The names of a cloud in `entra.cloud` and in az; `None` for the public cloud.
fn cloud_names(cloud: Cloud) -> Option<(&'static str, &'static str)> {
    match cloud {
        Cloud::Public => None,
        Cloud::UsGovernment => Some(("us-government", "AzureUSGovernment")),
        Cloud::China => Some(("china", "AzureChinaCloud")),
    }
}

/// Quotes text for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Text for a comment after `#`. The shell would run what follows a line break.
fn comment(text: &str) -> String {
    text.split(|c: char| c.is_control()).collect::<Vec<_>>().join(" ")
}
