//! `h2` as the client of our server and as the server of our client, over a pipe in memory: what one side said is what the other has
//! heard, whatever the windows, the frames and the parts of the input are.

use h2::Reason;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use lws_proto::h2::ErrorCode;
use lws_proto::{Bytes, Cause, Payload};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tests::application::{Each, NO_FIELDS, Silent};
use tests::endpoint::{Buffer, limits};
use tests::{Application, Endpoint, Random, Seen, Transcript};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The transport of `h2`.
#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<Ends>>);

#[derive(Default)]
struct Ends {
    /// What `h2` will read, and what it has written.
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let incoming = &mut self.0.borrow_mut().incoming;
        if incoming.is_empty() {
            // Whoever drives the test asks again.
            return Poll::Pending;
        }
        let len = incoming.len().min(buffer.remaining());
        incoming.drain(..len).for_each(|byte| buffer.put_slice(&[byte]));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.borrow_mut().outgoing.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Pipe {
    /// Carries bytes in both directions, in parts. Returns whether there were any.
    fn carry<A: Application>(&self, endpoint: &mut Endpoint<A>, random: &mut Random) -> bool {
        let outgoing = std::mem::take(&mut self.0.borrow_mut().outgoing);
        let mut rest = &outgoing[..];
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(1 + random.below(5_000)));
            endpoint.receive(part, if random.one_in(2) { Buffer::Own } else { Buffer::Lent });
            rest = after;
        }
        endpoint.settle();
        let sent = endpoint.take_sent();
        self.0.borrow_mut().incoming.extend(&sent);
        !outgoing.is_empty() || !sent.is_empty()
    }
}

type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Drives the tasks of `h2` and the engine until nothing moves any more.
fn drive<A: Application>(
    tasks: &mut Vec<Task<'_>>,
    pipe: &Pipe,
    endpoint: &mut Endpoint<A>,
    random: &mut Random,
) {
    let mut context = Context::from_waker(Waker::noop());
    let mut quiet = 0;
    for _ in 0..20_000 {
        tasks.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
        quiet = if pipe.carry(endpoint, random) { 0 } else { quiet + 1 };
        if quiet == 5 {
            return;
        }
    }
    panic!("it does not come to rest");
}

/// One exchange: what is sent, and how.
#[derive(Clone, Debug)]
struct Plan {
    content: Vec<u8>,
    parts: usize,
    trailers: bool,
    reset: bool,
}

impl Plan {
    fn any(random: &mut Random, resets: bool) -> Self {
        let len = *random.pick(&[0, 1, 5, 1_000, 16_384, 65_535, 65_536, 150_000]);
        Self {
            content: random.bytes(len),
            parts: 1 + random.below(4),
            trailers: random.one_in(3),
            reset: resets && random.one_in(5),
        }
    }

    fn chunks(&self) -> impl Iterator<Item = Bytes> {
        self.content.chunks(self.content.len().div_ceil(self.parts).max(1)).map(Bytes::copy_from_slice)
    }
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("x-end"), HeaderValue::from_static("yes"))])
}

/// What was heard of one exchange.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    status: u16,
    content: Vec<u8>,
    trailers: bool,
    failed: bool,
}

async fn receive(mut body: h2::RecvStream, heard: &mut Heard) {
    while let Some(chunk) = body.data().await {
        let Ok(chunk) = chunk else {
            heard.failed = true;
            return;
        };
        heard.content.extend_from_slice(&chunk);
        body.flow_control().release_capacity(chunk.len()).expect("bytes that were received");
    }
    heard.trailers = body.trailers().await.expect("the end of the stream").is_some();
}

/// `h2` asks.
async fn ask(mut sender: SendRequest<Bytes>, plan: Plan, heard: Rc<RefCell<Heard>>) {
    std::future::poll_fn(|context| sender.poll_ready(context)).await.expect("a connection");
    let request = Request::builder().method(Method::POST).uri("http://a/echo").body(()).expect("a request");
    let (response, mut stream) = sender.send_request(request, false).expect("a stream");
    for chunk in plan.chunks() {
        stream.send_data(chunk, false).expect("content");
    }
    if plan.reset {
        stream.send_reset(Reason::CANCEL);
        return;
    }
    if plan.trailers {
        stream.send_trailers(trailers()).expect("trailers");
    } else {
        stream.send_data(Bytes::new(), true).expect("the end");
    }
    let response = response.await.expect("a response");
    let mut found = Heard { status: response.status().as_u16(), ..Heard::default() };
    receive(response.into_body(), &mut found).await;
    *heard.borrow_mut() = found;
}

/// What the engine has heard of one exchange, and how that ended.
fn of(transcript: &Transcript) -> (Heard, Option<Cause>) {
    let mut heard = Heard::default();
    let mut ended = None;
    for seen in &transcript.0 {
        match seen {
            Seen::Response { status, .. } => heard.status = *status,
            Seen::Body { content, .. } => heard.content.extend_from_slice(&content.0),
            Seen::Trailers { .. } => heard.trailers = true,
            Seen::Closed(cause) => ended = Some(*cause),
            _ => {}
        }
    }
    (heard, ended)
}

#[test]
fn a_server_hears_what_h2_asks_and_h2_hears_the_answers() {
    for seed in 0..24 {
        let mut random = Random::new(seed);
        let pipe = Pipe::default();
        let config = limits(|limits| limits.h2_stream_window = [65_535, 1_000, 1 << 20][seed as usize % 3]);
        let mut server = Endpoint::http2_server(config, Each::echo());
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size([65_535, 500, 1 << 20][seed as usize / 3 % 3]);
        builder.max_frame_size([16_384, 40_000][seed as usize % 2]).enable_push(false);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(shaken) = pin!(builder.handshake::<_, Bytes>(pipe.clone())).poll(&mut context) else {
            panic!("a handshake that waits");
        };
        let (sender, connection) = shaken.expect("a handshake");
        let plans: Vec<Plan> = (0..1 + random.below(12)).map(|_| Plan::any(&mut random, true)).collect();
        let heard: Vec<Rc<RefCell<Heard>>> = plans.iter().map(|_| Rc::default()).collect();
        let mut tasks: Vec<Task<'_>> =
            vec![Box::pin(async { connection.await.expect("a connection without errors") })];
        for (plan, heard) in plans.iter().zip(&heard) {
            tasks.push(Box::pin(ask(sender.clone(), plan.clone(), Rc::clone(heard))));
        }
        drive(&mut tasks, &pipe, &mut server, &mut random);
        assert_eq!(tasks.len(), 1, "seed {seed}: the exchanges have ended, the connection has not");
        assert_eq!(server.streams.len(), plans.iter().filter(|plan| !plan.reset).count() + resets(&server));
        let whole =
            server.streams.iter().map(|(_, one)| of(one)).filter(|(_, end)| *end == Some(Cause::Complete));
        let whole: Vec<Heard> = whole.map(|(heard, _)| heard).collect();
        let asked = plans.iter().filter(|plan| !plan.reset);
        for ((plan, asked), answer) in
            asked.zip(&whole).zip(heard.iter().zip(&plans).filter(|(_, plan)| !plan.reset))
        {
            assert!(asked.content == plan.content && asked.trailers == plan.trailers, "seed {seed}");
            let answer = answer.0.borrow();
            assert!(answer.status == 200 && !answer.failed, "seed {seed}: {}", answer.status);
            assert!(answer.content == plan.content, "seed {seed}: {} bytes came back", answer.content.len());
        }
        // The orderly end is one for both.
        server.connection.drain(server.now);
        drop(sender);
        drive(&mut tasks, &pipe, &mut server, &mut random);
        assert!(tasks.is_empty(), "seed {seed}: the connection has ended");
    }
}

/// Streams that were reset after they had been told.
fn resets<A>(server: &Endpoint<A>) -> usize {
    let reset = Some(Cause::Reset(ErrorCode::CANCEL));
    server.streams.iter().filter(|(_, one)| of(one).1 == reset).count()
}

/// `h2` answers: the same content and the same trailers.
async fn serve(pipe: Pipe, window: u32) {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(window).max_concurrent_streams(3);
    let mut connection = builder.handshake::<_, Bytes>(pipe).await.expect("a handshake");
    let mut tasks: Vec<Task<'_>> = Vec::new();
    std::future::poll_fn(|context| {
        while let Poll::Ready(next) = connection.poll_accept(context) {
            let Some(next) = next else { return Poll::Ready(()) };
            let (request, mut respond) = next.expect("a request");
            tasks.push(Box::pin(async move {
                let mut heard = Heard::default();
                receive(request.into_body(), &mut heard).await;
                let mut stream = respond.send_response(Response::new(()), false).expect("a response");
                stream.send_data(heard.content.into(), !heard.trailers).expect("content");
                if heard.trailers {
                    stream.send_trailers(trailers()).expect("trailers");
                }
            }));
        }
        tasks.retain_mut(|task| task.as_mut().poll(context).is_pending());
        Poll::Pending
    })
    .await;
}

#[test]
fn h2_hears_what_a_client_asks_and_the_client_hears_the_answers() {
    for seed in 0..24 {
        let mut random = Random::new(seed);
        let pipe = Pipe::default();
        let mut client = Endpoint::http2_client(limits(|_| {}), Silent);
        let plans: Vec<Plan> = (0..1 + random.below(12)).map(|_| Plan::any(&mut random, false)).collect();
        let window = [65_535, 500, 1 << 20][seed as usize % 3];
        let mut tasks: Vec<Task<'_>> = vec![Box::pin(serve(pipe.clone(), window))];
        // Once the server has said how many streams it takes, no request is refused.
        drive(&mut tasks, &pipe, &mut client, &mut random);
        let mut keys = Vec::new();
        for plan in &plans {
            let request = lws_proto::Request { method: "POST", target: "/echo", host: "a" };
            let content = Payload::Copy(&plan.content);
            let sent = client.connection.request(client.now, &request, NO_FIELDS, content, true);
            keys.push(sent.expect("a request").key());
        }
        drive(&mut tasks, &pipe, &mut client, &mut random);
        assert_eq!(client.streams.len(), plans.len(), "seed {seed}");
        for (key, plan) in keys.iter().zip(&plans) {
            let stream = client.streams.iter().find(|(other, _)| other == key);
            let (heard, end) = of(&stream.expect("a stream that was told").1);
            assert_eq!((heard.status, end), (200, Some(Cause::Complete)), "seed {seed}");
            assert!(heard.content == plan.content, "seed {seed}: {} bytes came back", heard.content.len());
        }
    }
}
