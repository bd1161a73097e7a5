//! The ready hosts, on the loops that they are for.

mod by_hand;
mod embedding;
mod examples;
