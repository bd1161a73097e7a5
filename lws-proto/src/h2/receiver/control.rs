//! Frames about the connection and about streams, without content. RFC 9113 §6.

use super::super::error::{ErrorCode, Fault};
use super::super::frame::{self, FrameHeader, flag};
use super::super::priority::Priority;
use super::super::sender::{GOING, Going, Sender};
use super::super::settings::Settings;
use super::super::streams::{self, Place};
use super::{Receiver, tx_frame, tx_glitch};
use crate::tx::{self, Tx};
use crate::{Cause, Violation};

/// A window update of less than this is small.
const SMALL_INCREMENT: u32 = 1 << 10;

impl Receiver {
    /// RFC 9113 §6.5.
    pub(super) fn on_settings(
        &mut self,
        tx: &mut Tx,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<(), Fault> {
        if header.has(flag::ACK) {
            return self.on_settings_ack(tx);
        }
        if core::mem::replace(&mut self.settled, true) {
            tx_glitch(tx)?;
        }
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(()) };
        let before = sender.peer;
        let mut peer = before;
        let smallest_table = peer.apply(payload, config.limits.h2_settings_entries_max, sender.client)?;
        sender.encoder.set_table_size_max(smallest_table as usize);
        sender.apply_settings(before, peer, *now)?;
        let withheld = core::mem::take(&mut sender.withheld);
        sender.send.widen(withheld).map_err(|_| Fault::connection(Violation::FlowControl))?;
        frame::settings_ack(out.buffer());
        sender.control_frames += 1;
        sender.start_requests(out, config, *now);
        Ok(())
    }

    fn on_settings_ack(&mut self, tx: &mut Tx) -> Result<(), Fault> {
        let Tx { sender: tx::Sender::Http2(sender), .. } = tx else { return Ok(()) };
        if sender.settings_due.take().is_none() {
            return tx_glitch(tx);
        }
        self.decoder.set_table_size_max(sender.local.header_table_size as usize);
        let room = sender.unacknowledged_room();
        sender.streams.all().for_each(|stream| stream.receive.adjust(-room));
        Ok(())
    }

    /// RFC 9113 §6.7.
    pub(super) fn on_ping(&mut self, tx: &mut Tx, header: FrameHeader, payload: &[u8]) -> Result<(), Fault> {
        let Some(opaque) = payload.first_chunk::<8>() else { return Ok(()) };
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(()) };
        if !header.has(flag::ACK) {
            sender.count_frame(out, config, *now)?;
            frame::ping(out.buffer(), true, *opaque);
            sender.control_frames += 1;
        } else if *opaque == GOING && matches!(sender.going, Going::Announced { .. }) {
            sender.go_away(out);
        } else if sender.pinged.take().is_none() {
            sender.count_glitch(out, config, *now)?;
        }
        Ok(())
    }

    /// RFC 9113 §6.9.
    pub(super) fn on_window_update(
        &mut self,
        tx: &mut Tx,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<(), Fault> {
        let increment = frame::first_word(payload) & frame::MAX_31_BITS;
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(()) };
        // One that opens a window widely is of use, and there cannot be many before it overflows.
        if increment < SMALL_INCREMENT {
            sender.count_frame(out, config, *now)?;
        }
        if header.stream == 0 {
            if increment == 0 {
                return Err(Fault::connection(Violation::WindowIncrement));
            }
            return sender.send.widen(increment).map_err(|_| Fault::connection(Violation::FlowControl));
        }
        if sender.is_idle(header.stream) {
            return Err(Fault::connection(Violation::StreamIdle));
        }
        let Some(slot) = sender.streams.find(header.stream) else {
            // What was sent is given back after the stream has ended: "a WINDOW_UPDATE frame can be received for a short period".
            let counted = increment < SMALL_INCREMENT;
            return if counted { Ok(()) } else { sender.count_frame(out, config, *now) };
        };
        if sender.streams.peek(slot).place == Place::Closed {
            return Ok(());
        }
        if increment == 0 {
            return self.fail_stream(tx, header.stream, Fault::stream(Violation::WindowIncrement));
        }
        if sender.streams.at(slot).send.widen(increment).is_err() {
            return self.fail_stream(tx, header.stream, Fault::stream(Violation::FlowControl));
        }
        sender.window_opened(slot, *now);
        Ok(())
    }

    /// RFC 9113 §6.4.
    pub(super) fn on_rst_stream(
        &mut self,
        tx: &mut Tx,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<(), Fault> {
        let code = ErrorCode::new(frame::first_word(payload));
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(()) };
        if sender.is_idle(header.stream) {
            return Err(Fault::connection(Violation::StreamIdle));
        }
        let found = sender.streams.find(header.stream);
        if !sender.client {
            // What has been answered whole, or reset, has cost what it costs. RFC 9113 §8.1 asks for some of these.
            let answered = found.is_none_or(|slot| !sender.streams.peek(slot).state.sends());
            match answered {
                true => sender.count_frame(out, config, *now)?,
                false => sender.count_reset(out, config, *now)?,
            }
        }
        if let Some(slot) = found {
            let stream = sender.streams.peek(slot);
            let answered = stream.has(streams::PEER_ENDED) || !stream.state.receives();
            if sender.client && code == ErrorCode::NO_ERROR && answered && stream.tunnel.is_none() {
                sender.stop_sending(slot);
                sender.start_requests(out, config, *now);
                return Ok(());
            }
            let cause = match code {
                ErrorCode::REFUSED_STREAM if sender.client => Cause::Refused,
                code => Cause::Reset(code),
            };
            sender.close(slot, cause);
            sender.start_requests(out, config, *now);
        } else if sender.client {
            // Every other reset costs the server a request of ours, and is no attack.
            sender.count_frame(out, config, *now)?;
        }
        Ok(())
    }

    /// RFC 9113 §6.8.
    pub(super) fn on_go_away(&mut self, tx: &mut Tx, payload: &[u8]) -> Result<(), Fault> {
        tx_glitch(tx)?;
        let last = frame::first_word(payload) & frame::MAX_31_BITS;
        let code = ErrorCode::new(frame::first_word(payload.get(4..).unwrap_or_default()));
        let Tx { sender: tx::Sender::Http2(sender), .. } = tx else { return Ok(()) };
        if sender.peer_last.is_some_and(|before| last > before) {
            return Err(Fault::connection(Violation::GoAway));
        }
        sender.peer_last = Some(last);
        if sender.client {
            for slot in sender.streams.taken() {
                let stream = sender.streams.peek(slot);
                if stream.place != Place::Closed && (stream.id > last || stream.queued.is_some()) {
                    sender.close(slot, Cause::Refused);
                }
            }
            sender.queue.clear();
        }
        // "Unknown or unsupported error codes MUST NOT trigger any special behavior." RFC 9113 §7.
        if code != ErrorCode::NO_ERROR && code.is_known() {
            tx.finish(Cause::Reset(code));
        }
        Ok(())
    }

    /// RFC 9113 §6.3: the scheme is deprecated, and the frame is not acted on.
    pub(super) fn on_priority(
        &mut self,
        tx: &mut Tx,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<(), Fault> {
        tx_frame(tx)?;
        if payload.len() == 5 && frame::first_word(payload) & frame::MAX_31_BITS == header.stream {
            return self.fail_stream(tx, header.stream, Fault::stream(Violation::StreamDependency));
        }
        Ok(())
    }

    /// RFC 9218 §7.1.
    pub(super) fn on_priority_update(&mut self, tx: &mut Tx, payload: &[u8]) -> Result<(), Fault> {
        tx_frame(tx)?;
        let id = frame::first_word(payload) & frame::MAX_31_BITS;
        let Tx { sender: tx::Sender::Http2(sender), config, .. } = tx else { return Ok(()) };
        // Pushed streams have even identifiers, and there are none.
        if sender.client || id.is_multiple_of(2) {
            return Err(Fault::connection(Violation::FrameStream));
        }
        let priority = Priority::parse(payload.get(4..).unwrap_or_default());
        if let Some(slot) = sender.streams.find(id) {
            sender.streams.prioritise(slot, priority);
        } else if sender.is_idle(id) {
            // Streams below the last one that began will never be.
            self.early.retain(|(other, _)| *other != id && *other > sender.last_peer_id);
            // "the number of streams that have been prioritized but remain in the "idle" state plus the number of active
            // streams" is bounded as that of active streams is.
            if self.early.len() + sender.streams.len() >= config.limits.h2_streams_max as usize {
                return Err(Fault::connection(Violation::StreamId));
            }
            self.early.push((id, priority));
        }
        Ok(())
    }

    /// The priority that was told of a stream before it began.
    pub(super) fn early_priority(&mut self, id: u32) -> Option<Priority> {
        let at = self.early.iter().position(|(other, _)| *other == id)?;
        Some(self.early.swap_remove(at).1)
    }
}

impl Sender {
    /// Whether no stream `id` has begun. A client's request that waits for its turn has not.
    #[inline]
    pub(super) fn is_idle(&self, id: u32) -> bool {
        let first = match self.queue.front() {
            _ if !self.client => self.last_peer_id.saturating_add(1),
            Some(&slot) => self.streams.peek(slot).id,
            None => self.next_id,
        };
        id.is_multiple_of(2) || id >= first && !self.is_past_the_end(id)
    }

    /// The peer's SETTINGS count from here on. RFC 9113 §6.5.3 and §6.9.2.
    fn apply_settings(&mut self, before: Settings, now_are: Settings, now: crate::Time) -> Result<(), Fault> {
        self.peer = now_are;
        self.settled = true;
        self.encoder.set_table_size_max(now_are.header_table_size as usize);
        if before.initial_window_size != now_are.initial_window_size {
            for slot in self.streams.taken() {
                let stream = self.streams.at(slot);
                stream
                    .send
                    .adjust(before.initial_window_size, now_are.initial_window_size)
                    .map_err(|_| Fault::connection(Violation::FlowControl))?;
                self.window_opened(slot, now);
            }
        }
        Ok(())
    }

    /// The window of a stream has changed.
    pub(super) fn window_opened(&mut self, slot: u32, now: crate::Time) {
        let stream = self.streams.at(slot);
        if stream.place == Place::Closed || stream.queued.is_some() {
            return;
        }
        if let Some(tunnel) = &mut stream.tunnel {
            tunnel.set_window(stream.send.room());
        }
        let waits = stream.pending.is_some()
            || stream.tunnel.as_ref().is_some_and(|tunnel| !tunnel.out.is_empty())
            || stream.has(streams::FIN);
        if waits {
            return self.wait_for_window(slot, now);
        }
        if let Some(tunnel) = &stream.tunnel {
            let wanted = tunnel.wants_write();
            self.wait_for_permit(slot, wanted, now);
        } else {
            if !stream.send.is_open() && stream.place == Place::Content {
                self.streams.place(slot, Place::Nowhere);
            }
            self.line_up(slot, now);
        }
        self.release_held(slot, now);
    }
}
