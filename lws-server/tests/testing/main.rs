//! Applications in memory, on a clock that stands still: what is promised of the door itself, and of helpers for which no socket is needed.

mod asynchronous;
mod deferred;
mod errors;
mod events;
mod fuzz;
mod helpers;
mod layers;
mod memory;
mod metrics;
mod observed;
mod outbox;
#[cfg(feature = "gzip")]
mod ready_layers;
#[cfg(feature = "tracing")]
mod traced;

use lws_server::testing::Server as Test;
use lws_server::{Builder, Server};

/// A server in memory.
fn test(describe: impl FnOnce(Builder) -> Builder) -> Test {
    Test::new(describe(Server::builder())).expect("the description is good")
}
