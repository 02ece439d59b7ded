//! The claims of ID and access tokens, as in `id-token-claims-reference.md` and `access-token-claims-reference.md`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::{authority::Authority, random, registrations::App, scope::Resource};
use crate::config::{IdpUser, TokenVersion};

/// How the client authenticated, for `azpacr` and `appidacr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthMethod {
    /// A public client does not authenticate.
    None,
    /// A signed assertion.
    Certificate,
}

impl ClientAuthMethod {
    fn as_claim(self) -> &'static str {
        match self {
            Self::None => "0",
            Self::Certificate => "2",
        }
    }
}

/// Validity of a token, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Validity {
    /// `iat` and `nbf`.
    pub from: i64,
    /// `exp`.
    pub until: i64,
}

/// A user with a sign-in session.
#[derive(Debug, Clone, Copy)]
pub struct SignedInUser<'a> {
    pub user: &'a IdpUser,
    /// Session id.
    pub sid: &'a str,
}

/// Claims of an ID token for `client`.
pub fn id_token(
    authority: &Authority,
    client: &App,
    signed_in: SignedInUser<'_>,
    nonce: Option<&str>,
    validity: Validity,
) -> Map<String, Value> {
    let SignedInUser { user, sid } = signed_in;
    let mut claims = common(authority, validity);
    claims.extend(object(json!({
        "aud": client.client_id(),
        "iss": authority.issuer_v2(),
        "sub": pairwise_subject(authority, client.client_id(), &user.oid),
        "oid": user.oid,
        "name": user.name,
        "preferred_username": user.email,
        "email": user.email,
        "login_hint": login_hint(user),
        "sid": sid,
        "ver": "2.0",
    })));
    if let Some(nonce) = nonce {
        claims.insert("nonce".to_owned(), json!(nonce));
    }
    insert_roles(&mut claims, &user_roles(user, client));
    claims
}

/// Claims of an access token for an API on behalf of a user. The API's registration decides the format, not the
/// request.
pub fn access_token(
    authority: &Authority,
    client: &App,
    auth_method: ClientAuthMethod,
    resource: &Resource,
    signed_in: SignedInUser<'_>,
    validity: Validity,
) -> Map<String, Value> {
    let SignedInUser { user, sid } = signed_in;
    let mut claims = for_resource(authority, client, auth_method, resource, validity);
    claims.extend(object(json!({
        "sub": pairwise_subject(authority, audience_id(resource), &user.oid),
        "oid": user.oid,
        "name": user.name,
        "email": user.email,
        "sid": sid,
        "scp": resource.scopes.join(" "),
    })));
    let names = match resource.token_version {
        TokenVersion::V1 => json!({
            "acr": "1",
            "amr": ["pwd"],
            "unique_name": user.email,
            "upn": user.email,
        }),
        TokenVersion::V2 => json!({ "preferred_username": user.email }),
    };
    claims.extend(object(names));
    if let Some(api) = &resource.api {
        insert_roles(&mut claims, &user_roles(user, api));
    }
    claims
}

/// Claims of an access token for an API without a user: `roles` and no `scp`.
pub fn app_only_token(
    authority: &Authority,
    client: &App,
    auth_method: ClientAuthMethod,
    resource: &Resource,
    validity: Validity,
) -> Map<String, Value> {
    let mut claims = for_resource(authority, client, auth_method, resource, validity);
    let service_principal = service_principal_id(authority, client.client_id());
    claims.extend(object(json!({ "sub": service_principal, "oid": service_principal })));
    let roles = resource.api.iter().flat_map(|api| &api.registration.app_roles);
    let granted = roles.filter(|role| role.granted_to.iter().any(|id| id == client.client_id()));
    insert_roles(&mut claims, &granted.map(|role| role.value.clone()).collect::<Vec<_>>());
    claims
}

/// The opaque value of `login_hint` and `logout_hint` for a user.
pub fn login_hint(user: &IdpUser) -> String {
    format!("O.{}", URL_SAFE_NO_PAD.encode(&user.oid))
}

fn for_resource(
    authority: &Authority,
    client: &App,
    auth_method: ClientAuthMethod,
    resource: &Resource,
    validity: Validity,
) -> Map<String, Value> {
    let mut claims = common(authority, validity);
    claims.extend(object(match resource.token_version {
        TokenVersion::V1 => json!({
            "ver": "1.0",
            "iss": authority.issuer_v1(),
            "aud": resource.identifier,
            "appid": client.client_id(),
            "appidacr": auth_method.as_claim(),
        }),
        TokenVersion::V2 => json!({
            "ver": "2.0",
            "iss": authority.issuer_v2(),
            "aud": audience_id(resource),
            "azp": client.client_id(),
            "azpacr": auth_method.as_claim(),
        }),
    }));
    claims
}

fn common(authority: &Authority, validity: Validity) -> Map<String, Value> {
    object(json!({
        "tid": authority.tenant_id(),
        "iat": validity.from,
        "nbf": validity.from,
        "exp": validity.until,
        "uti": random::token_id(),
    }))
}

fn audience_id(resource: &Resource) -> &str {
    resource
        .api
        .as_ref()
        .map_or(resource.identifier.as_str(), |api| api.client_id())
}

/// The user's roles that the application defines.
fn user_roles(user: &IdpUser, app: &App) -> Vec<String> {
    let defined = |role: &&String| app.registration.app_roles.iter().any(|known| known.value == **role);
    user.roles.iter().filter(defined).cloned().collect()
}

fn insert_roles(claims: &mut Map<String, Value>, roles: &[String]) {
    if !roles.is_empty() {
        claims.insert("roles".to_owned(), json!(roles));
    }
}

/// OpenID Connect Core §8.1: `sub` differs per application for the same user.
fn pairwise_subject(authority: &Authority, client_id: &str, oid: &str) -> String {
    let input = format!("{}|{client_id}|{oid}", authority.tenant_id());
    URL_SAFE_NO_PAD.encode(openssl::sha::sha256(input.as_bytes()))
}

/// The object id of the application in this tenant: a constant GUID, different from the client id.
fn service_principal_id(authority: &Authority, client_id: &str) -> String {
    let digest = openssl::sha::sha256(format!("{}|service principal|{client_id}", authority.tenant_id()).as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, digit)| *byte = digit);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
