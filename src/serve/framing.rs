//! Follows the bytes of a connection closely enough to know which of them belong to a request head. There are two
//! reasons. A bare line feed in a head must be rejected (RFC 9112 §2.2): the parser would accept it, and proxies may
//! read it differently. And the parser must not see `Expect: 100-continue`, so that `100 Continue` is sent only when a
//! handler reads the body.
//!
//! The scanner does not decide how long a body is. It passes on bytes up to the end of a head, and waits until the
//! parser has interpreted that head. So the two cannot disagree.

/// How the body that follows a head ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// After this many bytes.
    Length(u64),
    /// With an empty chunk.
    Chunked,
    /// When the connection ends.
    Endless,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// After a head, until [`Scanner::follow`] is called.
    Unknown,
    Length(u64),
    Chunked(Chunk),
    /// A body that ends with the connection.
    Endless,
    /// Only the parser judges the rest of the connection.
    Unwatched,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size(u64),
    Extension(u64),
    SizeLineFeed(u64),
    Data(u64),
    DataReturn,
    DataLineFeed,
    EndReturn,
    EndLineFeed,
    Trailer,
    TrailerLineFeed,
}

/// The name of the hidden header, with its colon.
const EXPECT: &[u8] = b"expect:";
/// The value of [`Scanner::expect`] on a line with another header.
const OTHER_HEADER: usize = usize::MAX;
/// What the parser sees instead of `100-continue`.
pub const HIDDEN_CONTINUE: &[u8] = b"x00-continue";

/// See the module.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    /// Bytes of the current line that were passed on before.
    line: usize,
    ends_with_return: bool,
    /// Whether the head has a line that is not empty. Empty lines before it are skipped (RFC 9112 §2.2).
    has_begun: bool,
    /// How many bytes of [`EXPECT`] the current line has matched.
    expect: usize,
    /// Bytes of the current head so far.
    head_bytes: usize,
}

impl Scanner {
    /// A scanner at the start of a head.
    pub fn new() -> Self {
        Self {
            state: State::Head,
            line: 0,
            ends_with_return: false,
            has_begun: false,
            expect: 0,
            head_bytes: 0,
        }
    }

    /// Whether the next byte would begin a request.
    pub fn is_between_requests(&self) -> bool {
        self.state == State::Head && self.head_bytes == 0
    }

    /// Bytes of an unfinished head; 0 outside of a head.
    pub fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    /// Whether a head has ended, so that [`Self::follow`] must be called before the next scan.
    pub fn is_waiting(&self) -> bool {
        self.state == State::Unknown
    }

    /// Whether the next byte belongs to a body.
    pub fn is_in_body(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Chunked(_) | State::Endless)
    }

    /// Sets how the body ends that follows the head.
    pub fn follow(&mut self, framing: Framing) {
        self.state = match framing {
            Framing::Empty | Framing::Length(0) => State::Head,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunk::Size(0)),
            Framing::Endless => State::Endless,
        };
    }

    /// Returns how many of these bytes the parser may have now. Changes some of them.
    pub fn scan(&mut self, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            done += match self.state {
                State::Head => self.scan_head(rest),
                State::Unknown => break,
                State::Length(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::Head } else { State::Length(left) };
                    taken
                }
                State::Chunked(chunk) => self.scan_chunk(chunk, rest),
                State::Endless | State::Unwatched => rest.len(),
            };
        }
        done
    }

    /// Scans one line of a head, or the part of it that has arrived.
    fn scan_head(&mut self, rest: &mut [u8]) -> usize {
        let end = memchr::memchr(b'\n', rest);
        let length = end.unwrap_or(rest.len());
        let Some((line, after)) = rest.split_at_mut_checked(length) else {
            return rest.len();
        };
        self.hide_expectation(line);
        let ends_with_return = line.last().map_or(self.ends_with_return, |byte| *byte == b'\r');
        let Some(line_feed) = after.first_mut().filter(|_| end.is_some()) else {
            self.line += length;
            self.head_bytes += length;
            self.ends_with_return = ends_with_return;
            return length;
        };
        if !ends_with_return {
            // A NUL is invalid anywhere in a head, so the parser rejects it, after the requests before it have been
            // answered.
            *line_feed = 0;
            self.state = State::Unwatched;
            return length + 1;
        }
        let is_empty = self.line + length == 1;
        self.head_bytes += length + 1;
        (self.line, self.expect, self.ends_with_return) = (0, 0, false);
        match (is_empty, self.has_begun) {
            (true, true) => {
                (self.state, self.has_begun, self.head_bytes) = (State::Unknown, false, 0);
            }
            // Already part of a head: its timeout runs, and its bytes count.
            (true, false) => {}
            (false, _) => self.has_begun = true,
        }
        length + 1
    }

    /// Changes `100-continue` to [`HIDDEN_CONTINUE`], even if the line arrives in pieces.
    fn hide_expectation(&mut self, line: &mut [u8]) {
        if !self.has_begun || self.expect == OTHER_HEADER {
            return;
        }
        for byte in line {
            match EXPECT.get(self.expect) {
                Some(expected) if byte.eq_ignore_ascii_case(expected) => self.expect += 1,
                Some(_) => {
                    self.expect = OTHER_HEADER;
                    return;
                }
                None if *byte == b'1' => *byte = b'x',
                None => {}
            }
        }
    }

    /// Leaves malformed chunks to the parser, which rejects them.
    fn scan_chunk(&mut self, chunk: Chunk, rest: &[u8]) -> usize {
        if let Chunk::Data(left) = chunk {
            let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let left = left - taken as u64;
            self.state = State::Chunked(if left == 0 {
                Chunk::DataReturn
            } else {
                Chunk::Data(left)
            });
            return taken;
        }
        let Some(byte) = rest.first() else { return 0 };
        let next = match (chunk, byte) {
            (Chunk::Size(size), byte) if byte.is_ascii_hexdigit() => {
                let digit = char::from(*byte).to_digit(16).map_or(0, u64::from);
                size.checked_mul(16).map(|size| Chunk::Size(size + digit))
            }
            (Chunk::Size(size), b' ' | b'\t' | b';') => Some(Chunk::Extension(size)),
            (Chunk::Size(size) | Chunk::Extension(size), b'\r') => Some(Chunk::SizeLineFeed(size)),
            (Chunk::Extension(size), byte) if *byte != b'\n' => Some(Chunk::Extension(size)),
            (Chunk::SizeLineFeed(0) | Chunk::TrailerLineFeed, b'\n') => Some(Chunk::EndReturn),
            (Chunk::SizeLineFeed(size), b'\n') => Some(Chunk::Data(size)),
            (Chunk::DataReturn, b'\r') => Some(Chunk::DataLineFeed),
            (Chunk::DataLineFeed, b'\n') => Some(Chunk::Size(0)),
            (Chunk::EndReturn, b'\r') => Some(Chunk::EndLineFeed),
            // A trailer of any bytes: the parser discards it (RFC 9112 §7.1.2).
            (Chunk::Trailer, b'\r') => Some(Chunk::TrailerLineFeed),
            (Chunk::EndReturn | Chunk::Trailer, _) => Some(Chunk::Trailer),
            (Chunk::EndLineFeed, b'\n') => {
                self.state = State::Head;
                return 1;
            }
            _ => None,
        };
        self.state = next.map_or(State::Unwatched, State::Chunked);
        1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scans in pieces of these lengths. The next of `bodies` follows each head.
    fn scan(bytes: &[u8], bodies: &[Framing], pieces: &[usize]) -> Vec<u8> {
        let (mut scanner, mut bodies, mut out) = (Scanner::new(), bodies.iter(), Vec::new());
        let (mut rest, mut pieces) = (bytes.to_vec(), pieces.iter().copied().cycle());
        while !rest.is_empty() {
            let length = pieces.next().unwrap_or(usize::MAX).clamp(1, rest.len());
            let taken = scanner.scan(&mut rest[..length]);
            out.extend(rest.drain(..taken));
            if scanner.is_waiting() {
                scanner.follow(bodies.next().copied().unwrap_or(Framing::Empty));
            }
        }
        out
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn heads_and_bodies_pass_unchanged() {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na\nb\n\n";
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\n\r\n3;x=y\r\na\nb\r\nA\r\n\n\n\n\n\n\n\n\n\n\n\r\n0\r\n\r\n";
        let text = format!("\r\n{GET}{post}{chunked}{GET}");
        let bodies = [Framing::Empty, Framing::Length(5), Framing::Chunked, Framing::Empty];
        for piece in [1, 2, 3, 7, 1000] {
            assert_eq!(
                String::from_utf8(scan(text.as_bytes(), &bodies, &[piece])).expect("text"),
                text,
                "{piece}"
            );
        }
    }

    #[test]
    fn a_chunked_body_with_trailers_does_not_end_the_watch() {
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n";
        let bare = "GET / HTTP/1.1\nHost: a\r\n\r\n";
        for piece in [1, 2, 3, 1000] {
            let out = scan(format!("{chunked}{bare}").as_bytes(), &[Framing::Chunked], &[piece]);
            assert_eq!(
                out.iter().position(|byte| *byte == 0),
                Some(chunked.len() + 14),
                "in pieces of {piece}"
            );
        }
    }

    #[test]
    fn empty_lines_before_a_head_are_part_of_it() {
        let mut scanner = Scanner::new();
        for _ in 0..100 {
            assert_eq!(scanner.scan(&mut [b'\r', b'\n']), 2);
            assert!(!scanner.is_between_requests());
        }
        assert_eq!(scanner.head_bytes(), 200);
    }

    #[test]
    fn a_body_without_a_length_is_a_body() {
        let mut scanner = Scanner::new();
        let mut head = GET.as_bytes().to_vec();
        scanner.scan(&mut head);
        scanner.follow(Framing::Endless);
        assert!(scanner.is_in_body());
    }

    #[test]
    fn a_bare_line_feed_in_a_head_becomes_what_no_parser_takes() {
        for bad in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\nZ: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            for before in ["", GET] {
                for piece in [1, 2, 1000] {
                    let out = scan(format!("{before}{bad}").as_bytes(), &[], &[piece]);
                    let at = format!("{before}{bad}")
                        .replace("\r\n", "<>")
                        .find('\n')
                        .expect("a bare one");
                    assert_eq!(out.get(at), Some(&0), "{bad:?} after {before:?} in pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn the_parser_does_not_see_that_a_client_waits() {
        let head = |line: &str| format!("PUT / HTTP/1.1\r\nHost: 11\r\n{line}\r\nX: 100-continue\r\n\r\n");
        for (sent, seen) in [
            ("Expect: 100-continue", "Expect: x00-continue"),
            ("eXPECT:100-Continue", "eXPECT:x00-Continue"),
            ("Expected: 100-continue", "Expected: 100-continue"),
            ("X-Expect: 100-continue", "X-Expect: 100-continue"),
        ] {
            for piece in [1, 2, 5, 1000] {
                let out = scan(head(sent).as_bytes(), &[], &[piece]);
                assert_eq!(String::from_utf8(out).expect("text"), head(seen), "{piece}");
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_handed_out_once_and_in_order(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b':'), any::<u8>()], 0..200),
            pieces in proptest::collection::vec(1_usize..20, 1..5),
        ) {
            let whole = scan(&bytes, &[Framing::Length(3), Framing::Chunked, Framing::Endless], &[1000]);
            let cut = scan(&bytes, &[Framing::Length(3), Framing::Chunked, Framing::Endless], &pieces);
            prop_assert_eq!(&whole, &cut);
            prop_assert_eq!(whole.len(), bytes.len());
        }
    }
}
