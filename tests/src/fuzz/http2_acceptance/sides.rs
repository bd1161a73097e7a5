//! Our server and that of `h2`, which take frames one by one and answer nothing.

use super::{ReceivedRequest, Verdict};
use crate::application::Silent;
use crate::endpoint::{Buffer, Endpoint};
use crate::fuzz::h2_pipe::Pipe;
use crate::h2::{Reader, SentFrame, by_name};
use crate::transcript::{Fields, Octets, Seen, Transcript};
use h2::RecvStream;
use h2::server::{Connection, Handshake, SendResponse};
use lws_proto::{Bytes, Config, StreamKey};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The stream that a frame is about.
pub(super) fn stream_of(frame: &[u8]) -> u32 {
    match frame.get(5..9) {
        Some(id) => u32::from_be_bytes(id.try_into().expect("four bytes")) & 0x7fff_ffff,
        None => 0,
    }
}

/// What was sent_frames about the stream of a frame, or about the connection.
fn verdict(sent_frames: &[SentFrame], stream: u32) -> Verdict {
    let refuses_all = |frame: &SentFrame| match frame {
        SentFrame::GoAway { code, .. } if *code != 0 => Some(Verdict::Connection(*code)),
        _ => None,
    };
    let refuses = |frame: &SentFrame| match frame {
        SentFrame::Reset { stream: of, code } if *of == stream => Some(Verdict::Stream(*code)),
        _ => None,
    };
    let answer =
        crate::h2::answer(sent_frames, stream).map(|(status, _)| status).filter(|status| *status >= 400);
    let verdict = sent_frames.iter().find_map(refuses_all).or_else(|| sent_frames.iter().find_map(refuses));
    verdict.or(answer.map(Verdict::Answered)).unwrap_or(Verdict::Taken)
}

/// Acknowledgements among what was sent_frames.
fn acks(sent_frames: &[SentFrame]) -> Vec<SentFrame> {
    sent_frames
        .iter()
        .filter(|frame| matches!(frame, SentFrame::Ping { ack: true, .. } | SentFrame::SettingsAck))
        .cloned()
        .collect()
}

/// Our server.
pub(super) struct Ours {
    endpoint: Endpoint<Silent>,
    reader: Reader,
    /// Which frames' streams they are.
    streams: Vec<(u32, StreamKey)>,
    /// All acknowledgements.
    pub(super) acks: Vec<SentFrame>,
    /// What it sent_frames last about its reasons, for a person.
    pub(super) reason: String,
}

impl Ours {
    pub(super) fn new() -> Self {
        let endpoint = Endpoint::http2_server(Config::default().into(), Silent);
        Self {
            endpoint,
            reader: Reader::default(),
            streams: Vec::new(),
            acks: Vec::new(),
            reason: String::new(),
        }
    }

    pub(super) fn take(&mut self, frame: &[u8]) -> Verdict {
        let stream = stream_of(frame);
        let known = self.endpoint.streams.len();
        self.endpoint.receive(frame, Buffer::Lent);
        let begun = self.endpoint.streams[known..].iter().map(|(key, _)| (stream, *key));
        self.streams.extend(begun);
        let sent_frames = self.reader.read(&self.endpoint.take_sent());
        self.acks.extend(acks(&sent_frames));
        let verdict = verdict(&sent_frames, stream);
        if let Some(debug) = sent_frames.iter().find_map(SentFrame::debug) {
            self.reason = debug.into();
        } else if let Some(Seen::Closed(cause)) = self.of(stream).and_then(|of| of.0.last()) {
            self.reason = cause.name().into();
        }
        let interest = self.endpoint.connection.interest();
        let is_over = interest.shutdown || interest.close;
        if verdict == Verdict::Taken && is_over { Verdict::Over } else { verdict }
    }

    fn of(&self, stream: u32) -> Option<&Transcript> {
        let (_, key) = self.streams.iter().find(|(id, _)| *id == stream)?;
        self.endpoint.streams.iter().find(|(other, _)| other == key).map(|(_, transcript)| transcript)
    }

    /// What was received on a stream.
    pub(super) fn request_on(&self, stream: u32) -> Option<ReceivedRequest> {
        let mut received = ReceivedRequest::default();
        for seen in &self.of(stream)?.0 {
            match seen {
                Seen::Request { method, target, fields, end, .. } => {
                    let mut host = fields.iter().filter(|(name, _)| name == "host");
                    let host = host.next().map_or("".into(), |(_, value)| String::from_utf8_lossy(&value.0));
                    received.method.clone_from(method);
                    received.target = (host.into_owned(), target.clone());
                    received.fields = without_host(fields.iter().cloned());
                    received.ended = *end;
                }
                Seen::Body { content, end } => {
                    received.content.0.extend_from_slice(&content.0);
                    received.ended = *end;
                }
                Seen::Trailers { fields } => received.trailers = by_name(fields.iter().cloned()),
                _ => {}
            }
        }
        // A stream that is refused at its head has an end only.
        (!received.method.is_empty()).then_some(received)
    }
}

/// Names of this target's fields that the engine drops from trailers, as RFC 9112 §7.1.2 allows. `h2` keeps them.
const DISCARDED_TRAILERS: [&str; 4] = ["te", "expect", "trailer", "cookie"];

/// The authority is compared by itself.
fn without_host(fields: impl Iterator<Item = (String, Octets)>) -> Fields {
    by_name(fields.filter(|(name, _)| name != "host"))
}

fn fields(map: &http::HeaderMap) -> impl Iterator<Item = (String, Octets)> {
    map.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().into()))
}

/// The server of `h2`.
pub(super) struct Theirs {
    pipe: Pipe,
    state: State,
    reader: Reader,
    exchanges: Vec<Exchange>,
    pub(super) acks: Vec<SentFrame>,
}

enum State {
    Begins(Handshake<Pipe, Bytes>),
    Runs(Connection<Pipe, Bytes>),
    Ended,
}

struct Exchange {
    id: u32,
    received: ReceivedRequest,
    content: Option<RecvStream>,
    /// It is not answered, and must not be dropped.
    _respond: SendResponse<Bytes>,
}

impl Theirs {
    pub(super) fn new() -> Self {
        let pipe = Pipe::default();
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(100).max_header_list_size(16 << 10).enable_connect_protocol();
        let state = State::Begins(builder.handshake(pipe.clone()));
        Self { pipe, state, reader: Reader::default(), exchanges: Vec::new(), acks: Vec::new() }
    }

    pub(super) fn take(&mut self, frame: &[u8]) -> Verdict {
        self.pipe.push(frame);
        let mut context = Context::from_waker(Waker::noop());
        // What the content makes room for is sent_frames in the second round.
        for _ in 0..2 {
            self.poll(&mut context);
            for exchange in &mut self.exchanges {
                exchange.receive(&mut context);
            }
        }
        let sent_frames = self.reader.read(&self.pipe.take());
        self.acks.extend(acks(&sent_frames));
        let verdict = verdict(&sent_frames, stream_of(frame));
        let over = matches!(self.state, State::Ended);
        if verdict == Verdict::Taken && over { Verdict::Over } else { verdict }
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        if let State::Begins(handshake) = &mut self.state {
            match Pin::new(handshake).poll(context) {
                Poll::Ready(Ok(connection)) => self.state = State::Runs(connection),
                Poll::Ready(Err(_)) => self.state = State::Ended,
                Poll::Pending => return,
            }
        }
        let State::Runs(connection) = &mut self.state else { return };
        loop {
            match connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.exchanges.push(Exchange::new(request, respond));
                }
                Poll::Ready(Some(Err(_)) | None) => {
                    self.state = State::Ended;
                    return;
                }
                Poll::Pending => return,
            }
        }
    }

    /// What was received on a stream.
    pub(super) fn request_on(&self, stream: u32) -> Option<ReceivedRequest> {
        self.exchanges.iter().find(|exchange| exchange.id == stream).map(|exchange| exchange.received.clone())
    }
}

impl Exchange {
    fn new(request: http::Request<RecvStream>, respond: SendResponse<Bytes>) -> Self {
        let (head, content) = request.into_parts();
        let host =
            head.headers.get("host").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let authority = head.uri.authority().map(ToString::to_string).or(host).unwrap_or_default();
        let target = head.uri.path_and_query().map_or_else(|| authority.clone(), ToString::to_string);
        let received = ReceivedRequest {
            method: head.method.to_string(),
            target: (authority, target),
            fields: without_host(fields(&head.headers)),
            ..ReceivedRequest::default()
        };
        Self { id: respond.stream_id().as_u32(), received, content: Some(content), _respond: respond }
    }

    fn receive(&mut self, context: &mut Context<'_>) {
        let Some(content) = &mut self.content else { return };
        loop {
            match content.poll_data(context) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.received.content.0.extend_from_slice(&chunk);
                    content.flow_control().release_capacity(chunk.len()).expect("bytes that were received");
                }
                Poll::Ready(Some(Err(_))) => {
                    self.content = None;
                    return;
                }
                Poll::Ready(None) => break,
                Poll::Pending => return,
            }
        }
        if let Poll::Ready(trailers) = content.poll_trailers(context) {
            let trailers = trailers.ok();
            self.received.ended = trailers.is_some();
            let kept = |(name, _): &(String, Octets)| !DISCARDED_TRAILERS.contains(&&name[..]);
            self.received.trailers = by_name(trailers.flatten().iter().flat_map(fields).filter(kept));
            self.content = None;
        }
    }
}
