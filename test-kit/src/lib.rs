//! Helpers that the tests of several crates share. Depends on none of the crates, so that each of them may use it.

mod chance;
pub mod http;

pub use chance::Chance;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The time after which a test gives up waiting: longer than anything on one machine takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Calls `turn` until `done` returns true for `world`.
///
/// # Panics
/// It takes longer than [`PATIENCE`]. `seen` describes the state for the message.
#[track_caller]
pub fn turn_until<W>(
    world: &mut W,
    mut done: impl FnMut(&mut W) -> bool,
    mut turn: impl FnMut(&mut W),
    seen: impl FnOnce(&W) -> String,
) {
    let give_up = Instant::now() + PATIENCE;
    while !done(world) {
        assert!(Instant::now() < give_up, "it does not come: {}", seen(world));
        turn(world);
    }
}

/// Polls until `is_so` returns true, for effects of another thread.
///
/// # Panics
/// It takes longer than [`PATIENCE`].
#[track_caller]
pub fn eventually(mut is_so: impl FnMut() -> bool) {
    turn_until(&mut (), |()| is_so(), |()| std::thread::yield_now(), |()| String::new());
}

/// A port of the loopback address where nothing listens, for a program whose port is an argument. The system chooses none below 32,768
/// itself, so that no connection that is made meanwhile takes it.
///
/// # Panics
/// Of a hundred ports not one is free.
#[must_use]
pub fn free_port() -> u16 {
    let seeds = std::iter::repeat_with(|| RandomState::new().hash_one(std::process::id()));
    let ports = seeds.take(100).map(|seed| 10_000 + (seed % 22_000) as u16);
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a port is free")
}

/// How many descriptors this process has open.
///
/// # Panics
/// The system has no `/proc`.
#[must_use]
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("a list of descriptors").count()
}

/// The program of an example of the crate whose test asks for it: cargo builds both together.
///
/// # Panics
/// It has not been built.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let target = this.parent().and_then(|deps| deps.parent()).expect("the folder of the profile");
    let program = target.join("examples").join(name);
    assert!(program.exists(), "{}: `cargo build --examples` makes it", program.display());
    program
}
