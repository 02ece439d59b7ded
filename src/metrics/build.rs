//! Which program this is.

use std::sync::LazyLock;

use super::{
    catalog::Catalog,
    family::{Family, Gauge},
};

static INFO: LazyLock<Family<Gauge, 2>> = LazyLock::new(|| {
    Family::gauges(
        "blogctl_build_info",
        "Always 1; version and commit of the program are in the labels",
        ["version", "commit"],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    INFO.with([env!("CARGO_PKG_VERSION").into(), env!("BLOGCTL_COMMIT").into()])
        .set(1.0);
    INFO.describe(catalog);
}
