//! Check: public URL and redirect URI. Nothing is asked; what cannot be meant is told.

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
    let addresses = match Addresses::from_settings(client, client.port) {
        Ok(addresses) => addresses,
        Err(error) => {
            return vec![CheckResult::failed(
                error.to_string(),
                "an http or https address",
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
            format!("the site is called {public_url}, which leads each visitor to their own machine"),
            "an https address in production",
            "set client.public_url to the address that visitors type, or server.environment to development",
        ));
    }
    if is_local && client.port != 0 && public_url.port_or_known_default() != Some(client.port) {
        results.push(CheckResult::warning(
            format!("the site is called {public_url}, but listens on port {}", client.port),
            "the same port, unless something forwards it",
            "make client.public_url or client.redirect_uri and client.port agree",
        ));
    }
    if public_url.scheme() == "http" && !is_local {
        results.push(CheckResult::warning(
            format!("the site is called {public_url}: whoever is on the way can read and take over sessions"),
            "https: Entra ID takes no plain-http redirect URI but localhost's",
            "put a reverse proxy with TLS in front, set client.public_url to its https address, and unset \
             client.allow_plain_http",
        ));
    }
    if is_local && public_url.scheme() == "http" && public_url.host() != Some(Host::Domain("localhost")) {
        results.push(CheckResult::warning(
            format!("the redirect URI is {redirect_uri}"),
            "http://localhost: the portal takes no other plain-http redirect URI",
            "set client.public_url to http://localhost and the port",
        ));
    }
    if results.is_empty() {
        results.push(CheckResult::ok(format!(
            "to be registered as redirect URIs (platform Web): {redirect_uri} (sign-in) and {public_url} (after sign-out)"
        )));
    }
    results
}
