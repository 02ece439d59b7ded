//! Whose tokens count: the tenant's of the settings, and those of `api.tenants`, each by its own two issuers. All tenants
//! of a cloud sign with the same keys, so who issued a token is for `iss` to say, and for `tid` to confirm.

use crate::entra::{
    Authority,
    access_token::error::{Claim, Refusal},
};

/// One tenant and what its tokens call their issuer.
pub(super) struct Tenant {
    pub(super) authority: Authority,
    v1: String,
    v2: String,
}

/// The tenants whose tokens count.
pub(super) struct Tenants(Vec<Tenant>);

impl Tenants {
    /// The authority's own, and `others`; what is no GUID among these names nobody.
    pub(super) fn new(authority: &Authority, others: &[String]) -> Self {
        let tenant = |of: Authority| Tenant {
            v1: of.issuer_v1(),
            v2: of.issuer_v2(),
            authority: of,
        };
        Self(authority.with_tenants(others).into_iter().map(tenant).collect())
    }

    /// The tenant whose issuer `iss` is, exactly. The version of a token follows the API's manifest, so either form may
    /// come.
    pub(super) fn of_issuer(&self, iss: Option<&str>) -> Result<&Tenant, Refusal> {
        let iss = iss.ok_or(Refusal::Missing(Claim::Issuer))?;
        self.0
            .iter()
            .find(|tenant| iss == tenant.v2 || iss == tenant.v1)
            .ok_or(Refusal::WrongIssuer)
    }
}
