//! Selects the proxy for a request by the variables that curl, Go and Python read: `https_proxy`, `http_proxy`,
//! `all_proxy` and `no_proxy`, in lower or upper case.
//!
//! These variables belong to the system, not to blogctl's settings, so they are read here. A proxy's URL may hold a
//! password: messages name the variable, never its value.

mod no_proxy;

use std::sync::LazyLock;

use ureq::{
    Body, Proxy, ProxyProtocol, RequestExt as _, SendBody,
    http::{Request, Response, Uri, uri::Scheme},
    middleware::{Middleware, MiddlewareNext},
};

use self::no_proxy::NoProxy;
use crate::loopback::is_loopback_host;

/// Proxies by the scheme of the request's URL, and the hosts that are reached without one.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: NoProxy,
}

/// Read once: the environment of a process does not change, and one warning about it is enough.
static FROM_ENVIRONMENT: LazyLock<Proxies> = LazyLock::new(|| Proxies::read(|name| std::env::var(name).ok()));

impl Proxies {
    /// The proxies in the environment of this process.
    pub(super) fn from_environment() -> Self {
        FROM_ENVIRONMENT.clone()
    }

    /// Reads the variables. If both spellings are set, the lower-case one counts, as in curl and Python. An empty
    /// variable counts as not set.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let lookup = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| {
                let value = variable(name)?.trim().to_owned();
                (!value.is_empty()).then_some((name, value))
            })
        };
        let all = lookup(["all_proxy", "ALL_PROXY"]);
        let proxy = |names| {
            lookup(names)
                .or_else(|| all.clone())
                .and_then(|(name, value)| parse(name, &value))
        };
        let exceptions = lookup(["no_proxy", "NO_PROXY"]).map(|(name, value)| NoProxy::parse(name, &value));
        Self {
            http: proxy(["http_proxy", "HTTP_PROXY"]),
            https: proxy(["https_proxy", "HTTPS_PROXY"]),
            exceptions: exceptions.unwrap_or_default(),
        }
    }

    /// Whether no request uses a proxy.
    pub(super) fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// The proxy for a request to `uri`; `None` for this machine, which a proxy on another machine cannot reach.
    fn proxy_for(&self, uri: &Uri) -> Option<&Proxy> {
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let proxy = if is_https {
            self.https.as_ref()
        } else {
            self.http.as_ref()
        }?;
        let host = uri.host()?;
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        (!is_loopback_host(host) && !self.exceptions.contains(host, port)).then_some(proxy)
    }
}

impl Middleware for Proxies {
    fn handle(&self, request: Request<SendBody>, next: MiddlewareNext) -> Result<Response<Body>, ureq::Error> {
        let proxy = self.proxy_for(request.uri()).cloned();
        match request.middleware_config() {
            Some(config) => next.handle(config.proxy(proxy).build()),
            // Only requests outside of a middleware have no configuration.
            None => Err(ureq::Error::Other("the proxy of a request cannot be chosen".into())),
        }
    }
}

fn parse(variable: &str, value: &str) -> Option<Proxy> {
    match Proxy::new(value) {
        Ok(proxy) if matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) => Some(proxy),
        Ok(proxy) => {
            log::warn!(
                "{variable} names a {} proxy, which is not used: only HTTP proxies are",
                proxy.protocol()
            );
            None
        }
        Err(_) => {
            log::warn!(
                "{variable} is not used: it is not a proxy's URL such as http://proxy.example:3128; in a user name or \
                 password, write @ as %40, : as %3A, / as %2F and # as %23"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::read(|name| {
            variables
                .iter()
                .find(|(own, _)| *own == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    /// Host of the proxy for a URL; empty without a proxy.
    fn host(proxies: &Proxies, url: &str) -> String {
        proxies
            .proxy_for(&url.parse().unwrap())
            .map(|proxy| proxy.host().to_owned())
            .unwrap_or_default()
    }

    #[test]
    fn the_scheme_of_the_url_decides_which_variable_counts_and_all_proxy_is_the_last_resort() {
        let (https, http) = ("https://login.microsoftonline.com/x", "http://api.example:8000/");
        for (variables, for_https, for_http) in [
            (&[][..], "", ""),
            (&[("HTTPS_PROXY", "http://s:1")], "s", ""),
            (&[("https_proxy", "http://s:1")], "s", ""),
            (&[("http_proxy", "http://h:1")], "", "h"),
            (&[("HTTP_PROXY", "http://h:1")], "", "h"),
            (&[("ALL_PROXY", "http://a:1")], "a", "a"),
            (&[("all_proxy", "http://a:1"), ("HTTPS_PROXY", "http://s:1")], "s", "a"),
            (
                &[("https_proxy", "http://lower:1"), ("HTTPS_PROXY", "http://upper:1")],
                "lower",
                "",
            ),
            (&[("https_proxy", ""), ("HTTPS_PROXY", "http://upper:1")], "upper", ""),
            (&[("https_proxy", "  "), ("ALL_PROXY", "http://a:1")], "a", "a"),
            (&[("HTTPS_PROXY", "proxy.example:3128")], "proxy.example", ""),
            (&[("HTTPS_PROXY", "HTTPS://proxy.example")], "proxy.example", ""),
            (&[("HTTPS_PROXY", "socks5://s:1")], "", ""),
            (&[("HTTPS_PROXY", "\"http://s:1\"")], "", ""),
            (&[("HTTPS_PROXY", "http://user:pass word@s:1")], "", ""),
        ] {
            let proxies = proxies(variables);
            assert_eq!(
                [host(&proxies, https), host(&proxies, http)],
                [for_https, for_http],
                "{variables:?}"
            );
        }
    }

    #[test]
    fn credentials_are_decoded_once_and_never_printed() {
        let proxies = proxies(&[("HTTPS_PROXY", "http://user:hunt%40er2@proxy.example:3128")]);
        let proxy = proxies.proxy_for(&"https://a.example/".parse().unwrap()).unwrap();
        assert_eq!(
            (proxy.username(), proxy.password(), proxy.port()),
            (Some("user"), Some("hunt@er2"), 3128)
        );
        let printed = format!("{proxies:?}");
        assert!(!printed.contains("hunt"), "{printed}");
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        let proxies = proxies(&[("ALL_PROXY", "http://a:1")]);
        for local in [
            "localhost",
            "idp.localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(host(&proxies, &format!("http://{local}:9000/")), "", "{local}");
            assert_eq!(host(&proxies, &format!("https://{local}/")), "", "{local}");
        }
        assert_eq!(host(&proxies, "http://localhost.example/"), "a");
    }

    #[test]
    fn exceptions_count_in_either_spelling_and_for_either_scheme() {
        for name in ["NO_PROXY", "no_proxy"] {
            let proxies = proxies(&[
                ("ALL_PROXY", "http://a:1"),
                (name, "10.0.0.0/8,.corp.example,api.example:8000,*.x.example"),
            ]);
            for direct in [
                "http://10.1.2.3/",
                "https://login.corp.example/",
                "http://api.example:8000/",
                "https://a.x.example/",
            ] {
                assert_eq!(host(&proxies, direct), "", "{name} {direct}");
            }
            for through in ["http://11.1.2.3/", "https://corp.example.org/", "http://api.example/"] {
                assert_eq!(host(&proxies, through), "a", "{name} {through}");
            }
        }
    }
}
