//! The registrations as Graph JSON: what `POST /applications` takes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{SecondsFormat, Utc};
use openssl::sha::sha1;
use serde_json::{Value, json};
use uuid::{Builder, Uuid};

use super::{Proof, Wanted};

/// Roles that the API knows, and what each lets its holder do.
pub const APP_ROLES: [(&str, &str); 3] = [
    ("Blog.Reader", "Read posts"),
    ("Blog.Writer", "Read posts, and write, change and delete one's own"),
    ("Blog.Admin", "Read posts, and change and delete those of anybody"),
];

/// `signInAudience` of a registration that is of its own tenant alone.
pub(super) const ONE_TENANT: &str = "AzureADMyOrg";
/// `signInAudience` of a registration of which other tenants may have a service principal.
pub(super) const MANY_TENANTS: &str = "AzureADMultipleOrgs";

/// Stands for a client id that nobody knows before the registration has been made.
pub const UNKNOWN_API: &str = "@API_CLIENT_ID@";

/// The registrations of API and site.
pub fn described(wanted: &Wanted) -> (Value, Value) {
    (api(wanted), site(wanted))
}

fn api(wanted: &Wanted) -> Value {
    let roles: Vec<Value> = APP_ROLES
        .iter()
        .map(|(value, does)| {
            json!({
                "id": stable_id("role", value),
                "value": value,
                "displayName": value,
                "description": does,
                "isEnabled": true,
                "allowedMemberTypes": ["User", "Application"],
            })
        })
        .collect();
    let does = "Read and write blog posts as you";
    let mut api = json!({
        "displayName": "Blog API",
        "signInAudience": if wanted.is_of_many_tenants { MANY_TENANTS } else { ONE_TENANT },
        "api": {
            "requestedAccessTokenVersion": 2,
            "oauth2PermissionScopes": [{
                "id": stable_id("scope", &wanted.scope),
                "value": wanted.scope,
                "type": "User",
                "isEnabled": true,
                "adminConsentDisplayName": "Read and write blog posts as the signed-in user",
                "adminConsentDescription": "Lets the application read and write blog posts in the name of the signed-in user.",
                "userConsentDisplayName": does,
                "userConsentDescription": "Lets the application read and write blog posts in your name.",
            }],
        },
        "appRoles": roles,
        "optionalClaims": { "accessToken": [{ "name": "idtyp", "essential": false }] },
    });
    if let (Some(uri), Some(object)) = (&wanted.app_id_uri, api.as_object_mut()) {
        object.insert("identifierUris".to_owned(), json!([uri]));
    }
    api
}

fn site(wanted: &Wanted) -> Value {
    let api = wanted
        .api_client_id
        .map_or_else(|| UNKNOWN_API.to_owned(), |id| id.to_string());
    let claims = ["email", "login_hint", "sid"].map(|name| json!({ "name": name, "essential": false }));
    json!({
        "displayName": "Blog web site",
        "signInAudience": ONE_TENANT,
        "isFallbackPublicClient": false,
        "web": {
            "redirectUris": wanted.redirect_uris,
            "logoutUrl": wanted.logout_url,
            "implicitGrantSettings": { "enableIdTokenIssuance": false, "enableAccessTokenIssuance": false },
        },
        "requiredResourceAccess": [{
            "resourceAppId": api,
            "resourceAccess": [{ "id": stable_id("scope", &wanted.scope), "type": "Scope" }],
        }],
        "optionalClaims": { "idToken": claims },
        "keyCredentials": wanted.proofs.iter().filter_map(key_credential).collect::<Vec<_>>(),
    })
}

/// Of a certificate that has not expired.
fn key_credential(proof: &Proof) -> Option<Value> {
    let Proof::Certificate { details, der } = proof else {
        return None;
    };
    let time = |time: chrono::DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    (details.not_after >= Utc::now()).then(|| {
        json!({
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
            "displayName": details.subject,
            "customKeyIdentifier": details.thumbprints.custom_key_identifier(),
            "startDateTime": time(details.not_before),
            "endDateTime": time(details.not_after),
            "key": STANDARD.encode(der),
        })
    })
}

/// The same each time and everywhere (UUID version 5, RFC 9562 §5.5): ids of scopes and roles need be unique within
/// their registration only, and permissions name them.
fn stable_id(kind: &str, value: &str) -> String {
    let name = [
        Uuid::NAMESPACE_URL.as_bytes().as_slice(),
        format!("urn:blogctl:{kind}:{value}").as_bytes(),
    ]
    .concat();
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(sha1(&name))
        .for_each(|(byte, digit)| *byte = digit);
    Builder::from_sha1_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_of_version_5() {
        let id = stable_id("scope", "access_as_user");
        assert_eq!(id, stable_id("scope", "access_as_user"));
        assert_ne!(id, stable_id("role", "access_as_user"));
        assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 5);
    }
}
