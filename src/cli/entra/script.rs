//! `blogctl entra manifest --format az`: a shell script that makes both registrations. Entra gives client ids as it makes
//! them, so the script fills in what names one.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use serde_json::{Value, json};

use crate::{
    config::Cloud,
    entra::registration::{Proof, UNKNOWN_API, Wanted},
};

const START: &str = "set -eu
folder=$(mktemp -d)
trap 'rm -r \"$folder\"' EXIT
graph=$(az cloud show --query endpoints.microsoftGraphResourceId --output tsv | sed 's,/*$,,')/v1.0/applications
create() { az rest --method POST --url \"$graph\" --headers Content-Type=application/json --body \"@$1\" --query appId --output tsv; }
";

/// The script for these registrations, `api` and `site` as Graph takes them.
pub(super) fn script(wanted: &Wanted, mut api: Value, mut site: Value) -> serde_json::Result<String> {
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
    // A URI that holds the client id of a registration is of that one only; any other is the operator's choice.
    let is_of_registration =
        |uri: &&str| uri.strip_prefix("api://").is_some_and(|id| uuid::Uuid::try_parse(id).is_ok());
    let chosen = wanted.app_id_uri.as_deref().filter(|uri| !is_of_registration(uri));
    let mut text = heading(wanted);
    let _ = write!(
        text,
        "{START}\n\
         cat > \"$folder/api.json\" <<'JSON'\n{}\nJSON\n\
         api=$(create \"$folder/api.json\")\n\
         az ad app update --id \"$api\" --identifier-uris {}\n\
         az ad sp create --id \"$api\" --output none\n\n\
         cat > \"$folder/site.json\" <<'JSON'\n{}\nJSON\n\
         sed \"s/{UNKNOWN_API}/$api/\" \"$folder/site.json\" > \"$folder/site-of-api.json\"\n\
         site=$(create \"$folder/site-of-api.json\")\n\
         az ad sp create --id \"$site\" --output none\n",
        serde_json::to_string_pretty(&api)?,
        chosen.map_or_else(|| "\"api://$api\"".to_owned(), quoted),
        serde_json::to_string_pretty(&site)?,
    );
    for (n, proof) in wanted.proofs.iter().enumerate() {
        text.push_str(&step(n + 1, proof));
    }
    if wanted.proofs.is_empty() {
        text.push_str(
            "\n# There is no certificate yet. After blogctl cert new:\n\
             #   az ad app credential reset --id \"$site\" --cert @cert/client-cert.pem --append\n",
        );
    }
    let uri = chosen.map_or_else(|| "api://$api".to_owned(), str::to_owned);
    let cloud = cloud_names(wanted.cloud).map_or_else(String::new, |(name, _)| format!("cloud = \"{name}\"\n"));
    let _ = write!(
        text,
        "\ncat <<SETTINGS\n[entra]\ntenant_id = \"$(az account show --query tenantId --output tsv)\"\n{cloud}\
         [client]\nclient_id = \"$site\"\napi_scope = \"{uri}/{}\"\n[api]\napp_id_uri = \"{uri}\"\nclient_id = \"$api\"\nSETTINGS\n",
        wanted.scope
    );
    Ok(text)
}

fn heading(wanted: &Wanted) -> String {
    let mut text = String::from(
        "#!/bin/sh\n# Makes the two app registrations of blogctl in the tenant that az is signed in to (az login).\n",
    );
    if let Some((_, name)) = cloud_names(wanted.cloud) {
        let _ = writeln!(text, "# Before signing in: az cloud set --name {name}");
    }
    if wanted.site_client_id.is_some() || wanted.api_client_id.is_some() {
        text.push_str(
            "# The settings name registrations already. This makes new ones; compare the old ones with blogctl entra diff.\n",
        );
    }
    text
}

/// What the site's registration needs for one entry of the list.
fn step(n: usize, proof: &Proof) -> String {
    match proof {
        Proof::Certificate { details, .. } if details.not_after < Utc::now() => format!(
            "\n# The certificate {} expired on {}: make another with blogctl cert new, and upload that.\n",
            comment(&details.subject),
            details.not_after.format("%Y-%m-%d")
        ),
        Proof::Certificate { der, .. } => format!(
            "\ncat > \"$folder/cert-{n}.pem\" <<'PEM'\n{}PEM\n\
             az ad app credential reset --id \"$site\" --cert \"@$folder/cert-{n}.pem\" --append --output none\n",
            pem(der)
        ),
        Proof::Unreadable { name, reason, remedy } => format!(
            "\n# Not uploaded: {}: {}\n#   hint: {}\n# Afterwards: az ad app credential reset --id \"$site\" --cert @FILE --append\n",
            comment(name),
            comment(reason),
            comment(remedy)
        ),
        Proof::Federated { name, issuer, audience } => {
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

/// The certificate alone: the file that client.cert_path names may hold the key as well.
fn pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = base64.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
