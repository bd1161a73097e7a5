//! Frames about the connection and about streams, without content. RFC 9113 §6.

use super::super::code::ErrorCode;
use super::super::error::Fault;
use super::super::frame::{self, FrameHeader, flag};
use super::super::priority::Priority;
use super::super::session::Session;
use super::super::shutdown::{GOING_AWAY, ShutdownPhase};
use super::super::streams::WaitsFor;
use super::FrameReader;
use crate::connection::link::Link;
use crate::connection::resources::Resources;
use crate::connection::stream::Notices;
use crate::{Cause, Violation};

/// A window update of less than this is small.
const SMALL_INCREMENT: u32 = 1 << 10;

impl FrameReader {
    /// RFC 9113 §6.5.
    pub(super) fn on_settings(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<(), Fault> {
        if header.has(flag::ACK) {
            return self.on_settings_ack(session, link);
        }
        if core::mem::replace(&mut self.settled, true) {
            session.count_glitch(link)?;
        }
        let mut peer = session.settings.peer;
        let smallest_table =
            peer.apply(payload, link.config.limits.h2_settings_entries_max, session.client)?;
        session.apply_settings(peer, smallest_table, link.now)?;
        let deferred = core::mem::take(&mut session.flow.deferred);
        session.flow.send.widen(deferred).map_err(|_| Fault::connection(Violation::FlowControl))?;
        frame::settings_ack(link.out.buffer());
        session.abuse.answered();
        session.start_requests(link);
        Ok(())
    }

    fn on_settings_ack(&mut self, session: &mut Session, link: &mut Link) -> Result<(), Fault> {
        if session.settings.ack_due.take().is_none() {
            return session.count_glitch(link);
        }
        self.decoder.set_table_size_max(session.settings.local.header_table_size as usize);
        let room = session.unacknowledged_room();
        session.streams.all().for_each(|stream| stream.receive.adjust(-room));
        Ok(())
    }

    /// RFC 9113 §6.7.
    pub(super) fn on_ping(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<(), Fault> {
        let Some(opaque) = payload.first_chunk::<8>() else { return Ok(()) };
        if !header.has(flag::ACK) {
            session.count_frame(link)?;
            frame::ping(link.out.buffer(), true, *opaque);
            session.abuse.answered();
        } else if *opaque == GOING_AWAY && matches!(session.shutdown.phase, ShutdownPhase::Announced { .. }) {
            session.go_away(link);
        } else if session.idle.pinged.take().is_none() {
            session.count_glitch(link)?;
        }
        Ok(())
    }

    /// RFC 9113 §6.9.
    pub(super) fn on_window_update(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<(), Fault> {
        let increment = frame::first_word(payload) & frame::MAX_31_BITS;
        // One that opens a window widely is of use, and there cannot be many before it overflows.
        if increment < SMALL_INCREMENT {
            session.count_frame(link)?;
        }
        if header.stream == 0 {
            if increment == 0 {
                return Err(Fault::connection(Violation::WindowIncrement));
            }
            return session.flow.send.widen(increment).map_err(|_| Fault::connection(Violation::FlowControl));
        }
        if session.is_idle(header.stream) {
            return Err(Fault::connection(Violation::StreamIdle));
        }
        let Some(slot) = session.streams.find(header.stream) else {
            // What was sent is given back after the stream has ended: "a WINDOW_UPDATE frame can be received for a short period".
            let counted = increment < SMALL_INCREMENT;
            return if counted { Ok(()) } else { session.count_frame(link) };
        };
        if session.streams.peek(slot).waits_for == WaitsFor::Closed {
            return Ok(());
        }
        if increment == 0 {
            return self.fail_stream(session, link, header.stream, Fault::stream(Violation::WindowIncrement));
        }
        if session.streams.at(slot).send.widen(increment).is_err() {
            return self.fail_stream(session, link, header.stream, Fault::stream(Violation::FlowControl));
        }
        session.window_opened(slot, link.now);
        Ok(())
    }

    /// RFC 9113 §6.4.
    pub(super) fn on_rst_stream(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<(), Fault> {
        let code = ErrorCode::new(frame::first_word(payload));
        if session.is_idle(header.stream) {
            return Err(Fault::connection(Violation::StreamIdle));
        }
        if session.streams.find(header.stream).is_some() {
            session.flush_before_an_end(link, resources);
        }
        let found = session.streams.find(header.stream);
        if !session.client {
            // What has been answered whole, or reset, has cost what it costs. RFC 9113 §8.1 asks for some of these.
            let answered = found.is_none_or(|slot| !session.streams.peek(slot).state.sends());
            match answered {
                true => session.count_frame(link)?,
                false => session.count_reset(link)?,
            }
        }
        if let Some(slot) = found {
            let stream = session.streams.peek(slot);
            let answered = stream.core.notices.has(Notices::PEER_ENDED) || !stream.state.receives();
            if session.client && code == ErrorCode::NO_ERROR && answered && stream.tunnel().is_none() {
                session.stop_sending(slot);
                session.start_requests(link);
                return Ok(());
            }
            let cause = match code {
                ErrorCode::REFUSED_STREAM if session.client => Cause::Refused,
                code => Cause::Reset(code),
            };
            session.close(slot, cause);
            session.start_requests(link);
        } else if session.client {
            // Every other reset costs the server a request of ours, and is no attack.
            session.count_frame(link)?;
        }
        Ok(())
    }

    /// RFC 9113 §6.8.
    pub(super) fn on_go_away(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        payload: &[u8],
    ) -> Result<(), Fault> {
        session.count_glitch(link)?;
        let last = frame::first_word(payload) & frame::MAX_31_BITS;
        let code = ErrorCode::new(frame::first_word(payload.get(4..).unwrap_or_default()));
        if session.shutdown.peer_last.is_some_and(|before| last > before) {
            return Err(Fault::connection(Violation::GoAway));
        }
        session.shutdown.peer_last = Some(last);
        if session.client {
            for slot in session.streams.taken() {
                let stream = session.streams.peek(slot);
                if stream.waits_for != WaitsFor::Closed && (stream.id > last || stream.is_queued()) {
                    session.close(slot, Cause::Refused);
                }
            }
            session.requests.queue.clear();
        }
        // "Unknown or unsupported error codes MUST NOT trigger any special behavior." RFC 9113 §7.
        if code != ErrorCode::NO_ERROR && code.is_known() {
            session.flush_before_an_end(link, resources);
            session.end_all(link, Cause::Reset(code));
        }
        Ok(())
    }

    /// RFC 9113 §6.3: the scheme is deprecated, and the frame is not acted on.
    pub(super) fn on_priority(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<(), Fault> {
        session.count_frame(link)?;
        if payload.len() == 5 && frame::first_word(payload) & frame::MAX_31_BITS == header.stream {
            return self.fail_stream(
                session,
                link,
                header.stream,
                Fault::stream(Violation::StreamDependency),
            );
        }
        Ok(())
    }

    /// RFC 9218 §7.1.
    pub(super) fn on_priority_update(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        payload: &[u8],
    ) -> Result<(), Fault> {
        session.count_frame(link)?;
        let id = frame::first_word(payload) & frame::MAX_31_BITS;
        // Pushed streams have even identifiers, and there are none.
        if session.client || id.is_multiple_of(2) {
            return Err(Fault::connection(Violation::FrameStream));
        }
        let priority = Priority::parse(payload.get(4..).unwrap_or_default());
        if let Some(slot) = session.streams.find(id) {
            session.streams.prioritise(slot, priority);
        } else if session.is_idle(id) {
            // Streams below the last one that began will never be.
            self.early.retain(|(other, _)| *other != id && *other > session.incoming.last_id);
            // "the number of streams that have been prioritized but remain in the "idle" state plus the number of active
            // streams" is bounded as that of active streams is.
            if self.early.len() + session.streams.len() >= link.config.limits.h2_streams_max as usize {
                return Err(Fault::connection(Violation::StreamId));
            }
            self.early.push((id, priority));
        }
        Ok(())
    }

    /// The priority that the peer gave a stream before it began.
    pub(super) fn early_priority(&mut self, id: u32) -> Option<Priority> {
        let at = self.early.iter().position(|(other, _)| *other == id)?;
        Some(self.early.swap_remove(at).1)
    }
}
