//! WebSockets, passed on message by message in any combination of HTTP/1.1 and HTTP/2.
//!
//! Both sides are WebSockets in their own right: each makes its own key and masks, answers its own pings, and closes in its own way, so that a
//! drain of this server says 1001 between messages, and codes and reasons are carried. Parts of messages go on as they arrive. The opening
//! handshake is accepted when the upstream has accepted its own, with the subprotocol that this has chosen.

use crate::balance::Chosen;
use crate::fields;
use crate::relay::{Counted, RELAYED_BYTES_MAX};
use crate::upstream::Target;
use crate::{HostRule, Shared, exchange, outcome};
use lws_server::client::ws::{
    self as upstream, GaveUp, Opened, ReconnectRules, Refusal, SendError, SocketId,
};
use lws_server::client::{Failure, Versions, Waker};
use lws_server::http::{self, Exchange, HeadBuf, Permit, Request};
use lws_server::ws::{self, Accepted, CloseCode};
use lws_server::{
    Bytes, Cause, Context, Control, HeldBytes, MessageKind, Payload, WebSocket, WebSocketPermit,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Parts of messages that lie between the two sides, each way, before the side that sends is not read: so that many small ones are bounded,
/// too.
const PARTS_MAX: usize = 256;
/// RFC 6455 §7.4 and IANA: the server that was asked instead did not answer well.
const BAD_GATEWAY: u16 = 1014;

/// What lies between the two sides of a WebSocket. Boxed is what most of the time there is none of: one may idle for long.
struct Pipe {
    /// The upstream has accepted.
    opened: Option<Box<Opened>>,
    to_client: VecDeque<Part>,
    to_client_bytes: usize,
    counted: Counted,
    upstream_paused: bool,
    /// What was handed to the upstream since it had nothing more to send.
    to_upstream: (usize, usize),
    client_paused: bool,
    /// What the upstream has closed with.
    closed: Option<Box<(CloseCode, String)>>,
    gave_up: Option<Box<GaveUp>>,
    /// It has closed, or is gone: it takes nothing more.
    upstream_over: bool,
    /// The client has closed, or is gone: it takes nothing more.
    client_over: bool,
}

struct Part {
    kind: MessageKind,
    bytes: Bytes,
    end: bool,
}

impl Pipe {
    fn new(held: Rc<HeldBytes>) -> Self {
        Self {
            opened: None,
            to_client: VecDeque::new(),
            to_client_bytes: 0,
            counted: Counted::new(held),
            upstream_paused: false,
            to_upstream: (0, 0),
            client_paused: false,
            closed: None,
            gave_up: None,
            upstream_over: false,
            client_over: false,
        }
    }

    /// Whether the upstream is to wait.
    fn is_full(&self) -> bool {
        let full = self.to_client_bytes >= RELAYED_BYTES_MAX || self.to_client.len() >= PARTS_MAX;
        full || !self.to_client.is_empty() && self.counted.is_full()
    }

    /// Whether an upstream that waits may go on.
    fn has_room(&self) -> bool {
        let room = self.to_client_bytes <= RELAYED_BYTES_MAX / 2 && self.to_client.len() <= PARTS_MAX / 2;
        self.to_client.is_empty() || room && !self.counted.is_full()
    }

    /// Whether the client is to wait until the upstream has taken what it was handed.
    fn is_upstream_full(&self) -> bool {
        let (count, bytes) = self.to_upstream;
        bytes >= RELAYED_BYTES_MAX || count >= PARTS_MAX || self.counted.is_full()
    }

    /// What lies here has changed.
    fn count(&mut self) {
        self.counted.set(self.to_client_bytes + self.to_upstream.1);
    }

    /// Nothing goes to the client any more. What still comes for it is dropped, and not waited for: the upstream's Close is behind
    /// that.
    fn client_is_gone(&mut self) {
        self.client_over = true;
        self.to_client.clear();
        self.to_client_bytes = 0;
        self.count();
    }
}

/// The socket at an upstream, and the request that it counts for there.
struct Socket {
    pipe: Rc<RefCell<Pipe>>,
    id: SocketId,
    _chosen: Chosen,
}

/// The exchange of an opening handshake, until the upstream has decided.
pub(crate) struct Opening {
    shared: Rc<Shared>,
    head: HeadBuf,
    index: usize,
    waker: Waker,
    stage: Stage,
}

enum Stage {
    /// The upstream has not decided.
    Asked(Socket),
    /// It has refused, or could not be asked, which is to be answered.
    Refusing(GaveUp),
    /// What it has refused with could not be written: there will be a 502 in its place.
    Unwritable,
    Over,
}

/// Begins a WebSocket at an upstream, for the opening handshake of a client.
pub(crate) fn begin(
    shared: &Rc<Shared>,
    cx: &mut Context<'_>,
    request: &Request<'_>,
    head: HeadBuf,
) -> Result<Opening, crate::Refusal> {
    let arrival = exchange::arrival(cx, request);
    let received = exchange::received(request);
    let mut sent = fields::of_request(&received, arrival, &shared.rules)?;
    // Each side has a handshake of its own.
    sent.retain(|name| !name.to_ascii_lowercase().starts_with("sec-websocket-"));
    let waker = cx.waker().ok_or(crate::Refusal::Method)?;
    let chosen =
        shared.balance.choose(cx.now(), &[], shared.client(arrival)).ok_or(crate::Refusal::Method)?;
    let index = chosen.index;
    let to = shared.balance.upstream(index);
    let pipe = Rc::new(RefCell::new(Pipe::new(cx.held_bytes())));
    let handler = UpstreamSide { pipe: Rc::clone(&pipe), front: waker.clone() };
    let asked = to.options(cx);
    let socket = cx.client().websocket(&to.websocket_url()).map_err(|_| crate::Refusal::Method)?;
    let mut socket = socket.target(to.target(&Target::of(request), &shared.prefix));
    if let (HostRule::Client, Some(host)) = (shared.rules.host, received.text("host")) {
        socket = socket.host(host);
    }
    for (name, value) in sent.iter() {
        socket = socket.field(name, value);
    }
    for protocol in request.protocols() {
        socket = socket.protocol(protocol);
    }
    let socket = socket.options(|options| {
        *options = asked;
        // ALPN may choose HTTP/1.1 alone here: few servers take WebSockets over HTTP/2 unless they are configured for it.
        if options.versions != Versions::Http2 {
            options.versions = Versions::Http1;
        }
    });
    let id = socket.streamed().reconnect(ReconnectRules::never()).start(handler);
    let stage = Stage::Asked(Socket { pipe, id, _chosen: chosen });
    Ok(Opening { shared: Rc::clone(shared), head, index, waker, stage })
}

impl http::Handler for Opening {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn wake(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        if let Stage::Asked(socket) = &self.stage {
            let pipe = Rc::clone(&socket.pipe);
            let opened = pipe.borrow_mut().opened.take();
            if let Some(opened) = opened {
                self.shared.balance.answered(cx.now(), self.index);
                return self.accept(cx, exchange, &opened);
            }
            let Some(gave_up) = pipe.borrow_mut().gave_up.take() else { return };
            self.stage = Stage::Refusing(*gave_up);
        }
        match exchange.permit() {
            Ok(permit) => self.refuse(cx, permit),
            Err(mut exchange) => exchange.want_write(),
        }
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        self.refuse(cx, permit);
    }

    fn close(&mut self, cx: &mut Context<'_>, _: Cause) {
        if let Stage::Asked(socket) = std::mem::replace(&mut self.stage, Stage::Over) {
            socket.pipe.borrow_mut().client_is_gone();
            cx.client().close(socket.id, CloseCode::GOING_AWAY, "");
        }
    }
}

impl Opening {
    fn accept(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, opened: &Opened) {
        let Stage::Asked(socket) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        let id = socket.id;
        let mut accepted = Accepted::new(Passed { socket }).streamed();
        if let Some(protocol) = &opened.protocol {
            accepted = accepted.protocol_chosen(protocol.clone());
        }
        for cookie in opened.head.fields.get_all("set-cookie") {
            accepted = accepted.field("Set-Cookie", String::from_utf8_lossy(cookie));
        }
        if exchange.accept_websocket(&self.head, accepted).is_err() {
            // A cookie that cannot be written: the exchange ends with a 500, and the upstream's side with it.
            cx.client().close(id, CloseCode::INTERNAL_ERROR, "");
        }
    }

    /// Answers what the upstream has answered, or why it has not.
    fn refuse(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        let mut exchange = permit.into_exchange();
        // RFC 9931: what is behind a handshake that was refused may be no request.
        exchange.last_exchange();
        // The one that was given back.
        let Ok(permit) = exchange.permit() else { return };
        let name = &self.shared.rules.name;
        match stage {
            // To a client over HTTP/2 a 2xx would be a WebSocket, and to others it is none of the answers that they understand.
            Stage::Refusing(GaveUp::Failed { refusal: Some(refusal), .. })
                if !refusal.head.status.is_success() =>
            {
                // An answer, as every head of an exchange is one.
                self.shared.balance.answered(cx.now(), self.index);
                self.pass_on(permit, *refusal);
            }
            Stage::Refusing(GaveUp::Failed { failure, refusal: None }) => {
                self.note_failure(cx, &failure);
                permit.reply(outcome::response(Some(&failure), name));
            }
            Stage::Refusing(_) | Stage::Unwritable => {
                self.shared.balance.failed(cx.now(), self.index);
                permit.reply(outcome::response(None, name));
            }
            stage @ (Stage::Asked(_) | Stage::Over) => self.stage = stage,
        }
    }

    /// Sends the upstream's own refusal.
    fn pass_on(&mut self, permit: Permit<'_>, refusal: Refusal) {
        let Refusal { head, body, .. } = refusal;
        let sent = fields::of_response(&head.fields, head.status, head.version, &self.shared.rules);
        // What is kept of its content may not be all.
        let sent = sent.filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
        let whole = head.content_length().is_none_or(|length| length == body.len() as u64);
        let body = if whole { body } else { Vec::new() };
        if permit.respond(head.status, sent, Payload::Own(body.into()), true).is_err() {
            self.stage = Stage::Unwritable;
            self.waker.wake();
        }
    }

    fn note_failure(&self, cx: &Context<'_>, failure: &Failure) {
        if outcome::is_upstreams(failure) {
            self.shared.balance.failed(cx.now(), self.index);
        }
    }
}

/// The upstream's side.
struct UpstreamSide {
    pipe: Rc<RefCell<Pipe>>,
    front: Waker,
}

impl upstream::Handler for UpstreamSide {
    fn open(&mut self, _: &mut upstream::Context<'_>, opened: &Opened) {
        self.pipe.borrow_mut().opened = Some(Box::new(opened.clone()));
        self.front.wake();
    }

    fn message(&mut self, cx: &mut upstream::Context<'_>, message: upstream::Message<'_>) {
        let mut pipe = self.pipe.borrow_mut();
        if pipe.client_over {
            return;
        }
        let bytes = Bytes::copy_from_slice(message.bytes);
        pipe.to_client_bytes += bytes.len();
        pipe.to_client.push_back(Part { kind: message.kind, bytes, end: message.last });
        pipe.count();
        if pipe.is_full() && !pipe.upstream_paused {
            pipe.upstream_paused = true;
            let id = cx.id();
            cx.client().pause_socket(id);
        }
        self.front.wake();
    }

    fn drained(&mut self, _: &mut upstream::Context<'_>) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.to_upstream = (0, 0);
        pipe.count();
        if pipe.client_paused {
            self.front.wake();
        }
    }

    fn control(&mut self, _: &mut upstream::Context<'_>, control: Control<'_>) {
        if let Control::Close { code, reason } = control {
            let mut pipe = self.pipe.borrow_mut();
            pipe.closed = Some(Box::new((code, reason.to_owned())));
            pipe.upstream_over = true;
            self.front.wake();
        }
    }

    fn gave_up(self: Box<Self>, _: &mut upstream::Context<'_>, why: GaveUp) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.gave_up = Some(Box::new(why));
        pipe.upstream_over = true;
        self.front.wake();
    }
}

/// The client's side, once both are open.
struct Passed {
    socket: Socket,
}

impl Passed {
    /// Sends what the upstream has said, as far as the client takes it, and then its end.
    fn send(&self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        loop {
            let part = self.socket.pipe.borrow_mut().to_client.pop_front();
            let Some(part) = part else { break };
            match stream.permit() {
                Ok(permit) => {
                    {
                        let mut pipe = self.socket.pipe.borrow_mut();
                        pipe.to_client_bytes -= part.bytes.len();
                        pipe.count();
                    }
                    match permit.message(part.kind, Payload::Own(part.bytes), part.end) {
                        Ok(sent) => stream = sent.into_stream(),
                        // It is closing: nothing more is sent on it.
                        Err(_) => return,
                    }
                }
                Err(mut refused) => {
                    self.socket.pipe.borrow_mut().to_client.push_front(part);
                    refused.want_write();
                    return;
                }
            }
            self.resume_upstream(cx);
        }
        self.send_end(stream);
    }

    fn resume_upstream(&self, cx: &mut Context<'_>) {
        let mut pipe = self.socket.pipe.borrow_mut();
        if pipe.upstream_paused && pipe.has_room() {
            pipe.upstream_paused = false;
            cx.client().resume_socket(self.socket.id);
        }
    }

    /// Closes as the upstream has closed.
    fn send_end(&self, stream: WebSocket<'_>) {
        let mut pipe = self.socket.pipe.borrow_mut();
        let (code, reason) = match (pipe.closed.take(), &pipe.gave_up) {
            (Some(closed), _) => *closed,
            (None, Some(_)) => {
                (CloseCode::new(BAD_GATEWAY).unwrap_or(CloseCode::INTERNAL_ERROR), String::new())
            }
            (None, None) => return,
        };
        // 1005 is "no code", which a frame says by having none; a normal end is the nearest that can be written.
        let code = if code.may_be_sent() { code } else { CloseCode::NORMAL };
        // If it is closing already there is nothing left to do.
        let _ = stream.close(code, &reason);
    }
}

impl ws::Handler for Passed {
    fn open(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        self.send(cx, stream);
    }

    fn message(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>, message: ws::Message<'_>) {
        if self.socket.pipe.borrow().upstream_over {
            // What is not taken any more is not waited for: the client's Close is behind it.
            return;
        }
        let bytes = Bytes::copy_from_slice(message.chunk);
        let waits = {
            let pipe = &mut *self.socket.pipe.borrow_mut();
            let (count, held) = &mut pipe.to_upstream;
            (*count, *held) = (*count + 1, *held + bytes.len());
            pipe.count();
            pipe.client_paused |= pipe.is_upstream_full();
            pipe.client_paused
        };
        if waits {
            stream.pause();
        }
        match cx.client().send_part(self.socket.id, message.kind, bytes, message.end) {
            // What closes takes nothing more, and its end is on its way.
            Ok(()) | Err(SendError::Gone | SendError::NotOpen) => {}
            Err(_) => stream.abort(),
        }
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        self.send(cx, permit.into_stream());
    }

    fn wake(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
        {
            let pipe = &mut *self.socket.pipe.borrow_mut();
            if pipe.client_paused && (pipe.upstream_over || pipe.to_upstream == (0, 0)) {
                pipe.client_paused = false;
                stream.resume();
            }
        }
        self.send(cx, stream);
    }

    fn control(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>, control: Control<'_>) {
        if let Control::Close { code, reason } = control {
            let code = if code.may_be_sent() { code } else { CloseCode::NORMAL };
            self.socket.pipe.borrow_mut().client_is_gone();
            cx.client().close(self.socket.id, code, reason);
        }
    }

    fn close(&mut self, cx: &mut Context<'_>, _: Cause) {
        self.socket.pipe.borrow_mut().client_is_gone();
        cx.client().close(self.socket.id, CloseCode::GOING_AWAY, "");
    }
}
