//! Decides whether a text could be a secret. Nothing else decides it; `quote.rs` uses it for every value that is quoted, shown or
//! logged.
//!
//! A secret that is not recognised would be shown, and a harmless text that looks random is hidden. The second does less harm,
//! so in doubt a text is hidden.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use unicode_normalization::UnicodeNormalization as _;

use super::redact::HIDDEN;

/// What kind of secret a text seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// Lines such as `-----BEGIN PRIVATE KEY-----`, or a certificate: its file often contains the private key, too.
    Pem,
    /// Base64 of a PEM, PFX or DER file.
    EncodedKey,
    /// A JSON Web Token, or the value of an `Authorization` header.
    Token,
    /// Text with `Password=`, `AccountKey=`, `sig=` and the like, or a URL with a password.
    ConnectionString,
    /// A client secret of Entra ID.
    ClientSecret,
    /// Letters and digits such as a random generator produces.
    Random,
    /// Text such as people choose for a password.
    Passphrase,
}

impl SecretKind {
    /// Whether only secrets have this form. A name or a title may look random, or like a password.
    pub fn is_certain(self) -> bool {
        !matches!(self, Self::Random | Self::Passphrase)
    }
}

impl fmt::Display for SecretKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pem => "the content of a PEM file",
            Self::EncodedKey => "the content of a key or certificate file in base64",
            Self::Token => "a token",
            Self::ConnectionString => "a connection string",
            Self::ClientSecret => "a client secret",
            Self::Random => "random characters, which may be a key",
            Self::Passphrase => "text that may be a password",
        })
    }
}

/// Names of secret values in connection strings and query strings, in lower case and without separators.
const SECRET_NAMES: [&str; 14] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "clientsecret",
    "accountkey",
    "sharedaccesskey",
    "sharedaccesssignature",
    "apikey",
    "accesskey",
    "accesstoken",
    "idtoken",
    "refreshtoken",
];
/// Options of common commands that a password follows.
const SECRET_OPTIONS: [&str; 9] = [
    "-a",
    "-p",
    "-u",
    "--user",
    "--pass",
    "--password",
    "--passphrase",
    "--secret",
    "--token",
];
/// First characters of a PEM file in base64, with and without a byte-order mark.
const ENCODED_PEM: [&str; 3] = ["LS0tLS1", "77u/LS0t", "77u_LS0t"];
/// Shortest base64 that counts as DER; thumbprints are shorter.
const SHORTEST_DER: usize = 48;
/// Shortest text that counts as random.
const SHORTEST_RANDOM: usize = 20;
/// Shortest hex that counts as random: 128 bits.
pub(super) const SHORTEST_HEX: usize = 32;
/// Shortest text that counts as a password.
const SHORTEST_PASSPHRASE: usize = 6;

/// The kind of secret that `text` could be, if any.
pub fn secret_kind(text: &str) -> Option<SecretKind> {
    if !text.is_ascii() {
        // Letters and signs of full width, as some keyboards write them, mean the same.
        let narrow: String = text.nfkc().collect();
        if narrow != text {
            return secret_kind(&narrow);
        }
    }
    let text = text.trim().trim_matches(['"', '\'']).trim();
    if has_pem(text) {
        return Some(SecretKind::Pem);
    }
    if is_encoded_key(text) {
        return Some(SecretKind::EncodedKey);
    }
    if text
        .split(|c: char| c == '=' || !(is_base64(c) || c == '.'))
        .any(is_token)
        || starts_with_ignoring_case(text, "bearer ")
        || starts_with_ignoring_case(text, "authorization: bearer ")
        || has_basic_credentials(text)
    {
        return Some(SecretKind::Token);
    }
    if is_connection_string(text) {
        return Some(SecretKind::ConnectionString);
    }
    if text
        .split(|c: char| c.is_whitespace() || "=:,;/\"'".contains(c))
        .any(is_client_secret)
    {
        return Some(SecretKind::ClientSecret);
    }
    if text
        .split(|c: char| !(c.is_ascii_alphanumeric() || "+=".contains(c)))
        .any(is_random)
        || is_hex_dump(text)
        || text.split(',').any(|item| is_hex_dump(item.trim()))
    {
        return Some(SecretKind::Random);
    }
    // One password in a list is enough.
    let is_any = is_passphrase(text) || text.split(',').any(|item| is_passphrase(item.trim()));
    is_any.then_some(SecretKind::Passphrase)
}

fn has_pem(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    upper.contains("-----BEGIN") || upper.contains("BEGIN CERTIFICATE") || upper.contains("PRIVATE KEY---")
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=-_".contains(c)
}

/// Base64 of PEM, or of DER, which begins with a sequence (`MII` and similar). It may contain line breaks and blanks.
fn is_encoded_key(text: &str) -> bool {
    let compact: String = text.replace("\\n", "").chars().filter(|c| !c.is_whitespace()).collect();
    if !compact.chars().all(is_base64) {
        return false;
    }
    let is_pem = ENCODED_PEM.iter().any(|start| compact.starts_with(start));
    let second = compact.chars().nth(1);
    let is_der = compact.len() >= SHORTEST_DER
        && compact.starts_with('M')
        && second.is_some_and(|c| ('C'..='I').contains(&c))
        && compact.bytes().any(|byte| byte.is_ascii_lowercase());
    // Base64 of base64 of DER ("TUl") or PEM ("TFMw").
    let is_twice = compact.len() >= SHORTEST_DER && (compact.starts_with("TUl") || compact.starts_with("TFMw"));
    is_pem || is_der || is_twice
}

/// A JWT, complete or cut off. Its header is a JSON object, so it begins with `eyJ`.
fn is_token(word: &str) -> bool {
    word.trim_start_matches(['-', '=', '_', '/', '+']).strip_prefix("eyJ").is_some_and(|rest| rest.len() >= 8)
        // Refresh tokens and authorization codes of Entra ID: a version, then hundreds of random characters.
        || (word.len() >= 80 && (word.starts_with("0.A") || word.starts_with("1.A") || word.starts_with("M.")))
}

/// Any of the forms in which programs take a password together with what it opens.
fn is_connection_string(text: &str) -> bool {
    has_secret_member(text) || has_credentials(text) || has_secret_option(text) || is_pgpass_line(text)
}

fn is_secret_name(name: &str) -> bool {
    SECRET_NAMES.iter().any(|secret| name.ends_with(secret))
}

/// `name=value` or `name: value`, as in connection strings, queries, YAML and JSON: with blanks and quotation marks, or without.
fn has_secret_member(text: &str) -> bool {
    let is_address = text.contains("://");
    text.match_indices(['=', ':']).any(|(at, sign)| {
        let (before, after) = text.split_at(at);
        let is_of_name = |c: &char| c.is_ascii_alphanumeric() || "_-. ".contains(*c);
        let before = before.trim_end().trim_end_matches(['"', '\'']);
        let letters: String = before
            .chars()
            .rev()
            .take_while(is_of_name)
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let name = letters.chars().rev().collect::<String>().to_ascii_lowercase();
        let value = after.strip_prefix(sign).unwrap_or(after);
        let value = value.trim_start_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
        let is_value = !value.is_empty() && !value.starts_with(HIDDEN);
        // `a::b` is a path of Rust, and `secret://` a URL.
        let is_member = sign == "=" || !value.starts_with([':', '/']);
        let is_code = sign == "=" && (name == "sig" || (name == "code" && is_address));
        is_value && is_member && (is_code || is_secret_name(&name))
    })
}

/// An address with a password that is not hidden, also where its slashes are lost, and Oracle's `user/password@host:1521`.
fn has_credentials(text: &str) -> bool {
    let is_shown = |password: &str| !password.is_empty() && password != HIDDEN;
    if let Some((_, rest)) = text.split_once("://") {
        let user = rest.rsplit_once('@').map(|(user, _)| user);
        let password = user.and_then(|user| user.split_once(':')).map(|(_, password)| password);
        return password.is_some_and(is_shown);
    }
    let is_on_a_drive = matches!(text.get(1..3), Some(":\\" | ":/"));
    let Some((before, host)) = text.rsplit_once('@').filter(|_| !is_on_a_drive) else {
        return false;
    };
    if text.contains(char::is_whitespace) || host.is_empty() {
        return false;
    }
    if let Some((name, password)) = before.split_once(':') {
        let is_email = ["mailto", "email"]
            .iter()
            .any(|scheme| name.eq_ignore_ascii_case(scheme));
        return !is_email && is_shown(password);
    }
    let has_port = host
        .split_once(':')
        .is_some_and(|(_, port)| port.starts_with(|c: char| c.is_ascii_digit()));
    let is_of_oracle = before
        .split_once('/')
        .is_some_and(|(user, password)| !user.is_empty() && is_shown(password) && !password.contains('/'));
    is_of_oracle && (has_port || host.starts_with("//"))
}

/// A command line with a password, such as `curl -u user:password` or `redis-cli -a password`.
fn has_secret_option(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .windows(2)
        .any(|pair| matches!(pair, [option, value] if SECRET_OPTIONS.contains(option) && *value != HIDDEN))
}

/// `host:port:database:user:password`, a line of libpq's `~/.pgpass`.
fn is_pgpass_line(text: &str) -> bool {
    let is_port = |port: &str| port == "*" || port.parse::<u16>().is_ok();
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [host, port, database, user, password] => {
            is_port(port) && *password != HIDDEN && ![host, database, user, password].iter().any(|part| part.is_empty())
        }
        _ => false,
    }
}

/// `Basic` and base64 of `user:password`, as in an `Authorization` header.
fn has_basic_credentials(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).any(|pair| {
        matches!(pair, [scheme, value] if scheme.eq_ignore_ascii_case("basic")
            && STANDARD.decode(value).is_ok_and(|user| user.contains(&b':')))
    })
}

/// Bytes in hex, as `openssl -text` and Windows show them: pairs of digits with signs between them, or one row behind `0x`.
/// A thumbprint has 20 or 32 pairs.
fn is_hex_dump(text: &str) -> bool {
    let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(row) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return row.len() >= SHORTEST_HEX && !matches!(row.len(), 40 | 64) && is_hex(row);
    }
    let pairs: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || ":-,".contains(c))
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.strip_prefix("0x").unwrap_or(pair))
        .collect();
    pairs.len() * 2 >= SHORTEST_HEX
        && !matches!(pairs.len(), 20 | 32)
        && pairs.iter().all(|pair| pair.len() == 2 && is_hex(pair))
}

/// A client secret of Entra ID has 40 characters; the fourth to sixth are a digit, `Q` and `~`.
fn is_client_secret(word: &str) -> bool {
    let is_allowed = word
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"~._-".contains(&byte));
    let has_mark = word
        .as_bytes()
        .get(3..6)
        .is_some_and(|mark| matches!(mark, [b'0'..=b'9', b'Q', b'~']));
    is_allowed && word.len() >= 30 && (has_mark || word.contains("Q~"))
}

/// How often the kind of character changes: rarely in words, constantly in random text.
fn changes(word: &str) -> usize {
    let kind = |c: char| (c.is_lowercase(), c.is_uppercase(), c.is_ascii_digit());
    word.chars()
        .zip(word.chars().skip(1))
        .filter(|(one, next)| kind(*one) != kind(*next))
        .count()
}

fn is_random(word: &str) -> bool {
    let has = |is: fn(&u8) -> bool| word.as_bytes().iter().any(is);
    // Thumbprints have 40 or 64 hex digits. Keys often have 64, but not 40.
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit())
        && has(u8::is_ascii_digit)
        && (has(u8::is_ascii_lowercase) || has(u8::is_ascii_uppercase));
    if is_hex {
        return word.len() >= SHORTEST_HEX && word.len() != 40;
    }
    word.len() >= SHORTEST_RANDOM
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && (has(u8::is_ascii_digit) || word.len() >= SHORTEST_HEX)
        && changes(word) * 4 >= word.len()
}

/// What people choose for a password: several kinds of characters including a special one, digits instead of letters, or a
/// row of words.
fn is_passphrase(text: &str) -> bool {
    let length = text.chars().count();
    if length < SHORTEST_PASSPHRASE {
        return false;
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    if let [name, _] = words.as_slice()
        && SECRET_NAMES.contains(&name.to_ascii_lowercase().as_str())
    {
        return true;
    }
    // URLs, lists, JSON and paths contain special characters, too.
    let is_structured = text.contains("://") || text.starts_with(['/', '.', '[', '{']) || text.contains('\\');
    let has = |is: fn(char) -> bool| text.chars().any(is);
    let has_special = text.chars().any(|c| "!$%&?#*^+~<>|;{}[]\"=".contains(c));
    let has_letters = has(char::is_lowercase) || has(char::is_uppercase);
    let has_both = has(char::is_lowercase) && has(char::is_uppercase);
    let digit_within = text.split(|c: char| !c.is_alphanumeric()).any(|word| {
        word.chars().count() >= 8
            && changes(word) >= 4
            && word.chars().any(|c| c.is_ascii_digit())
            && has_both_cases(word)
    });
    if is_structured {
        return false;
    }
    if digit_within {
        return true;
    }
    if has_special && has_letters && (has(|c| c.is_ascii_digit()) || has_both) {
        return true;
    }
    // Four words or more, as in "correct horse battery staple".
    words.len() >= 4 && words.iter().all(|word| word.chars().all(char::is_alphabetic))
}

fn has_both_cases(word: &str) -> bool {
    word.chars().any(char::is_lowercase) && word.chars().any(char::is_uppercase)
}

fn starts_with_ignoring_case(text: &str, start: &str) -> bool {
    text.get(..start.len())
        .is_some_and(|own| own.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str =
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n-----END PRIVATE KEY-----";
    const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";

    #[test]
    fn each_kind_of_secret_is_recognised_however_it_is_written() {
        for (text, kind) in [
            (PEM.to_owned(), SecretKind::Pem),
            (PEM.replace('\n', "\\n"), SecretKind::Pem),
            (PEM.replace('\n', " "), SecretKind::Pem),
            (format!("\"{PEM}\""), SecretKind::Pem),
            (STANDARD.encode(PEM), SecretKind::EncodedKey),
            (STANDARD.encode(STANDARD.encode(PEM)), SecretKind::EncodedKey),
            (
                format!("MIIKEAIBAzCCCcYGCSqGSIb3DQEHAaCCCbcEggmzMIIJrzCC{}", "aB3/".repeat(20)),
                SecretKind::EncodedKey,
            ),
            (JWT.to_owned(), SecretKind::Token),
            (format!("Bearer {JWT}"), SecretKind::Token),
            (format!("https://host/#access_token={JWT}"), SecretKind::Token),
            (
                "Server=h;Database=b;User Id=u;Password=hunter2;".to_owned(),
                SecretKind::ConnectionString,
            ),
            (
                "host=h user=u password=hunter2".to_owned(),
                SecretKind::ConnectionString,
            ),
            ("postgres://u:hunter2@h/b".to_owned(), SecretKind::ConnectionString),
            (
                "host = h user = u password = hunter2".to_owned(),
                SecretKind::ConnectionString,
            ),
            ("password: hunter2".to_owned(), SecretKind::ConnectionString),
            ("user: u\npassword: hunter2\n".to_owned(), SecretKind::ConnectionString),
            ("Ｐassword：hunter2".to_owned(), SecretKind::ConnectionString),
            ("{\"Password\" : \"hunter2\"}".to_owned(), SecretKind::ConnectionString),
            ("Access Key: hunter2".to_owned(), SecretKind::ConnectionString),
            ("curl -u u:hunter2 https://h".to_owned(), SecretKind::ConnectionString),
            ("redis-cli -h h -a hunter2".to_owned(), SecretKind::ConnectionString),
            ("h:5432:b:u:hunter2".to_owned(), SecretKind::ConnectionString),
            ("*:*:*:u:hunter2".to_owned(), SecretKind::ConnectionString),
            ("redis:hunter2@h:6379".to_owned(), SecretKind::ConnectionString),
            ("postgres//u:hunter2@h/b".to_owned(), SecretKind::ConnectionString),
            ("postgres:/u:hunter2@h/b".to_owned(), SecretKind::ConnectionString),
            ("u/hunter2@h:1521/b".to_owned(), SecretKind::ConnectionString),
            ("u/hunter2@//h:1521/b".to_owned(), SecretKind::ConnectionString),
            (
                "http://localhost:5000/callback?code=hunter2&state=1".to_owned(),
                SecretKind::ConnectionString,
            ),
            (
                "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abc==".to_owned(),
                SecretKind::ConnectionString,
            ),
            (
                "https://a.blob.example/c?sv=2022&sig=abc".to_owned(),
                SecretKind::ConnectionString,
            ),
            (
                "aBc8Q~d4fGhIjKlMnOpQrStUvWxYz0123456789a".to_owned(),
                SecretKind::ClientSecret,
            ),
            (
                "Zk3vQ9rT1xWb7LdMnc5HyEuP0sGaJ6fRoi8KXtVBw2Cq".to_owned(),
                SecretKind::Random,
            ),
            ("9f86d081884c7d659a2feaa0c55ad015".to_owned(), SecretKind::Random),
            ("0x308204be020100300d06092a864886f70d".to_owned(), SecretKind::Random),
            (
                "30:82:04:be:02:01:00:30:0d:06:09:2a:86:48:86:f7:0d".to_owned(),
                SecretKind::Random,
            ),
            (
                "30 82 04 BE 02 01 00 30 0D 06 09 2A 86 48 86 F7 0D".to_owned(),
                SecretKind::Random,
            ),
            ("Basic dTpodW50ZXIyenE=".to_owned(), SecretKind::Token),
            ("Authorization: Basic dTpodW50ZXIyenE=".to_owned(), SecretKind::Token),
            ("Authorization: Bearer hunter2".to_owned(), SecretKind::Token),
            ("Tr0ub4dor&3 horse".to_owned(), SecretKind::Passphrase),
            ("Pa$$w0rd!".to_owned(), SecretKind::Passphrase),
            ("Password hunter2".to_owned(), SecretKind::Passphrase),
            ("correct horse battery staple".to_owned(), SecretKind::Passphrase),
        ] {
            assert_eq!(secret_kind(&text), Some(kind), "{text}");
        }
    }
    #[test]
    fn what_only_resembles_a_secret_is_none() {
        for text in [
            "C:\\keys@work\\client.pem",
            "mailto:alice@contoso.example",
            "postgres://u@h:5432/b",
            "postgres://u:********@h:5432/b",
            "password: ********",
            "https://login.example/keys?appid=7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f",
            "blogctl::secret::store=debug",
            "basic authentication",
        ] {
            assert_eq!(secret_kind(text), None, "{text}");
        }
    }
}
