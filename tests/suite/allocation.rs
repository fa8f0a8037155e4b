//! Counts what a thread allocates and frees, to prove that a piece of code does neither.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more; nobody is asking it then.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

#[expect(unsafe_code, reason = "an allocator can only be watched from within")]
// SAFETY: every call is handed on unchanged to the system's allocator; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// How often `work` allocated or freed memory on this thread.
pub(crate) fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = CALLS.get();
    work();
    CALLS.get() - before
}

#[test]
fn an_allocation_is_seen() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(vec![1_u8; 100]))), 2);
    assert_eq!(allocations_of(|| drop(std::hint::black_box([1_u8; 100]))), 0);
}
