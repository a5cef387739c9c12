//! Chance that can be repeated.

/// Numbers that are the same for the same seed.
pub struct Dice(u64);

impl Dice {
    /// From `H402_TEST_SEED`, or by chance.
    pub fn seeded() -> Self {
        let seed = std::env::var("H402_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let mut bytes = [0; 8];
            getrandom::fill(&mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        });
        println!("H402_TEST_SEED={seed}");
        Self(seed)
    }

    /// Always the same ones.
    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Other dice, which follow from these.
    pub fn split(&mut self) -> Self {
        Self(self.roll(u64::MAX))
    }

    /// A number less than `sides`; splitmix64.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}
