//! `h2`, as client and as server: sends what the plan contains, and records what it receives.

use super::link::Task;
use super::plan::{Exchange, Message, NAMES, Part, Plan, Reset};
use super::{End, ReceivedMessage};
use crate::fuzz::h2_pipe::Pipe;
use crate::transcript::{Fields, Octets};
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use lws_proto::Bytes;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// What is received of one exchange, if any.
pub(super) type Slot = RefCell<Option<ReceivedMessage>>;

/// Small windows make small frames, which is no abuse here.
const SMALL_FRAMES: usize = 1 << 30;

fn header_map(fields: &Fields) -> HeaderMap {
    let line = |(name, value): &(String, Octets)| {
        let mut value = HeaderValue::from_bytes(&value.0).expect("a value");
        value.set_sensitive(name == "authorization");
        (HeaderName::from_bytes(name.as_bytes()).expect("a name"), value)
    };
    let mut map = HeaderMap::new();
    for (name, value) in fields.iter().map(line) {
        map.append(name, value);
    }
    map
}

/// Those that are compared, by name.
fn compared(map: &HeaderMap) -> Fields {
    let lines = map.iter().filter(|(name, _)| NAMES.contains(&name.as_str()));
    crate::h2::by_name(lines.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().into())))
}

/// Lets others have their turn.
async fn pace() {
    let mut waited = false;
    poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// One ping, which is answered.
async fn ping(ping_pong: Option<PingPong>) {
    ping_pong.expect("the only one").ping(Ping::opaque()).await.expect("an answer");
}

/// Sends what is left behind the first `sent` parts. Returns whether this side has given up.
async fn send(stream: &mut SendStream<Bytes>, message: &Message, give_up: Option<(usize, Reason)>) -> bool {
    for sent in 1.. {
        if let Some((_, reason)) = give_up.filter(|(after, _)| *after == sent) {
            stream.send_reset(reason);
            return true;
        }
        let taken = match message.parts.get(sent) {
            Some(Part::Content(content, end)) => stream.send_data(content.clone(), *end),
            Some(Part::Trailers) => {
                stream.send_trailers(header_map(message.trailers.as_ref().expect("trailers")))
            }
            None => break,
        };
        // The other side may have given up.
        if taken.is_err() {
            break;
        }
        pace().await;
    }
    false
}

/// Hears content and trailers to their end.
async fn receive(mut body: RecvStream, received: &mut ReceivedMessage) {
    let failed = |error: &h2::Error| End::Reset(error.reason().expect("a reset").into());
    while let Some(chunk) = body.data().await {
        match chunk {
            Ok(chunk) => {
                received.content.0.extend_from_slice(&chunk);
                body.flow_control().release_capacity(chunk.len()).expect("bytes that were received");
            }
            Err(error) => {
                received.end = failed(&error);
                return;
            }
        }
    }
    received.end = match body.trailers().await {
        Ok(trailers) => {
            received.trailers = trailers.as_ref().map(compared);
            End::Whole
        }
        Err(error) => failed(&error),
    };
}

/// A client, with a task that is its connection and, perhaps, one more.
pub(super) fn client<'a>(plan: &Plan, pipe: &Pipe, tasks: &mut Vec<Task<'a>>) -> SendRequest<Bytes> {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(plan.theirs.window())
        .initial_connection_window_size(plan.theirs.connection_window())
        .max_frame_size(plan.theirs.frame())
        .header_table_size(plan.theirs.table())
        .data_frame_budget(SMALL_FRAMES)
        .enable_push(false);
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(shaken) = pin!(builder.handshake::<_, Bytes>(pipe.clone())).poll(&mut context) else {
        panic!("a handshake that waits");
    };
    let (sender, mut connection) = shaken.expect("a handshake");
    if plan.pings {
        tasks.push(Box::pin(ping(connection.ping_pong())));
    }
    tasks.push(Box::pin(async { connection.await.expect("a connection without errors") }));
    sender
}

/// The client asks.
pub(super) async fn ask(mut sender: SendRequest<Bytes>, exchange: &Exchange, index: usize, slot: &Slot) {
    poll_fn(|context| sender.poll_ready(context)).await.expect("a connection");
    let message = &exchange.request;
    let method: Method = exchange.method.parse().expect("a method");
    let mut request =
        Request::builder().method(method).uri(format!("http://a/{index}")).body(()).expect("a request");
    *request.headers_mut() = header_map(&message.fields);
    let (content, end) = message.parts[0].with_head();
    let alone = end && content.is_empty();
    let (mut response, mut stream) = sender.send_request(request, alone).expect("a stream");
    drop(sender);
    if !alone {
        stream.send_data(content, end).expect("content");
    }
    let give_up = match exchange.reset {
        Reset::Client(after) => Some((after, Reason::CANCEL)),
        _ => None,
    };
    if send(&mut stream, message, give_up).await {
        return;
    }
    let mut received = ReceivedMessage::default();
    let answer = poll_fn(|context| {
        while let Poll::Ready(Some(Ok(_))) = response.poll_informational(context) {
            received.interim += 1;
        }
        Pin::new(&mut response).poll(context)
    });
    match answer.await {
        Ok(response) => {
            received.begin = response.status().as_u16().to_string();
            received.fields = compared(response.headers());
            receive(response.into_body(), &mut received).await;
        }
        Err(error) => received.end = End::Reset(error.reason().expect("a reset").into()),
    }
    slot.replace(Some(received));
}

/// Runs the server, which receives the requests and answers them, until `end`.
pub(super) async fn serve(plan: &Plan, pipe: Pipe, slots: &[Slot], end: &Cell<bool>) {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(plan.theirs.window())
        .initial_connection_window_size(plan.theirs.connection_window())
        .max_frame_size(plan.theirs.frame())
        .header_table_size(plan.theirs.table())
        .data_frame_budget(SMALL_FRAMES)
        .max_concurrent_streams(plan.theirs.streams());
    let mut connection = builder.handshake::<_, Bytes>(pipe).await.expect("a handshake");
    let mut tasks: Vec<Task<'_>> = Vec::new();
    if plan.pings {
        tasks.push(Box::pin(ping(connection.ping_pong())));
    }
    poll_fn(|context| {
        if end.take() {
            connection.graceful_shutdown();
        }
        while let Poll::Ready(next) = connection.poll_accept(context) {
            let Some(next) = next else { return Poll::Ready(()) };
            let (request, respond) = next.expect("a request");
            let index: usize = request.uri().path()[1..].parse().expect("a path of the plan");
            tasks.push(Box::pin(answer(request, respond, &plan.exchanges[index], &slots[index])));
        }
        tasks.retain_mut(|task| task.as_mut().poll(context).is_pending());
        Poll::Pending
    })
    .await;
}

/// The server answers.
async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    exchange: &Exchange,
    slot: &Slot,
) {
    let (head, body) = request.into_parts();
    let mut received = ReceivedMessage {
        begin: head.method.to_string(),
        fields: compared(&head.headers),
        ..ReceivedMessage::default()
    };
    for _ in 0..exchange.interim {
        let interim = Response::builder().status(StatusCode::EARLY_HINTS).body(()).expect("a response");
        // The client may have given up.
        let _ = respond.send_informational(interim);
    }
    if exchange.early {
        respond_with(&mut respond, exchange).await;
        receive(body, &mut received).await;
    } else {
        receive(body, &mut received).await;
        if received.end == End::Whole {
            respond_with(&mut respond, exchange).await;
        }
    }
    slot.replace(Some(received));
}

async fn respond_with(respond: &mut SendResponse<Bytes>, exchange: &Exchange) {
    let message = &exchange.response;
    let give_up = match exchange.reset {
        Reset::Server(after) => Some((after, Reason::INTERNAL_ERROR)),
        _ => None,
    };
    if let Some((0, reason)) = give_up {
        respond.send_reset(reason);
        return;
    }
    let mut response = Response::builder().status(exchange.status).body(()).expect("a response");
    *response.headers_mut() = header_map(&message.fields);
    let (content, end) = message.parts[0].with_head();
    let alone = end && content.is_empty();
    // The client may have given up.
    let Ok(mut stream) = respond.send_response(response, alone) else { return };
    if alone || stream.send_data(content, end).is_ok() {
        send(&mut stream, message, give_up).await;
    }
}
