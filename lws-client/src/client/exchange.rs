//! The state of one request until it has ended.

use crate::decode::Decoder;
use crate::failure::{Cause, Failure, Phase, Timings};
use crate::options::{Options, RequestOptions};
use crate::pool::{Key, Link};
use crate::reply::{Reply, UploadState};
use crate::request::{Body, Request};
use crate::retry::{Try, is_repeatable};
use crate::ws::SocketId;
use lws_proto::{StreamKey, Time};
use std::sync::Arc;

/// A request that has not ended.
pub(crate) struct Exchange {
    pub(crate) request: Request,
    /// How it is done: what the request says, or the client.
    pub(crate) options: RequestOptions,
    pub(crate) job: Job,
    pub(crate) stage: Stage,
    pub(crate) wishes: Wishes,
    pub(crate) begun: Time,
    pub(crate) timings: Timings,
    /// The time of the last redirect, or of the beginning.
    pub(crate) hop_begun: Time,
    /// The number of tries that ended because of a connection, including the current one.
    pub(crate) tries: u32,
    /// The number of tries that ended because of a status code, including the current one.
    pub(crate) status_tries: u32,
    /// Whether the request needs a new connection, which has carried no request before.
    pub(crate) fresh: bool,
    /// Whether a server may have acted on the request, in an earlier try or before a redirect.
    pub(crate) acted: bool,
    /// Whether it was answered 421 before.
    pub(crate) misdirected: bool,
    /// Whether `Expect` is left out, because the server has answered 417.
    pub(crate) without_expect: bool,
    /// The state of Digest authentication.
    #[cfg(feature = "digest")]
    pub(crate) digest: crate::digest::DigestState,
    /// Whether the application was given a head.
    pub(crate) answered: bool,
    /// Whether the whole response was received.
    pub(crate) received: bool,
    pub(crate) upload: UploadState,
    pub(crate) decoder: Option<Decoder>,
    /// Content that is not decompressed yet, because the application has paused: at most what one turn received.
    pub(crate) held: Vec<u8>,
    pub(crate) address: Option<Arc<str>>,
    pub(crate) reused: bool,
}

/// The receiver of a request's outcome.
pub(crate) enum Job {
    /// A reply. It is taken out while it is called.
    Reply(Option<Box<dyn Reply>>),
    /// The opening handshake of a WebSocket.
    Socket(SocketId),
}

/// The stage of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The request was started, and nothing has been done for it.
    New,
    /// The request waits for its next try.
    Delayed,
    /// The request waits for a connection.
    Waiting,
    /// The request has a connection, and waits until that is lent.
    Assigned(Link),
    /// The request is a stream of a connection.
    Running { link: Link, stream: StreamKey, phase: Phase },
    /// The stream has ended, and some of its content has not been delivered yet.
    Held,
}

/// The application's wishes for a stream, to be applied when the stream is lent.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) paused: bool,
    /// The last value that was set in the engine.
    pub(crate) is_paused: bool,
    pub(crate) want_write: bool,
    pub(crate) cancel: Option<Cause>,
}

impl Exchange {
    pub(crate) fn new(request: Request, options: RequestOptions, job: Job) -> Self {
        Self {
            request,
            options,
            job,
            stage: Stage::New,
            wishes: Wishes::default(),
            begun: Time::ZERO,
            timings: Timings::default(),
            hop_begun: Time::ZERO,
            tries: 0,
            status_tries: 0,
            fresh: false,
            acted: false,
            misdirected: false,
            without_expect: false,
            #[cfg(feature = "digest")]
            digest: crate::digest::DigestState::default(),
            answered: false,
            received: false,
            upload: UploadState::default(),
            decoder: None,
            held: Vec::new(),
            address: None,
            reused: false,
        }
    }

    pub(crate) fn key_for(&self, options: &Options) -> Arc<Key> {
        Arc::new(Key::new(&self.request.url, &self.options, options))
    }

    /// Whether sending it twice means the same as once.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.options.repeatable || is_repeatable(&self.request.method, &self.request.fields)
    }

    /// Whether its content can be sent again.
    pub(crate) fn is_replayable(&self) -> bool {
        match self.request.body {
            Body::Empty | Body::Bytes(_) => true,
            Body::Stream { .. } => !self.upload.begun,
        }
    }

    /// The phase of the request, for a failure.
    pub(crate) fn phase(&self) -> Phase {
        match self.stage {
            Stage::New | Stage::Delayed | Stage::Waiting | Stage::Assigned(_) => Phase::Pool,
            Stage::Running { phase: Phase::Head, .. } if !self.upload.ended => Phase::Send,
            Stage::Running { phase, .. } => phase,
            Stage::Held => Phase::Body,
        }
    }

    /// A failure in its current phase.
    pub(crate) fn failure(&self, cause: Cause) -> Failure {
        let mut failure = Failure::new(self.phase(), cause);
        failure.address = self.address.clone();
        failure.bytes_sent = self.upload.bytes;
        failure
    }

    /// The facts that decide whether it is tried again.
    pub(crate) fn try_now(&self) -> Try {
        Try {
            tries: self.tries,
            reused: self.reused,
            repeatable: self.is_repeatable(),
            replayable: self.is_replayable(),
            answered: self.answered,
        }
    }

    pub(crate) fn timings_at(&self, now: Time) -> Timings {
        Timings { total: now - self.begun, bytes_sent: self.upload.bytes, ..self.timings }
    }

    /// Forgets what belongs to one try.
    pub(crate) fn begin_again(&mut self) {
        self.upload = UploadState::default();
        self.decoder = None;
        self.held = Vec::new();
        self.received = false;
        self.wishes.is_paused = false;
        self.wishes.want_write = false;
        self.address = None;
    }
}
