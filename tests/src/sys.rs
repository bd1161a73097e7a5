//! An allocator that counts, so that tests can ask how much memory an engine holds. Knows no engine.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread has allocated and not freed. Tests run on threads of their own, and engines stay on one.
    static HELD: Cell<isize> = const { Cell::new(0) };
    /// How often this thread has asked for memory.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread.
#[derive(Clone, Copy, Debug)]
pub struct Counting;

impl Counting {
    /// Bytes that this thread has allocated and not freed.
    #[must_use]
    pub fn held() -> isize {
        HELD.with(Cell::get)
    }

    /// How often this thread has asked for memory, or for more of it.
    #[must_use]
    pub fn asked() -> usize {
        ASKED.with(Cell::get)
    }

    fn count(bytes: isize) {
        // At the end of a thread there is nothing left to ask.
        let _ = HELD.try_with(|held| held.set(held.get() + bytes));
        if bytes > 0 {
            let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
        }
    }
}

// SAFETY: every method hands its arguments to the system's allocator as they came and returns what that returns; the
// counter is a `Cell` without a destructor and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as isize);
        // SAFETY: the caller keeps the promises of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        Self::count(-(layout.size() as isize));
        // SAFETY: the caller keeps the promises of `GlobalAlloc::dealloc`, and `at` came from `System` by `alloc`.
        unsafe { System.dealloc(at, layout) }
    }
}
