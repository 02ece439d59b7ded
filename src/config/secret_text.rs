//! Decides whether a text could be a secret. Nothing else decides it; `quote.rs` uses it for every value that is quoted, shown or
//! logged.
//!
//! A secret that is not recognised would be shown, and a harmless text that looks random is hidden. The second does less harm,
//! so in doubt a text is hidden.

use std::fmt;

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

fn is_connection_string(text: &str) -> bool {
    let is_secret_name = |name: &str| {
        let plain: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        SECRET_NAMES
            .iter()
            .any(|secret| plain == *secret || (plain.len() < 40 && plain.ends_with(secret)))
    };
    let has_secret_member = text.split([';', '&', '?', '#', ' ', '\n', ',']).any(|member| {
        member.split_once('=').is_some_and(|(name, value)| {
            !value.trim().is_empty() && value != HIDDEN && (is_secret_name(name) || name.trim() == "sig")
        })
    });
    // A URL with a password that was not hidden.
    let has_password = text.split_once("://").is_some_and(|(_, rest)| {
        let user = rest.rsplit_once('@').map(|(user, _)| user);
        let password = user.and_then(|user| user.split_once(':')).map(|(_, password)| password);
        password.is_some_and(|password| !password.is_empty() && password != HIDDEN)
    });
    has_secret_member || has_password
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
    let words: Vec<&str> = text.split_whitespace().collect();
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
    use base64::{Engine as _, engine::general_purpose::STANDARD};

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
            ("Tr0ub4dor&3 horse".to_owned(), SecretKind::Passphrase),
            ("Pa$$w0rd!".to_owned(), SecretKind::Passphrase),
            ("correct horse battery staple".to_owned(), SecretKind::Passphrase),
        ] {
            assert_eq!(secret_kind(&text), Some(kind), "{text}");
        }
    }
}
