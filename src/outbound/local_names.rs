//! Resolves names below `localhost` to this machine without a name server (RFC 6761 §6.3). Some system resolvers do
//! not. Such names count as loopback and may use plain HTTP, so they must not lead to another machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ureq::{
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

/// The system's resolver, except for names below `localhost`.
#[derive(Debug, Default)]
pub(super) struct LocalNames(DefaultResolver);

impl Resolver for LocalNames {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let Some(port) = uri
            .host()
            .filter(|host| is_below_localhost(host))
            .and_then(|_| port_of(uri))
        else {
            return self.0.resolve(uri, config, timeout);
        };
        let mut addresses = self.empty();
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            addresses.push(SocketAddr::new(address, port));
        }
        Ok(addresses)
    }
}

/// `localhost` itself is left to the system.
fn is_below_localhost(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name.ends_with(".localhost") || (name == "localhost" && host.ends_with('.'))
}

fn port_of(uri: &Uri) -> Option<u16> {
    let host_and_port = DefaultResolver::host_and_port(uri.scheme()?, uri.authority()?)?;
    host_and_port.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_localhost_are_this_machine_and_no_others() {
        for name in ["idp.localhost", "a.b.LOCALHOST", "idp.localhost.", "localhost."] {
            assert!(is_below_localhost(name), "{name}");
        }
        for name in [
            "localhost",
            "localhost.example",
            "xlocalhost",
            "127.0.0.1",
            "[::1]",
            ".",
            "",
        ] {
            assert!(!is_below_localhost(name), "{name}");
        }
    }

    #[test]
    fn the_port_is_that_of_the_url_or_of_its_scheme() {
        for (url, port) in [
            ("http://idp.localhost:9000/x", 9000),
            ("http://idp.localhost", 80),
            ("https://a.localhost/", 443),
        ] {
            assert_eq!(port_of(&url.parse().unwrap()), Some(port), "{url}");
        }
    }
}
