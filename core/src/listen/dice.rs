//! Chance that anyone can compute again, years later and in any language: BLAKE3 in its mode of endless output.
//!
//! A log is held against its plan long after it was written, so the order of trials must not change with the version of a library of
//! random numbers, as seeded generators and shuffles of libraries may.

use blake3::{Hasher, OutputReader};

/// What all chance of one listener's test follows from: the plan's hash (which covers its seed) and the listener's name.
pub(super) fn seed(plan_hash: &str, listener: &str) -> [u8; 32] {
    let mut hasher = Hasher::new_derive_key("driftscope listening test, format 1, order of trials");
    hasher.update(plan_hash.as_bytes()).update(b"\n").update(listener.as_bytes());
    *hasher.finalize().as_bytes()
}

/// An endless row of throws.
pub(super) struct Dice(OutputReader);

impl Dice {
    /// Another `purpose` or `number`, other throws.
    pub(super) fn new(seed: &[u8; 32], purpose: &str, number: u32) -> Self {
        Self(Hasher::new_keyed(seed).update(purpose.as_bytes()).update(&number.to_le_bytes()).finalize_xof())
    }

    fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// True or false, each by half.
    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// One of `0..n`, each as likely; 0 for n = 0.
    fn below(&mut self, n: u64) -> u64 {
        // What lies above the last whole multiple of n would favor the small ones.
        let n = n.max(1);
        let end = u64::MAX - u64::MAX % n;
        loop {
            let throw = self.next();
            if throw < end {
                return throw % n;
            }
        }
    }

    /// Every order as likely (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_are_even_and_stay_as_they_are() {
        let seed = seed(&"0".repeat(64), "Ann");
        let mut counts = [0_u32; 6];
        let mut dice = Dice::new(&seed, "orders", 0);
        for _ in 0..6_000 {
            let mut order = [0, 1, 2];
            dice.shuffle(&mut order);
            counts[order[0] * 2 + usize::from(order[1] > order[2])] += 1;
        }
        // Five standard deviations of a binomial count.
        assert!(counts.iter().all(|&n| n.abs_diff(1_000) < 145), "{counts:?}");
        let heads = (0..10_000).filter(|_| dice.coin()).count();
        assert!(heads.abs_diff(5_000) < 250, "{heads}");

        let mut order: Vec<u32> = (0..10).collect();
        Dice::new(&seed, "orders", 1).shuffle(&mut order);
        assert_eq!(order, PINNED, "old logs would no longer fit their plans");
    }

    const PINNED: [u32; 10] = [5, 8, 0, 7, 4, 6, 3, 1, 2, 9];
}
