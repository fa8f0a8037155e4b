//! Memory for weights, in large pages where the system gives them.
//!
//! Whoever goes through hundreds of megabytes once a step asks for a page's address every 4 KB, and prefetching by the processor ends
//! with each. With pages of 2 MB a codec's steps took 8 to 15 % less time.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use memmap2::MmapMut;

/// A large page's size.
const LARGE: usize = 1 << 21;

/// Numbers that are written once.
#[derive(Clone)]
pub(crate) struct Pages {
    map: Arc<MmapMut>,
    n_bytes: usize,
}

impl Pages {
    /// `n` numbers, which `fill` writes over zeros.
    ///
    /// # Panics
    /// If there is no memory for them.
    pub(crate) fn new(n: usize, fill: impl FnOnce(&mut [f32])) -> Self {
        let n_bytes = n * size_of::<f32>();
        let whole = if n_bytes >= LARGE / 2 { n_bytes.next_multiple_of(LARGE) } else { n_bytes.max(1) };
        let mut map = MmapMut::map_anon(whole).unwrap_or_else(|error| panic!("no memory for {n_bytes} bytes of weights: {error}"));
        // Where it is not granted, pages are small.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        fill(pulp::bytemuck::cast_slice_mut(&mut map[..n_bytes]));
        Self { map: Arc::new(map), n_bytes }
    }
}

impl std::ops::Deref for Pages {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        pulp::bytemuck::cast_slice(&self.map[..self.n_bytes])
    }
}

impl Debug for Pages {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Pages({} numbers)", self.len())
    }
}
