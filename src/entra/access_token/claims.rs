//! The claims of a verified access token and the rule for each. Presence is checked here, claim by claim: a missing
//! claim is never a claim that passes.

use serde::Deserialize;
use uuid::Uuid;

use super::{
    audience::{Audience, is_graph},
    refusal::{Claim, Refusal},
};
use crate::entra::{Authority, authority::parse_guid};

/// How far the clocks of Entra and this machine may be apart. Machines that keep time by NTP stay within a second;
/// a minute allows for one that has just started, and lets a token live on too short to matter beside its hour.
pub(super) const LEEWAY_SECONDS: i64 = 60;

/// What is read of a token. A derived struct refuses a claim that occurs twice, and times that are not integers.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: Option<String>,
    aud: Option<String>,
    tid: Option<String>,
    oid: Option<String>,
    exp: Option<i64>,
    nbf: Option<i64>,
    scp: Option<String>,
    idtyp: Option<String>,
    azp: Option<String>,
    appid: Option<String>,
    pub(super) roles: Option<Vec<String>>,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) preferred_username: Option<String>,
    pub(super) upn: Option<String>,
    pub(super) unique_name: Option<String>,
}

impl Claims {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(payload).map_err(|_| Refusal::MalformedClaims)
    }

    /// `iss` is exactly one of the tenant's two. The version of a token follows the API's manifest, so either may come.
    pub(super) fn check_issuer(&self, authority: &Authority) -> Result<(), Refusal> {
        let issuer = self.iss.as_deref().ok_or(Refusal::Missing(Claim::Issuer))?;
        if issuer == authority.issuer_v2() || issuer == authority.issuer_v1() {
            Ok(())
        } else {
            Err(Refusal::WrongIssuer)
        }
    }

    pub(super) fn check_audience(&self, audience: &Audience) -> Result<(), Refusal> {
        let aud = self.aud.as_deref().ok_or(Refusal::Missing(Claim::Audience))?;
        if audience.accepts(aud) {
            Ok(())
        } else if self.is_for_graph() {
            Err(Refusal::ForGraph)
        } else {
            Err(Refusal::WrongAudience)
        }
    }

    pub(super) fn is_for_graph(&self) -> bool {
        self.aud.as_deref().is_some_and(is_graph)
    }

    /// `now` in seconds since 1970. `iat` says nothing that `nbf` and `exp` do not.
    pub(super) fn check_times(&self, now: i64) -> Result<(), Refusal> {
        if has_expired(self.exp()?, now) {
            return Err(Refusal::Expired);
        }
        let not_before = self.nbf.ok_or(Refusal::Missing(Claim::NotBefore))?;
        if not_before.saturating_sub(LEEWAY_SECONDS) > now {
            return Err(Refusal::NotYetValid);
        }
        Ok(())
    }

    /// `exp`, in seconds since 1970.
    pub(super) fn exp(&self) -> Result<i64, Refusal> {
        self.exp.ok_or(Refusal::Missing(Claim::Expiry))
    }

    /// `tid`, which must be the tenant's: an issuer alone is not asked to vouch for it.
    pub(super) fn tenant_id(&self, authority: &Authority) -> Result<Uuid, Refusal> {
        let tenant_id = self.tid.as_deref().ok_or(Refusal::Missing(Claim::Tenant))?;
        parse_guid(tenant_id).filter(|id| *id == authority.tenant_id()).ok_or(Refusal::WrongTenant)
    }

    pub(super) fn object_id(&self) -> Result<Uuid, Refusal> {
        let object_id = self.oid.as_deref().ok_or(Refusal::Missing(Claim::Object))?;
        parse_guid(object_id).ok_or(Refusal::BadObjectId)
    }

    /// The words of `scp`, which only a user's token has. `roles` may stand in app-only tokens too, and never count as
    /// scopes.
    pub(super) fn delegated_scopes(&self) -> Result<Vec<String>, Refusal> {
        let Some(scp) = self.scp.as_deref().filter(|_| self.idtyp.as_deref() != Some("app")) else {
            return Err(Refusal::AppOnly);
        };
        Ok(scp.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect())
    }

    /// `azp` of v2 tokens, `appid` of v1 tokens.
    pub(super) fn app_id(&self) -> Option<Uuid> {
        self.azp.as_deref().or(self.appid.as_deref()).and_then(parse_guid)
    }
}

pub(super) fn has_expired(exp: i64, now: i64) -> bool {
    exp.saturating_add(LEEWAY_SECONDS) <= now
}
