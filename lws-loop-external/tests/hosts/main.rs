//! The ready hosts, on the loops that they are for.

mod by_hand;
mod conformance;
mod embedding;
mod examples;
