//! The registrations as Graph JSON, for `POST /applications`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{SecondsFormat, Utc};
use openssl::sha::sha1;
use serde_json::{Value, json};
use uuid::{Builder, Uuid};

use super::{ExpectedCredential, ExpectedRegistrations};

/// The API's app roles and their descriptions.
pub const APP_ROLES: [(&str, &str); 3] = [
    ("Blog.Reader", "Read posts"),
    ("Blog.Writer", "Read posts, and write, change and delete your own"),
    ("Blog.Admin", "Read posts, and change and delete those of all users"),
];

/// `signInAudience` of a single-tenant registration.
pub(super) const ONE_TENANT: &str = "AzureADMyOrg";
/// `signInAudience` of a multitenant registration.
pub(super) const MANY_TENANTS: &str = "AzureADMultipleOrgs";

/// Placeholder for the API's client id, which exists only after its registration.
pub const UNKNOWN_API: &str = "@API_CLIENT_ID@";

/// The registrations of API and site.
pub fn describe(wanted: &ExpectedRegistrations) -> (Value, Value) {
    (api(wanted), site(wanted))
}

fn api(wanted: &ExpectedRegistrations) -> Value {
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
        "signInAudience": if wanted.is_multitenant { MANY_TENANTS } else { ONE_TENANT },
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

fn site(wanted: &ExpectedRegistrations) -> Value {
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
        "keyCredentials": wanted.credentials.iter().filter_map(key_credential).collect::<Vec<_>>(),
    })
}

/// `None` for an expired certificate, and for other credentials.
fn key_credential(credential: &ExpectedCredential) -> Option<Value> {
    let ExpectedCredential::Certificate { details, der } = credential else {
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

/// Stable on every machine (UUID version 5, RFC 9562 §5.5): permissions refer to the ids of scopes and roles, which must be unique
/// only within their registration.
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
