//! Files over HTTP, without waiting for a disk.
#![forbid(unsafe_code)]

mod coding;
mod conditions;
mod list;
mod range;
mod validator;

pub use coding::{Accepted, Coding};
pub use conditions::{Conditions, Decision, Representation};
pub use range::{Part, RANGES_MAX, RangeSet, Satisfied};
pub use validator::EntityTag;
