//! Lets only programs on this machine use a server, and no web page that a browser on this machine shows. For the emulators,
//! which give tokens and signatures to every client that can reach them.

use actix_web::{
    dev::ServiceRequest,
    http::{
        header::{HOST, HeaderName, ORIGIN},
        uri::Authority,
    },
};

use crate::loopback::{is_loopback_address, is_loopback_host};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is not a direct request of a program on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// It came from another machine.
    RemoteAddress,
    /// A browser sent it for a web page.
    WebPage,
    /// Its `Host` is a name that an attacker's DNS may have pointed at this machine (DNS rebinding).
    ForeignHost,
}

/// Checks where a request comes from; `None` when a local program sent it.
pub fn rejection(request: &ServiceRequest) -> Option<Rejection> {
    if !request.peer_addr().is_some_and(|peer| is_loopback_address(peer.ip())) {
        return Some(Rejection::RemoteAddress);
    }
    // Browsers add these headers; a page cannot leave them out of a request that changes something.
    if request.headers().contains_key(ORIGIN) || request.headers().contains_key(SEC_FETCH_SITE) {
        return Some(Rejection::WebPage);
    }
    let mut hosts = request.headers().get_all(HOST);
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        (None, None) => request.uri().authority().map(Authority::as_str),
        _ => None,
    };
    (!host.is_some_and(is_local_name)).then_some(Rejection::ForeignHost)
}

fn is_local_name(host: &str) -> bool {
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    is_loopback_host(name.map_or(host, |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machines_own_names_pass() {
        for own in [
            "localhost",
            "localhost:9000",
            "127.0.0.1:9000",
            "[::1]:9000",
            "[::1]",
            "idp.localhost:9000",
        ] {
            assert!(is_local_name(own), "{own}");
        }
        for foreign in [
            "",
            ":9000",
            "evil.example:9000",
            "localhost.evil.example",
            "localhost:9000:80",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "::1",
        ] {
            assert!(!is_local_name(foreign), "{foreign}");
        }
    }
}
