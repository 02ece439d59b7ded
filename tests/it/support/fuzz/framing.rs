//! Framing of a body: lengths and chunks, right and wrong.

use super::{SampleRng, head::Head};

pub struct Framed {
    pub bytes: Vec<u8>,
    /// The body matches its framing, and the framing has only one meaning.
    pub is_whole: bool,
}

/// Adds the framing headers to the head, and returns the bytes that follow the head.
pub fn frame(dice: &mut SampleRng, head: &mut Head, body: Vec<u8>) -> Framed {
    let length = body.len();
    let whole = |bytes| Framed { bytes, is_whole: true };
    let broken = |bytes| Framed { bytes, is_whole: false };
    match dice.below(90) {
        0..=15 => {
            // HTTP/1.0 does not know this.
            head.is_broken |= head.version == "HTTP/1.0";
            head.add("Transfer-Encoding", "chunked");
            let (extension, trailer) = if dice.chance(20) {
                (";a=b", "X-Trailer: 1\r\n")
            } else {
                ("", "")
            };
            let bytes = chunks(dice, &body, extension);
            // Servers may handle trailers as they like.
            Framed {
                bytes: [bytes, format!("0\r\n{trailer}\r\n").into()].concat(),
                is_whole: extension.is_empty(),
            }
        }
        16 => {
            head.add("Transfer-Encoding", "chunked");
            let mut bytes = [chunks(dice, &body, ""), b"0\r\n\r\n".to_vec()].concat();
            dice.garble(&mut bytes);
            broken(bytes)
        }
        17 => {
            head.add("Transfer-Encoding", "chunked");
            let size = dice.pick(&[
                "ffffffffffffffff",
                "10000000000000000",
                "-1",
                "0x5",
                "",
                "g",
                "5 5",
                "7fffffff",
            ]);
            broken([size.as_bytes(), b"\r\n", &body].concat())
        }
        18 => {
            head.add("Content-Length", length.to_string());
            head.add(
                "Transfer-Encoding",
                dice.pick(&["chunked", "identity", "gzip, chunked", "chunked, x", "xchunked"]),
            );
            broken([chunks(dice, &body, ""), b"0\r\n\r\n".to_vec()].concat())
        }
        19 => {
            head.add("Content-Length", length.to_string());
            head.add("Content-Length", (length + dice.below(3)).to_string());
            broken(body)
        }
        20 => {
            let lie = dice.pick(&[
                "-1",
                "+5",
                "0x10",
                "1e3",
                "",
                "18446744073709551616",
                "9223372036854775807",
                "5, 5",
                "1 1",
            ]);
            head.add("Content-Length", lie);
            broken(body)
        }
        21 => {
            head.add("Content-Length", dice.below(length).to_string());
            broken(body)
        }
        22 | 23 => {
            head.add("Content-Length", (length + 1 + dice.below(2000)).to_string());
            broken(body)
        }
        24 if length > 0 => broken(body),
        _ if length == 0 && dice.chance(80) => {
            // Needs a length for each body, even an empty one.
            Framed {
                bytes: body,
                is_whole: head.version != "HTTP/1.0" || !head.takes_body(),
            }
        }
        _ => {
            head.add("Content-Length", length.to_string());
            whole(body)
        }
    }
}

/// The chunks without the empty last one.
fn chunks(dice: &mut SampleRng, body: &[u8], extension: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = body;
    while !left.is_empty() {
        let size = if dice.chance(10) { 1 } else { 1 + dice.below(left.len()) };
        let (chunk, rest) = left.split_at(size);
        bytes.extend(format!("{size:x}{extension}\r\n").bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
        left = rest;
    }
    bytes
}
