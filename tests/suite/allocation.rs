//! Counts what a thread allocates and frees, to prove that a piece of code does neither.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
    static AT_EACH: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

fn count() {
    // A thread that is ending has no counter any more; nobody is asking it then.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    // Taken out while it runs, so that its own calls do not start it again.
    let taken = AT_EACH.try_with(|slot| slot.try_borrow_mut().ok().and_then(|mut slot| slot.take()));
    if let Ok(Some(mut at_each)) = taken {
        if catch_unwind(AssertUnwindSafe(&mut at_each)).is_err() {
            std::process::abort();
        }
        let _ = AT_EACH.try_with(|slot| slot.replace(Some(at_each)));
    }
}

#[expect(unsafe_code, reason = "an allocator can only be watched from within")]
// SAFETY: every call is handed on unchanged to the system's allocator; counting does not allocate, and nothing unwinds out of it.
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

/// Does `work`, and `at_each` in the middle of every allocation and release that it makes on this thread. An interruption at these
/// points finds `work` holding whatever it holds then.
pub(crate) fn at_each_allocation_of(work: impl FnOnce(), at_each: impl FnMut() + 'static) {
    AT_EACH.set(Some(Box::new(at_each)));
    work();
    drop(AT_EACH.take());
}

#[test]
fn an_allocation_is_seen() {
    assert_eq!(allocations_of(|| drop(std::hint::black_box(vec![1_u8; 100]))), 2);
    assert_eq!(allocations_of(|| drop(std::hint::black_box([1_u8; 100]))), 0);
}

#[test]
fn each_allocation_is_interrupted() {
    let times = std::rc::Rc::new(Cell::new(0));
    let counted = std::rc::Rc::clone(&times);
    at_each_allocation_of(
        || drop(std::hint::black_box(vec![1_u8; 100])),
        move || {
            std::hint::black_box(Vec::<u8>::with_capacity(10));
            counted.set(counted.get() + 1);
        },
    );
    assert_eq!(times.get(), 2);
}
