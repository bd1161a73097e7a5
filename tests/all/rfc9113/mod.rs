//! HTTP/2, RFC 9113: what it says an endpoint must do, one sentence after the other, in both roles where it binds both.
//!
//! Inputs are frames that the tests write themselves. Each is delivered whole, byte by byte and in other parts; the frames that come
//! back are read, and the reach of an error is seen by a PING behind it, which only a connection that lives answers.

use lws_proto::h2::ErrorCode;
use lws_proto::http::Method;
use lws_proto::{Cause, Config, Payload, Request, Violation};
use std::sync::Arc;
use tests::application::{Each, Echo, NO_FIELDS, Silent};
use tests::endpoint::Buffer;
use tests::h2::ByStream;
use tests::h2::{self, Reader, SentFrame};
use tests::{Application, Delivered, Endpoint, deliver_seen};

mod limits;
mod s3_starting;
mod s4_field_blocks;
mod s4_frames;
mod s5_concurrency;
mod s5_flow_control;
mod s5_states;
mod s6_data;
mod s6_go_away;
mod s6_ping;
mod s6_priority;
mod s6_push;
mod s6_reset;
mod s6_settings;
mod s6_window_update;
mod s8_client;
mod s8_connect;
mod s8_content;
mod s8_control_data;
mod s8_expect;
mod s8_fields;
mod s8_responses;

pub(crate) use crate::support::{Role, defaults};

/// Error codes. RFC 9113 §7.
pub(crate) mod code {
    pub(crate) const NO_ERROR: u32 = 0;
    pub(crate) const PROTOCOL_ERROR: u32 = 1;
    pub(crate) const INTERNAL_ERROR: u32 = 2;
    pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
    pub(crate) const SETTINGS_TIMEOUT: u32 = 4;
    pub(crate) const STREAM_CLOSED: u32 = 5;
    pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
    pub(crate) const REFUSED_STREAM: u32 = 7;
    pub(crate) const CANCEL: u32 = 8;
    pub(crate) const COMPRESSION_ERROR: u32 = 9;
    pub(crate) const CONNECT_ERROR: u32 = 10;
    pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
}

/// The reaction of an engine to some frames.
pub(crate) struct Reaction {
    /// The frames that were sent back.
    pub(crate) sent_frames: Vec<SentFrame>,
    /// The events, and the rest of the outcome.
    pub(crate) delivered: Delivered,
}

impl Reaction {
    pub(crate) fn of(delivered: Delivered) -> Self {
        Self { sent_frames: Reader::default().read(&delivered.sent.0), delivered }
    }

    /// The status code on a stream.
    pub(crate) fn status(&self, stream: u32) -> Option<u16> {
        h2::answer(&self.sent_frames, stream).map(|(status, _)| status)
    }

    /// The causes of all ends.
    pub(crate) fn causes(&self) -> Vec<Cause> {
        self.delivered.seen.causes()
    }

    /// Whether the PING behind the frames was answered.
    pub(crate) fn lives(&self) -> bool {
        self.sent_frames.contains(&SentFrame::Ping { ack: true, payload: PROBE })
    }
}

/// Delivers `input` to an engine, cut in every way.
pub(crate) fn deliver<A: Application>(make: impl Fn() -> Endpoint<A>, input: &[u8]) -> Delivered {
    deliver_seen(make, input, false, ByStream::of)
}

/// The PING behind the frames of a test.
const PROBE: [u8; 8] = *b"are you?";

/// The reaction of an echoing server to frames after the preface.
pub(crate) fn served(frames: impl AsRef<[u8]>) -> Reaction {
    served_with(&defaults(), &[], frames)
}

/// The reaction of an echoing server with other limits, to a client with these settings.
pub(crate) fn served_with(
    config: &Arc<Config>,
    settings: &[(u16, u32)],
    frames: impl AsRef<[u8]>,
) -> Reaction {
    served_by(config, settings, Each::echo, frames)
}

/// As the function above, with another application.
pub(crate) fn served_by<A: Application>(
    config: &Arc<Config>,
    settings: &[(u16, u32)],
    app: impl Fn() -> A,
    frames: impl AsRef<[u8]>,
) -> Reaction {
    let input = [&h2::client_begins(settings)[..], frames.as_ref(), &h2::ping(false, PROBE)].concat();
    Reaction::of(deliver(|| Endpoint::http2_server(Arc::clone(config), app()), &input))
}

/// A server after the preface. Its output so far is forgotten, and the reader continues with its frames.
pub(crate) fn server<A: Application>(
    config: &Arc<Config>,
    settings: &[(u16, u32)],
    app: A,
) -> (Endpoint<A>, Reader) {
    let mut server = Endpoint::http2_server(Arc::clone(config), app);
    server.receive(&h2::client_begins(settings), Buffer::Lent);
    server.forget();
    (server, Reader::default())
}

/// A server with an echo on each stream.
pub(crate) fn echo_server() -> (Endpoint<Each<Echo>>, Reader) {
    server(&defaults(), &[], Each::echo())
}

/// A client that has sent a GET on stream 1 and the head of a POST on stream 3, and does nothing more.
pub(crate) fn client(config: &Arc<Config>) -> Endpoint<Silent> {
    client_by(config, Silent)
}

/// As the function above, with another application.
pub(crate) fn client_by<A: Application>(config: &Arc<Config>, app: A) -> Endpoint<A> {
    let mut client = Endpoint::http2_client(Arc::clone(config), app);
    request(&mut client, "GET", "/get", true);
    request(&mut client, "POST", "/post", false);
    client
}

/// Makes a request without fields and content.
pub(crate) fn request<A: Application>(
    client: &mut Endpoint<A>,
    method: &str,
    target: &str,
    end: bool,
) -> lws_proto::StreamKey {
    let host = if Method::from_token(method) == Method::Connect { target } else { "a" };
    let request = Request { method, target, host };
    let sent = client.connection.request(client.now, &request, NO_FIELDS, Payload::Static(b""), end);
    let key = sent.expect("a request").key();
    client.settle();
    key
}

/// The reaction of a client with two requests to frames after the server's SETTINGS.
pub(crate) fn answered(frames: impl AsRef<[u8]>) -> Reaction {
    answered_with(&defaults(), &[], frames)
}

pub(crate) fn answered_with(
    config: &Arc<Config>,
    settings: &[(u16, u32)],
    frames: impl AsRef<[u8]>,
) -> Reaction {
    let input = [&h2::server_begins(settings)[..], frames.as_ref(), &h2::ping(false, PROBE)].concat();
    Reaction::of(deliver(|| client(config), &input))
}

impl Role {
    /// The reaction of this role to frames of its peer.
    pub(crate) fn reacts(self, frames: impl AsRef<[u8]>) -> Reaction {
        match self {
            Self::Client => answered(frames),
            Self::Server => served(frames),
        }
    }

    /// Frames by which the peer has a stream 1 open in both directions, as far as it is up to it. A client's stream 1 is
    /// half-closed: it has sent its GET.
    pub(crate) fn opens(self) -> Vec<u8> {
        match self {
            Self::Client => response(1, false),
            Self::Server => h2::post(1),
        }
    }
}

/// The head of a 200 response.
pub(crate) fn response(stream: u32, end: bool) -> Vec<u8> {
    h2::headers(stream, &[(":status", "200")], end)
}

/// Checks that frames are a connection error: GOAWAY with this code is the last frame, FIN follows, every stream that
/// was delivered ends with the cause, and nothing behind them is looked at.
pub(crate) fn connection_error(role: Role, frames: impl AsRef<[u8]>, code: u32, violation: Violation) {
    let frames = frames.as_ref();
    let shown = || format!("{role:?} {}", frames.escape_ascii());
    let reaction = role.reacts(frames);
    let Some(SentFrame::GoAway { code: found, debug, .. }) = reaction.sent_frames.last() else {
        panic!("{}: no GOAWAY last: {:?}", shown(), reaction.sent_frames)
    };
    assert_eq!((*found, &**debug), (code, violation.message()), "{}", shown());
    assert_eq!(h2::go_aways(&reaction.sent_frames).len(), 1, "{}", shown());
    assert!(!reaction.lives() && reaction.delivered.fin, "{}", shown());
    let reported = reaction.delivered.streams.len();
    let causes = reaction.causes();
    assert_eq!(causes.len(), reported, "{}: every stream has ended", shown());
    let before = [Cause::Complete, Cause::Reset(ErrorCode::CANCEL), Cause::Violation(violation)];
    assert!(causes.iter().all(|cause| before.contains(cause)), "{}: {causes:?}", shown());
}

/// Frames are an error of one stream: RST_STREAM with this code, its cause delivered if the stream was, and the connection lives.
pub(crate) fn stream_error(
    role: Role,
    frames: impl AsRef<[u8]>,
    stream: u32,
    code: u32,
    violation: Violation,
) {
    let frames = frames.as_ref();
    let shown = || format!("{role:?} {}", frames.escape_ascii());
    let reaction = role.reacts(frames);
    assert_eq!(
        h2::reset(&reaction.sent_frames, stream),
        Some(code),
        "{}: {:?}",
        shown(),
        reaction.sent_frames
    );
    assert!(
        reaction.lives() && h2::go_aways(&reaction.sent_frames).is_empty(),
        "{}: {:?}",
        shown(),
        reaction.sent_frames
    );
    let resets = reaction.sent_frames.iter().filter(|frame| matches!(frame, SentFrame::Reset { .. })).count();
    assert_eq!(resets, 1, "{}: {:?}", shown(), reaction.sent_frames);
    let expected = Cause::Violation(violation);
    let reported = reaction.causes();
    assert!(
        reported.iter().all(|cause| [expected, Cause::Complete].contains(cause)),
        "{}: {reported:?}",
        shown()
    );
    let any = reaction.delivered.streams.iter().any(|one| !one.0.is_empty());
    assert!(!any || reported.contains(&expected), "{}: {:?}", shown(), reaction.delivered.seen);
}

/// Frames are no error at all.
pub(crate) fn no_error(role: Role, frames: impl AsRef<[u8]>) -> Reaction {
    let frames = frames.as_ref();
    let reaction = role.reacts(frames);
    let shown = || format!("{role:?} {}: {:?}", frames.escape_ascii(), reaction.sent_frames);
    assert!(reaction.lives() && h2::go_aways(&reaction.sent_frames).is_empty(), "{}", shown());
    assert!(
        !reaction.sent_frames.iter().any(|frame| matches!(frame, SentFrame::Reset { .. })),
        "{}",
        shown()
    );
    reaction
}
