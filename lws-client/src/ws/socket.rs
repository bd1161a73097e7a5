//! What a client does for its WebSockets: opening handshakes, messages both ways, losses.

use super::life::{Loss, Next};
use super::outbox::{PROBE_AFTER, PROBE_TIMEOUT, Queued};
use super::{
    CallError, Context, GaveUp, Handler, Lost, Message, Opened, Probe, REFUSAL_BYTES_MAX, Redirected,
    Refusal, SendError, Socket, SocketId, SocketState, Terms, WhenLost, given_up,
};
use crate::client::{Called, Client, Due, Exchange, Job, StreamUse};
use crate::failure::{Cause, Failure, Phase};
use crate::options::RequestOptions;
use crate::redirect::{Hop, RedirectError};
use crate::request::Request;
use crate::response::ResponseHead;
use crate::retry::{RetryRules, retry_after};
use crate::url::Url;
use crate::{Link, RequestId};
use lws_loop_external::SystemEntropy;
use lws_proto::http::Head;
use lws_proto::ws::{CloseCode, Connect};
use lws_proto::{
    Bytes, Cause as EngineCause, Connection, Entropy, Established, Event, Liveness, MessageKind, Misuse,
    Payload, StreamKey, WebSocket, WebSocketPermit,
};
use std::time::Duration;

impl Client {
    // What an application asks for.

    /// Sends a message, or lets it wait as `when_lost` says while the WebSocket is not open.
    ///
    /// # Errors
    /// It was not taken.
    pub fn send(
        &mut self,
        id: SocketId,
        kind: MessageKind,
        payload: Bytes,
        when_lost: WhenLost,
    ) -> Result<(), SendError> {
        self.queue(id, Queued { kind, payload, end: true, when_lost })
    }

    /// Sends a part of a message, the last one if `end`, while the WebSocket is open: for messages that are longer than what is held of
    /// them. [`Handler::drained`] says when more can be sent without being held for long.
    ///
    /// # Errors
    /// It was not taken, and its message cannot be completed any more.
    pub fn send_part(
        &mut self,
        id: SocketId,
        kind: MessageKind,
        part: Bytes,
        end: bool,
    ) -> Result<(), SendError> {
        self.queue(id, Queued { kind, payload: part, end, when_lost: WhenLost::Fail })
    }

    fn queue(&mut self, id: SocketId, queued: Queued) -> Result<(), SendError> {
        let Some(socket) = self.sockets.get_mut(id) else { return Err(SendError::Gone) };
        if socket.closing.is_some() {
            return Err(SendError::Gone);
        }
        let open = socket.is_open();
        let limits = socket.limits;
        socket.outbox.push(queued, open, &limits)?;
        self.touch_socket(id);
        Ok(())
    }

    /// Bytes that a message may have that is sent now and waits with the others; 0 while the WebSocket is not open.
    #[must_use]
    pub fn send_room(&self, id: SocketId) -> usize {
        let socket = self.sockets.get(id).filter(|socket| socket.is_open() && socket.closing.is_none());
        socket.map_or(0, |socket| socket.outbox.room(&socket.limits))
    }

    /// Sends a Ping while the WebSocket is open, with up to 125 bytes of payload; more are left out. [`Handler::control`] receives the
    /// Pong. It passes messages that wait, and one that has not left is replaced. The engine asks by itself whether a silent server is still
    /// there. RFC 6455 §5.5.2.
    ///
    /// # Errors
    /// It was not taken.
    pub fn ping(&mut self, id: SocketId, payload: &[u8]) -> Result<(), SendError> {
        let socket = self.sockets.get_mut(id).filter(|socket| socket.closing.is_none());
        let socket = socket.ok_or(SendError::Gone)?;
        if !socket.is_open() {
            return Err(SendError::NotOpen);
        }
        socket.ping = Some(payload.into());
        self.touch_socket(id);
        Ok(())
    }

    /// Has [`Handler::drained`] called once when it is open and nothing waits, be that now.
    pub fn want_drained(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.wants_drained = true;
            self.touch_socket(id);
        }
    }

    /// Receives no messages until [`resume_socket`](Self::resume_socket), and lets the server wait.
    pub fn pause_socket(&mut self, id: SocketId) {
        self.set_paused(id, true);
    }

    /// Receives messages again.
    pub fn resume_socket(&mut self, id: SocketId) {
        self.set_paused(id, false);
    }

    fn set_paused(&mut self, id: SocketId, paused: bool) {
        if let Some(socket) = self.sockets.get_mut(id) {
            // One that is closing is read to its end.
            socket.paused = paused && socket.closing.is_none();
            self.touch_socket(id);
        }
    }

    /// Sends a message that is answered by another one, which the application recognises by `call`, its own number. Either
    /// [`Context::answered`] is called in time, or [`Handler::call_failed`] follows. With `again` it is sent again when the
    /// WebSocket was lost meanwhile: only for what may be done twice.
    ///
    /// # Errors
    /// It was not taken.
    pub fn call(
        &mut self,
        id: SocketId,
        call: u64,
        message: (MessageKind, Bytes),
        timeout: Duration,
        again: bool,
    ) -> Result<(), SendError> {
        let now = self.now;
        let Some(socket) = self.sockets.get_mut(id) else { return Err(SendError::Gone) };
        let open = socket.is_open();
        if !open && !again {
            return Err(SendError::NotOpen);
        }
        let limits = socket.limits;
        let kept = again.then(|| message.clone());
        socket.calls.add(call, now + timeout, kept, &limits)?;
        // One that is made again is sent when the WebSocket is open, and not kept a second time here.
        if open && let Err(error) = self.send(id, message.0, message.1, WhenLost::Drop) {
            self.answered(id, call);
            return Err(error);
        }
        self.set_socket_timer(id);
        Ok(())
    }

    /// Says that the answer to a call has come. Whether the call was still waiting.
    pub fn answered(&mut self, id: SocketId, call: u64) -> bool {
        self.sockets.get_mut(id).is_some_and(|socket| socket.calls.answered(call))
    }

    /// Closes a WebSocket for good, behind what was sent before. [`Handler::gave_up`] follows, not within this call. Messages come until
    /// then, though it was paused: the server's Close is behind them.
    pub fn close(&mut self, id: SocketId, code: CloseCode, reason: &str) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.closing.get_or_insert_with(|| Box::new((code, reason.to_owned())));
            // The server's Close has to be read, and what it has sent before.
            socket.paused = false;
            self.sockets.ask(id);
        }
    }

    /// Cuts a WebSocket off, for good. [`Handler::gave_up`] follows, not within this call.
    pub fn abort_socket(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.aborted = true;
            socket.closing.get_or_insert_with(|| Box::new((CloseCode::GOING_AWAY, String::new())));
            self.sockets.ask(id);
        }
    }

    /// Tries again now what would be tried later: the network is there again, for instance.
    pub fn reconnect_now(&mut self, id: SocketId) {
        if let Some(socket) = self.sockets.get_mut(id)
            && socket.state == SocketState::Waiting
        {
            socket.state = SocketState::Due;
            socket.retry_at = None;
            self.sockets.ask(id);
        }
    }

    // Its life.

    fn call_handler(&mut self, id: SocketId, call: impl FnOnce(&mut dyn Handler, &mut Context<'_>)) {
        // The handler is out of its place while it is called, so that it can be lent the client as well.
        let Some(mut handler) = self.sockets.get_mut(id).and_then(|socket| socket.handler.take()) else {
            return;
        };
        self.calling(Called::Socket(id), |client| call(&mut *handler, &mut Context { client, id }));
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.handler = Some(handler);
        }
    }

    /// Does what is to be done for a WebSocket.
    pub(crate) fn serve_socket(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get(id) else { return };
        let closing = socket.closing.is_some();
        match socket.state {
            SocketState::Open { link, stream, .. } => self.touch(link, stream),
            SocketState::Opening(request) if closing => self.cancel(request),
            SocketState::Opening(_) => {}
            SocketState::Due | SocketState::Waiting if closing => self.end_socket(id, GaveUp::Cancelled),
            SocketState::Due => self.open_socket(id),
            SocketState::Waiting => {}
        }
        self.set_socket_timer(id);
    }

    fn open_socket(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.attempts = socket.attempts.saturating_add(1);
        socket.refusal = None;
        let attempt = socket.attempts;
        let Some(terms) = &socket.terms else { return };
        let request = Request::new("GET", terms.url(socket.redirected.as_deref()).clone());
        let options = RequestOptions { retry: RetryRules::never(), ..terms.options.clone() };
        let request = self.begin_exchange(Exchange::new(request, options, Job::Socket(id)));
        if let Some(socket) = self.sockets.get_mut(id) {
            socket.state = SocketState::Opening(request);
        }
        self.call_handler(id, |handler, cx| handler.connecting(cx, attempt));
    }

    /// Sends the opening handshake on a connection that is lent.
    pub(crate) fn send_handshake(
        &mut self,
        request: RequestId,
        id: SocketId,
        connection: &mut Connection,
    ) -> Result<StreamKey, Misuse> {
        let now = self.now;
        let Some(socket) = self.sockets.get(id) else { return Err(Misuse::UnknownStream) };
        let Some(terms) = &socket.terms else { return Err(Misuse::WrongState) };
        let url = terms.url(socket.redirected.as_deref());
        let mut fields = socket.redirected.as_ref().map_or(&terms.fields, |it| &it.fields).clone();
        if let Some(jar) = &self.jar
            && let Some(cookies) = jar.cookies(url, self.unix_seconds)
        {
            fields.add("cookie", cookies);
        }
        if let (Some(agent), false) = (&self.options.user_agent, fields.has("user-agent")) {
            fields.add("user-agent", agent);
        }
        let lines: Vec<_> = fields
            .iter()
            .map(|(name, value)| std::str::from_utf8(value).map(|value| (name, value)))
            .collect::<Result<_, _>>()
            .map_err(|_| Misuse::Field)?;
        let protocols: Vec<&str> = terms.protocols.iter().map(String::as_str).collect();
        let host = terms.host.clone().unwrap_or_else(|| url.authority());
        let target = terms.target.clone().unwrap_or_else(|| url.target());
        let mut connect = Connect::new(&host, &target).protocols(&protocols).fields(&lines);
        if let Some(deflate) = &terms.deflate {
            connect = connect.deflate(deflate);
        }
        if terms.streamed {
            connect = connect.streamed();
        }
        let stream = connection.connect_websocket(now, &connect)?;
        if let Some(exchange) = self.exchanges.get_mut(request.0) {
            exchange.upload.ended = true;
        }
        Ok(stream)
    }

    /// The server has refused the handshake. Its response is kept for the handler's report.
    pub(crate) fn on_refusal(&mut self, id: SocketId, head: &Head<'_>) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let Some(terms) = &socket.terms else { return };
        let head = ResponseHead::of(head, terms.url(socket.redirected.as_deref()));
        socket.refusal = Some(Box::new(Refusal { head, body: Vec::new() }));
    }

    pub(crate) fn on_refusal_content(&mut self, id: SocketId, chunk: &[u8]) {
        let Some(refusal) = self.sockets.get_mut(id).and_then(|socket| socket.refusal.as_mut()) else {
            return;
        };
        let room = REFUSAL_BYTES_MAX.saturating_sub(refusal.body.len());
        refusal.body.extend_from_slice(&chunk[..room.min(chunk.len())]);
    }

    /// The opening handshake came to nothing.
    pub(crate) fn handshake_failed(&mut self, id: SocketId, mut failure: Failure) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let refusal = socket.refusal.take();
        match refusal.as_ref().and_then(|refusal| socket.follow(refusal)) {
            Some(Ok(())) if socket.closing.is_none() => {
                socket.state = SocketState::Due;
                self.stats.redirects_total += 1;
                return self.sockets.ask(id);
            }
            Some(Err(error)) => failure.cause = Cause::Redirect(error),
            _ => {}
        }
        let unix_seconds = self.unix_seconds;
        let loss = match (&failure.cause, &refusal) {
            (_, Some(refusal)) => {
                let hint = refusal.head.fields.get("retry-after");
                let hint = hint.and_then(|value| retry_after(value, unix_seconds));
                Loss::Status(refusal.head.status.code(), hint)
            }
            (Cause::Stream(EngineCause::Handshake(_)) | Cause::Request(_), None) => Loss::Disagreement,
            _ => Loss::Transport,
        };
        self.lose(id, loss, None, failure, refusal);
    }

    /// One event of a stream that is, or becomes, a WebSocket.
    pub(crate) fn socket_event(&mut self, link: Link, event: Event<'_>) {
        let key = event.key();
        let Some(used) = self.links.get(link.name()).and_then(|record| record.streams.get(key)) else {
            return;
        };
        match (event, used.used) {
            (
                Event::Established { stream: Established::WebSocket(stream), head },
                StreamUse::Handshake(request, id),
            ) => {
                self.established(link, key, (request, id), head);
                self.apply_to_socket(id, stream);
            }
            (Event::Message { mut stream, kind, chunk, first, end, .. }, StreamUse::Socket(id)) => {
                self.received_from(id, &mut stream);
                let message = Message { kind, bytes: chunk, first, last: end };
                self.call_handler(id, |handler, cx| handler.message(cx, message));
                self.apply_to_socket(id, stream);
            }
            (Event::Control { mut stream, control }, StreamUse::Socket(id)) => {
                self.received_from(id, &mut stream);
                self.on_control(id, control);
                self.apply_to_socket(id, stream);
            }
            _ => {}
        }
    }

    fn established(
        &mut self,
        link: Link,
        key: StreamKey,
        (request, id): (RequestId, SocketId),
        head: Option<Head<'_>>,
    ) {
        let now = self.now;
        // The exchange has done what it was for, without a word to anybody.
        self.exchanges.remove(request.0);
        self.due.cancel(Due::Total(request));
        self.due.cancel(Due::FirstByte(request));
        if let Some(used) = self.links.get_mut(link.name()).and_then(|record| record.streams.get_mut(key)) {
            used.used = StreamUse::Socket(id);
        }
        let Some(socket) = self.sockets.get_mut(id) else { return };
        socket.state = SocketState::Open { link, stream: key, since: now, closed: None };
        socket.probe = Probe::No;
        socket.is_paused = false;
        socket.burst = socket.limits.burst;
        let resumed = std::mem::replace(&mut socket.was_open, true);
        for (kind, payload) in socket.calls.again() {
            let limits = socket.limits;
            // A message for which there is no room now will expire, which is reported.
            let _ = socket.outbox.push(
                Queued { kind, payload, end: true, when_lost: WhenLost::Drop },
                true,
                &limits,
            );
        }
        let terms = socket.terms.take_if(|terms| !terms.rules.enabled);
        let Some(terms) = terms.as_ref().or(socket.terms.as_ref()) else { return };
        let Some(head) = head else { return };
        let head = ResponseHead::of(&head, terms.url(socket.redirected.as_deref()));
        let protocol = head.fields.text("sec-websocket-protocol").map(str::to_owned);
        let opened = Opened { resumed, protocol, head };
        self.call_handler(id, |handler, cx| handler.open(cx, &opened));
    }

    /// Notes that the server is alive, and restores its usual liveness timeouts.
    fn received_from(&mut self, id: SocketId, stream: &mut WebSocket<'_>) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if socket.probe == Probe::Asked {
            socket.probe = Probe::No;
            let _ = stream.set_liveness(None);
        }
    }

    fn on_control(&mut self, id: SocketId, control: lws_proto::Control<'_>) {
        if let lws_proto::Control::Close { code, .. } = control
            && let Some(socket) = self.sockets.get_mut(id)
            && let SocketState::Open { closed, .. } = &mut socket.state
        {
            *closed = Some(code);
        }
        self.call_handler(id, |handler, cx| handler.control(cx, control));
    }

    /// Sends what waits, on the stream that is lent.
    pub(crate) fn apply_to_socket(&mut self, id: SocketId, mut stream: WebSocket<'_>) {
        let Some(socket) = self.sockets.get_mut(id) else { return stream.abort() };
        if socket.aborted {
            return stream.abort();
        }
        if socket.probe == Probe::Wanted {
            socket.probe = Probe::Asked;
            // It is asked soon, and given up if it says nothing. What is lent here is a WebSocket, so that it is no misuse.
            let probe = Liveness { ping_after: PROBE_AFTER, drop_after: PROBE_AFTER + PROBE_TIMEOUT };
            stream.confirm_liveness(self.now);
            let _ = stream.set_liveness(Some(probe));
        }
        if socket.paused != socket.is_paused {
            socket.is_paused = socket.paused;
            if socket.paused {
                stream.pause();
            } else {
                stream.resume();
            }
        }
        if let Some(payload) = socket.ping.take() {
            match stream.permit() {
                Ok(permit) => match permit.ping(&payload) {
                    Ok(sent) => stream = sent.into_stream(),
                    // It is closing: nothing more is sent on it.
                    Err(_) => return,
                },
                Err(mut refused) => {
                    socket.ping = Some(payload);
                    return refused.want_write();
                }
            }
        }
        let had_queued = !socket.outbox.is_empty();
        while !socket.outbox.is_empty() {
            if socket.burst == 0 {
                return stream.want_write();
            }
            match stream.permit() {
                Err(mut refused) => return refused.want_write(),
                Ok(permit) => match socket.send_one(permit) {
                    Some(next) => stream = next,
                    None => return,
                },
            }
        }
        socket.burst = usize::MAX;
        let wanted = std::mem::take(&mut socket.wants_drained);
        if (had_queued || wanted) && socket.closing.is_none() {
            self.call_handler(id, |handler, cx| handler.drained(cx));
        }
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if let Some((code, reason)) = socket.closing.as_deref() {
            // Closing twice is no error, and a code that cannot be sent ends it all the same.
            if stream.has_ended() {
                return;
            }
            let (code, reason) = (*code, reason.clone());
            if stream.close(code, &reason).is_err() {
                self.sockets.ask(id);
            }
        }
    }

    pub(crate) fn socket_writable(&mut self, id: SocketId, permit: WebSocketPermit<'_>) {
        if let Some(socket) = self.sockets.get_mut(id) {
            // Another turn: as many again.
            socket.burst = socket.burst.max(socket.limits.burst);
        }
        self.apply_to_socket(id, permit.into_stream());
    }

    fn touch_socket(&mut self, id: SocketId) {
        if let Some(SocketState::Open { link, stream, .. }) = self.sockets.get(id).map(|socket| socket.state)
        {
            self.touch(link, stream);
        }
    }

    // Losses.

    /// The stream of a WebSocket has ended.
    pub(crate) fn socket_lost(&mut self, id: SocketId, cause: EngineCause) {
        let now = self.now;
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let SocketState::Open { since, closed, .. } = socket.state else { return };
        let code = match cause {
            EngineCause::Closed { code, .. } => Some(code),
            _ => closed,
        };
        if socket.closing.is_some() {
            let code = code.unwrap_or(CloseCode::ABNORMAL);
            return self.end_socket(id, GaveUp::Closed { code });
        }
        let loss = code.map_or(Loss::Transport, Loss::Closed);
        let failure = Failure::new(Phase::Body, Cause::Stream(cause));
        self.lose(id, loss, Some(now - since), failure, None);
    }

    fn lose(
        &mut self,
        id: SocketId,
        loss: Loss,
        open_for: Option<Duration>,
        failure: Failure,
        refusal: Option<Box<Refusal>>,
    ) {
        let now = self.now;
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let messages_lost = socket.outbox.lose();
        socket.ping = None;
        let calls = socket.calls.lose();
        let next = match socket.terms.as_deref().filter(|_| socket.closing.is_none()) {
            Some(terms) => socket.life.lost(loss, open_for, &terms.rules, random()),
            None => Next::GiveUp,
        };
        let failures = socket.life.failures();
        socket.state = SocketState::Waiting;
        socket.redirected = None;
        for call in calls {
            self.call_handler(id, |handler, cx| handler.call_failed(cx, call, CallError::Lost));
        }
        match next {
            Next::GiveUp => self.end_socket(id, given_up(failure, refusal)),
            Next::After(delay) => {
                let retry_at = now + delay;
                let lost = Lost { failure, refusal, retry_at, failures, messages_lost };
                if let Some(socket) = self.sockets.get_mut(id) {
                    socket.retry_at = Some(retry_at);
                }
                self.call_handler(id, |handler, cx| handler.lost(cx, &lost));
            }
        }
        self.set_socket_timer(id);
    }

    fn end_socket(&mut self, id: SocketId, why: GaveUp) {
        self.due.cancel(Due::Socket(id));
        let Some(socket) = self.sockets.remove(id) else { return };
        if let Some(handler) = socket.handler {
            self.calling(Called::Ended, |client| handler.gave_up(&mut Context { client, id }, why));
        }
    }

    /// The moment has come that a WebSocket waited for.
    pub(crate) fn socket_due(&mut self, id: SocketId) {
        let now = self.now;
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if socket.state == SocketState::Waiting && socket.retry_at.is_some_and(|at| at <= now) {
            socket.retry_at = None;
            socket.state = SocketState::Due;
            self.sockets.ask(id);
        }
        while let Some(call) = self.sockets.get_mut(id).and_then(|socket| socket.calls.pop_overdue(now)) {
            self.call_handler(id, |handler, cx| handler.call_failed(cx, call, CallError::TimedOut));
        }
        self.set_socket_timer(id);
    }

    /// Sets the moment that is next for a WebSocket: another try, or a call that is overdue.
    fn set_socket_timer(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get(id) else { return };
        match crate::deadlines::earliest(socket.retry_at, socket.calls.next_timeout()) {
            Some(at) => self.due.set(Due::Socket(id), at),
            None => self.due.cancel(Due::Socket(id)),
        }
    }
}

impl Terms {
    /// Where the opening handshake goes to.
    fn url<'a>(&'a self, redirected: Option<&'a Redirected>) -> &'a Url {
        redirected.map_or(&self.url, |redirected| &redirected.url)
    }
}

impl Socket {
    /// Follows a redirect, if it is one that is to be followed.
    fn follow(&mut self, refusal: &Refusal) -> Option<Result<(), RedirectError>> {
        let terms = self.terms.as_deref()?;
        let rules = &terms.options.redirects;
        let hops = self.redirected.as_ref().map_or(0, |redirected| redirected.hops);
        let hop = Hop { url: terms.url(self.redirected.as_deref()), method: "GET", hops, replayable: true };
        let next = match hop.next(refusal.head.status.code(), &refusal.head.fields, rules)? {
            Ok(next) => next,
            Err(error) => return Some(Err(error)),
        };
        let mut fields = self.redirected.as_ref().map_or(&terms.fields, |it| &it.fields).clone();
        next.strip(&mut fields, rules);
        self.redirected = Some(Box::new(Redirected { url: next.url, fields, hops: hops + 1 }));
        Some(Ok(()))
    }

    /// Sends the message that has waited longest.
    fn send_one<'a>(&mut self, permit: WebSocketPermit<'a>) -> Option<WebSocket<'a>> {
        let message = self.outbox.pop()?;
        self.burst = self.burst.saturating_sub(1);
        match permit.message(message.kind, Payload::Own(message.payload), message.end) {
            Ok(sent) => Some(sent.into_stream()),
            // A WebSocket that is lent for writing takes messages.
            Err(misuse) => {
                debug_assert!(false, "{misuse}");
                None
            }
        }
    }
}

/// What decides the part of chance in a delay.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without a source of chance there is none: the delay is the plain one.
    if let Ok(mut entropy) = SystemEntropy::new() {
        entropy.fill(&mut bytes);
    }
    u32::from_ne_bytes(bytes)
}
