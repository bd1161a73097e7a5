//! A raw stream: bytes in both directions.

use super::{Sent, Stream, Writable, spoken};
use crate::Misuse;
use crate::payload::Payload;

/// A raw stream, for as long as an event or a look-up lends it. What only other protocols can do does not compile:
///
/// ```compile_fail,E0599
/// # use lws_proto::{MessageKind, Payload, RawPermit};
/// fn message(permit: RawPermit<'_>) {
///     let _ = permit.message(MessageKind::Text, Payload::Static(b"hi"), true);
/// }
/// ```
pub type RawStream<'a> = Stream<'a, spoken::Raw>;

/// The permit to write once on a raw stream. See [`Writable`].
pub type RawPermit<'a> = Writable<'a, spoken::Raw>;

impl<'a> RawPermit<'a> {
    /// Sends bytes, and the end of this direction with them if `end`.
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then.
    #[inline]
    pub fn data(self, content: Payload<'_>, end: bool) -> Result<Sent<'a, spoken::Raw>, Misuse> {
        command!(self.outbound, Command::Data(content.as_ref().into(), end));
        let (sender, channel) = self.outbound.raw().ok_or(Misuse::UnknownStream)?;
        sender.data(&mut channel.link.out, content, end)?;
        sender.finish_if_over(channel);
        Ok(Sent::new(self.outbound))
    }

    /// Sends bytes that `fill` writes in place: up to `max`, of which it returns how many it wrote and whether they are the last.
    ///
    /// # Errors
    /// [`Misuse`]; `fill` has not been called then.
    pub fn fill(
        self,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> (usize, bool),
    ) -> Result<Sent<'a, spoken::Raw>, Misuse> {
        #[cfg(feature = "record")]
        let fill = crate::record::filling(self.outbound.noted(), max, fill);
        let (sender, channel) = self.outbound.raw().ok_or(Misuse::UnknownStream)?;
        sender.fill(&mut channel.link.out, max, fill);
        sender.finish_if_over(channel);
        Ok(Sent::new(self.outbound))
    }
}
