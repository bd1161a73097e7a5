//! Files as an application meets them: on a real file system, with a real pool.

#![cfg(unix)]

mod directory;
mod hang;
mod matrix;
mod rules;
mod support;
