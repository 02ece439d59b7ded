//! Text from files, in the encodings that editors, PowerShell and vaults write.

use zeroize::Zeroizing;

/// Decodes UTF-8 or UTF-16, with or without a byte-order mark. `None` if `bytes` are neither. The text is wiped from memory when
/// dropped, because it may be a secret.
pub fn text_in(bytes: &[u8]) -> Option<Zeroizing<String>> {
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(rest),
        // Text has no null characters. If every other byte is null, the bytes are UTF-16.
        [low, 0, ..] if *low != 0 && is_half_null(bytes, 1) => utf16(bytes, u16::from_le_bytes),
        [0, high, ..] if *high != 0 && is_half_null(bytes, 0) => utf16(bytes, u16::from_be_bytes),
        _ => utf8(bytes),
    }
    .filter(|text| !text.contains('\0'))
}

fn utf8(bytes: &[u8]) -> Option<Zeroizing<String>> {
    std::str::from_utf8(bytes)
        .ok()
        .map(|text| Zeroizing::new(text.to_owned()))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Zeroizing<String>> {
    let (pairs, []) = bytes.as_chunks() else { return None };
    // Allocated at full size: a growing string leaves copies in memory that nothing wipes.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().saturating_mul(2)));
    for decoded in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        text.push(decoded.ok()?);
    }
    Some(text)
}

/// Whether most of the bytes at even (0) or odd (1) positions are null, as in UTF-16 of Latin text.
fn is_half_null(bytes: &[u8], parity: usize) -> bool {
    let halves = bytes.iter().skip(parity).step_by(2);
    let (all, nulls) = halves.fold((0_usize, 0_usize), |(all, nulls), byte| {
        (all + 1, nulls + usize::from(*byte == 0))
    });
    bytes.len().is_multiple_of(2) && nulls * 2 > all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str, bytes_of: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes_of).collect()
    }

    fn text(bytes: &[u8]) -> Option<String> {
        text_in(bytes).map(|text| text.to_string())
    }

    #[test]
    fn every_encoding_that_editors_write_is_read() {
        for plain in ["hunter2", "Grüße, Zoë\n", "x", "-----BEGIN CERTIFICATE-----\r\nMIIB"] {
            let (le, be) = (encoded(plain, u16::to_le_bytes), encoded(plain, u16::to_be_bytes));
            for bytes in [
                plain.as_bytes().to_vec(),
                [&[0xEF, 0xBB, 0xBF], plain.as_bytes()].concat(),
                le.clone(),
                be.clone(),
                [&[0xFF, 0xFE][..], &le].concat(),
                [&[0xFE, 0xFF][..], &be].concat(),
            ] {
                assert_eq!(text(&bytes).as_deref(), Some(plain), "{bytes:02x?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_recognised() {
        for bytes in [
            &b"a\0b"[..],
            b"\0\0\0\0",
            b"caf\xe9",
            b"\xff\xfea",
            &[0x30, 0x82, 0x05, 0x00, 0xff],
        ] {
            assert_eq!(text(bytes), None, "{bytes:02x?}");
        }
        assert_eq!(text(b"").as_deref(), Some(""));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(text) = text_in(&bytes) {
                prop_assert!(!text.contains('\0'));
            }
        }
    }
}
