//! Random choices that depend only on the seed. They use ChaCha without `rand`'s higher-level functions, whose
//! algorithms may change between versions: the same seed must always give the same rows.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use uuid::Uuid;

pub(super) struct SampleRng(ChaCha8Rng);

impl SampleRng {
    /// The generator for one stream of a seed.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        for (byte, seeded) in key.iter_mut().zip(seed.to_le_bytes()) {
            *byte = seeded;
        }
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(stream);
        Self(generator)
    }

    /// A number less than `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// One of the texts; empty if there are none.
    pub fn pick(&mut self, from: &[&'static str]) -> &'static str {
        let index = self.below(from.len() as u64);
        usize::try_from(index)
            .ok()
            .and_then(|index| from.get(index))
            .copied()
            .unwrap_or_default()
    }

    /// `count` of the texts, each once at most, in random order.
    pub fn some(&mut self, from: &[&'static str], count: usize) -> Vec<&'static str> {
        let mut left = from.to_vec();
        let mut picked = Vec::with_capacity(count);
        while picked.len() < count && !left.is_empty() {
            let index = usize::try_from(self.below(left.len() as u64)).unwrap_or(0);
            picked.push(left.swap_remove(index));
        }
        picked
    }

    /// A random (version 4) GUID.
    pub fn guid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}
