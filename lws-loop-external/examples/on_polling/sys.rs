//! The poller asks for a promise about what the program itself adds.

use polling::{Event, PollMode, Poller};
use std::io;

/// Watches standard input, level-triggered.
pub(crate) fn watch_input(poller: &Poller, key: usize) -> io::Result<()> {
    // SAFETY: nobody closes standard input while the poller lives.
    unsafe { poller.add_with_mode(&io::stdin(), Event::readable(key), PollMode::Level) }
}
