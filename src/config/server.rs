//! `[server]`: what every server of blogctl has in common.

use std::time::Duration;

use super::{
    aliases,
    environment::Environment,
    loader::Loader,
    rules::{mebibytes, number, seconds},
    section::section,
    server_tls::TlsSettings,
    trusted_proxy::TrustedProxy,
};

/// Longest timeout, in seconds. A container runtime usually kills a stopping process after 30 seconds.
const MAX_SECONDS: u64 = 300;
const MAX_CONNECTIONS: usize = 1_000_000;
const MAX_MIB: usize = 65_536;
const MAX_WORKERS: usize = 1024;

section! {
    /// What every server does the same way.
    #[derive(Debug, Clone)]
    pub struct ServerSettings = "server" {
        /// In development, `client.api_base_url`, `entra.authority_host` and `entra.jwks_uri` may use plain HTTP on another
        /// host, such as a container's name; in production only on this machine. In production, `blogctl seed` asks before it adds sample posts. Cookies do not
        /// depend on it: they are `Secure` whenever `client.public_url` is HTTPS. The alias accepts any word: `dev` and
        /// `local` mean `development`, every other word, such as `staging`, means `production`.
        #[alias(ENVIRONMENT via aliases::environment)]
        pub environment: Environment = Environment::Production;

        /// Threads that serve requests, per server. 0 means one for each processor core. At most 512 are started.
        pub workers: usize = 0, number(0..=MAX_WORKERS);

        /// Reverse proxies whose forwarding headers are trusted: `X-Forwarded-For` for the client's address,
        /// `X-Forwarded-Host` and `X-Forwarded-Proto` for the address that the browser used. Networks such as `10.0.0.0/8`,
        /// single addresses, or `unix` for connections over a Unix socket.
        pub trusted_proxies: Vec<TrustedProxy> = Vec::new();

        /// Most connections at once, per server. When the limit is reached, the connection that has been idle longest is
        /// closed. If none is idle, a new connection can get `/health…` only, and 503 for everything else. The limit of open
        /// files may allow fewer: at start, a server raises its soft limit to the hard limit and logs the result.
        pub max_connections: usize = 10_000, number(1..=MAX_CONNECTIONS);

        /// Most connections at once from one address (IPv6: from one /64 network). Does not apply to
        /// `server.trusted_proxies`, nor to Unix sockets. Beyond it, addresses of this machine can still get `/health…`.
        pub max_connections_per_address: usize = 5_000, number(1..=MAX_CONNECTIONS);

        /// Most MiB of request bodies that a server receives at the same time. Beyond it: 503 `overloaded` with
        /// `Retry-After`.
        pub request_mib: usize = 64, mebibytes(1..=MAX_MIB);

        /// Most MiB of request bodies from one client at the same time. Bodies up to 16 KiB count toward the total only.
        pub request_mib_per_address: usize = 8, mebibytes(1..=MAX_MIB);

        /// Most MiB of large responses (more than 64 KiB) that a server sends at the same time. Beyond it: 503
        /// `overloaded`.
        pub response_mib: usize = 96, mebibytes(1..=MAX_MIB);

        /// Most MiB of large responses to one client at the same time.
        pub response_mib_per_address: usize = 24, mebibytes(1..=MAX_MIB);

        /// How long the head of a request may take to arrive; then 408.
        #[key(head_seconds)]
        pub head_timeout: Duration = Duration::from_secs(10), seconds(1..=MAX_SECONDS);

        /// How long the body of a request may take to arrive; then 408.
        #[key(body_seconds)]
        pub body_timeout: Duration = Duration::from_secs(30), seconds(1..=MAX_SECONDS);

        /// How long a client may accept nothing of a response, or less than 2 KiB per second. Then the server closes the
        /// connection.
        #[key(send_seconds)]
        pub send_timeout: Duration = Duration::from_secs(30), seconds(1..=MAX_SECONDS);

        /// How long a server still accepts requests after SIGTERM. During this time it reports that it is not ready, so that
        /// the load balancer stops sending requests; set it longer than the load balancer needs to notice. Ctrl-C does not
        /// wait.
        #[key(drain_seconds)]
        pub drain: Duration = Duration::from_secs(5), seconds(0..=MAX_SECONDS);

        /// How long a stopping server then waits for requests that are still running.
        #[key(shutdown_seconds)]
        pub shutdown_timeout: Duration = Duration::from_secs(10), seconds(0..=MAX_SECONDS);
    }
    also {
        /// `[server.tls]`
        pub tls: TlsSettings = TlsSettings::default();
    }
}

impl ServerSettings {
    /// Reads the section, and those below it.
    pub(super) fn load(loader: &mut Loader) -> Self {
        let mut settings = Self::read(loader);
        settings.tls = TlsSettings::load(loader);
        settings
    }
}
