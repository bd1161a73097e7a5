//! One exchange with a script: content goes to it, its answer to the client, each in pieces.
//!
//! Content is taken from the client when the script has taken what came before, and output is read from the script when the client can
//! take it; of what one side has not taken yet no more than a piece is kept. Content whose length is not known is the exception: it may be
//! gathered first. Knows no process and no record.

use crate::allowance::Allowance;
use crate::backend::{Backend, Launch, Received};
use crate::chunks::Dechunker;
use crate::failure::{Failure, Notice};
use crate::head::{Answer, HeadFault, HeadReader, ScriptHead};
use crate::limits::{Limits, WithoutLength};
use crate::report::Reporter;
use lws_server::http::{self, Answer as _, Exchange, HeadBuf, Method, Permit, Request, Response, Status};
use lws_server::{Cause, Context, Payload};

/// Octets of output that are read at once.
const READ_BYTES: usize = 16 << 10;

/// What the endpoint says of every exchange.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) limits: Limits,
    pub(crate) without_length: WithoutLength,
    pub(crate) reporter: Reporter,
}

/// The handler of an exchange with a script.
struct Relay<L: Launch> {
    terms: Terms,
    /// Only the head of the answer is sent. RFC 9110 §9.3.2.
    head_only: bool,
    /// The request, to go on with another one in its place.
    head: Option<HeadBuf>,
    stage: Stage<L>,
}

enum Stage<L: Launch> {
    /// The content has no length yet.
    Gathering {
        launch: L,
        content: Vec<u8>,
    },
    Running(Running<L::Backend>),
    /// A response waits for its permit.
    Refusing(Response),
    Over,
}

struct Running<B> {
    backend: B,
    input: Input,
    output: Output,
    /// What is left of [`Limits::head_timeout`].
    head_time: Allowance,
    /// The script is waited for, and not the client.
    clock_runs: bool,
}

/// The content of the request on its way.
#[derive(Debug, Default)]
struct Input {
    /// What the script has not taken of the last piece; while there is any, no more is taken from the client.
    unsent: Vec<u8>,
    /// The last of it has come.
    ended: bool,
    finished: bool,
}

/// The answer on its way.
enum Output {
    Head(HeadReader),
    Content(Content),
}

/// The content of the answer.
struct Content {
    /// What its `Content-Length` has left.
    left: Option<u64>,
    chunks: Option<Dechunker>,
    /// What may still be sent of [`Limits::output_bytes_max`].
    allowed: u64,
}

/// What a piece of output is to the response.
#[derive(Debug)]
enum Piece {
    Content { len: usize, last: bool },
    Nothing,
    Failed(Failure),
}

/// Begins an exchange with a script: at once, or when its content has been gathered.
pub(crate) fn begin<L: Launch>(
    cx: &mut Context<'_>,
    request: &Request<'_>,
    mut exchange: Exchange<'_>,
    end: bool,
    launch: L,
    terms: Terms,
) -> Option<Box<dyn http::Handler>> {
    let length = request.text("content-length").and_then(|length| length.parse().ok());
    let head_only = request.method() == Method::Head;
    let mut relay = Relay { terms, head_only, head: request.to_buf(), stage: Stage::Over };
    match relay.terms.without_length {
        _ if end || length.is_some() => relay.start(cx, exchange, launch, length, Vec::new(), end),
        WithoutLength::Stream => relay.start(cx, exchange, launch, None, Vec::new(), end),
        WithoutLength::Gather(max) => {
            exchange.limit_content(max as u64);
            relay.stage = Stage::Gathering { launch, content: Vec::new() };
        }
        WithoutLength::Refuse => {
            return Response::error(Status::LENGTH_REQUIRED).answer(cx, exchange, end);
        }
    }
    Some(Box::new(relay))
}

impl<L: Launch> Relay<L> {
    /// Starts the script. `content` is what was gathered.
    fn start(
        &mut self,
        cx: &mut Context<'_>,
        mut exchange: Exchange<'_>,
        launch: L,
        length: Option<u64>,
        content: Vec<u8>,
        end: bool,
    ) {
        let Some(id) = cx.id() else { return };
        let max = self.terms.limits.head_bytes_max;
        if let Err(limit) = exchange.hold(max) {
            let status = Status::new(limit.status()).unwrap_or(Status::SERVICE_UNAVAILABLE);
            return self.refuse(exchange, Response::error(status));
        }
        match launch.launch(cx, id, length) {
            Ok(backend) => {
                let mut head_time = Allowance::new(self.terms.limits.head_timeout);
                exchange.set_timeout(Some(head_time.run(cx.now())));
                let input = Input { unsent: content, ended: end, finished: false };
                let output = Output::Head(HeadReader::new(max));
                let mut running = Running { backend, input, output, head_time, clock_runs: true };
                running.offer(cx);
                running.keep_time(cx, &mut exchange);
                self.stage = Stage::Running(running);
                // From here on the output is awaited.
                self.advance(cx, exchange);
            }
            Err(failure) => self.fail(cx, exchange, &failure),
        }
    }

    /// Sends what there is to send.
    fn advance(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        match exchange.permit() {
            Ok(permit) => self.write(cx, permit),
            Err(mut exchange) => exchange.want_write(),
        }
    }

    fn write(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        match &mut self.stage {
            Stage::Running(Running { output: Output::Head(_), .. }) => self.write_head(cx, permit),
            Stage::Running(Running { output: Output::Content(_), .. }) => self.write_content(cx, permit),
            Stage::Refusing(_) => {
                if let Stage::Refusing(response) = std::mem::replace(&mut self.stage, Stage::Over) {
                    permit.reply(response);
                }
            }
            Stage::Gathering { .. } | Stage::Over => {}
        }
    }

    /// Reads the header of the answer, as far as it is there.
    fn write_head(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        let mut room = [0; READ_BYTES];
        loop {
            let Stage::Running(Running { backend, output: Output::Head(reader), .. }) = &mut self.stage
            else {
                return;
            };
            let failure = match backend.receive(cx, &mut room) {
                Received::Pending => return,
                Received::Octets(len) => match reader.push(&room[..len]) {
                    Ok(None) => continue,
                    Ok(Some((answer, used))) => {
                        return self.respond(cx, permit, answer, &mut room[used..len]);
                    }
                    Err(fault) => Failure::Head(fault),
                },
                Received::End => Failure::Head(HeadFault::Cut),
                Received::Failed(failure) => failure,
            };
            return self.fail(cx, permit.into_exchange(), &failure);
        }
    }

    /// Sends the head of the response, with the content that was read behind it.
    fn respond(&mut self, cx: &mut Context<'_>, permit: Permit<'_>, answer: Answer, behind: &mut [u8]) {
        let head = match answer {
            Answer::Document(head) => head,
            Answer::Elsewhere(path) => return self.turn(cx, permit.into_exchange(), &path),
        };
        let mut content = Content::new(&head, self.terms.limits.output_bytes_max);
        let is_bare = self.head_only || head.status.is_without_content();
        let (len, last) = match content.take(behind) {
            _ if is_bare => (0, true),
            Piece::Content { len, last } => (len, last),
            Piece::Nothing => (0, content.is_whole()),
            Piece::Failed(failure) => return self.fail(cx, permit.into_exchange(), &failure),
        };
        let fields = head.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        match permit.respond(head.status, fields, Payload::Copy(&behind[..len]), last) {
            Ok(spent) if last => {
                spent.into_exchange().set_timeout(None);
                self.end(cx, true);
            }
            Ok(spent) => {
                let mut exchange = spent.into_exchange();
                exchange.set_timeout(None);
                exchange.let_go(self.terms.limits.head_bytes_max);
                exchange.want_write();
                if let Stage::Running(running) = &mut self.stage {
                    running.output = Output::Content(content);
                }
            }
            Err(_) => {
                // A field that the engine does not send. The permit is gone, so that the exchange has to be lent again.
                let failure = Failure::Head(HeadFault::Line);
                self.report(&failure);
                self.end(cx, false);
                self.stage = Stage::Refusing(Response::error(failure.status()));
                if let Some(id) = cx.id() {
                    cx.wake(id);
                }
            }
        }
    }

    /// Answers with what another path of this server does. RFC 3875 §6.2.2.
    fn turn(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, path: &str) {
        match self.head.take().and_then(|head| head.local_redirect(path)) {
            Some(head) => {
                self.end(cx, true);
                exchange.reroute(head);
            }
            None => self.fail(cx, exchange, &Failure::Elsewhere),
        }
    }

    /// Sends a piece of content, if there is one.
    fn write_content(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        let Stage::Running(Running { backend, output: Output::Content(content), .. }) = &mut self.stage
        else {
            return;
        };
        let mut room = [0; READ_BYTES];
        let room = &mut room[..permit.budget().min(READ_BYTES)];
        let piece = match backend.receive(cx, room) {
            Received::Pending => return,
            Received::Octets(len) => content.take(&mut room[..len]),
            Received::End => content.end(),
            Received::Failed(failure) => Piece::Failed(failure),
        };
        match piece {
            Piece::Nothing => permit.into_exchange().want_write(),
            Piece::Failed(failure) => self.fail(cx, permit.into_exchange(), &failure),
            Piece::Content { len, last } => match permit.data(Payload::Copy(&room[..len]), last) {
                Ok(spent) if !last => spent.again(),
                // What does not fit to the head is the end of the response, too: the engine cuts it.
                Ok(_) | Err(_) => self.end(cx, true),
            },
        }
    }

    /// Answers that there is no answer, or cuts the one that has begun.
    fn fail(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, failure: &Failure) {
        self.report(failure);
        let has_begun = matches!(&self.stage, Stage::Running(Running { output: Output::Content(_), .. }));
        self.end(cx, false);
        if has_begun {
            return exchange.abort();
        }
        exchange.set_timeout(None);
        let mut response = Response::error(failure.status());
        if let Failure::TooMany = failure {
            response = response.field("Retry-After", "1");
        }
        self.refuse(exchange, response);
    }

    fn refuse(&mut self, exchange: Exchange<'_>, response: Response) {
        match exchange.reply(response) {
            Ok(()) => self.stage = Stage::Over,
            Err((mut exchange, response)) => {
                exchange.want_write();
                self.stage = Stage::Refusing(response);
            }
        }
    }

    /// Lets go of the script.
    fn end(&mut self, cx: &mut Context<'_>, whole: bool) {
        if let Stage::Running(mut running) = std::mem::replace(&mut self.stage, Stage::Over) {
            running.backend.release(cx, whole);
        }
    }

    fn report(&self, failure: &Failure) {
        self.terms.reporter.report(&Notice::Failed(failure));
    }
}

impl<L: Launch> http::Handler for Relay<L> {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn content(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        match &mut self.stage {
            Stage::Running(running) => {
                if !running.take(cx, chunk, end) {
                    exchange.pause();
                }
                running.keep_time(cx, &mut exchange);
            }
            Stage::Gathering { content, .. } => {
                if let Err(limit) = exchange.hold(chunk.len()) {
                    let status = Status::new(limit.status()).unwrap_or(Status::SERVICE_UNAVAILABLE);
                    return self.refuse(exchange, Response::error(status));
                }
                content.extend_from_slice(chunk);
                if end
                    && let Stage::Gathering { launch, content } =
                        std::mem::replace(&mut self.stage, Stage::Over)
                {
                    let length = content.len() as u64;
                    self.start(cx, exchange, launch, Some(length), content, true);
                }
            }
            Stage::Refusing(_) | Stage::Over => {}
        }
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        self.write(cx, permit);
    }

    fn timer(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        if matches!(&self.stage, Stage::Running(Running { output: Output::Head(_), .. })) {
            self.fail(cx, exchange, &Failure::HeadTimeout);
        }
    }

    /// The script has something to say, or room.
    fn wake(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>) {
        if let Stage::Running(running) = &mut self.stage {
            if running.offer(cx) {
                exchange.resume();
            }
            running.keep_time(cx, &mut exchange);
        }
        self.advance(cx, exchange);
    }

    fn close(&mut self, cx: &mut Context<'_>, _: Cause) {
        self.end(cx, false);
    }
}

impl<B: Backend> Running<B> {
    /// Hands content on. Answers whether the script has taken all of it.
    fn take(&mut self, cx: &mut Context<'_>, chunk: &[u8], end: bool) -> bool {
        let taken = if self.input.unsent.is_empty() { self.backend.send(cx, chunk) } else { 0 };
        self.input.unsent.extend_from_slice(&chunk[taken..]);
        self.input.ended = end;
        self.offer(cx)
    }

    /// Offers the script what it has not taken. Answers whether it has taken all, so that more may come.
    fn offer(&mut self, cx: &mut Context<'_>) -> bool {
        let Self { backend, input, .. } = self;
        if !input.unsent.is_empty() {
            let taken = backend.send(cx, &input.unsent);
            input.unsent.drain(..taken);
        }
        if input.unsent.is_empty() && input.ended && !input.finished {
            input.finished = true;
            backend.finish(cx);
        }
        input.unsent.is_empty()
    }

    /// Counts the time of the script alone: it stands still while the next content is awaited from the client.
    fn keep_time(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange<'_>) {
        let runs = self.input.ended || !self.input.unsent.is_empty();
        if std::mem::replace(&mut self.clock_runs, runs) == runs {
            return;
        }
        self.backend.set_clock(cx, runs);
        let Output::Head(_) = self.output else { return };
        let now = cx.now();
        if runs {
            exchange.set_timeout(Some(self.head_time.run(now)));
        } else {
            self.head_time.rest(now);
            exchange.set_timeout(None);
        }
    }
}

impl Content {
    fn new(head: &ScriptHead, output_bytes_max: Option<u64>) -> Self {
        Self {
            left: head.length,
            chunks: head.chunked.then(Dechunker::new),
            allowed: output_bytes_max.unwrap_or(u64::MAX),
        }
    }

    /// Whether there is no more content, whatever else is written.
    fn is_whole(&self) -> bool {
        self.left == Some(0) || self.chunks.is_some_and(Dechunker::has_ended)
    }

    /// Takes output, whose content is at its beginning then. What is behind the length that was said is not sent.
    fn take(&mut self, octets: &mut [u8]) -> Piece {
        let mut len = octets.len();
        if let Some(chunks) = &mut self.chunks {
            match chunks.decode(octets) {
                Ok(content) => len = content,
                Err(_) => return Piece::Failed(Failure::NotChunked),
            }
        }
        if let Some(left) = &mut self.left {
            len = len.min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= len as u64;
        }
        let Some(allowed) = self.allowed.checked_sub(len as u64) else {
            return Piece::Failed(Failure::OutputMax);
        };
        self.allowed = allowed;
        let last = self.is_whole();
        if len == 0 && !last { Piece::Nothing } else { Piece::Content { len, last } }
    }

    /// There is no more output.
    fn end(&self) -> Piece {
        match (self.left, self.chunks) {
            (Some(1..), _) => Piece::Failed(Failure::Short),
            (_, Some(chunks)) if !chunks.has_ended() => Piece::Failed(Failure::NotChunked),
            _ => Piece::Content { len: 0, last: true },
        }
    }
}
