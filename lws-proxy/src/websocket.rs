//! WebSockets, passed on message by message in any combination of HTTP/1.1 and HTTP/2.
//!
//! Both sides are WebSockets in their own right: each makes its own key and masks, answers its own pings, and closes in its own way, so that a
//! drain of this server says 1001 between messages, and codes and reasons are carried. Parts of messages go on as they arrive. The opening
//! handshake is accepted when the upstream has accepted its own, with the subprotocol that this has chosen.

use crate::balance::Chosen;
use crate::fields;
use crate::relay::RELAYED_BYTES_MAX;
use crate::{HostRule, Shared, exchange, outcome};
use lws_server::client::ws::{self as upstream, GaveUp, Opened, ReconnectRules, SendError, SocketId};
use lws_server::client::{Failure, Fields, Versions, Waker};
use lws_server::http::{self, Exchange, HeadBuf, Permit, Request, Status};
use lws_server::ws::{self, Accepted, CloseCode};
use lws_server::{Bytes, Cause, Context, Control, MessageKind, Payload, WebSocket, WebSocketPermit};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Parts of messages that lie between the two sides, each way, before the side that sends is not read: so that many small ones are bounded,
/// too.
const PARTS_MAX: usize = 256;
/// RFC 6455 §7.4 and IANA: the server that was asked instead did not answer well.
const BAD_GATEWAY: u16 = 1014;

/// What lies between the two sides of a WebSocket.
#[derive(Default)]
struct Pipe {
    /// The upstream has accepted.
    opened: Option<Opened>,
    to_client: VecDeque<Part>,
    to_client_bytes: usize,
    upstream_paused: bool,
    /// What was handed to the upstream since it had nothing more to send.
    to_upstream: (usize, usize),
    client_paused: bool,
    /// What the upstream has closed with.
    closed: Option<(CloseCode, String)>,
    gave_up: Option<GaveUp>,
}

struct Part {
    kind: MessageKind,
    bytes: Bytes,
    end: bool,
}

impl Pipe {
    fn is_full(&self) -> bool {
        self.to_client_bytes >= RELAYED_BYTES_MAX || self.to_client.len() >= PARTS_MAX
    }

    fn has_room(&self) -> bool {
        self.to_client_bytes <= RELAYED_BYTES_MAX / 2 && self.to_client.len() <= PARTS_MAX / 2
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
    socket: Option<Socket>,
    index: usize,
}

/// Begins a WebSocket at an upstream, for the opening handshake of a client.
pub(crate) fn begin(
    shared: &Rc<Shared>,
    cx: &mut Context<'_>,
    request: &Request<'_>,
    head: HeadBuf,
) -> Result<Opening, crate::Refusal> {
    let arrival = exchange::arrival(cx, request);
    let received: Fields = request.fields().collect();
    let mut sent = fields::of_request(&received, arrival, &shared.rules)?;
    // Each side has a handshake of its own.
    sent.retain(|name| !name.to_ascii_lowercase().starts_with("sec-websocket-"));
    let waker = cx.waker().ok_or(crate::Refusal::Method)?;
    let chosen =
        shared.balance.choose(cx.now(), &[], shared.client(arrival)).ok_or(crate::Refusal::Method)?;
    let index = chosen.index;
    let to = shared.balance.upstream(index);
    let pipe = Rc::<RefCell<Pipe>>::default();
    let handler = UpstreamSide { pipe: Rc::clone(&pipe), front: waker };
    let socket = cx.client().websocket(&to.websocket_url()).map_err(|_| crate::Refusal::Method)?;
    let mut socket = socket.target(to.target(&exchange::target(request), &shared.prefix));
    if let (HostRule::Client, Some(host)) = (shared.rules.host, request.text("host")) {
        socket = socket.host(host);
    }
    for (name, value) in sent.iter() {
        socket = socket.field(name, value);
    }
    for protocol in request.protocols() {
        socket = socket.protocol(protocol);
    }
    let (versions, connect_to) = (to.versions, to.connect_to.clone());
    let socket = socket.options(|options| {
        // ALPN offers only HTTP/1.1 here: few servers take WebSockets over HTTP/2 by default.
        options.versions = if versions == Versions::Http2 { Versions::Http2 } else { Versions::Http1 };
        options.connect_to = connect_to;
    });
    let id = socket.streamed().reconnect(ReconnectRules::never()).start(handler);
    let socket = Some(Socket { pipe, id, _chosen: chosen });
    Ok(Opening { shared: Rc::clone(shared), head, socket, index })
}

impl http::Handler for Opening {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn wake(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        let Some(pipe) = self.socket.as_ref().map(|socket| Rc::clone(&socket.pipe)) else { return };
        let opened = pipe.borrow_mut().opened.take();
        if let Some(opened) = opened {
            self.shared.balance.answered(self.index);
            return self.accept(cx, exchange, &opened);
        }
        if pipe.borrow().gave_up.is_some() {
            match exchange.permit() {
                Ok(permit) => self.refuse(cx, permit),
                Err(mut exchange) => exchange.want_write(),
            }
        }
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        self.refuse(cx, permit);
    }

    fn close(&mut self, cx: &mut Context<'_>, _: Cause) {
        if let Some(socket) = self.socket.take() {
            cx.client().close(socket.id, CloseCode::GOING_AWAY, "");
        }
    }
}

impl Opening {
    fn accept(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, opened: &Opened) {
        let Some(socket) = self.socket.take() else { return };
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
        let Some(socket) = self.socket.take() else { return };
        let Some(gave_up) = socket.pipe.borrow_mut().gave_up.take() else { return };
        let name = &self.shared.rules.name;
        let mut exchange = permit.into_exchange();
        // RFC 9931: what is behind a handshake that was refused may be no request.
        exchange.last_exchange();
        // The one that was given back.
        let Ok(permit) = exchange.permit() else { return };
        match gave_up {
            GaveUp::Failed { refusal: Some(refusal), .. } => {
                let mut sent = fields::of_response(
                    &refusal.head.fields,
                    refusal.head.status,
                    refusal.head.version,
                    &self.shared.rules,
                );
                // What is kept of its content may not be all.
                sent.remove("content-length");
                let whole =
                    refusal.head.content_length().is_none_or(|length| length == refusal.body.len() as u64);
                let body = if whole { refusal.body } else { Vec::new() };
                if permit.respond(refusal.head.status, sent.iter(), Payload::Own(body.into()), true).is_err()
                {
                    self.shared.balance.failed(cx.now(), self.index);
                }
            }
            GaveUp::Failed { failure, refusal: None } => {
                self.note_failure(cx, &failure);
                permit.reply(outcome::response(Some(&failure), name));
            }
            _ => permit.reply(http::Response::error(Status::BAD_GATEWAY)),
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
        self.pipe.borrow_mut().opened = Some(opened.clone());
        self.front.wake();
    }

    fn message(&mut self, cx: &mut upstream::Context<'_>, message: upstream::Message<'_>) {
        let mut pipe = self.pipe.borrow_mut();
        let bytes = Bytes::copy_from_slice(message.bytes);
        pipe.to_client_bytes += bytes.len();
        pipe.to_client.push_back(Part { kind: message.kind, bytes, end: message.last });
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
        if pipe.client_paused {
            self.front.wake();
        }
    }

    fn control(&mut self, _: &mut upstream::Context<'_>, control: Control<'_>) {
        if let Control::Close { code, reason } = control {
            self.pipe.borrow_mut().closed = Some((code, reason.to_owned()));
            self.front.wake();
        }
    }

    fn gave_up(self: Box<Self>, _: &mut upstream::Context<'_>, why: GaveUp) {
        self.pipe.borrow_mut().gave_up = Some(why);
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
                    self.socket.pipe.borrow_mut().to_client_bytes -= part.bytes.len();
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
            (Some(closed), _) => closed,
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
        let bytes = Bytes::copy_from_slice(message.chunk);
        let waits = {
            let pipe = &mut *self.socket.pipe.borrow_mut();
            let (count, held) = &mut pipe.to_upstream;
            (*count, *held) = (*count + 1, *held + bytes.len());
            pipe.client_paused |= *held >= RELAYED_BYTES_MAX || *count >= PARTS_MAX;
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
            if pipe.client_paused && pipe.to_upstream == (0, 0) {
                pipe.client_paused = false;
                stream.resume();
            }
        }
        self.send(cx, stream);
    }

    fn control(&mut self, cx: &mut Context<'_>, _: WebSocket<'_>, control: Control<'_>) {
        if let Control::Close { code, reason } = control {
            let code = if code.may_be_sent() { code } else { CloseCode::NORMAL };
            cx.client().close(self.socket.id, code, reason);
        }
    }

    fn close(&mut self, cx: &mut Context<'_>, _: Cause) {
        cx.client().close(self.socket.id, CloseCode::GOING_AWAY, "");
    }
}
