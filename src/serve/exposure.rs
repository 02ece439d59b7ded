//! Warns at start about addresses that are probably not what the operator intends.

use super::ListenAddress;
use crate::{
    config::{Environment, ServerSettings, TrustedProxy},
    loopback::is_loopback_address,
};

/// Warns if a server of this name speaks plain HTTP with other machines, or ignores what the proxy behind its Unix socket says.
pub fn warn(name: &str, addresses: &[ListenAddress], settings: &ServerSettings, is_https: bool) {
    for warning in warnings(addresses, settings, is_https) {
        log::warn!("{name}: {warning}");
    }
}

fn warnings(addresses: &[ListenAddress], settings: &ServerSettings, is_https: bool) -> Vec<String> {
    let proxies = &settings.trusted_proxies;
    // A listed proxy is expected to speak TLS with the clients.
    let may_be_plain = is_https || settings.environment == Environment::Development || !proxies.is_empty();
    let exposed = addresses.iter().find_map(|address| match address {
        ListenAddress::Tcp(address) if !is_loopback_address(address.ip()) => Some(address),
        _ => None,
    });
    let plain = exposed.filter(|_| !may_be_plain).map(|address| {
        format!(
            "plain HTTP on {address}: everyone on the network path can read and change everything, access tokens included; set \
             server.tls.cert_path, or name the reverse proxy that speaks TLS in server.trusted_proxies"
        )
    });
    let is_unix = addresses
        .iter()
        .any(|address| matches!(address, ListenAddress::Unix(_)));
    let untrusted = (is_unix && !proxies.contains(&TrustedProxy::UnixSocket)).then(|| {
        "the limits per address do not apply on the Unix socket, and X-Forwarded headers are ignored there; if a reverse proxy \
         connects to it, add unix to server.trusted_proxies"
            .to_owned()
    });
    plain.into_iter().chain(untrusted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(environment: Environment, proxies: &[&str]) -> ServerSettings {
        ServerSettings {
            environment,
            trusted_proxies: proxies.iter().map(|text| text.parse().expect("a proxy")).collect(),
            ..ServerSettings::default()
        }
    }

    fn tcp(text: &str) -> ListenAddress {
        ListenAddress::Tcp(text.parse().expect("an address"))
    }

    #[test]
    fn plain_http_for_other_machines_is_warned_of_only_in_production_without_a_proxy() {
        use Environment::{Development, Production};
        for (address, environment, proxies, is_https, is_warned) in [
            ("0.0.0.0:8000", Production, &[][..], false, true),
            ("[::]:8000", Production, &[], false, true),
            ("10.0.0.7:8000", Production, &[], false, true),
            ("10.0.0.7:8000", Production, &["10.0.0.0/8"], false, false),
            ("10.0.0.7:8000", Production, &[], true, false),
            ("10.0.0.7:8000", Development, &[], false, false),
            ("127.0.0.1:8000", Production, &[], false, false),
            ("127.0.0.2:8000", Production, &[], false, false),
            ("[::1]:8000", Production, &[], false, false),
        ] {
            let warnings = warnings(&[tcp(address)], &settings(environment, proxies), is_https);
            assert_eq!(
                !warnings.is_empty(),
                is_warned,
                "{address} {environment:?} {proxies:?} {is_https}"
            );
        }
        let both = [tcp("127.0.0.1:1"), tcp("0.0.0.0:1")];
        assert_eq!(warnings(&both, &settings(Production, &[]), false).len(), 1);
    }

    #[test]
    fn a_unix_socket_whose_proxy_is_not_listed_is_warned_of() {
        let unix = [ListenAddress::Unix(Some("/run/a.sock".into()))];
        let production = |proxies| settings(Environment::Production, proxies);
        assert_eq!(warnings(&unix, &production(&[]), true).len(), 1);
        assert_eq!(warnings(&unix, &production(&["10.0.0.0/8"]), false).len(), 1);
        assert!(warnings(&unix, &production(&["unix"]), false).is_empty());
    }
}
