//! Check: public URL and redirect URI, without any request.

use url::Host;

use super::{
    DoctorContext,
    finding::{Check, CheckResult},
};
use crate::{config::Environment, loopback::is_loopback, web::Addresses};

pub fn check() -> Check {
    Check {
        name: "addresses",
        title: "Addresses",
        settings: &["client.public_url", "client.redirect_uri", "client.port"],
        after: &[],
        run,
    }
}

fn run(context: &DoctorContext) -> Vec<CheckResult> {
    let client = &context.settings.client;
    let addresses = match Addresses::from_settings(&context.settings, client.port) {
        Ok(addresses) => addresses,
        Err(error) => {
            return vec![CheckResult::failed(
                error.to_string(),
                "an http or https URL",
                "correct client.public_url",
            )];
        }
    };
    let Addresses {
        public_url,
        redirect_uri,
    } = &addresses;
    let mut results = Vec::new();
    let is_local = is_loopback(public_url);
    if is_local && context.settings.server.environment == Environment::Production {
        results.push(CheckResult::warning(
            format!("the public URL is {public_url}, which leads each visitor to their own machine"),
            "an https URL in production",
            "set client.public_url to the URL that visitors use, or server.environment to development",
        ));
    }
    if is_local && client.port != 0 && public_url.port_or_known_default() != Some(client.port) {
        results.push(CheckResult::warning(
            format!(
                "the public URL is {public_url}, but the site listens on port {}",
                client.port
            ),
            "the same port, unless a reverse proxy forwards requests",
            "use the same port in client.port and in client.public_url or client.redirect_uri",
        ));
    }
    if public_url.scheme() == "http" && !is_local {
        results.push(CheckResult::warning(
            format!("the public URL is {public_url}: an attacker in the network can read and take over sessions"),
            "https: Entra ID accepts http redirect URIs only for localhost",
            "put a reverse proxy with TLS in front of the site, set client.public_url to its https URL, and remove \
             client.allow_plain_http",
        ));
    }
    if is_local && public_url.scheme() == "http" && public_url.host() != Some(Host::Domain("localhost")) {
        results.push(CheckResult::warning(
            format!("the redirect URI is {redirect_uri}"),
            "http://localhost: the portal accepts no other http redirect URI",
            "set client.public_url to http://localhost and the port",
        ));
    }
    if results.is_empty() {
        results.push(CheckResult::ok(format!(
            "register as redirect URIs (platform Web): {redirect_uri} (sign-in) and {public_url} (after sign-out)"
        )));
    }
    results
}
