//! The product of a few rows with a panel: some vectors' columns of a matrix, packed one input behind another.
//!
//! Everything here that is a product on the CPU is made of it: layers ([`crate::dense`]) and attention ([`crate::attention`]). Each
//! element is summed in the same order whatever other rows and columns are there.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

use pulp::{Arch, Simd, WithSimd};

/// Vectors across a panel of many columns.
pub(crate) const ACROSS: usize = 2;
/// Inputs that are summed before their sum is added to the others': with it rounding grows a third as fast as in one long sum.
pub(crate) const SPAN: usize = 64;
/// Values of a cache line.
const LINE: usize = 16;

/// Values of a vector on this machine.
pub(crate) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes)
}

/// Work on some rows at a time.
pub(crate) trait Tile {
    /// Does it for `R` rows from row `from`.
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, from: usize);
}

/// All of `n` rows, in tiles of about the same height: both their sums stay in registers, and a panel's values are used as often as they
/// are read.
#[inline(always)]
pub(crate) fn tiles<S: Simd>(simd: S, n: usize, work: &mut impl Tile) {
    let n_tiles = n.div_ceil(if S::F32_LANES >= 16 { 8 } else { 6 });
    for tile in 0..n_tiles {
        let (from, to) = (tile * n / n_tiles, (tile + 1) * n / n_tiles);
        match to - from {
            1 => work.tile::<S, 1>(simd, from),
            2 => work.tile::<S, 2>(simd, from),
            3 => work.tile::<S, 3>(simd, from),
            4 => work.tile::<S, 4>(simd, from),
            5 => work.tile::<S, 5>(simd, from),
            6 => work.tile::<S, 6>(simd, from),
            7 => work.tile::<S, 7>(simd, from),
            _ => work.tile::<S, 8>(simd, from),
        }
    }
}

/// `rows · packed`, where `packed` is `[inputs][A vectors]`; meanwhile asks for memory from `ahead` on, a cache line for each input.
#[inline(always)]
pub(crate) fn products<S: Simd, const R: usize, const A: usize>(
    simd: S,
    rows: [&[f32]; R],
    packed: &[f32],
    ahead: *const f32,
) -> [[S::f32s; A]; R] {
    let (vectors, _) = S::as_simd_f32s(packed);
    let (vectors, _) = vectors.as_chunks::<A>();
    let n = vectors.len();
    let rows = rows.map(|row| &row[..n]);
    let mut total = [[simd.splat_f32s(0.0); A]; R];
    for start in (0..n).step_by(SPAN) {
        let mut sums = [[simd.splat_f32s(0.0); A]; R];
        for i in start..n.min(start + SPAN) {
            fetch(ahead.wrapping_add(i * LINE));
            for r in 0..R {
                let x = simd.splat_f32s(rows[r][i]);
                for v in 0..A {
                    sums[r][v] = simd.mul_add_e_f32s(x, vectors[i][v], sums[r][v]);
                }
            }
        }
        if n <= SPAN {
            return sums;
        }
        for r in 0..R {
            for v in 0..A {
                total[r][v] = simd.add_f32s(total[r][v], sums[r][v]);
            }
        }
    }
    total
}

/// Where a tile fetches from: the first two tiles of a panel of `n` values each half of what is read next.
#[inline(always)]
pub(crate) fn half_ahead(next: &[f32], n: usize, from: usize) -> *const f32 {
    next.as_ptr().wrapping_add(if from == 0 { 0 } else { n / 2 })
}

/// Asks for the cache line of an address, which need not be valid.
#[inline(always)]
fn fetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the instruction is offered for a raw address only")]
    // SAFETY: a prefetch reads nothing that a program could see, and faults at no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Numbers between −1 and 1, always the same ones.
#[cfg(test)]
pub(crate) fn values(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| draw()).collect()
}
