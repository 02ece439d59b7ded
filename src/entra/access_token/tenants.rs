//! The tenants whose tokens are accepted: that of `entra.tenant_id` and those of `api.tenants`. Each has two issuers. All tenants
//! of a cloud sign with the same keys, so `iss` names the tenant, and `tid` must confirm it.

use crate::entra::{
    Authority,
    access_token::error::{Claim, Rejection},
};

/// One tenant and its issuers.
pub(super) struct Tenant {
    pub(super) authority: Authority,
    v1: String,
    v2: String,
}

/// The accepted tenants.
pub(super) struct Tenants(Vec<Tenant>);

impl Tenants {
    /// The authority's tenant and `others`, of which entries that are not GUIDs are ignored.
    pub(super) fn new(authority: &Authority, others: &[String]) -> Self {
        let tenant = |of: Authority| Tenant {
            v1: of.issuer_v1(),
            v2: of.issuer_v2(),
            authority: of,
        };
        Self(authority.with_tenants(others).into_iter().map(tenant).collect())
    }

    /// The tenant with exactly this issuer. The API's manifest decides the version of its tokens, so both forms are accepted.
    pub(super) fn by_issuer(&self, iss: Option<&str>) -> Result<&Tenant, Rejection> {
        let iss = iss.ok_or(Rejection::Missing(Claim::Issuer))?;
        self.0
            .iter()
            .find(|tenant| iss == tenant.v2 || iss == tenant.v1)
            .ok_or(Rejection::WrongIssuer)
    }
}
