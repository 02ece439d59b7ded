//! An entry of `server.trusted_proxies`: which connections may carry forwarding headers.

use std::{fmt, net::IpAddr, str::FromStr};

use figment::value::Value;
use ipnet::IpNet;
use serde_json::{Value as Json, json};

use super::{quote::quotable, value::SettingValue};

/// The word for connections over a Unix socket.
const UNIX: &str = "unix";

/// Where a trusted reverse proxy connects from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedProxy {
    /// From an address of this network.
    Network(IpNet),
    /// Over a Unix socket (`api.socket_path`, `client.socket_path`). Its clients have no address.
    UnixSocket,
}

/// An entry that is neither a network nor an address nor `unix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither a network nor an IP address nor unix")]
pub struct InvalidProxy;

impl FromStr for TrustedProxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        // nginx writes `set_real_ip_from unix:`.
        if text.trim_end_matches(':').eq_ignore_ascii_case(UNIX) {
            return Ok(Self::UnixSocket);
        }
        let network = text.parse().ok();
        network
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
            .map(Self::Network)
            .ok_or(InvalidProxy)
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::UnixSocket => f.write_str(UNIX),
        }
    }
}

/// In CIDR form. A single address is a network with one address.
impl SettingValue for Vec<TrustedProxy> {
    const EXPECTED: &'static str =
        "networks such as 10.0.0.0/8, IP addresses, or unix (connections over a Unix socket)";

    fn read(value: &Value) -> Result<Self, String> {
        Vec::<String>::read(value)?
            .iter()
            .map(|text| {
                text.parse()
                    .map_err(|_| format!("{:?} is none of these", quotable(text)))
            })
            .collect()
    }
    fn show(&self) -> Json {
        json!(self.iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_network_an_address_or_the_word_for_unix_sockets() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("unix", "unix"),
            ("unix:", "unix"),
            ("Unix", "unix"),
        ] {
            let proxy: TrustedProxy = text.parse().expect(text);
            assert_eq!(proxy.to_string(), expected);
        }
        for text in [
            "",
            ":",
            "unix:/run/a.sock",
            "/run/a.sock",
            "localhost",
            "10.0.0.0/33",
            "*",
        ] {
            assert_eq!(text.parse::<TrustedProxy>(), Err(InvalidProxy), "{text}");
        }
    }
}
