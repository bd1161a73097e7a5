//! What a session does about the stream: looks for it, makes it, and takes its answers.

use super::{NatsSession, SessionPhase, refused};
use crate::nats::command;
use crate::nats::history::{FetchProgress, Histories, Question};
use crate::nats::operation::{Delivery, WireViolation};
use crate::nats::stream::{self, StreamAnswer};
use crate::session::SessionEvent;
use crate::{Cause, Position, Receipt, Topic};
use lws_proto::Time;
use std::fmt::Arguments;
use std::time::Duration;

/// The number of the subscription to answers. Those of topics begin with 1.
pub(super) const INBOX: u64 = 0;

/// Octets of the headers that a server adds to a message: the names of the stream and of the subject, and some numbers.
pub(super) const HEADERS_BYTES_MAX: usize = 2_048;

/// What the subject of an answer ends with: about the stream; to a publication, with its receipt; and to a question for a message, with
/// its number.
const STREAM: &str = "stream";
pub(super) const PUBLICATION: &str = "p";
const HISTORY: &str = "h";

/// No one answers.
const NO_RESPONDERS: u16 = 503;
/// There is no such message.
const NOT_FOUND: u16 = 404;

/// What a user needs.
pub(super) const PERMISSIONS: &str = "history needs publish to $JS.API.STREAM.INFO, $JS.API.STREAM.CREATE and $JS.API.DIRECT.GET of the \
     stream, and subscribe to _INBOX.>, or make the stream for the user";
const NO_JETSTREAM: &str = "enable JetStream: jetstream {} in the configuration of the server, or its option -js; with a cluster, \
     wait until the stream has a leader";
const OTHER_STREAM: &str =
    "it was made for something else: use another prefix, or edit it to have what a stream of ours has";
const REPLACED: &str = "the stream was made anew: it is looked for again by itself";

/// Whether without permission for a subject nothing works.
pub(super) fn is_vital(subject: &str) -> bool {
    subject.starts_with("$JS.") || subject.starts_with("_INBOX.")
}

/// The server cannot have JetStream as it is needed here.
pub(super) fn unsupported() -> Cause {
    refused("the server has no headers or no name", "history needs NATS 2.9 or later")
}

fn violation(violation: WireViolation) -> Cause {
    Cause::Violation(violation.rule())
}

/// How often the server is asked whether the stream is the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks for offsets that begin again, as they do in a stream that was made anew. A message may also overtake another one on its way, as
/// servers store what connections publish at the same time in one order and send it in another, so that it is a reason to ask.
#[derive(Debug, Default)]
pub(super) struct StreamWatch {
    /// The highest offset that came.
    last: u64,
    /// An offset that is not higher came, and the server was not asked since.
    doubts: bool,
    asked: Option<Time>,
}

impl StreamWatch {
    /// A message came. Answers whether the server is to be asked.
    fn came(&mut self, now: Time, offset: u64) -> bool {
        self.doubts |= offset <= self.last;
        self.last = self.last.max(offset);
        let asks = self.doubts && self.asked.is_none_or(|asked| now - asked >= LOOK_EVERY);
        if asks {
            (self.doubts, self.asked) = (false, Some(now));
        }
        asks
    }
}

impl NatsSession {
    /// Asks for the stream, behind the subscription to answers.
    pub(super) fn open_stream(&mut self) {
        self.phase = SessionPhase::Opening;
        let answers = format!("{}.>", self.inbox);
        self.output.push(|out| command::subscribe(out, &answers, INBOX));
        self.ask_about_stream("INFO", b"");
    }

    fn ask_about_stream(&mut self, verb: &str, body: &[u8]) {
        let subject = format!("$JS.API.STREAM.{verb}.{}", stream::name(&self.options.prefix));
        self.ask(&subject, format_args!("{STREAM}"), body);
    }

    /// Asks something whose answer is found by `token`.
    pub(super) fn ask(&mut self, subject: &str, token: Arguments<'_>, body: &[u8]) {
        let reply_to = format!("{}.{token}", self.inbox);
        self.output.push(|out| command::request(out, subject, &reply_to, body));
    }

    /// Begins with the history of a topic.
    pub(super) fn begin_history(&mut self, topic: &Topic, after: Option<Position>) {
        let subject = self.options.prefix.subject(topic);
        if let Some(histories) = &mut self.histories {
            let question = histories.begin(topic, subject, after);
            self.ask_for_message(&question);
        }
    }

    fn ask_for_message(&mut self, question: &Question) {
        let subject = format!("$JS.API.DIRECT.GET.{}", stream::name(&self.options.prefix));
        self.ask(&subject, format_args!("{HISTORY}{}", question.number), question.body.as_bytes());
    }

    /// The place of a message of a topic, and that of the one before it. `None` if it was published without the stream.
    pub(super) fn link(&mut self, now: Time, headers: &[u8]) -> Option<(Position, u64)> {
        let histories = self.histories.as_mut()?;
        let number = |name: &str| stream::number(headers, name);
        let (offset, previous) = (number("Nats-Sequence")?, number("Nats-Last-Sequence")?);
        histories.came(offset);
        let position = Position { epoch: histories.epoch(), offset };
        if self.stream_watch.came(now, offset) {
            self.ask_about_stream("INFO", b"");
        }
        Some((position, previous))
    }

    /// Whether a message is larger than what is received, without the headers of the stream.
    pub(super) fn is_too_large(&self, payload: &[u8]) -> bool {
        payload.len() > self.options.message_bytes_max
    }

    /// What an answer is to, by its subject.
    fn token<'a>(&self, subject: &'a [u8]) -> Option<&'a str> {
        let token = subject.strip_prefix(self.inbox.as_bytes())?.strip_prefix(b".")?;
        std::str::from_utf8(token).ok()
    }

    pub(super) fn on_answer(&mut self, now: Time, answer: &Delivery<'_>) -> Result<(), Cause> {
        let Some(token) = self.token(answer.subject) else { return Ok(()) };
        let status = stream::status(answer.headers);
        if status == Some(NO_RESPONDERS) {
            return Err(refused("JetStream does not answer", NO_JETSTREAM));
        }
        if token == STREAM {
            return self.on_stream(answer.payload);
        }
        let is_too_large = self.is_too_large(answer.payload);
        let number = |kind: &str| token.strip_prefix(kind)?.parse::<u64>().ok();
        if let Some(receipt) = number(PUBLICATION) {
            return self.on_stored(Receipt(receipt), answer.payload);
        }
        let (Some(number), Some(histories)) = (number(HISTORY), &mut self.histories) else { return Ok(()) };
        let progress = match (status, stream::number(answer.headers, "Nats-Sequence")) {
            (Some(NOT_FOUND), _) => histories.at_end(number),
            (None, Some(_)) if is_too_large => histories.failed(number),
            (None, Some(offset)) => histories.found(now, number, offset, answer.payload),
            _ => histories.failed(number),
        };
        self.go_on(progress);
        Ok(())
    }

    /// An answer that is larger than what is received: only a message can be.
    pub(super) fn on_large_answer(&mut self, subject: &[u8]) {
        let number = self.token(subject).and_then(|token| token.strip_prefix(HISTORY)?.parse().ok());
        if let (Some(number), Some(histories)) = (number, &mut self.histories) {
            let progress = histories.failed(number);
            self.go_on(progress);
        }
    }

    fn go_on(&mut self, progress: Option<FetchProgress>) {
        match progress {
            Some(FetchProgress::Next(question)) => self.ask_for_message(&question),
            Some(FetchProgress::Done(history)) => self.events.push_back(SessionEvent::History(history)),
            None => {}
        }
    }

    fn on_stream(&mut self, payload: &[u8]) -> Result<(), Cause> {
        if self.phase == SessionPhase::Ready {
            return self.on_same_stream(payload);
        }
        if !matches!(self.phase, SessionPhase::Opening | SessionPhase::Making) {
            return Ok(());
        }
        let Some(options) = self.options.history else { return Ok(()) };
        match stream::answer(&self.options.prefix, payload).map_err(violation)? {
            StreamAnswer::Found(found) => {
                self.histories = Some(Histories::new(found, options.recovery_bytes_max));
                self.phase = SessionPhase::Ready;
                self.events.push_back(SessionEvent::Ready);
                Ok(())
            }
            StreamAnswer::Missing if self.phase == SessionPhase::Opening => {
                self.phase = SessionPhase::Making;
                let configuration = stream::configuration(&self.options.prefix, &options);
                self.ask_about_stream("CREATE", configuration.as_bytes());
                Ok(())
            }
            StreamAnswer::Missing => Err(refused("the stream is gone again", REPLACED)),
            StreamAnswer::Other(lacks) => {
                let name = stream::name(&self.options.prefix);
                Err(refused(&format!("stream {name} lacks our {lacks}"), OTHER_STREAM))
            }
            StreamAnswer::Refused(error) => Err(refused(&error, NO_JETSTREAM)),
        }
    }

    /// Whether the stream is still the same, which was asked as its offsets may have begun again.
    fn on_same_stream(&self, payload: &[u8]) -> Result<(), Cause> {
        let known = self.histories.as_ref().map(Histories::epoch);
        match stream::answer(&self.options.prefix, payload).map_err(violation)? {
            StreamAnswer::Found(found) if Some(found.epoch) != known => {
                Err(refused("offsets begin again", REPLACED))
            }
            StreamAnswer::Missing => Err(refused("the stream is gone", REPLACED)),
            StreamAnswer::Found(_) | StreamAnswer::Other(_) | StreamAnswer::Refused(_) => Ok(()),
        }
    }

    fn on_stored(&mut self, receipt: Receipt, payload: &[u8]) -> Result<(), Cause> {
        let refusal = stream::refusal(payload).map_err(violation)?;
        let publication = self.publications.settle(receipt);
        if let (Some(error), Some((receipt, topic))) = (refusal, publication) {
            let cause = refused(&error, "see the limits of the stream and of its account: nats stream info");
            self.events.push_back(SessionEvent::Refused { topic, receipt: Some(receipt), cause });
        }
        Ok(())
    }
}
