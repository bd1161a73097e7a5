//! The edge between C and Rust: no panic crosses it.

use crate::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a call answers: its value, or a negative number.
pub(crate) trait Answer {
    /// As C gets it.
    fn answer(self) -> i32;
}

impl Answer for () {
    fn answer(self) -> i32 {
        0
    }
}

impl Answer for bool {
    fn answer(self) -> i32 {
        self.into()
    }
}

impl Answer for i32 {
    fn answer(self) -> i32 {
        self
    }
}

/// Does what a function of the interface does. What it touched when it panicked says so itself afterwards: handles are poisoned.
pub(crate) fn guard<A: Answer>(call: impl FnOnce() -> Result<A, Error>) -> i32 {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => value.answer(),
        Ok(Err(error)) => error as i32,
        Err(_) => Error::Panic as i32,
    }
}

/// As [`guard`], with what is to be done when it has panicked.
pub(crate) fn guard_with<A: Answer>(call: impl FnOnce() -> Result<A, Error>, panicked: impl FnOnce()) -> i32 {
    let code = guard(call);
    if code == Error::Panic as i32 {
        panicked();
    }
    code
}

/// Frees something: what its destructors panic about goes no further.
pub(crate) fn guard_free(call: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(call));
}
