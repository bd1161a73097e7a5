//! A raw stream: bytes in both directions.

use super::{Sent, Stream, Writable};
use crate::Misuse;
use crate::connection::outbound::Outbound;
use crate::key::StreamKey;
use crate::payload::Payload;
use core::fmt;

/// A raw stream, for as long as an event or a look-up lends it. What only other protocols can do does not compile:
///
/// ```compile_fail,E0599
/// # use lws_proto::{MessageKind, Payload, RawPermit};
/// fn message(permit: RawPermit<'_>) {
///     let _ = permit.message(MessageKind::Text, Payload::Static(b"hi"), true);
/// }
/// ```
pub struct RawStream<'a> {
    outbound: &'a mut Outbound,
}

impl<'a> RawStream<'a> {
    #[inline]
    pub(crate) fn new(outbound: &'a mut Outbound) -> Self {
        Self { outbound }
    }

    /// Its name, to find it again with [`Connection::stream`](crate::Connection::stream).
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.outbound.key()
    }

    /// The permit to write, if it may write now; otherwise the handle again. See [`Stream::permit`].
    #[inline]
    pub fn permit(self) -> Result<RawPermit<'a>, Self> {
        if self.outbound.may_write() { Ok(RawPermit::new(self.outbound)) } else { Err(self) }
    }

    /// What every stream can do: pausing, timeouts, asking for a permit.
    pub fn stream(&mut self) -> Stream<'_> {
        Stream::new(self.outbound)
    }

    /// The stream, whatever it speaks.
    #[must_use]
    pub fn into_stream(self) -> Stream<'a> {
        Stream::new(self.outbound)
    }
}

impl fmt::Debug for RawStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RawStream").field(&self.key()).finish()
    }
}

/// The permit to write once on a raw stream. See [`Writable`].
#[must_use = "a permit that is dropped writes nothing"]
pub struct RawPermit<'a> {
    outbound: &'a mut Outbound,
}

impl<'a> RawPermit<'a> {
    #[inline]
    pub(crate) fn new(outbound: &'a mut Outbound) -> Self {
        Self { outbound }
    }

    /// The stream that it is for.
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.outbound.key()
    }

    /// How many bytes can be sent before the peer or the queue says stop. See [`Writable::budget`].
    #[must_use]
    pub fn budget(&self) -> usize {
        self.outbound.budget()
    }

    /// The permit, whatever the stream speaks.
    pub fn into_writable(self) -> Writable<'a> {
        Writable::new(self.outbound)
    }

    /// Sends bytes, and the end of this direction with them if `end`.
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then.
    #[inline]
    pub fn data(self, content: Payload<'_>, end: bool) -> Result<Sent<'a>, Misuse> {
        command!(self.outbound, Command::Data(content.as_ref().into(), end));
        let (sender, channel) = self.outbound.raw().ok_or(Misuse::WrongProtocol)?;
        sender.data(&mut channel.link.out, content, end)?;
        sender.finish_if_over(channel);
        Ok(Sent::new(self.outbound))
    }

    /// Sends bytes that `fill` writes in place: up to `max`, of which it returns how many it wrote and whether they are the last.
    ///
    /// # Errors
    /// [`Misuse`]; `fill` has not been called then.
    pub fn fill(self, max: usize, fill: impl FnOnce(&mut [u8]) -> (usize, bool)) -> Result<Sent<'a>, Misuse> {
        #[cfg(feature = "record")]
        let fill = crate::record::filling(self.outbound.noted(), max, fill);
        let (sender, channel) = self.outbound.raw().ok_or(Misuse::WrongProtocol)?;
        sender.fill(&mut channel.link.out, max, fill);
        sender.finish_if_over(channel);
        Ok(Sent::new(self.outbound))
    }
}

impl fmt::Debug for RawPermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RawPermit").field(&self.key()).finish()
    }
}
