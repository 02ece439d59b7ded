//! `NO_PROXY`: the hosts that are reached without a proxy. Accepts every form that curl, Go
//! (`golang.org/x/net/http/httpproxy`) or Python's requests accepts. Where they differ, the interpretation without a
//! proxy counts:
//!
//! | entry | matches | understood by |
//! |---|---|---|
//! | `*` | everything | all |
//! | `corp.example`, `.corp.example`, `*.corp.example` | that host, and all below it | curl, Python; Go, though the forms with a dot match only hosts below |
//! | `10.1.2.3`, `::1`, `[::1]` | that address | all |
//! | `10.0.0.0/8`, `fd00::/8` | addresses in that network | all |
//! | `host:8000`, `10.1.2.3:8000`, `[::1]:8000` | that port only | Go, Python |
//!
//! Names are never resolved to compare their addresses: none of the three does so, and a name server could influence
//! the result.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Host;

/// Hosts that are reached without a proxy.
#[derive(Debug, Clone, Default)]
pub(super) struct NoProxy(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    /// `None` means every port.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// In lower case, without a leading or trailing dot.
    Domain(String),
    Address(IpAddr),
    Network(IpNet),
}

impl NoProxy {
    /// Parses a list with commas or blanks between its entries. An invalid entry matches nothing and is logged, with
    /// the name of the `variable`.
    pub(super) fn parse(variable: &str, list: &str) -> Self {
        let entries = list
            .split([',', ';', ' ', '\t', '\r', '\n'])
            .filter(|entry| !entry.is_empty());
        let parsed = entries.filter_map(|entry| {
            let parsed = Entry::parse(entry);
            if parsed.is_none() {
                // An entry with an @ may be the proxy's own URL, pasted into the wrong variable.
                let shown = if entry.contains('@') {
                    "an entry that is a URL with a password"
                } else {
                    entry
                };
                log::warn!("{variable}: {shown} is not understood: expected a host, an address, a network or *");
            }
            parsed
        });
        Self(parsed.collect())
    }

    /// Whether a host (IPv6 in brackets) is reached without a proxy on this port.
    pub(super) fn contains(&self, host: &str, port: u16) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let Ok(host) = Host::parse(host) else { return false };
        self.0
            .iter()
            .any(|entry| entry.port.is_none_or(|own| own == port) && entry.hosts.contain(&host))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        if let Some(hosts) = Hosts::parse(text) {
            return Some(Self { hosts, port: None });
        }
        let (host, port) = text.rsplit_once(':')?;
        Some(Self {
            hosts: Hosts::parse(host)?,
            port: Some(port.parse().ok()?),
        })
    }
}

impl Hosts {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Ok(network) = text.parse::<IpNet>() {
            return Some(Self::Network(network.trunc()));
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = text.strip_prefix('*').unwrap_or(text);
        let name = name.strip_prefix('.').unwrap_or(name);
        let name = name.strip_suffix('.').unwrap_or(name);
        // Rejects a network with an invalid prefix length, a URL, and a wildcard elsewhere.
        match Host::parse(name).ok()? {
            Host::Domain(name) if !name.contains('*') => Some(Self::Domain(name)),
            _ => None,
        }
    }

    fn contain(&self, host: &Host) -> bool {
        let address = match host {
            Host::Domain(name) => return self.contain_name(name.strip_suffix('.').unwrap_or(name)),
            Host::Ipv4(address) => IpAddr::V4(*address),
            Host::Ipv6(address) => IpAddr::V6(*address).to_canonical(),
        };
        match self {
            Self::All => true,
            Self::Address(own) => *own == address,
            Self::Network(own) => own.contains(&address),
            Self::Domain(_) => false,
        }
    }

    fn contain_name(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Domain(own) => name
                .strip_suffix(own.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            Self::Address(_) | Self::Network(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_entry_matches_what_curl_go_or_python_match() {
        for (list, matching, others) in [
            ("*", &["a.example:443", "10.0.0.1:80", "[::2]:80"][..], &[][..]),
            (
                "10.0.0.0/8",
                &["10.0.0.0:80", "10.255.255.255:443", "[::ffff:10.1.2.3]:80"],
                &["11.0.0.1:80", "10.example:80"],
            ),
            ("10.1.2.3/8", &["10.200.0.1:80"], &["11.1.2.3:80"]),
            ("192.168.1.7/32", &["192.168.1.7:80"], &["192.168.1.8:80"]),
            ("0.0.0.0/0", &["1.2.3.4:80"], &["[::2]:80", "a.example:80"]),
            ("fd00::/8", &["[fd12::1]:80"], &["[fe80::1]:80", "10.0.0.1:80"]),
            (
                ".corp.example",
                &["corp.example:443", "a.corp.example:443", "a.b.corp.example:80"],
                &["xcorp.example:443", "corp.example.org:443"],
            ),
            (
                "corp.example",
                &["corp.example:443", "a.corp.example:443"],
                &["xcorp.example:443"],
            ),
            (
                "*.corp.example",
                &["a.corp.example:443", "corp.example:443"],
                &["acorp.example:443"],
            ),
            ("Corp.EXAMPLE.", &["a.corp.example:443", "CORP.example.:443"], &[]),
            (
                "api.example:8000",
                &["api.example:8000", "x.api.example:8000"],
                &["api.example:443", "api.example:80"],
            ),
            ("10.1.2.3:8000", &["10.1.2.3:8000"], &["10.1.2.3:80"]),
            ("10.0.0.0/8:8000", &["10.1.2.3:8000"], &["10.1.2.3:80"]),
            ("::2", &["[::2]:80", "[0:0:0:0:0:0:0:2]:443"], &["[::3]:80"]),
            ("[::2]", &["[::2]:80"], &["[::3]:80"]),
            ("[::2]:8000", &["[::2]:8000"], &["[::2]:80"]),
            (
                "10.1.2.3",
                &["10.1.2.3:80"],
                &["10.1.2.30:80", "110.1.2.3:80", "10.1.2.3.example:80"],
            ),
            (
                "a.example, b.example",
                &["a.example:80", "b.example:80"],
                &["c.example:80"],
            ),
            (
                "a.example b.example\tc.example;d.example",
                &["a.example:80", "c.example:80", "d.example:80"],
                &[],
            ),
            (",, ,a.example,", &["a.example:80"], &["b.example:80"]),
            (
                "bücher.example",
                &["xn--bcher-kva.example:443"],
                &["bucher.example:443"],
            ),
            ("", &[], &["a.example:80"]),
        ] {
            let exceptions = NoProxy::parse("NO_PROXY", list);
            let contains = |target: &str| {
                let (host, port) = target.rsplit_once(':').unwrap();
                exceptions.contains(host, port.parse().unwrap())
            };
            for target in matching {
                assert!(contains(target), "{list:?} matches {target}");
            }
            for target in others {
                assert!(!contains(target), "{list:?} does not match {target}");
            }
        }
    }

    #[test]
    fn what_is_no_entry_matches_nothing_and_spoils_no_other() {
        for entry in [
            "10.0.0.0/33",
            "http://a.example",
            "a.*.example",
            "10.*",
            "a.example:port",
            "a.example:99999",
            "[::1",
            "/",
        ] {
            let exceptions = NoProxy::parse("NO_PROXY", &format!("{entry},good.example"));
            assert_eq!(exceptions.0.len(), 1, "{entry}");
            assert!(exceptions.contains("good.example", 443), "{entry}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_list_and_no_host_makes_it_panic(list in "\\PC{0,80}", host in "\\PC{0,40}", port: u16) {
            let _ = NoProxy::parse("NO_PROXY", &list).contains(&host, port);
        }
    }
}
