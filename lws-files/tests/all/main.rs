//! Files as an application meets them: on a real file system, with a real pool.

#![cfg(unix)]

mod directory;
#[cfg(feature = "fuzz")]
mod fuzz;
mod hang;
#[cfg(all(feature = "gzip", feature = "zip"))]
mod matrix;
mod rules;
mod support;
