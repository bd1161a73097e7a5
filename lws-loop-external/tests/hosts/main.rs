//! The ready hosts, on the loops that they are for.

mod examples;
