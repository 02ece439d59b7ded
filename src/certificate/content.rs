//! Normalizes the content of a file or a setting to PEM as OpenSSL reads it, or to DER.
//!
//! Keys and certificates arrive through vaults, pipelines, environment variables and e-mails, and each changes them: Key Vault
//! exports a PFX in base64, its command line puts it into JSON, PowerShell writes UTF-16, a variable has blanks or `\n` instead of line ends, Docker leaves
//! quotation marks, a pipeline encodes content that is encoded already. Each form is unambiguous, so all are accepted.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use openssl::{pkcs12::Pkcs12, x509::X509};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::text_in;

/// Bytes that may be a private key: wiped when dropped.
type Secret = Zeroizing<Vec<u8>>;

/// Normalized content.
pub(super) enum Content {
    /// One or more blocks, and nothing else.
    Pem(Secret),
    /// Starts like DER: a certificate, a key, or PFX.
    Der(Secret),
    /// Neither.
    Unknown,
}

/// How many layers of base64 are decoded. Misconfigured pipelines encode twice.
const MAX_LAYERS: u8 = 3;
/// First byte of everything in DER that is a sequence.
const SEQUENCE: u8 = 0x30;
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// Width of the lines of PEM (RFC 7468 §2).
const LINE: usize = 64;
/// Line ends as JSON, YAML and shells escape them.
const ESCAPED_LINE_ENDS: [&str; 3] = ["\\r\\n", "\\n", "\\r"];

/// Padding may be missing, as in base64url.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

impl Content {
    /// Parses the bytes of a file or the text of a setting.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self::parse_layer(bytes, MAX_LAYERS)
    }

    fn parse_layer(bytes: &[u8], layers: u8) -> Self {
        if bytes.first() == Some(&SEQUENCE) && bytes.get(1).is_some_and(|length| *length >= 0x80) {
            return Self::Der(bytes.to_vec().into());
        }
        let Some(text) = text_in(bytes) else {
            return Self::Unknown;
        };
        if layers > 0
            && text.trim_start().starts_with('{')
            && let Ok(VaultSecret { value }) = serde_json::from_str(&text)
        {
            return Self::parse_layer(value.as_bytes(), layers - 1);
        }
        if text.contains(BEGIN) {
            return Self::parse_pem(&text);
        }
        match decoded(&text) {
            Some(inner) if layers > 0 => Self::parse_layer(&inner, layers - 1),
            _ => Self::Unknown,
        }
    }

    /// Some portals wrap a PFX into a PEM block; then the PFX is used.
    fn parse_pem(text: &str) -> Self {
        let text = with_line_ends(text);
        let blocks: Vec<Block<'_>> = blocks_in(&text).collect();
        if let Some(pfx) = blocks.iter().find_map(Block::pfx) {
            return Self::Der(pfx);
        }
        // Allocated at full size: a growing buffer would leave copies of the key behind that are never wiped.
        let mut pem = Zeroizing::new(Vec::with_capacity(2 * text.len() + 2 * LINE * (blocks.len() + 1)));
        for block in &blocks {
            block.write(&mut pem);
        }
        // Without a complete block, OpenSSL reports the error.
        if blocks.is_empty() {
            Self::Pem(text.as_bytes().to_vec().into())
        } else {
            Self::Pem(pem)
        }
    }
}

/// The output of `az keyvault secret show`: PEM, or a PFX in base64.
#[derive(Deserialize)]
struct VaultSecret {
    value: Zeroizing<String>,
}

/// Whether the text is valid base64, whatever it encodes.
pub(super) fn is_base64(text: &str) -> bool {
    decoded(text).is_some()
}

/// Decodes base64 or base64url, and ignores line ends, blanks and quotation marks in and around it.
fn decoded(text: &str) -> Option<Secret> {
    let text = with_line_ends(text);
    let text = text.trim().trim_matches(['"', '\'', ',', ';']);
    // A data URL.
    let text = text.rsplit_once(";base64,").map_or(text, |(_, data)| data);
    let mut compact = Zeroizing::new(String::with_capacity(text.len()));
    compact.extend(
        text.chars()
            .filter(|c| !c.is_whitespace() && *c != '\u{200b}' && *c != '\u{feff}'),
    );
    if compact.is_empty() {
        return None;
    }
    STANDARD
        .decode(compact.as_bytes())
        .or_else(|_| URL_SAFE.decode(compact.as_bytes()))
        .ok()
        .map(Zeroizing::new)
}

/// Replaces escaped line ends with real ones.
fn with_line_ends(text: &str) -> Zeroizing<String> {
    let mut real = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    'text: while !rest.is_empty() {
        for escaped in ESCAPED_LINE_ENDS {
            if let Some(after) = rest.strip_prefix(escaped) {
                real.push('\n');
                rest = after;
                continue 'text;
            }
        }
        let mut chars = rest.chars();
        real.extend(chars.next());
        rest = chars.as_str();
    }
    real
}

/// A block from `-----BEGIN label-----` to `-----END label-----`.
struct Block<'t> {
    label: &'t str,
    body: &'t str,
}

fn blocks_in(text: &str) -> impl Iterator<Item = Block<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once(BEGIN)?;
            rest = after;
            let Some((label, after)) = after.split_once(DASHES) else {
                continue;
            };
            // If this block is cut off, the search stops at the next one.
            let end = after.find(END)?;
            let body = after.get(..end).unwrap_or_default();
            if let Some(next) = body.rfind(BEGIN) {
                rest = after.get(next..).unwrap_or_default();
                continue;
            }
            rest = after.get(end..).unwrap_or_default();
            return Some(Block {
                label: label.trim(),
                body,
            });
        }
    })
}

impl Block<'_> {
    /// The headers of an encrypted key (RFC 1421), and the words of base64.
    fn parts(&self) -> (Vec<(&str, &str)>, impl Iterator<Item = &str>) {
        let mut headers = Vec::new();
        let mut words = self.body.split_whitespace().peekable();
        while let Some(name) = words.next_if(|word| word.ends_with(':')) {
            headers.push((name, words.next().unwrap_or_default()));
        }
        (headers, words)
    }

    fn write(&self, pem: &mut Vec<u8>) {
        let (headers, words) = self.parts();
        pem.extend_from_slice(format!("{BEGIN}{}{DASHES}\n", self.label).as_bytes());
        for (name, value) in &headers {
            pem.extend_from_slice(format!("{name} {value}\n").as_bytes());
        }
        if !headers.is_empty() {
            pem.push(b'\n');
        }
        let mut column = 0;
        for byte in words.flat_map(str::bytes) {
            if column == LINE {
                pem.push(b'\n');
                column = 0;
            }
            pem.push(byte);
            column += 1;
        }
        pem.extend_from_slice(format!("\n{END}{}{DASHES}\n", self.label).as_bytes());
    }

    /// The decoded body, if it is a PFX.
    fn pfx(&self) -> Option<Secret> {
        if self.label.contains("KEY") {
            return None;
        }
        let der = decoded(self.body)?;
        let is_pfx = X509::from_der(&der).is_err() && Pkcs12::from_der(&der).is_ok();
        is_pfx.then_some(der)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pem(text: &str) -> String {
        match Content::parse(text.as_bytes()) {
            Content::Pem(pem) => String::from_utf8(pem.to_vec()).expect("text"),
            _ => panic!("no PEM"),
        }
    }

    #[test]
    fn an_encrypted_key_keeps_its_headers_with_any_line_ends() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        for odd in [
            text.to_owned(),
            text.replace('\n', " "),
            text.replace('\n', "\\n"),
            text.replace('\n', "\r\n"),
        ] {
            assert_eq!(pem(&odd), text, "{odd}");
        }
    }

    #[test]
    fn a_block_that_was_cut_off_hides_no_later_block() {
        let whole = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(pem(&format!("-----BEGIN CERTIFICATE-----\nBBBB\n{whole}")), whole);
        assert_eq!(
            pem(&format!(
                "Bag Attributes\n  friendlyName: x\n{whole}subject=CN=x\n{whole}"
            )),
            [whole, whole].concat()
        );
    }

    #[test]
    fn the_json_of_a_vault_holds_pem_or_a_pfx() {
        let whole = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let json = |value: &str| {
            serde_json::json!({ "contentType": "x", "id": "https://v/secrets/a", "value": value }).to_string()
        };
        assert_eq!(pem(&json(whole)), whole);
        let der = [&[SEQUENCE, 0x82, 1, 2], &[7; 8][..]].concat();
        let Content::Der(found) = Content::parse(json(&STANDARD.encode(&der)).as_bytes()) else {
            panic!("no DER");
        };
        assert_eq!(*found, der);
        for other in ["{}", "{\"value\": 1}", &json(""), &json("{}"), "{\"value\""] {
            assert!(matches!(Content::parse(other.as_bytes()), Content::Unknown), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Content::parse(&bytes);
        }

        #[test]
        fn no_text_breaks_it(text in "(-----BEGIN |-----END |CERTIFICATE|-----|PRIVATE KEY|MII|AAAA|=|\\\\n|\n| |:|ü|\"){0,30}") {
            let _ = Content::parse(text.as_bytes());
        }
    }
}
