//! In place of brokers, where the program was built without them.

use crate::log::Log;
use crate::plugins::{SharedState, State};
use lws_server::Builder;
use std::io;
use std::sync::Arc;

/// Nothing is shared.
#[derive(Clone, Debug)]
pub(crate) struct Sharing;

impl Sharing {
    /// Nothing is shared.
    pub(crate) fn none() -> Self {
        Self
    }

    /// Nothing is shared.
    ///
    /// # Errors
    /// A broker is named.
    pub(crate) fn by(url: Option<&str>) -> io::Result<Self> {
        match url {
            None => Ok(Self),
            Some(_) => {
                let why = "this program was built without \"broker\": cargo build --features broker";
                Err(io::Error::other(format!("the broker: {why}")))
            }
        }
    }

    pub(crate) fn connect(&self, builder: Builder, _: Option<&Log>) -> Builder {
        builder
    }

    pub(crate) fn share<S: State>(&self, _: &str, _: impl FnOnce() -> S) -> Option<Arc<SharedState<S>>> {
        None
    }
}
