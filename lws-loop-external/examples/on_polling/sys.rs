//! The one unsafe call: the poller requires that a descriptor which the program adds stays open.

use polling::{Event, PollMode, Poller};
use std::io;

/// Watches standard input, level-triggered.
pub(crate) fn watch_input(poller: &Poller, key: usize) -> io::Result<()> {
    // SAFETY: standard input stays open while the poller lives.
    unsafe { poller.add_with_mode(&io::stdin(), Event::readable(key), PollMode::Level) }
}
