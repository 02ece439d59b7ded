//! Connection strings of libpq: `host=… dbname=… user=…`.

use super::{
    parameters::{KEYWORDS, known},
    server::{FORMS, Parts, Server},
};

/// Whether the text begins like `keyword=value` of libpq.
pub(super) fn is_conninfo(text: &str) -> bool {
    text.split_once('=')
        .is_some_and(|(keyword, _)| KEYWORDS.contains(&keyword.trim_end()))
        && !text.contains(';')
}

/// Parses `host=… dbname=… password='…'`.
///
/// # Errors
/// If it is invalid; the message does not repeat any part of the text.
pub(super) fn parse(text: &str) -> Result<Server, String> {
    let bad = || format!("it is not a valid PostgreSQL connection string; {FORMS}");
    let mut parameters = known(keyword_values(text).ok_or_else(bad)?).ok_or_else(bad)?;
    let mut take = |name: &str| {
        let at = parameters.iter().rposition(|(given, _)| given == name)?;
        Some(parameters.remove(at).1)
    };
    let (user, password, database) = (take("user"), take("password"), take("dbname").unwrap_or_default());
    // libpq would parse a URL in dbname as another connection string.
    if database.contains("://") || database.contains('=') {
        return Err(bad());
    }
    Ok(Server::new(Parts {
        user: user.as_deref(),
        password,
        hosts: &[],
        database: &database,
        parameters: &parameters,
    }))
}

fn keyword_values(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (keyword, after) = rest.split_once('=')?;
        let mut characters = after.trim_start().chars();
        let mut value = String::new();
        let is_quoted = characters.as_str().starts_with('\'');
        if is_quoted {
            characters.next();
        }
        let is_closed = loop {
            match characters.next() {
                Some('\\') => value.push(characters.next()?),
                Some('\'') if is_quoted => break true,
                Some(c) if !is_quoted && c.is_whitespace() => break true,
                Some(c) => value.push(c),
                None => break !is_quoted,
            }
        };
        if !is_closed {
            return None;
        }
        pairs.push((keyword.trim().to_owned(), value));
        rest = characters.as_str().trim_start();
    }
    Some(pairs)
}
