//! Random numbers that follow from a seed, which a test prints and can be given.

use tenure_server::ids::{IdSource as _, SystemIds};

/// Random numbers that follow from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    pub(crate) seed: u64,
    state: u64,
}

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// Dice of the seed that `TENURE_TEST_SEED` names, or of a new one.
    pub(crate) fn cast() -> Self {
        let given = std::env::var_os("TENURE_TEST_SEED");
        let seed = given.map_or_else(
            || SystemIds.fresh().as_u64_pair().1,
            |seed| {
                seed.to_string_lossy()
                    .parse()
                    .expect("TENURE_TEST_SEED is a number")
            },
        );
        Self::new(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) const fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
