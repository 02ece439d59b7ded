//! Random HTTP requests: mostly right, so that they get far, and wrong in one place or another. The same seed and number
//! give the same bytes.

mod body;
mod framing;
mod head;
pub mod run;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// What a server understands, for requests to start from.
pub struct Grammar {
    /// Paths, in which `#` stands for a number, and the methods that they take.
    pub routes: &'static [(&'static str, &'static [&'static str])],
    /// Query and form parameters.
    pub parameters: &'static [&'static str],
    /// The header that says who asks.
    pub credential: &'static str,
    /// Values of it, good and bad.
    pub credentials: Vec<String>,
    /// Fields of a form that let it through, if it has them.
    pub form_key: Vec<(&'static str, String)>,
    /// The type of bodies.
    pub content_type: &'static str,
}

/// Bytes to send down one connection.
pub struct Sent {
    pub bytes: Vec<u8>,
    /// Of each request in it.
    pub methods: Vec<String>,
    pub end: End,
}

/// How the sending ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All that the heads announce was sent, and is not broken: each request must be answered.
    Whole,
    /// Something is missing or broken; the sending side is closed, and an answer is waited for.
    HalfClosed,
    /// Something is missing; the connection is dropped without waiting.
    Dropped,
}

/// Request number `number` of the run with this seed; now and then several on one connection.
pub fn sent(seed: u64, number: u64, grammar: &Grammar) -> Sent {
    let mut dice = Dice::new(seed, number);
    let (mut all, mut may_share) = one(&mut dice, grammar);
    while may_share && all.end == End::Whole && dice.chance(8) {
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
        all.end = if dice.chance(50) { End::HalfClosed } else { End::Dropped };
    }
    all
}

/// A request, and whether others may be sent on its connection.
fn one(dice: &mut Dice, grammar: &Grammar) -> (Sent, bool) {
    let mut head = head::head(dice, grammar);
    let body = if head.takes_body() || dice.chance(5) {
        body::body(dice, grammar)
    } else {
        Vec::new()
    };
    let framed = framing::frame(dice, &mut head, body);
    let is_whole = framed.is_whole && !head.is_broken;
    let end = match () {
        () if is_whole => End::Whole,
        () if dice.chance(70) => End::HalfClosed,
        () => End::Dropped,
    };
    let may_share = head.may_share_a_connection();
    (
        Sent {
            bytes: [head.bytes(), framed.bytes].concat(),
            methods: vec![head.method],
            end,
        },
        may_share,
    )
}

/// Chances that depend on the seed and the stream alone.
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// A number less than `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let random = usize::try_from(self.0.next_u64() >> 1).expect("64 bits");
        random.checked_rem(bound).unwrap_or(0)
    }

    /// True so many times in a hundred.
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

    /// Text that something might stumble over.
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
