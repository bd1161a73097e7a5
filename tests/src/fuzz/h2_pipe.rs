//! The transport of `h2`: bytes in memory, which the fuzz target carries.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What `h2` holds of it, and what the driver does.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipe(Rc<RefCell<Ends>>);

#[derive(Debug, Default)]
struct Ends {
    /// What `h2` will read, part by part, and what it has written.
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<u8>,
    /// No more will come, or be written.
    incoming_ended: bool,
    outgoing_ended: bool,
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut ends = self.0.borrow_mut();
        let Some(part) = ends.incoming.front_mut() else {
            // The fuzz target asks again.
            return if ends.incoming_ended { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        let len = part.len().min(buffer.remaining());
        buffer.put_slice(&part[..len]);
        part.drain(..len);
        if part.is_empty() {
            ends.incoming.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.borrow_mut().outgoing.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.0.borrow_mut().outgoing_ended = true;
        Poll::Ready(Ok(()))
    }
}

impl Pipe {
    /// Bytes that `h2` will read at once.
    pub(super) fn push(&self, part: &[u8]) {
        if !part.is_empty() {
            self.0.borrow_mut().incoming.push_back(part.to_vec());
        }
    }

    /// `h2` will read no more than what is there.
    pub(super) fn end(&self) {
        self.0.borrow_mut().incoming_ended = true;
    }

    /// What `h2` has written since the last call.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().outgoing)
    }

    /// Gives back what was taken too early, if `h2` has written nothing since.
    pub(super) fn put_back(&self, bytes: Vec<u8>) {
        self.0.borrow_mut().outgoing = bytes;
    }

    /// Whether `h2` will write no more.
    pub(super) fn has_ended(&self) -> bool {
        self.0.borrow().outgoing_ended
    }
}
