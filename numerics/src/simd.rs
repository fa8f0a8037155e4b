//! The widest vector instructions that the machine has, chosen when the program runs: it is built for any x86-64.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

use pulp::{Arch, Simd, WithSimd};

/// Runs `work` compiled for the machine's vector instructions. They reach only what is inlined into it: closures and functions in
/// `work` must be `#[inline(always)]`.
#[inline]
pub fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    struct Plain<F>(F);
    impl<T, F: FnOnce() -> T> WithSimd for Plain<F> {
        type Output = T;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> T {
            (self.0)()
        }
    }
    Arch::new().dispatch(Plain(work))
}
