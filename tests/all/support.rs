//! Short forms of what many rows of the tables do.

use lws_proto::http::Status;
use lws_proto::ws::Connect;
use lws_proto::{Cause, Config, MessageKind, Payload, WebSocket};
use std::sync::Arc;
use tests::application::{Echo, Listen, Silent};
use tests::endpoint::Buffer;
use tests::wire::{self, CLOSE, Frame, Response, close_payload};
use tests::{Application, Delivered, Endpoint, Octets, Seen, deliver, deliver_to_end};

/// The configuration with every default.
pub(crate) fn defaults() -> Arc<Config> {
    Arc::new(Config::default())
}

pub(crate) fn status(code: u16) -> Status {
    Status::new(code).expect("three digits")
}

/// What an echoing server makes of `input`, however it comes.
pub(crate) fn served(input: impl AsRef<[u8]>) -> Delivered {
    deliver(|| Endpoint::server(defaults(), Echo::default()), input.as_ref())
}

/// The same with an end behind the input.
pub(crate) fn served_to_end(input: impl AsRef<[u8]>) -> Delivered {
    deliver_to_end(|| Endpoint::server(defaults(), Echo::default()), input.as_ref(), true)
}

/// The responses that an echoing server gives to `input`, which has no HEAD and no CONNECT in it.
pub(crate) fn answers(input: impl AsRef<[u8]>) -> Vec<Response> {
    responses(&served(input))
}

/// What was sent, as responses.
pub(crate) fn responses(delivered: &Delivered) -> Vec<Response> {
    match wire::all_responses(&delivered.sent.0) {
        Ok(responses) => responses,
        Err(error) => panic!("{error}: {:?}", delivered.sent),
    }
}

/// The status codes of what was sent.
pub(crate) fn codes(delivered: &Delivered) -> Vec<u16> {
    responses(delivered).iter().map(|response| response.status).collect()
}

/// The server refuses `input`: one response with `code` that ends the connection, `cause` delivered once, and nothing that the
/// application would have to look at.
pub(crate) fn refused(input: impl AsRef<[u8]>, code: u16, cause: Cause) {
    let input = input.as_ref();
    let shown = Octets(input.to_vec());
    let delivered = served(input);
    let answers = responses(&delivered);
    let [answer] = &answers[..] else { panic!("{shown:?}: one response was expected, not {answers:?}") };
    assert_eq!(answer.status, code, "{shown:?}");
    assert_eq!(answer.field("connection"), Some("close"), "{shown:?}: {}", answer.head);
    assert_eq!(delivered.seen.causes(), [cause], "{shown:?}");
    assert!(delivered.fin, "{shown:?}: FIN follows a refusal");
    assert_eq!(delivered.seen.count(|seen| matches!(seen, Seen::Request { .. })), 0, "{shown:?}");
    // Whatever follows is not looked at.
    let mut longer = Endpoint::server(defaults(), Echo::default());
    longer.receive(&[input, NEXT.as_bytes()].concat(), Buffer::Lent);
    assert_eq!(longer.sent, delivered.sent.0, "{shown:?} and another request");
    assert_eq!(longer.seen, delivered.seen, "{shown:?} and another request");
}

/// The server takes `input` as exactly one request and answers it with 200; the connection goes on.
pub(crate) fn taken(input: impl AsRef<[u8]>) -> Delivered {
    let input = input.as_ref();
    let delivered = served(input);
    let shown = Octets(input.to_vec());
    assert_eq!(codes(&delivered), [200], "{shown:?}");
    assert_eq!(delivered.seen.causes(), [Cause::Complete], "{shown:?}");
    assert!(!delivered.over, "{shown:?}");
    let mut longer = Endpoint::server(defaults(), Echo::default());
    longer.receive(&[input, NEXT.as_bytes()].concat(), Buffer::Own);
    assert_eq!(codes(&Delivered::of(&longer)), [200, 200], "{shown:?} and another request");
    delivered
}

/// The content that the application got with the only request.
pub(crate) fn content(delivered: &Delivered) -> Octets {
    delivered.seen.contents().into_iter().next().unwrap_or_default()
}

/// A GET that follows something, to see whether the connection goes on.
pub(crate) const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// Which role is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

impl Role {
    pub(crate) const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// A frame as the peer of this role sends it.
    pub(crate) fn incoming(self, first: u8, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::Client => wire::plain(first, payload),
            Self::Server => wire::masked(first, payload),
        }
    }

    /// A WebSocket in this role.
    pub(crate) fn websocket<A: Application>(
        self,
        config: &Arc<Config>,
        streamed: bool,
        app: A,
    ) -> Endpoint<A> {
        match self {
            Self::Client => {
                let connect = Connect::new("server.example.com", "/chat");
                let connect = if streamed { connect.streamed() } else { connect };
                Endpoint::websocket_client(Arc::clone(config), connect, app)
            }
            Self::Server => Endpoint::websocket_server(Arc::clone(config), app),
        }
    }

    /// What an echoing WebSocket in this role makes of `input`, with messages streamed and whole: the same.
    pub(crate) fn receives(self, input: &[u8]) -> Delivered {
        self.receives_with(&defaults(), input)
    }

    pub(crate) fn receives_with(self, config: &Arc<Config>, input: &[u8]) -> Delivered {
        let [whole, streamed] = [false, true]
            .map(|streamed| deliver(|| self.websocket(config, streamed, Echo::new(streamed)), input));
        assert_eq!(whole.sent, streamed.sent, "whole or streamed, the same is sent");
        assert_eq!(whole.seen.causes(), streamed.seen.causes(), "whole or streamed, the cause is the same");
        whole
    }

    /// The frames that are sent back for `input`.
    pub(crate) fn echoes(self, input: &[u8]) -> Vec<(u8, Octets)> {
        sent_frames(self, &self.receives(input))
    }
}

/// What was sent as frames, each masked if and only if a client sent it.
pub(crate) fn sent_frames(role: Role, delivered: &Delivered) -> Vec<(u8, Octets)> {
    unmasked(role, &delivered.sent.0)
}

pub(crate) fn unmasked(role: Role, bytes: &[u8]) -> Vec<(u8, Octets)> {
    let frames = match wire::frames(bytes) {
        Ok(frames) => frames,
        Err(error) => panic!("{error}: {}", bytes.escape_ascii()),
    };
    let check = |frame: Frame| {
        // RFC 6455 §5.1: "a client MUST mask all frames that it sends to the server", "A server MUST NOT mask any frames".
        assert_eq!(frame.key.is_some(), role == Role::Client, "{frame:?}");
        (frame.first, frame.payload)
    };
    frames.into_iter().map(check).collect()
}

/// A frame that was sent.
pub(crate) fn sent(first: u8, payload: impl AsRef<[u8]>) -> (u8, Octets) {
    (first, payload.as_ref().into())
}

/// A Close frame that was sent, without a reason.
pub(crate) fn sent_close(code: u16) -> (u8, Octets) {
    sent(CLOSE, close_payload(code, ""))
}

/// The WebSocket of `role` fails for `input`: the last frame is a Close with the code of `cause`, which is delivered once, and
/// then comes the end.
pub(crate) fn fails(role: Role, input: &[u8], code: u16, cause: Cause) {
    let shown = Octets(input.to_vec());
    // What follows is not looked at. RFC 6455 §7.1.7.
    let longer = [input, &role.incoming(wire::TEXT, b"too late")].concat();
    for input in [input, &longer] {
        let delivered = role.receives(input);
        let frames = sent_frames(role, &delivered);
        assert_eq!(frames.last(), Some(&sent_close(code)), "{role:?} {shown:?}");
        assert_eq!(delivered.seen.causes(), [cause], "{role:?} {shown:?}");
        // RFC 6455 §7.1.1: the server closes the TCP connection first.
        assert_eq!(delivered.fin, role == Role::Server, "{role:?} {shown:?}");
        assert!(!delivered.seen.contents().contains(&"too late".into()), "{role:?} {shown:?}");
    }
}

/// A server behind the opening handshake that does nothing by itself.
pub(crate) fn silent_server() -> Endpoint<Silent> {
    Endpoint::websocket_server(defaults(), Listen).with_app(Silent)
}

/// Sends a whole text message; it must be possible now.
pub(crate) fn say(websocket: WebSocket<'_>, text: &str) {
    let permit = websocket.permit().expect("a permit");
    permit.message(MessageKind::Text, Payload::Copy(text.as_bytes()), true).expect("a message");
}
