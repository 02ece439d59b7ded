//! Random HTTP requests: mostly valid, so that they reach the handlers, and broken in one place or another. The same seed and
//! number give the same bytes.
//!
//! ```ignore
//! let target = Target { url: &dev.api(""), grammar: &grammar, check };
//! let counts = target.run(run::seed(), 0..run::requests(3000));
//! ```

mod body;
mod framing;
mod head;
pub mod run;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// What a server understands: the starting point of the requests.
pub struct Grammar {
    /// Paths with their methods; `#` stands for a number.
    pub routes: &'static [(&'static str, &'static [&'static str])],
    /// Query and form parameters.
    pub parameters: &'static [&'static str],
    /// Name of the header that authenticates.
    pub credential: &'static str,
    /// Valid and invalid values of it.
    pub credentials: Vec<String>,
    /// Form fields that make the server accept the form.
    pub form_key: Vec<(&'static str, String)>,
    /// Content type of bodies.
    pub content_type: &'static str,
}

/// The bytes to send on one connection, with one or more requests.
pub struct RawRequest {
    pub bytes: Vec<u8>,
    /// Method of each request.
    pub methods: Vec<String>,
    pub end: SendEnd,
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendEnd {
    /// Everything was sent and is valid: each request must get a response.
    Whole,
    /// Something is missing or broken. The sending side is closed, and the client waits for a response.
    HalfClosed,
    /// Something is missing. The client drops the connection.
    Dropped,
}

/// Request `number` of the run with this seed; sometimes several on one connection.
pub fn sent(seed: u64, number: u64, grammar: &Grammar) -> RawRequest {
    let mut dice = SampleRng::new(seed, number);
    let (mut all, mut may_share) = one(&mut dice, grammar);
    while may_share && all.end == SendEnd::Whole && dice.chance(8) {
        let (next, next_may_share) = one(&mut dice, grammar);
        may_share = next_may_share;
        if may_share {
            all.bytes.extend(next.bytes);
            all.methods.extend(next.methods);
            all.end = next.end;
        }
    }
    if dice.chance(3) {
        let kept = dice.below(all.bytes.len());
        all.bytes.truncate(kept);
        all.end = if dice.chance(50) {
            SendEnd::HalfClosed
        } else {
            SendEnd::Dropped
        };
    }
    all
}

/// A request, and whether others may follow on its connection.
fn one(dice: &mut SampleRng, grammar: &Grammar) -> (RawRequest, bool) {
    let mut head = head::head(dice, grammar);
    let body = if head.takes_body() || dice.chance(5) {
        body::body(dice, grammar)
    } else {
        Vec::new()
    };
    let framed = framing::frame(dice, &mut head, body);
    let is_whole = framed.is_whole && !head.is_broken;
    let end = match () {
        () if is_whole => SendEnd::Whole,
        () if dice.chance(70) => SendEnd::HalfClosed,
        () => SendEnd::Dropped,
    };
    let may_share = head.may_share_a_connection();
    (
        RawRequest {
            bytes: [head.bytes(), framed.bytes].concat(),
            methods: vec![head.method],
            end,
        },
        may_share,
    )
}

/// A random number generator that depends only on the seed and the stream.
pub struct SampleRng(ChaCha8Rng);

impl SampleRng {
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// A number less than `bound`, or 0 if `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let random = usize::try_from(self.0.next_u64() >> 1).expect("64 bits");
        random.checked_rem(bound).unwrap_or(0)
    }

    /// True with a probability of `percent`.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// Text that a parser might get wrong.
    pub fn text(&mut self) -> String {
        const TEXTS: &[&str] = &[
            "",
            " ",
            "a",
            "Hello",
            "0",
            "-1",
            "1.5",
            "9223372036854775808",
            "null",
            "true",
            "*",
            "\"",
            "\\",
            "'",
            "%",
            "%00",
            "../../etc/passwd",
            "'); DROP TABLE users; --",
            "\" OR 1=1",
            "title:x",
            "NEAR(a b)",
            "a AND OR",
            "-x",
            "(",
            "^a",
            "{{7*7}}",
            "<script>",
            "\u{0}",
            "\u{1b}[31m",
            "\u{200b}",
            "\u{202e}",
            "\u{2028}",
            "é",
            "e\u{301}",
            "👩‍🚀",
            "\u{fffd}",
            "\u{10ffff}",
            "\u{feff}",
            "ß",
            "İ",
            "\r\nX-Evil: 1",
            "\t",
            "\n",
        ];
        match self.below(12) {
            0 => self.pick(TEXTS).repeat(self.below(2000)),
            1 => String::from_utf8_lossy(&{
                let count = self.below(40);
                self.bytes(count)
            })
            .into_owned(),
            2 => [self.pick(TEXTS), self.pick(TEXTS), self.pick(TEXTS)].concat(),
            3 => self.below(1 << 40).to_string(),
            _ => (self.pick(TEXTS)).to_owned(),
        }
    }

    /// Flips, drops, doubles or inserts some bytes.
    pub fn garble(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let place = self.below(bytes.len());
            match self.below(4) {
                0 if !bytes.is_empty() => bytes[place] ^= 1 << self.below(8),
                1 => bytes.truncate(place),
                2 if !bytes.is_empty() => {
                    let end = (place + self.below(20)).min(bytes.len());
                    let copied = bytes[place..end].to_vec();
                    bytes.splice(place..place, copied);
                }
                _ => {
                    let inserted = self.below(6);
                    let inserted = self.bytes(inserted);
                    bytes.splice(place..place, inserted);
                }
            }
        }
    }
}
