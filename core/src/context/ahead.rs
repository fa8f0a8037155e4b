//! Reading ahead: items in order, the next ones on their way while one is worked on.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Bytes that are read together: few enough to be nothing beside a network, enough that all threads have something to read.
const BLOCK_BYTES: usize = 16 << 20;

/// Threads that read. They are not those of the computation, whose work would otherwise wait for the disk.
#[derive(Debug)]
pub(super) struct ReadAhead {
    threads: ThreadPool,
    block_bytes: usize,
}

impl ReadAhead {
    pub(super) fn new() -> Result<Self, ThreadPoolBuildError> {
        Self::in_blocks_of(BLOCK_BYTES)
    }

    fn in_blocks_of(block_bytes: usize) -> Result<Self, ThreadPoolBuildError> {
        let threads = ThreadPoolBuilder::new().thread_name(|i| format!("reader {i}")).build()?;
        Ok(Self { threads, block_bytes })
    }

    /// Hands `each` every item with what `read` makes of it, in order; ends with the first error. What was read and not yet handed
    /// over are two blocks at most; an item larger than a block (`n_bytes`) is one of its own.
    pub(super) fn pass<T: Sync, R: Send, E>(
        &self,
        items: &[T],
        n_bytes: impl Fn(&T) -> usize,
        read: impl Fn(&T) -> R + Sync,
        mut each: impl FnMut(&T, R) -> Result<(), E>,
    ) -> Result<(), E> {
        let read_all = |items: &[T]| items.par_iter().map(&read).collect::<Vec<R>>();
        let (mut now, mut later) = items.split_at(self.block(items, &n_bytes));
        let mut values = self.threads.install(|| read_all(now));
        while !now.is_empty() {
            let (next, rest) = later.split_at(self.block(later, &n_bytes));
            let mut ahead = Vec::new();
            self.threads.in_place_scope(|scope| {
                scope.spawn(|_| ahead = read_all(next));
                now.iter().zip(values.drain(..)).try_for_each(|(item, value)| each(item, value))
            })?;
            (now, later, values) = (next, rest, ahead);
        }
        Ok(())
    }

    /// How many of the first items fit into a block; at least one, where there is one.
    fn block<T>(&self, items: &[T], n_bytes: impl Fn(&T) -> usize) -> usize {
        let mut room = self.block_bytes;
        let fits = items.iter().take_while(|item| {
            let fits = n_bytes(item) <= room;
            room = room.saturating_sub(n_bytes(item));
            fits
        });
        fits.count().max(1).min(items.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts the bytes that exist.
    struct Held<'a>(usize, &'a AtomicUsize);

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.1.fetch_sub(self.0, Ordering::SeqCst);
        }
    }

    #[test]
    fn two_blocks_at_most_are_held_and_the_order_stays() {
        let sizes: Vec<usize> = (0..200).map(|i| if i == 77 { 500 } else { 1 + i * 7 % 40 }).collect();
        let (held, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut seen = Vec::new();
        let reader = ReadAhead::in_blocks_of(100).unwrap();
        let read = |&size: &usize| {
            most.fetch_max(held.fetch_add(size, Ordering::SeqCst) + size, Ordering::SeqCst);
            Held(size, &held)
        };
        reader
            .pass(
                &sizes,
                |&size| size,
                read,
                |&size, value| {
                    assert_eq!(size, value.0);
                    seen.push(size);
                    Ok::<(), ()>(())
                },
            )
            .unwrap();
        assert_eq!((seen, held.into_inner()), (sizes, 0));
        assert!(most.into_inner() <= 100 + 500);
    }

    #[test]
    fn the_first_error_ends_it() {
        let reader = ReadAhead::in_blocks_of(3).unwrap();
        let (read, mut seen) = (AtomicUsize::new(0), 0);
        let result = reader.pass(
            &[(); 1000],
            |()| 1,
            |()| read.fetch_add(1, Ordering::SeqCst),
            |(), _| {
                seen += 1;
                if seen == 5 { Err("fifth") } else { Ok(()) }
            },
        );
        assert_eq!((result, seen), (Err("fifth"), 5));
        assert_eq!(read.into_inner(), 9, "the block of the fifth and the one after it");
        assert_eq!(reader.pass(&[], |()| 1, |()| (), |(), ()| Err("none")), Ok(()));
    }
}
