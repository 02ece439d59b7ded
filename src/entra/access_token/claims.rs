//! The claims of a verified access token and the rule for each. Presence is checked here, claim by claim: a missing
//! claim is never a claim that passes.

use serde::Deserialize;
use uuid::Uuid;

use super::{
    audience::{Audience, is_graph},
    tenants::Tenant,
};
use crate::{
    entra::{
        PrincipalKind,
        access_token::error::{Claim, Refusal},
    },
    guid,
};

/// What is read of a token. A derived struct refuses a claim that occurs twice, and times that are not integers.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: Option<String>,
    aud: Option<OneOrSeveral>,
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
    acrs: Option<OneOrSeveral>,
    xms_cc: Option<OneOrSeveral>,
    pub(super) roles: Option<Vec<String>>,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) preferred_username: Option<String>,
    pub(super) upn: Option<String>,
    pub(super) unique_name: Option<String>,
}

/// A claim that may be one text or an array of them (RFC 7519 §4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrSeveral {
    One(String),
    Several(Vec<String>),
}

impl OneOrSeveral {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }

    fn holds(&self, value: &str) -> bool {
        self.as_slice().iter().any(|own| own == value)
    }
}

impl Claims {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(payload).map_err(|_| Refusal::MalformedClaims)
    }

    /// `nonce` binds an ID token to a sign-in (OpenID Connect Core §2); Entra puts none into the access tokens of an API
    /// of one's own.
    pub(super) fn check_kind(&self) -> Result<(), Refusal> {
        if self.nonce.is_some() {
            Err(Refusal::IdToken)
        } else {
            Ok(())
        }
    }

    /// `aud` names this API and nobody else.
    pub(super) fn check_audience(&self, audience: &Audience) -> Result<(), Refusal> {
        let aud = self.aud.as_ref().ok_or(Refusal::Missing(Claim::Audience))?;
        match aud.as_slice() {
            [one] if audience.accepts(one) => Ok(()),
            _ if self.is_for_graph() => Err(Refusal::ForGraph),
            _ => Err(Refusal::WrongAudience),
        }
    }

    pub(super) fn is_for_graph(&self) -> bool {
        self.aud
            .as_ref()
            .is_some_and(|aud| aud.as_slice().iter().any(|aud| is_graph(aud)))
    }

    /// `now` in seconds since 1970; `skew`: how far the clocks of Entra and this machine may be apart, in seconds.
    pub(super) fn check_times(&self, now: i64, skew: i64) -> Result<(), Refusal> {
        if self.usable_until(skew)? <= now {
            return Err(Refusal::Expired);
        }
        let to_come = |time: Option<i64>| time.is_some_and(|time| time.saturating_sub(skew) > now);
        if to_come(self.nbf) {
            return Err(Refusal::NotYetValid);
        }
        if to_come(self.iat) {
            return Err(Refusal::IssuedInFuture);
        }
        Ok(())
    }

    /// The first second, since 1970, in which the token is expired even for a clock that is `skew` seconds slow.
    pub(super) fn usable_until(&self, skew: i64) -> Result<i64, Refusal> {
        Ok(self.exp.ok_or(Refusal::Missing(Claim::Expiry))?.saturating_add(skew))
    }

    /// `tid`, which must be the tenant of the issuer: an issuer alone is not asked to vouch for it.
    pub(super) fn tenant_id(&self, issuer: &Tenant) -> Result<Uuid, Refusal> {
        let tenant_id = self.tid.as_deref().ok_or(Refusal::Missing(Claim::Tenant))?;
        guid::parse(tenant_id)
            .filter(|id| *id == issuer.authority.tenant_id())
            .ok_or(Refusal::WrongTenant)
    }

    pub(super) fn object_id(&self) -> Result<Uuid, Refusal> {
        let object_id = self.oid.as_deref().ok_or(Refusal::Missing(Claim::Object))?;
        guid::parse(object_id).ok_or(Refusal::BadObjectId)
    }

    /// `idtyp` says it where the API asks for that optional claim; else only users' tokens have `scp`.
    pub(super) fn kind(&self) -> PrincipalKind {
        if self.scp.is_none() || self.idtyp.as_deref() == Some("app") {
            PrincipalKind::AppOnly
        } else {
            PrincipalKind::Delegated
        }
    }

    /// The words of `scp`, which only a user's token has. `roles` may stand in app-only tokens too, and never count as
    /// scopes.
    pub(super) fn scopes(&self) -> Vec<String> {
        let words = self.scp.iter().flat_map(|scp| scp.split(' '));
        words.filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
    }

    /// `azp` of v2 tokens, `appid` of v1 tokens.
    pub(super) fn app_id(&self) -> Option<Uuid> {
        self.azp.as_deref().or(self.appid.as_deref()).and_then(guid::parse)
    }

    /// Whether the application proved itself by certificate: `azpacr` of v2 tokens, `appidacr` of v1 tokens.
    pub(super) fn client_used_certificate(&self) -> bool {
        self.azpacr.as_deref().or(self.appidacr.as_deref()) == Some("2")
    }

    /// Whether the sign-in met this authentication context (`acrs`).
    pub(super) fn meets(&self, acr: &str) -> bool {
        self.acrs.as_ref().is_some_and(|acrs| acrs.holds(acr))
    }

    /// Whether the application handles claims challenges (`xms_cc` holds `cp1`).
    pub(super) fn client_takes_challenges(&self) -> bool {
        self.xms_cc
            .as_ref()
            .is_some_and(|capabilities| capabilities.holds("cp1"))
    }
}
