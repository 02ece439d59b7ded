//! PostgreSQL URLs: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS`, with one host or several.

use super::{
    parameters::known,
    server::{FORMS, Parts, Server, decoded},
};

/// Parses what follows `postgres://`.
///
/// # Errors
/// Says what is wrong, without repeating any part of the URL.
pub(super) fn parse(rest: &str) -> Result<Server, String> {
    let bad = |what: &str| {
        format!(
            "it is not a valid PostgreSQL URL: {what}; {FORMS}, with special characters of the password percent-encoded"
        )
    };
    if rest.contains('#') {
        return Err(bad("it contains a #"));
    }
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = before.split_once('/').unwrap_or((before, ""));
    // An unencoded / or ? in a password moves the @ behind the hosts.
    if database.contains('@') || query.contains('@') {
        return Err(bad("there is an @ after the host"));
    }
    let (user_info, hosts) = match authority.rsplit_once('@') {
        Some((user_info, hosts)) => (Some(user_info), hosts),
        None => (None, authority),
    };
    let mut named_hosts = Vec::new();
    for host in hosts.split(',').filter(|_| !hosts.is_empty()) {
        named_hosts.push(split_port(host).ok_or_else(|| bad("a host or port is invalid"))?);
    }
    let mut parameters = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| bad("a parameter has no value"))?;
        parameters.push((decoded(name), decoded(value)));
    }
    let parameters = known(parameters).ok_or_else(|| bad("libpq does not know a parameter"))?;
    let has_nul = |text: &str| decoded(text).contains('\0');
    if has_nul(before) {
        return Err(bad("it contains a NUL character"));
    }
    let (user, password) = match user_info.map(|info| info.split_once(':').map_or((info, None), |(u, p)| (u, Some(p))))
    {
        Some((user, password)) => (Some(decoded(user)), password.map(decoded)),
        None => (None, None),
    };
    Ok(Server::new(Parts {
        user: user.as_deref(),
        password,
        hosts: &named_hosts,
        database: &decoded(database),
        parameters: &parameters,
    }))
}

/// Splits `name`, `name:5432`, `[::1]:5432`, or the percent-encoded folder of a socket.
fn split_port(host: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = if host.starts_with('[') {
        let (name, port) = host.split_at(host.find(']')? + 1);
        (name, (!port.is_empty()).then(|| port.strip_prefix(':').unwrap_or("x")))
    } else {
        host.split_once(':')
            .map_or((host, None), |(name, port)| (name, Some(port)))
    };
    let is_number = |port: &str| {
        port.parse::<u16>()
            .ok()
            .filter(|number| *number > 0 && !port.starts_with('+'))
    };
    let port = match port {
        Some(port) => Some(is_number(port)?),
        None => None,
    };
    let name = decoded(name);
    let is_folder = name.starts_with(['/', '@']);
    let is_name = name.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
    let is_address = name.starts_with('[')
        && name
            .trim_matches(['[', ']'])
            .chars()
            .all(|c| c.is_ascii_hexdigit() || ":.%".contains(c));
    (is_folder || is_name || is_address).then_some((name, port))
}
