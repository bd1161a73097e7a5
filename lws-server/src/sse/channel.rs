//! Events for all who listen, on whatever thread, and from whatever thread.

use super::event::Event;
use super::ring::{Found, Ring};
use super::subscriber::{Subscriber, millis};
use crate::http::Request;
use crate::thread::command::Command;
use crate::{Context, Handle, StreamId};
use lws_proto::Bytes;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// How a [`Channel`] behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Events that are kept for clients that come back, or are slow. Default 1,000.
    pub events_max: usize,
    /// Bytes of those events. Default 1 MiB.
    pub bytes_max: usize,
    /// What becomes of a client that has not taken an event before it was forgotten.
    pub lag: Lag,
    /// How long a stream may be silent before it gets a comment, by which proxies and clients see that it is alive. Default 20 s.
    pub heartbeat: Duration,
    /// How long a client waits that has lost its stream, on average; each is given another time within a quarter of it, so that not all come back
    /// at once. Default 3 s.
    pub retry: Duration,
    /// What stands before the numbers in identifiers. A client that comes with that of another channel or of an earlier process has missed
    /// an unknown number of events. What a field of a request cannot bring back is left out of it: control characters and white space.
    /// Default: the moment at which the channel was made.
    pub epoch: String,
}

/// What becomes of a client that does not keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lag {
    /// It gets an event called `resync`, whose data is how many it has lost, and what is there after that. One that comes back too late gets
    /// a `resync` without data, as it is not known how many there were.
    #[default]
    Resync,
    /// Its stream ends. It comes back by itself, and gets the `resync` then.
    End,
}

impl Default for Options {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            events_max: 1_000,
            bytes_max: 1 << 20,
            lag: Lag::default(),
            heartbeat: Duration::from_secs(20),
            retry: Duration::from_secs(3),
            epoch: format!("{:x}", now.as_nanos()),
        }
    }
}

/// Server-sent events for all who listen: clones are the same channel, and any thread may publish. See the [module](crate::sse).
#[derive(Clone)]
pub struct Channel(Arc<Shared>);

struct Shared {
    options: Options,
    state: Mutex<ChannelState>,
}

struct ChannelState {
    ring: Ring,
    /// Nothing more will be published.
    ended: bool,
    listeners: BTreeMap<Thread, Listeners>,
}

/// A server, by the address of what its threads share, and one of its threads. A handle is kept as long as there are listeners, so that
/// no other server gets that address meanwhile.
type Thread = (usize, u16);

fn thread_of(cx: &Context<'_>) -> Thread {
    (Arc::as_ptr(&cx.state.group).addr(), cx.state.shard)
}

/// Those of one thread.
struct Listeners {
    /// Never empty.
    streams: BTreeSet<StreamId>,
    handle: Handle,
    /// The thread knows already that there is something.
    notified: bool,
}

/// What a stream sends next.
pub(super) enum NextEvents {
    Event(Bytes),
    Nothing,
    /// The last octets.
    End(Bytes),
}

impl Channel {
    /// A channel without events and listeners.
    #[must_use]
    pub fn new(mut options: Options) -> Self {
        // A line break would end the identifier, and begin a line of the application's choice in every event.
        options.epoch.retain(|char| !char.is_control() && !char.is_whitespace());
        let state = ChannelState {
            ring: Ring::new(options.events_max, options.bytes_max),
            ended: false,
            listeners: BTreeMap::new(),
        };
        Self(Arc::new(Shared { options, state: Mutex::new(state) }))
    }

    fn lock(&self) -> MutexGuard<'_, ChannelState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request with the events of the channel: from now on, or from where the client has lost its stream, by its
    /// `Last-Event-ID`.
    pub fn subscribe(&self, request: &Request<'_>) -> Subscriber {
        Subscriber::new(self.clone(), request.text("Last-Event-ID"))
    }

    /// Publishes an event, and returns its identifier. It is written once for all, and sent as each client can take it.
    pub fn publish(&self, event: &Event) -> String {
        let mut state = self.lock();
        let id = self.id(state.ring.next());
        let mut bytes = Vec::new();
        event.write(Some(&id), &mut bytes);
        state.ring.push(bytes.into());
        self.notify(state);
        id
    }

    /// Ends every stream. Clients that come back are answered 204, after which they come no more.
    pub fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        self.notify(state);
    }

    /// How many streams listen.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.lock().listeners.values().map(|listeners| listeners.streams.len()).sum()
    }

    /// Has each thread with listeners look, unless it is about to.
    fn notify(&self, mut state: MutexGuard<'_, ChannelState>) {
        for ((_, shard), listeners) in &mut state.listeners {
            if listeners.notified {
                continue;
            }
            let (channel, group) = (self.clone(), &listeners.handle.0);
            // Surely: what is published last has no later event that would bring it. It is one message at a time for each thread.
            listeners.notified =
                group.send_surely(*shard, Command::Call(Box::new(move |cx| channel.look(cx))));
        }
    }

    /// Asks for permits for the streams of this thread.
    fn look(&self, cx: &mut Context<'_>) {
        let mut state = self.lock();
        let Some(listeners) = state.listeners.get_mut(&thread_of(cx)) else { return };
        listeners.notified = false;
        for id in &listeners.streams {
            cx.driver.want_write(id.connection, id.key);
        }
    }

    /// A stream begins to listen.
    pub(super) fn join(&self, cx: &Context<'_>) {
        let Some(id) = cx.id() else { return };
        let mut state = self.lock();
        let listeners = state.listeners.entry(thread_of(cx));
        let none = || Listeners { streams: BTreeSet::new(), handle: cx.handle(), notified: false };
        listeners.or_insert_with(none).streams.insert(id);
    }

    pub(super) fn leave(&self, cx: &Context<'_>) {
        let Some(id) = cx.id() else { return };
        let mut state = self.lock();
        if let Entry::Occupied(mut listeners) = state.listeners.entry(thread_of(cx)) {
            listeners.get_mut().streams.remove(&id);
            if listeners.get().streams.is_empty() {
                listeners.remove();
            }
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.0.options.heartbeat
    }

    /// When a client is to come back: within a quarter of the average, by `spread`.
    pub(super) fn retry(&self, spread: u64) -> Duration {
        let retry = self.0.options.retry;
        let steps = u32::try_from(spread % 1_000).unwrap_or_default();
        retry * 3 / 4 + retry / 2_000 * steps
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.0.options.epoch)
    }

    /// Where a client goes on that has seen the event of this identifier last, and whether it has missed what is not there any more.
    pub(super) fn position_after(&self, last_event_id: Option<&str>) -> (u64, bool) {
        let state = self.lock();
        let Some(id) = last_event_id.filter(|id| !id.is_empty()) else { return (state.ring.next(), false) };
        let number = id.rsplit_once('-').filter(|(epoch, _)| *epoch == self.0.options.epoch);
        let position = number.and_then(|(_, number)| number.parse::<u64>().ok()?.checked_add(1));
        match position.filter(|position| *position <= state.ring.next()) {
            Some(position) => (position.max(state.ring.first()), position < state.ring.first()),
            None => (state.ring.first(), true),
        }
    }

    /// What comes before the first event.
    pub(super) fn prelude(&self, spread: u64, missed: bool) -> Bytes {
        let mut prelude = format!("retry: {}\n\n", millis(self.retry(spread))).into_bytes();
        if missed {
            Event::new("").named("resync").write(None, &mut prelude);
        }
        prelude.into()
    }

    /// What a stream sends that stands at `position`: events that are short together, as what is sent is framed.
    pub(super) fn next(&self, position: &mut u64) -> NextEvents {
        let state = self.lock();
        match state.ring.find(*position) {
            Found::Event(first) => {
                *position += 1;
                NextEvents::Event(gather(&state.ring, first, position))
            }
            Found::Nothing if state.ended => NextEvents::End(Bytes::new()),
            Found::Nothing => NextEvents::Nothing,
            Found::Lost(_) if self.0.options.lag == Lag::End => NextEvents::End(Bytes::new()),
            Found::Lost(lost) => {
                *position += lost;
                let mut resync = Vec::new();
                Event::new(lost.to_string()).named("resync").write(None, &mut resync);
                NextEvents::Event(resync.into())
            }
        }
    }
}

/// Bytes of events that are sent together.
const GATHERED_BYTES: usize = 16 << 10;

/// An event with those that follow it. One that nothing follows is not copied.
fn gather(ring: &Ring, first: Bytes, position: &mut u64) -> Bytes {
    let mut gathered = Vec::new();
    while let Found::Event(next) = ring.find(*position) {
        let before = if gathered.is_empty() { first.len() } else { gathered.len() };
        if before + next.len() > GATHERED_BYTES {
            break;
        }
        if gathered.is_empty() {
            gathered.extend_from_slice(&first);
        }
        gathered.extend_from_slice(&next);
        *position += 1;
    }
    if gathered.is_empty() { first } else { gathered.into() }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("listeners", &self.listeners()).finish_non_exhaustive()
    }
}
