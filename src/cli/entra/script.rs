//! `blogctl entra manifest --format az`: a shell script that makes both registrations. Entra gives client ids as it makes
//! them, so the script fills in what names one.

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
# A registration takes seconds to be known everywhere.
patiently() {
    tries=1
    until \"$@\"; do
        if [ $tries -ge 6 ]; then return 1; fi
        tries=$((tries + 1))
        echo \"once more in 5 seconds ...\" >&2
        sleep 5
    done
}
";

/// The script for these registrations, `api` and `site` as Graph takes them.
pub(super) fn script(wanted: &ExpectedRegistrations, mut api: Value, mut site: Value) -> serde_json::Result<String> {
    if let Some(api) = api.as_object_mut() {
        api.remove("identifierUris");
    }
    if let Some(id) = site.pointer_mut("/requiredResourceAccess/0/resourceAppId") {
        *id = json!(UNKNOWN_API);
    }
    // A URI that holds the client id of a registration is of that one only; any other is the operator's choice.
    let is_of_registration = |uri: &&str| uri.strip_prefix("api://").is_some_and(|id| guid::parse(id).is_some());
    let chosen = wanted.app_id_uri.as_deref().filter(|uri| !is_of_registration(uri));
    let mut text = heading(wanted);
    let _ = write!(
        text,
        "{START}\n\
         cat > \"$folder/api.json\" <<'JSON'\n{}\nJSON\n\
         api=$(create \"$folder/api.json\")\n\
         echo \"The API's registration is $api\" >&2\n\
         patiently az ad app update --id \"$api\" --identifier-uris {}\n\
         patiently az ad sp create --id \"$api\" --output none\n\n\
         cat > \"$folder/site.json\" <<'JSON'\n{}\nJSON\n\
         sed \"s/{UNKNOWN_API}/$api/\" \"$folder/site.json\" > \"$folder/site-of-api.json\"\n\
         site=$(create \"$folder/site-of-api.json\")\n\
         echo \"The web site's registration is $site\" >&2\n\
         patiently az ad sp create --id \"$site\" --output none\n",
        serde_json::to_string_pretty(&api)?,
        chosen.map_or_else(|| "\"api://$api\"".to_owned(), quoted),
        serde_json::to_string_pretty(&site)?,
    );
    for (n, credential) in wanted.credentials.iter().enumerate() {
        text.push_str(&step(n + 1, credential));
    }
    if wanted.credentials.is_empty() {
        text.push_str("\n# There is no certificate yet. After blogctl cert new:\n");
        text.push_str(UPLOAD);
    }
    text.push_str(&settings(wanted, chosen));
    Ok(text)
}

/// Prints the settings that follow. `chosen` is the App ID URI, unless it is made of the new client id.
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

/// A piece of a setting's value.
enum Part<'a> {
    Text(&'a str),
    /// Of the script; it holds a GUID.
    Variable(&'static str),
}

/// A word of the shell: a setting as a TOML file has it.
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

/// Inside of a TOML string, which takes all of JSON's escapes.
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
        "#!/bin/sh\n# Makes the two app registrations of blogctl in the tenant that az is signed in to (az login).\n\
         # Each run makes new ones. After a run that failed half-way, delete what it has made, by the ids that it told:\n\
         #   az ad app delete --id CLIENT_ID\n",
    );
    if let Some((_, name)) = cloud_names(wanted.cloud) {
        let _ = writeln!(text, "# Before signing in: az cloud set --name {name}");
    }
    if wanted.site_client_id.is_some() || wanted.api_client_id.is_some() {
        text.push_str("# The settings name registrations already: compare those with blogctl entra diff.\n");
    }
    text
}

/// How a certificate is added to a registration that is there.
const UPLOAD: &str = "#   az ad app credential reset --id \"$site\" --cert @cert/client-cert.pem --append\n";

/// What one entry of the list needs besides. Certificates come with the registration.
fn step(n: usize, credential: &ExpectedCredential) -> String {
    match credential {
        ExpectedCredential::Certificate { details, .. } if details.not_after < Utc::now() => format!(
            "\n# The certificate {} expired on {}: make another with blogctl cert new, and upload that.\n",
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
                "\n# {} proves the site by a token that the registration must trust. Fill in what is in capitals: the subject is\n\
                 # the object id of a managed identity, or system:serviceaccount:NAMESPACE:NAME of the cluster whose OIDC issuer\n\
                 # is the issuer.\n\
                 #   az ad app federated-credential create --id \"$site\" --parameters {}\n",
                comment(name),
                quoted(&parameters.to_string())
            )
        }
    }
}

/// Of a cloud other than the public one: as `entra.cloud` has it, and as az does.
fn cloud_names(cloud: Cloud) -> Option<(&'static str, &'static str)> {
    match cloud {
        Cloud::Public => None,
        Cloud::UsGovernment => Some(("us-government", "AzureUSGovernment")),
        Cloud::China => Some(("china", "AzureChinaCloud")),
    }
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Behind a `#`: what follows a line break would be run.
fn comment(text: &str) -> String {
    text.split(|c: char| c.is_control()).collect::<Vec<_>>().join(" ")
}
