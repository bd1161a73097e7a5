//! Panics of handlers and factories: each ends the stream that it is about, and nothing else.
//!
//! Here is the one place that catches them. What becomes of the stream is the application's: `app/ends.rs`.

use crate::Peer;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A panic of a handler or factory that was caught. The panic hook of the process, which says where it was, has been called before.
///
/// `Display` writes one line, whatever the message holds.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PanicRecord<'a> {
    /// The path of the route, as it was described. `None` for raw streams, callbacks of the server and what was posted to it.
    pub route: Option<&'a str>,
    /// Whose connection it was, if it was about one and the system still knows.
    pub peer: Option<Peer>,
    /// The number of the thread, from zero on.
    pub thread: usize,
    /// What the panic said, if that was text.
    pub message: &'a str,
}

impl fmt::Display for PanicRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("panic ")?;
        match self.route {
            Some("") => f.write_str("at /")?,
            Some(route) => write!(f, "at {}", route.escape_debug())?,
            None => f.write_str("at no route")?,
        }
        if let Some(ip) = self.peer.and_then(|peer| peer.ip()) {
            write!(f, " for {ip}")?;
        }
        write!(f, ": {}", self.message.escape_debug())
    }
}

/// What a panic left behind.
pub(crate) struct Panicked(Box<dyn Any + Send>);

impl Panicked {
    /// What it said.
    pub(crate) fn message(&self) -> &str {
        let text = self.0.downcast_ref::<String>().map(String::as_str);
        text.or(self.0.downcast_ref::<&str>().copied()).unwrap_or("no text")
    }
}

/// Calls what an application has written, which may panic. Whatever it was in the middle of, the engine, the driver and the tables
/// here are whole: they lend to handlers, and never lend what they have taken apart.
#[inline(always)]
pub(crate) fn catch<R>(call: impl FnOnce() -> R) -> Result<R, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(Panicked)
}

/// Drops what an application has made, which may panic, too.
pub(crate) fn discard<T>(value: T) {
    let _ = catch(|| drop(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line() {
        let record = |route, message| {
            PanicRecord { route, peer: Some(Peer::Tcp(([127, 0, 0, 1], 80).into())), thread: 0, message }
                .to_string()
        };
        assert_eq!(record(Some("/chat"), "a\nb"), "panic at /chat for 127.0.0.1: a\\nb");
        assert_eq!(record(Some(""), "x"), "panic at / for 127.0.0.1: x");
        assert_eq!(record(None, "x"), "panic at no route for 127.0.0.1: x");
    }
}
