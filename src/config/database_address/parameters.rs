//! The parameters of a connection: those that libpq knows.

/// Keywords of libpq: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
pub(super) const KEYWORDS: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "passfile",
    "require_auth",
    "channel_binding",
    "connect_timeout",
    "client_encoding",
    "options",
    "application_name",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "replication",
    "gssencmode",
    "sslmode",
    "requiressl",
    "sslnegotiation",
    "sslcompression",
    "sslcert",
    "sslkey",
    "sslkeylogfile",
    "sslpassword",
    "sslcertmode",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "requirepeer",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "min_protocol_version",
    "max_protocol_version",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "service",
    "servicefile",
    "target_session_attrs",
    "load_balance_hosts",
    "oauth_issuer",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_scope",
    "scram_client_key",
    "scram_server_key",
];

/// The parameters, or `None` if libpq does not know one of them. `ssl=require` is how Python's asyncpg writes `sslmode=require`.
pub(super) fn known(parameters: Vec<(String, String)>) -> Option<Vec<(String, String)>> {
    const MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    parameters
        .into_iter()
        .map(|(name, value)| match name.as_str() {
            "ssl" if value == "true" => Some(("sslmode".to_owned(), "require".to_owned())),
            "ssl" if MODES.contains(&value.as_str()) => Some(("sslmode".to_owned(), value)),
            known if KEYWORDS.contains(&known) && !value.contains('\0') => Some((name, value)),
            _ => None,
        })
        .collect()
}
