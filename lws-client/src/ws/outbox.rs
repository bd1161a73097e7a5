//! Messages that wait to be sent, and calls that wait for their answers. Pure, and bounded.

use crate::deadlines::Deadlines;
use lws_proto::{Bytes, MessageKind, Time};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What becomes of a message that cannot be sent now, because the WebSocket is not open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenLost {
    /// It is refused, and one that waits when the WebSocket is lost is dropped and counted.
    #[default]
    Fail,
    /// It is dropped, and nothing is said.
    Drop,
    /// It waits.
    Keep,
    /// It waits, in place of the one before it with the same number: the newest value is what counts.
    KeepLatest(u64),
}

/// What a WebSocket may hold for its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxLimits {
    /// Messages that wait. Default 1,024.
    pub messages_max: usize,
    /// Their bytes. Default 1 MiB.
    pub bytes_max: usize,
    /// Calls that wait for answers. Default 1,024.
    pub calls_max: usize,
    /// Messages that are sent in one turn after it has come back, so that all of them do not meet a server that has just
    /// begun. Default 64.
    pub burst: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { messages_max: 1_024, bytes_max: 1 << 20, calls_max: 1_024, burst: 64 }
    }
}

/// Why a message was not taken. It has not been sent and will not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such WebSocket, or it is closing.
    Gone,
    /// It is not open, and the message does not wait.
    NotOpen,
    /// As much waits as may.
    Full,
    /// A call with this number waits for its answer already.
    Repeated,
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gone => "the WebSocket is closed",
            Self::NotOpen => "the WebSocket is not open",
            Self::Full => "as many messages wait as may",
            Self::Repeated => "a call with this number is waiting already",
        })
    }
}

impl std::error::Error for SendError {}

/// A message that waits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) kind: MessageKind,
    pub(crate) payload: Bytes,
    /// Whether its message ends with it.
    pub(crate) end: bool,
    pub(crate) when_lost: WhenLost,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Queued>,
    bytes: usize,
}

impl Outbox {
    pub(crate) fn push(
        &mut self,
        message: Queued,
        open: bool,
        limits: &OutboxLimits,
    ) -> Result<(), SendError> {
        if !open {
            match message.when_lost {
                WhenLost::Fail => return Err(SendError::NotOpen),
                WhenLost::Drop => return Ok(()),
                WhenLost::Keep | WhenLost::KeepLatest(_) => {}
            }
        }
        if let WhenLost::KeepLatest(_) = message.when_lost
            && let Some(older) = self.queue.iter_mut().find(|older| older.when_lost == message.when_lost)
        {
            let bytes = self.bytes - older.payload.len() + message.payload.len();
            if bytes > limits.bytes_max {
                return Err(SendError::Full);
            }
            self.bytes = bytes;
            *older = message;
            return Ok(());
        }
        let bytes = self.bytes + message.payload.len();
        // One message larger than all that may wait is sent where nothing else waits.
        let fits = bytes <= limits.bytes_max || open && self.queue.is_empty();
        if !fits || self.queue.len() >= limits.messages_max {
            return Err(SendError::Full);
        }
        self.bytes = bytes;
        self.queue.push_back(message);
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<Queued> {
        let message = self.queue.pop_front()?;
        self.bytes -= message.payload.len();
        Some(message)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that another message may have.
    pub(crate) fn room(&self, limits: &OutboxLimits) -> usize {
        let has_place = self.queue.len() < limits.messages_max;
        if has_place { limits.bytes_max.saturating_sub(self.bytes) } else { 0 }
    }

    /// The WebSocket is not open any more. How many messages that were to fail are gone.
    pub(crate) fn lose(&mut self) -> usize {
        let failed = self.queue.iter().filter(|it| it.when_lost == WhenLost::Fail).count();
        self.queue.retain(|it| !matches!(it.when_lost, WhenLost::Fail | WhenLost::Drop));
        self.bytes = self.queue.iter().map(|it| it.payload.len()).sum();
        failed
    }
}

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// It did not come in time.
    TimedOut,
    /// The WebSocket was lost, and the call is none that may be made again.
    Lost,
}

/// Calls that wait for answers. Most WebSockets have none.
#[derive(Debug, Default)]
pub(crate) struct Calls(Option<Box<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// By number: what is sent again when the WebSocket has come back.
    calls: BTreeMap<u64, Option<(MessageKind, Bytes)>>,
    due: Deadlines<u64>,
}

impl Calls {
    pub(crate) fn add(
        &mut self,
        id: u64,
        until: Time,
        again: Option<(MessageKind, Bytes)>,
        limits: &OutboxLimits,
    ) -> Result<(), SendError> {
        let waiting = self.0.get_or_insert_default();
        if waiting.calls.contains_key(&id) {
            return Err(SendError::Repeated);
        }
        if waiting.calls.len() >= limits.calls_max {
            return Err(SendError::Full);
        }
        waiting.calls.insert(id, again);
        waiting.due.set(id, until);
        Ok(())
    }

    /// An answer has come. Whether somebody waits for it.
    pub(crate) fn answered(&mut self, id: u64) -> bool {
        let Some(waiting) = &mut self.0 else { return false };
        waiting.due.cancel(id);
        waiting.calls.remove(&id).is_some()
    }

    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.0.as_ref()?.due.next()
    }

    /// Takes out one that has waited for too long.
    pub(crate) fn pop_overdue(&mut self, now: Time) -> Option<u64> {
        let waiting = self.0.as_mut()?;
        let id = waiting.due.pop_due(now)?;
        waiting.calls.remove(&id);
        Some(id)
    }

    /// The WebSocket is lost: the calls that are over with it.
    pub(crate) fn lose(&mut self) -> Vec<u64> {
        let Some(waiting) = &self.0 else { return Vec::new() };
        let lost: Vec<_> =
            waiting.calls.iter().filter(|(_, again)| again.is_none()).map(|(id, _)| *id).collect();
        for id in &lost {
            self.answered(*id);
        }
        lost
    }

    /// The WebSocket has come back: what is sent again.
    pub(crate) fn again(&self) -> Vec<(MessageKind, Bytes)> {
        self.0.iter().flat_map(|waiting| waiting.calls.values()).flatten().cloned().collect()
    }
}

/// When a server is asked with a Ping after this machine has slept: not at once, as the engine takes what is late by an
/// eighth of it for a stall of the driver.
pub(crate) const PROBE_AFTER: Duration = Duration::from_secs(1);
/// How long a peer may take to answer a Ping after this machine has slept.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &'static str, when_lost: WhenLost) -> Queued {
        Queued { kind: MessageKind::Text, payload: Bytes::from_static(text.as_bytes()), end: true, when_lost }
    }

    #[test]
    fn a_message_waits_as_it_says() {
        let mut outbox = Outbox::default();
        let limits = OutboxLimits::default();
        let mut push = |text, when_lost, open| outbox.push(message(text, when_lost), open, &limits);
        assert_eq!(push("a", WhenLost::Fail, false), Err(SendError::NotOpen));
        assert_eq!(push("b", WhenLost::Drop, false), Ok(()));
        assert_eq!(push("c", WhenLost::Keep, false), Ok(()));
        assert_eq!(push("d", WhenLost::KeepLatest(1), false), Ok(()));
        assert_eq!(push("e", WhenLost::KeepLatest(2), false), Ok(()));
        assert_eq!(push("f", WhenLost::KeepLatest(1), false), Ok(()));
        assert_eq!(push("g", WhenLost::Fail, true), Ok(()));
        assert_eq!(push("h", WhenLost::Drop, true), Ok(()));
        assert_eq!(outbox.lose(), 1);
        let left: Vec<_> = std::iter::from_fn(|| outbox.pop()).map(|it| it.payload).collect();
        assert_eq!(left, ["c", "f", "e"]);
        assert_eq!(outbox.bytes, 0);
    }

    #[test]
    fn so_much_waits_and_no_more() {
        let limits = OutboxLimits { messages_max: 2, bytes_max: 4, ..OutboxLimits::default() };
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(message("12345", WhenLost::Keep), false, &limits), Err(SendError::Full));
        assert_eq!(
            outbox.push(message("12345", WhenLost::Keep), true, &limits),
            Ok(()),
            "it is the only one"
        );
        outbox.pop();
        assert_eq!(outbox.push(message("12", WhenLost::Keep), false, &limits), Ok(()));
        assert_eq!(outbox.push(message("123", WhenLost::Keep), false, &limits), Err(SendError::Full));
        assert_eq!(outbox.push(message("3", WhenLost::KeepLatest(1)), false, &limits), Ok(()));
        assert_eq!(
            outbox.push(message("345", WhenLost::KeepLatest(1)), false, &limits),
            Err(SendError::Full)
        );
        assert_eq!(outbox.push(message("", WhenLost::Keep), false, &limits), Err(SendError::Full));
        assert_eq!(outbox.room(&limits), 0, "there is no place for a third one");
        outbox.pop();
        assert_eq!(outbox.room(&limits), 3);
    }

    #[test]
    fn a_call_is_answered_late_or_lost_and_only_one_of_them() {
        let limits = OutboxLimits { calls_max: 3, ..OutboxLimits::default() };
        let at = Time::from_micros;
        let mut calls = Calls::default();
        let again = || Some((MessageKind::Text, Bytes::from_static(b"x")));
        assert_eq!(calls.add(1, at(10), None, &limits), Ok(()));
        assert_eq!(calls.add(1, at(10), None, &limits), Err(SendError::Repeated));
        assert_eq!(calls.add(2, at(5), again(), &limits), Ok(()));
        assert_eq!(calls.add(3, at(20), None, &limits), Ok(()));
        assert_eq!(calls.add(4, at(20), None, &limits), Err(SendError::Full));
        assert_eq!(calls.next_timeout(), Some(at(5)));
        assert!(calls.answered(3) && !calls.answered(3));
        assert_eq!(calls.lose(), [1]);
        assert_eq!(calls.again().len(), 1);
        assert_eq!(
            (calls.pop_overdue(at(4)), calls.pop_overdue(at(5)), calls.pop_overdue(at(9))),
            (None, Some(2), None)
        );
        assert_eq!(calls.next_timeout(), None);
    }
}
