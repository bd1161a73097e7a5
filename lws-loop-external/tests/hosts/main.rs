//! The ready hosts, on the loops that they are for.

mod by_hand;
mod embedding;
mod examples;
mod moving;
#[cfg(any(feature = "glib", feature = "libev"))]
mod nested;
#[cfg(feature = "glib")]
mod priority;
