//! The checks of `doctor --production`: the lines of docs/production-checklist.md that the settings and this machine show. Each
//! line has a check of the same name. A line that is not met fails if attackers or a restart could do harm; otherwise it is a
//! warning.

mod api;
mod client;
mod secrets;
mod server;

use super::{
    DoctorContext,
    finding::{Check, CheckResult},
};
use crate::loopback::is_loopback_host;

/// The checks of the roles that are checked, in the order of the checklist.
pub fn checks(context: &DoctorContext) -> Vec<Check> {
    let mut checks = server::checks();
    checks.extend(secrets::checks());
    if context.client {
        checks.extend(client::checks());
    }
    if context.api {
        checks.extend(api::checks());
    }
    checks
}

/// A check of settings alone.
const fn check(
    name: &'static str,
    title: &'static str,
    settings: &'static [&'static str],
    run: fn(&DoctorContext) -> Vec<CheckResult>,
) -> Check {
    Check {
        name,
        title,
        settings,
        after: &[],
        run,
    }
}

/// The addresses of the checked roles on which other machines can reach them.
fn public_hosts(context: &DoctorContext) -> Vec<(&'static str, &str)> {
    let settings = &context.settings;
    [
        (
            context.client && settings.client.socket_path.is_none(),
            "client.host",
            settings.client.host.as_str(),
        ),
        (
            context.api && settings.api.socket_path.is_none(),
            "api.host",
            settings.api.host.as_str(),
        ),
    ]
    .into_iter()
    .filter(|(is_checked, _, host)| *is_checked && !is_loopback_host(host))
    .map(|(_, setting, host)| (setting, host))
    .collect()
}
