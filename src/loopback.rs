//! The one rule for which hosts are this machine, and which URLs may be used without TLS.
//!
//! Every check for loopback or a secure URL uses this rule, so that the servers start with all settings that are
//! accepted.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

/// Whether a URL is `https`, or plain `http` that does not leave this machine.
pub(crate) fn is_secure(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// Whether the host of a URL is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    // For schemes that it does not know, such as redis, the url crate treats an IPv4 address as a name.
    url.host_str().is_some_and(is_loopback_host)
}

/// Whether the host of a URL (IPv6 in brackets) is this machine: `localhost` and every name below it (RFC 6761 §6.3),
/// with or without the trailing dot, `127.0.0.0/8` in any spelling, `::1`, and such an IPv4 address mapped to IPv6.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => is_loopback_name(&name),
        Ok(Host::Ipv4(address)) => is_loopback_address(address.into()),
        Ok(Host::Ipv6(address)) => is_loopback_address(address.into()),
        Err(_) => false,
    }
}

/// Whether an address is this machine's. An IPv4 client of an IPv6 socket appears as `::ffff:127.0.0.1`.
pub(crate) fn is_loopback_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address == Ipv6Addr::LOCALHOST || address.to_ipv4_mapped().is_some_and(|mapped| mapped.is_loopback())
        }
    }
}

fn is_loopback_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hosts that are this machine, in the spellings that people use.
    const THIS_MACHINE: [&str; 19] = [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "Idp.LocalHost",
        "idp.localhost",
        "idp.localhost.",
        "a.b.localhost",
        "127.0.0.1",
        "127.0.0.1.",
        "127.0.0.2",
        "127.255.255.254",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ];

    /// Hosts that look similar, and are other machines.
    const ELSEWHERE: [&str; 18] = [
        "localhost.example",
        "localhost.localdomain",
        "notlocalhost",
        "xlocalhost.",
        "127.0.0.1.example",
        "128.0.0.1",
        "126.255.255.255",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
        "[::]",
        "[::2]",
        "[::ffff:128.0.0.1]",
        "[::127.0.0.1]",
        "[fe80::1]",
        "login.microsoftonline.com",
        "localhost..",
        "local-host",
    ];

    #[test]
    fn a_host_is_this_machine_or_it_is_not() {
        for host in THIS_MACHINE {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ELSEWHERE {
            assert!(!is_loopback_host(host), "{host}");
        }
        for host in ["", ".", "..", "::1", "localhost:80", "local host", "[::1", "[]"] {
            assert!(!is_loopback_host(host), "{host:?} is not a host of a URL");
        }
    }

    #[test]
    fn plain_http_is_secure_on_this_machine_only_and_https_everywhere() {
        for host in THIS_MACHINE {
            for url in [
                format!("http://{host}"),
                format!("http://{host}:9000/keys"),
                format!("HTTP://{host}/"),
            ] {
                assert!(is_secure(&Url::parse(&url).unwrap()), "{url}");
            }
            assert!(
                is_loopback(&Url::parse(&format!("redis://{host}:6379/0")).unwrap()),
                "{host}"
            );
            assert!(!is_secure(&Url::parse(&format!("ftp://{host}/")).unwrap()), "{host}");
        }
        for host in ELSEWHERE {
            let Ok(url) = Url::parse(&format!("http://{host}:9000/")) else {
                continue;
            };
            assert!(!is_secure(&url), "{url}");
            assert!(
                is_secure(&Url::parse(&format!("https://{host}:9000/")).unwrap()),
                "{host}"
            );
        }
        for url in [
            "file:///etc/passwd",
            "data:,localhost",
            "localhost:9000",
            "http+unix://localhost/",
        ] {
            assert!(!is_secure(&Url::parse(url).unwrap()), "{url}");
        }
    }

    #[test]
    fn a_user_name_that_looks_like_this_machine_does_not_count() {
        for url in [
            "http://localhost@evil.example/",
            "http://127.0.0.1:80@evil.example/",
            "http://evil.example/#localhost",
        ] {
            assert!(!is_secure(&Url::parse(url).unwrap()), "{url}");
        }
    }
}
