//! The claims of a verified access token, and the rule for each. Each rule checks presence itself, so that a missing claim never
//! passes.

use serde::Deserialize;
use uuid::Uuid;

use super::{
    audience::{Audience, is_graph},
    tenants::Tenant,
};
use crate::{
    entra::{
        PrincipalKind,
        access_token::error::{Claim, Rejection},
    },
    guid,
};

/// The claims in use. A derived struct rejects a claim that occurs twice, and times that are not integers.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: Option<String>,
    aud: Option<OneOrMany>,
    tid: Option<String>,
    oid: Option<String>,
    exp: Option<i64>,
    nbf: Option<i64>,
    pub(super) iat: Option<i64>,
    nonce: Option<String>,
    scp: Option<String>,
    idtyp: Option<String>,
    azp: Option<String>,
    azpacr: Option<String>,
    appid: Option<String>,
    appidacr: Option<String>,
    acrs: Option<OneOrMany>,
    xms_cc: Option<OneOrMany>,
    pub(super) roles: Option<Vec<String>>,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) preferred_username: Option<String>,
    pub(super) upn: Option<String>,
    pub(super) unique_name: Option<String>,
}

/// A claim that is one string or an array of strings (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    fn contains(&self, value: &str) -> bool {
        self.as_slice().iter().any(|own| own == value)
    }
}

impl Claims {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Rejection> {
        serde_json::from_slice(payload).map_err(|_| Rejection::MalformedClaims)
    }

    /// `nonce` binds an ID token to a sign-in (OpenID Connect Core §2). Entra puts none into access tokens for a registered API.
    pub(super) fn check_not_id_token(&self) -> Result<(), Rejection> {
        if self.nonce.is_some() {
            Err(Rejection::IdToken)
        } else {
            Ok(())
        }
    }

    /// `aud` names this API alone.
    pub(super) fn check_audience(&self, audience: &Audience) -> Result<(), Rejection> {
        let aud = self.aud.as_ref().ok_or(Rejection::Missing(Claim::Audience))?;
        match aud.as_slice() {
            [one] if audience.accepts(one) => Ok(()),
            _ if self.is_for_graph() => Err(Rejection::ForGraph),
            _ => Err(Rejection::WrongAudience),
        }
    }

    pub(super) fn is_for_graph(&self) -> bool {
        self.aud
            .as_ref()
            .is_some_and(|aud| aud.as_slice().iter().any(|aud| is_graph(aud)))
    }

    /// `now` is in seconds since 1970; `skew` is the accepted clock difference in seconds.
    pub(super) fn check_times(&self, now: i64, skew: i64) -> Result<(), Rejection> {
        if self.usable_until(skew)? <= now {
            return Err(Rejection::Expired);
        }
        let is_future = |time: Option<i64>| time.is_some_and(|time| time.saturating_sub(skew) > now);
        if is_future(self.nbf) {
            return Err(Rejection::NotYetValid);
        }
        if is_future(self.iat) {
            return Err(Rejection::IssuedInFuture);
        }
        Ok(())
    }

    /// The expiry time plus `skew`, in seconds since 1970.
    pub(super) fn usable_until(&self, skew: i64) -> Result<i64, Rejection> {
        Ok(self.exp.ok_or(Rejection::Missing(Claim::Expiry))?.saturating_add(skew))
    }

    /// `tid`, which must be the tenant of the issuer.
    pub(super) fn tenant_id(&self, issuer: &Tenant) -> Result<Uuid, Rejection> {
        let tenant_id = self.tid.as_deref().ok_or(Rejection::Missing(Claim::Tenant))?;
        guid::parse(tenant_id)
            .filter(|id| *id == issuer.authority.tenant_id())
            .ok_or(Rejection::WrongTenant)
    }

    pub(super) fn object_id(&self) -> Result<Uuid, Rejection> {
        let object_id = self.oid.as_deref().ok_or(Rejection::Missing(Claim::Object))?;
        guid::parse(object_id).ok_or(Rejection::BadObjectId)
    }

    /// Decided by the optional claim `idtyp`, and otherwise by `scp`, which only users' tokens have.
    pub(super) fn kind(&self) -> PrincipalKind {
        if self.scp.is_none() || self.idtyp.as_deref() == Some("app") {
            PrincipalKind::AppOnly
        } else {
            PrincipalKind::Delegated
        }
    }

    /// The values of `scp`, which only a user's token has. App-only tokens may have `roles`, which never count as scopes.
    pub(super) fn scopes(&self) -> Vec<String> {
        let words = self.scp.iter().flat_map(|scp| scp.split(' '));
        words.filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
    }

    /// `azp` of v2 tokens, `appid` of v1 tokens.
    pub(super) fn app_id(&self) -> Option<Uuid> {
        self.azp.as_deref().or(self.appid.as_deref()).and_then(guid::parse)
    }

    /// Whether the application authenticated by certificate: `azpacr` of v2 tokens, `appidacr` of v1 tokens.
    pub(super) fn client_used_certificate(&self) -> bool {
        self.azpacr.as_deref().or(self.appidacr.as_deref()) == Some("2")
    }

    /// Whether the sign-in met this authentication context (`acrs`).
    pub(super) fn meets_authentication_context(&self, acr: &str) -> bool {
        self.acrs.as_ref().is_some_and(|acrs| acrs.contains(acr))
    }

    /// Whether the application handles claims challenges (`xms_cc` holds `cp1`).
    pub(super) fn client_handles_challenges(&self) -> bool {
        self.xms_cc
            .as_ref()
            .is_some_and(|capabilities| capabilities.contains("cp1"))
    }
}
