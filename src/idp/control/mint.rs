//! Mints any token, valid or invalid in any way: an API's tests need tokens that the API must reject.

use std::sync::OnceLock;

use actix_web::{HttpResponse, http::StatusCode, web};

use josekit::jws::{HS256, PS256, RS384};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::problem::problem;
use crate::{
    config::{IdpUser, TokenVersion},
    idp::{
        claims::{self, ClientAuthMethod, SignedInUser, Validity},
        error::OAuthError,
        random,
        scope::{self, Scope},
        signing_keys::{KeyError, SigningKey, compact, signing_input},
        state::Idp,
    },
};

/// The token to mint: a valid one, changed as requested.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MintRequest {
    #[serde(default)]
    kind: Kind,
    /// The calling application, or the audience of an ID token.
    client_id: String,
    /// Object id of the user; by default the first user.
    oid: Option<String>,
    /// Alternative to `oid`: an object id, an e-mail address or the part before its `@`, or a name, in any case.
    user: Option<String>,
    /// As in an authorization request, or `{resource}/.default` for an app-only token.
    scope: String,
    /// Format of an access token; by default the one that the API's registration names.
    token_version: Option<TokenVersion>,
    /// Claims to set, after everything else.
    #[serde(default)]
    claims: Map<String, Value>,
    /// Claims to leave out.
    #[serde(default)]
    remove_claims: Vec<String>,
    /// Header parameters to set, after everything else, including `alg`. The signature remains the one of `sign_with`.
    #[serde(default)]
    header: Map<String, Value>,
    /// Header parameters to leave out.
    #[serde(default)]
    remove_header: Vec<String>,
    #[serde(default)]
    sign_with: SignWith,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Access,
    AppOnly,
    Id,
}

/// How the token is signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SignWith {
    /// RS256 with the current key, as in real tokens.
    #[default]
    Current,
    /// RS256 with the oldest published key.
    Oldest,
    /// RS256 with an unpublished key, but with the current key's `kid`.
    Foreign,
    /// No signature, and `alg` is `none`.
    None,
    /// HS256 with the current public key (PEM) as the secret.
    HmacWithPublicKey,
    Ps256,
    Rs384,
}

/// `POST /_control/tokens`
pub async fn mint(idp: web::Data<Idp>, request: web::Json<MintRequest>) -> HttpResponse {
    match web::block(move || make(&idp, &request)).await {
        Ok(Ok(minted)) => HttpResponse::Ok().json(minted),
        Ok(Err(MintError::Request(error))) => problem(StatusCode::BAD_REQUEST, error.sentence()),
        Ok(Err(MintError::Key(error))) => problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

#[derive(Debug, thiserror::Error)]
enum MintError {
    #[error("invalid request")]
    Request(OAuthError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

fn make(idp: &Idp, request: &MintRequest) -> Result<Value, MintError> {
    let mut claims = valid_claims(idp, request).map_err(MintError::Request)?;
    claims.retain(|name, _| !request.remove_claims.contains(name));
    claims.extend(request.claims.clone());
    let token = sign(idp, request, &claims)?;
    Ok(json!({ "token": token, "claims": claims }))
}

fn valid_claims(idp: &Idp, request: &MintRequest) -> Result<Map<String, Value>, OAuthError> {
    let tenant = idp.authority.domain();
    let client = idp.registrations.client(&request.client_id, tenant)?;
    let now = idp.clock.now();
    let until = now.saturating_add_unsigned(idp.access_token_lifetime.as_secs());
    let validity = Validity { from: now, until };
    let mut resource = if request.kind == Kind::AppOnly {
        scope::app_only_resource(&request.scope, &idp.registrations, tenant)?
    } else {
        Scope::parse(&request.scope, &idp.registrations, client, tenant)?.resource
    };
    resource.token_version = request.token_version.unwrap_or(resource.token_version);
    if request.kind == Kind::AppOnly {
        return Ok(claims::app_only_token(
            &idp.authority,
            client,
            ClientAuthMethod::Certificate,
            &resource,
            validity,
        ));
    }
    let user = user(idp, request)?;
    let sid = random::guid();
    let signed_in = SignedInUser { user, sid: &sid };
    Ok(match request.kind {
        Kind::Id => claims::id_token(&idp.authority, client, signed_in, None, validity),
        _ => claims::access_token(
            &idp.authority,
            client,
            ClientAuthMethod::Certificate,
            &resource,
            signed_in,
            validity,
        ),
    })
}

fn user<'a>(idp: &'a Idp, request: &MintRequest) -> Result<&'a IdpUser, OAuthError> {
    let users = idp.registrations.users();
    let no_user = |message: String| OAuthError::new(50034, "invalid_request", message);
    if let Some(oid) = &request.oid {
        return idp
            .registrations
            .user(oid)
            .ok_or_else(|| no_user(format!("There is no user {oid}.")));
    }
    let Some(name) = &request.user else {
        return users.first().ok_or_else(|| no_user("There are no users.".to_owned()));
    };
    let is_called = |user: &&IdpUser| {
        let before_at = user.email.split('@').next().unwrap_or_default();
        [user.oid.as_str(), &user.email, before_at, &user.name]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    };
    users.iter().find(is_called).ok_or_else(|| {
        let known: Vec<_> = users.iter().map(|user| user.email.as_str()).collect();
        no_user(format!("There is no user {name}. The users are {}.", known.join(", ")))
    })
}

fn sign(idp: &Idp, request: &MintRequest, claims: &Map<String, Value>) -> Result<String, KeyError> {
    let current = idp.signing_keys.current()?;
    let oldest = idp.signing_keys.all().into_iter().next();
    let key = match (request.sign_with, oldest) {
        (SignWith::Oldest, Some(oldest)) => oldest,
        _ => current,
    };
    let alg = match request.sign_with {
        SignWith::Current | SignWith::Oldest | SignWith::Foreign => "RS256",
        SignWith::None => "none",
        SignWith::HmacWithPublicKey => "HS256",
        SignWith::Ps256 => "PS256",
        SignWith::Rs384 => "RS384",
    };
    let mut header = Map::new();
    header
        .extend([("typ", "JWT"), ("alg", alg), ("kid", &key.kid)].map(|(name, value)| (name.to_owned(), json!(value))));
    header.retain(|name, _| !request.remove_header.contains(name));
    header.extend(request.header.clone());
    let private_key = || key.private_key().private_key_to_pkcs8();
    match request.sign_with {
        SignWith::Current | SignWith::Oldest => compact(&header, claims, key.signer()),
        SignWith::Foreign => compact(&header, claims, unpublished_key()?.signer()),
        SignWith::None => Ok(format!("{}.", signing_input(&header, claims))),
        SignWith::HmacWithPublicKey => {
            let secret = key.private_key().public_key_to_pem()?;
            compact(&header, claims, &HS256.signer_from_bytes(secret)?)
        }
        SignWith::Ps256 => {
            let rsa = key.private_key().rsa()?.private_key_to_der()?;
            compact(&header, claims, &PS256.signer_from_der(rsa)?)
        }
        SignWith::Rs384 => compact(&header, claims, &RS384.signer_from_der(private_key()?)?),
    }
}

/// One key for all forged tokens: generating a key takes a while.
fn unpublished_key() -> Result<&'static SigningKey, KeyError> {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    if let Some(key) = KEY.get() {
        return Ok(key);
    }
    let key = SigningKey::generate()?;
    Ok(KEY.get_or_init(|| key))
}
