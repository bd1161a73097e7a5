//! The transmit half of a WebSocket: messages to frames. RFC 6455 §5.4, §6.1.

use super::CloseCode;
use super::close;
use super::closing::{self, Closing};
use super::frame::{CONTROL_BYTES_MAX, FrameHeader, Opcode};
use super::mask::MaskingKey;
use crate::time::earliest;
use crate::transmit::Output;
use crate::{Deadline, Entropy, Limits, MessageKind, Misuse, Payload, Time};
use alloc::boxed::Box;
use core::time::Duration;

/// Where a client's masking keys come from.
type Keys = Option<Box<dyn Entropy>>;

/// Writes the frames of this side.
#[derive(Debug)]
pub(crate) struct Sender {
    closing: Closing,
    /// Whether a message has been begun and not ended.
    in_message: bool,
    /// When the last Ping of ours was sent, on the peer's silence. If nothing was heard since, it is unanswered.
    pinged: Time,
    /// Pongs that were sent since `pongs_since`.
    pongs: u32,
    pongs_since: Time,
    /// The newest Ping that has not been answered yet.
    owed_pong: Option<Box<[u8]>>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Sender {
    pub(crate) fn new(now: Time) -> Self {
        Self {
            closing: Closing::Open,
            in_message: false,
            pinged: Time::ZERO,
            pongs: 0,
            pongs_since: now,
            owed_pong: None,
        }
    }

    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        self.closing == Closing::Open
    }

    pub(crate) fn is_in_message(&self) -> bool {
        self.in_message
    }

    #[inline]
    pub(crate) fn owes_pong(&self) -> bool {
        self.owed_pong.is_some()
    }

    /// Writes a message or a part of one as a frame.
    #[inline]
    pub(crate) fn message(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        kind: MessageKind,
        reserved: u8,
        payload: Payload<'_>,
        end: bool,
    ) {
        let opcode = match (self.in_message, kind) {
            (true, _) => Opcode::Continuation,
            (false, MessageKind::Text) => Opcode::Text,
            (false, MessageKind::Binary) => Opcode::Binary,
        };
        let reserved = if self.in_message { 0 } else { reserved };
        self.in_message = !end;
        extended_frame(out, keys, opcode, reserved, payload, end);
    }

    pub(crate) fn ping(&mut self, out: &mut Output, keys: &mut Keys, payload: &[u8]) {
        let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
        frame(out, keys, Opcode::Ping, Payload::Copy(payload), true);
    }

    /// Begins the closing handshake.
    pub(crate) fn close(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        code: CloseCode,
        reason: &str,
        give_up: Time,
    ) -> Result<(), Misuse> {
        let payload = close::Payload::new(code, reason).ok_or(Misuse::CloseCode)?;
        let (next, output) = self.closing.on(closing::Input::Close { give_up });
        self.closing = next;
        if output == closing::Output::Close {
            frame(out, keys, Opcode::Close, Payload::Copy(&payload), true);
        }
        Ok(())
    }

    /// The peer's Close frame has come: answers it with the same code. Returns whether the peer began.
    pub(crate) fn answer_close(&mut self, out: &mut Output, keys: &mut Keys, code: CloseCode) -> bool {
        let (next, output) = self.closing.on(closing::Input::Received);
        self.closing = next;
        if output == closing::Output::Nothing {
            return false;
        }
        self.send_close(out, keys, code);
        true
    }

    /// Fails the connection: a Close frame, unless one was sent.
    pub(crate) fn fail(&mut self, out: &mut Output, keys: &mut Keys, code: CloseCode) {
        if self.closing == Closing::Open {
            self.send_close(out, keys, code);
        }
        self.closing = Closing::Done;
    }

    fn send_close(&mut self, out: &mut Output, keys: &mut Keys, code: CloseCode) {
        match close::Payload::new(code, "") {
            Some(payload) => frame(out, keys, Opcode::Close, Payload::Copy(&payload), true),
            None => frame(out, keys, Opcode::Close, Payload::Copy(&[]), true),
        }
    }

    /// Answers a Ping now if it may, and otherwise remembers it in place of the one before. RFC 6455 §5.5.3.
    pub(crate) fn owe_pong(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        limits: &Limits,
        now: Time,
        payload: &[u8],
    ) {
        if self.closing != Closing::Open {
            return;
        }
        if self.may_pong(out, limits, now) {
            self.owed_pong = None;
            self.pongs += 1;
            frame(out, keys, Opcode::Pong, Payload::Copy(payload), true);
        } else {
            self.owed_pong = Some(payload.into());
        }
    }

    /// Sends the Pong that is owed, if its time has come.
    pub(crate) fn send_owed_pong(&mut self, out: &mut Output, keys: &mut Keys, limits: &Limits, now: Time) {
        if let Some(payload) = self.owed_pong.take() {
            self.owe_pong(out, keys, limits, now, &payload);
        }
    }

    fn may_pong(&mut self, out: &Output, limits: &Limits, now: Time) -> bool {
        if now >= self.pongs_since + SECOND {
            self.pongs_since = now;
            self.pongs = 0;
        }
        self.pongs < limits.pongs_per_second_max && out.len() < limits.send_queue_bytes_max
    }

    /// `heard` is when the peer was heard last, or `None` while nobody listens.
    pub(crate) fn next_timeout(&self, heard: Option<Time>, limits: &Limits) -> Option<Time> {
        let silence = heard.map(|heard| self.silence(heard, limits));
        let pong = self.owed_pong.is_some().then(|| self.pongs_since + SECOND);
        let close = match self.closing {
            Closing::Sent { give_up } => Some(give_up),
            Closing::Open | Closing::Done => None,
        };
        earliest(silence, earliest(pong, close))
    }

    /// When the silence of the peer calls for something: a Ping, or giving up if one was sent.
    fn silence(&self, heard: Time, limits: &Limits) -> Time {
        if self.pinged > heard {
            self.pinged + limits.dead_peer_timeout.saturating_sub(limits.ping_interval)
        } else {
            heard + limits.ping_interval
        }
    }

    /// Does what is due, and tells the deadline that has passed, if one has.
    pub(crate) fn handle_timeout(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        limits: &Limits,
        heard: Option<Time>,
        now: Time,
    ) -> Option<Deadline> {
        if let Closing::Sent { give_up } = self.closing
            && give_up <= now
        {
            return Some(Deadline::Close);
        }
        if let Some(heard) = heard.filter(|heard| self.silence(*heard, limits) <= now) {
            if self.pinged > heard {
                return Some(Deadline::DeadPeer);
            }
            self.pinged = now;
            if self.closing == Closing::Open {
                frame(out, keys, Opcode::Ping, Payload::Copy(&[]), true);
            }
        }
        if self.owed_pong.is_some() && self.pongs_since + SECOND <= now {
            self.send_owed_pong(out, keys, limits, now);
        }
        None
    }
}

/// Writes one frame that no extension has touched.
#[inline(never)]
fn frame(out: &mut Output, keys: &mut Keys, opcode: Opcode, payload: Payload<'_>, fin: bool) {
    extended_frame(out, keys, opcode, 0, payload, fin);
}

/// Writes one frame. A client's payload is masked on its way.
#[inline(always)]
fn extended_frame(
    out: &mut Output,
    keys: &mut Keys,
    opcode: Opcode,
    reserved: u8,
    payload: Payload<'_>,
    fin: bool,
) {
    let header = FrameHeader { fin, reserved, opcode, mask: None, payload_len: payload.len() as u64 };
    let Some(entropy) = keys else {
        header.write(None, out.buffer());
        payload.push(out);
        return;
    };
    let mut key = [0; 4];
    entropy.fill(&mut key);
    let buffer = out.buffer();
    header.write(Some(key), buffer);
    let start = buffer.len();
    buffer.extend_from_slice(payload.as_ref());
    MaskingKey::new(key).apply(&mut buffer[start..]);
}
