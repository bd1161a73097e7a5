//! Places of requests that are with scripts at once.

use std::cell::Cell;
use std::rc::Rc;

/// One of the places of [`Limits::running_max`](crate::Limits::running_max), free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Rc<Cell<usize>>);

impl Place {
    /// Takes one of `most`, if one is free.
    pub(crate) fn take(running: &Rc<Cell<usize>>, most: usize) -> Option<Self> {
        let taken = running.get();
        (taken < most).then(|| {
            running.set(taken + 1);
            Self(Rc::clone(running))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
