//! The client's IP address: the peer's, or the one that a trusted proxy reports. Also reads what else such a proxy
//! reports about a request.
//!
//! Addresses come from `X-Forwarded-For` only, and only from proxies in `server.trusted_proxies`: clients choose the
//! content of any header that the proxy does not set. Each proxy appends the address that it saw on the right. So the
//! first address from the right that is not a trusted proxy is the client, and the addresses further left are
//! unverified.

use std::net::IpAddr;

use actix_web::http::header::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::config::TrustedProxy;

/// The proxies whose headers count.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    is_unix_trusted: bool,
}

/// The part of an address that identifies a client in limits. For IPv6 these are the first 64 bits: a client that has
/// one of those addresses has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// All 32 bits.
    V4(u32),
    /// The first 64 bits.
    V6(u64),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl TrustedProxies {
    /// Those in `server.trusted_proxies`.
    pub fn new(proxies: &[TrustedProxy]) -> Self {
        let network = |proxy: &TrustedProxy| match proxy {
            TrustedProxy::Network(network) => Some(*network),
            TrustedProxy::UnixSocket => None,
        };
        Self {
            networks: proxies.iter().filter_map(network).collect(),
            is_unix_trusted: proxies.contains(&TrustedProxy::UnixSocket),
        }
    }

    /// The client's address. `peer` is the other end of the connection; `None` is a Unix socket, which has no address. The
    /// result is `None` if no trusted proxy names a client there.
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer.map(|peer| peer.to_canonical());
        if !self.is_trusted_peer(client) {
            return client;
        }
        let values: Vec<_> = headers.get_all("x-forwarded-for").collect();
        let entries = values
            .into_iter()
            .rev()
            .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries {
            // An unparsable entry ends the chain: no trusted proxy vouches for the entries before it.
            let Some(address) = std::str::from_utf8(entry).ok().and_then(parse_address) else {
                break;
            };
            client = Some(address);
            if !self.is_trusted(address) {
                break;
            }
        }
        client
    }

    /// The value of a header such as `X-Forwarded-Host` from a trusted proxy. If there are several proxies, this is the
    /// value of the first one, which the client connected to. `None` if the peer is not a trusted proxy, or the header
    /// is missing.
    pub fn forwarded<'r>(&self, peer: Option<IpAddr>, headers: &'r HeaderMap, name: &HeaderName) -> Option<&'r str> {
        if !self.is_trusted_peer(peer) {
            return None;
        }
        let value = headers.get(name)?.to_str().ok()?;
        value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
    }

    /// What a request counts against in limits per address: [`Self::client`] without the part that a client can choose.
    pub fn source(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<Source> {
        self.client(peer, headers).map(Source::from)
    }

    /// Whether a connection comes from a trusted proxy. `None` is a Unix socket.
    pub fn is_trusted_peer(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.is_unix_trusted, |peer| self.is_trusted(peer))
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// Parses an address as proxies write it: sometimes with a port, and then IPv6 in brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let has_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
        return address
            .parse::<IpAddr>()
            .ok()
            .filter(|_| has_port)
            .map(|address| address.to_canonical());
    }
    let (address, port) = text.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    address.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            let value = HeaderValue::from_bytes(value).expect("a header value");
            headers.append(HeaderName::from_static("x-forwarded-for"), value);
        }
        let trusted: Vec<TrustedProxy> = trusted.iter().map(|text| text.parse().expect("a proxy")).collect();
        let peer = (peer != "unix").then(|| peer.parse().expect("an address"));
        TrustedProxies::new(&trusted)
            .client(peer, &headers)
            .map_or_else(|| "none".to_owned(), |client| client.to_string())
    }

    #[test]
    fn nobody_is_believed_who_is_not_listed() {
        assert_eq!(client(&[], "203.0.113.9", &[b"1.2.3.4"]), "203.0.113.9");
        assert_eq!(client(&["10.0.0.0/8"], "203.0.113.9", &[b"1.2.3.4"]), "203.0.113.9");
    }

    #[test]
    fn the_first_from_the_right_that_is_no_proxy_of_ours_is_the_client() {
        let ours = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"];
        for (forwarded, expected) in [
            (&[&b"1.2.3.4"[..]][..], "1.2.3.4"),
            (&[b"6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            (&[b"6.6.6.6, 1.2.3.4, 10.1.1.1 ,192.0.2.7"], "1.2.3.4"),
            (&[b"6.6.6.6", b"1.2.3.4"], "1.2.3.4"),
            (&[b"1.2.3.4:5678"], "1.2.3.4"),
            (&[b"[2001:db9::1]:443"], "2001:db9::1"),
            (&[b"[2001:db9::1]"], "2001:db9::1"),
            (&[b"::ffff:1.2.3.4"], "1.2.3.4"),
            (&[b"10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            (&[], "10.0.0.1"),
            (&[b""], "10.0.0.1"),
            (&[b"unknown"], "10.0.0.1"),
            (&[b"1.2.3.4, _hidden, 10.1.1.1"], "10.1.1.1"),
            (&[b"1.2.3.4, \xff"], "10.0.0.1"),
            (&[b"1.2.3.4:port"], "10.0.0.1"),
        ] {
            assert_eq!(client(&ours, "10.0.0.1", forwarded), expected, "{forwarded:?}");
        }
        assert_eq!(
            client(&ours, "::ffff:10.0.0.1", &[b"1.2.3.4"]),
            "1.2.3.4",
            "IPv4 on a socket for both"
        );
    }

    #[test]
    fn a_unix_socket_has_no_address_and_is_believed_only_if_it_is_listed() {
        for (trusted, forwarded, expected) in [
            (&[][..], &[&b"1.2.3.4"[..]][..], "none"),
            (&["10.0.0.0/8", "0.0.0.0/0", "::/0"], &[b"1.2.3.4"], "none"),
            (&["unix"], &[b"1.2.3.4"], "1.2.3.4"),
            (&["unix"], &[b"6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            (&["unix", "10.0.0.0/8"], &[b"1.2.3.4, 10.1.1.1"], "1.2.3.4"),
            (&["unix"], &[b"1.2.3.4, unix:"], "none"),
            (&["unix"], &[], "none"),
        ] {
            assert_eq!(
                client(trusted, "unix", forwarded),
                expected,
                "{trusted:?} {forwarded:?}"
            );
        }
        assert_eq!(client(&["unix"], "203.0.113.9", &[b"1.2.3.4"]), "203.0.113.9");
    }

    proptest! {
        #[test]
        fn whatever_a_stranger_forwards_the_peer_is_the_client(value in "[ -~]{0,60}") {
            prop_assert_eq!(client(&["10.0.0.0/8"], "203.0.113.9", &[value.as_bytes()]), "203.0.113.9");
        }

        #[test]
        fn no_header_of_a_proxy_makes_anything_panic(value in proptest::collection::vec(0x20_u8..0x7f, 0..60)) {
            client(&["0.0.0.0/0", "::/0"], "10.0.0.1", &[&value]);
        }
    }
}
