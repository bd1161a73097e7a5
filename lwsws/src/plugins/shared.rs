//! A state that several processes keep, each for itself: what changes it is published to a topic, and every process does it.
//!
//! What one process has missed it asks for: it and the others publish what they have, part by part, and each takes what is new to it. Both
//! happen when the topic is subscribed to and wherever messages may be missing. Knows neither what the state is nor what brings the topic
//! to other processes.

use lws_server::ws::Broadcast;
use lws_server::{Context, MessageKind, Time, WatchId};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Before a message that asks for what the others have, and the name of who asks.
const ASKS: &str = "? ";
/// Before a part of what a process has.
const PART: &str = "= ";
/// Within this time a process answers, so that several questions have one answer.
const ANSWER_DELAY_MS: u64 = 250;

/// What a process keeps. In whatever order and however often parts are taken, all who have taken the same have the same in the end.
pub(crate) trait State: Send + 'static {
    /// Does what a message says. Answers whether there is something new to show.
    fn apply(&mut self, message: &str, now: Time) -> bool;

    /// Takes what is new in a part of what another process has. Answers whether there was something.
    fn merge(&mut self, part: &str, now: Time) -> bool;

    /// All that there is, in parts.
    fn parts(&self, now: Time) -> Vec<String>;
}

/// One state, its topic, and who is informed in this process.
pub(crate) struct SharedState<S> {
    topic: String,
    /// A topic of this process alone, for those who show the state.
    changes: String,
    /// What is done under the lock is short.
    state: Mutex<S>,
    /// This process among those that ask.
    process: String,
    is_watched: AtomicBool,
    is_answering: AtomicBool,
}

impl<S: State> SharedState<S> {
    pub(crate) fn new(topic: String, state: S) -> Self {
        Self {
            changes: format!("changes/{topic}"),
            topic,
            state: Mutex::new(state),
            process: format!("{:x}", RandomState::new().hash_one(std::process::id())),
            is_watched: AtomicBool::new(false),
            is_answering: AtomicBool::new(false),
        }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// The state, as it is here.
    pub(crate) fn state(&self) -> MutexGuard<'_, S> {
        // A panic elsewhere leaves at most one message out.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A WebSocket shows the state: its `published` is called after each change.
    pub(crate) fn show(self: &Arc<Self>, cx: &mut Context<'_>) {
        // It has few subscriptions, and the name is one.
        let _ = cx.subscribe(&self.changes);
        self.keep(cx);
    }

    /// The process keeps up with the others from now on.
    pub(crate) fn keep(self: &Arc<Self>, cx: &mut Context<'_>) {
        if self.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (state, watch) = (Arc::downgrade(self), Rc::new(Cell::new(None::<WatchId>)));
        let own = Rc::clone(&watch);
        let watched = cx.watch_topic(&self.topic, move |cx, message| match state.upgrade() {
            Some(state) => state.received(cx, message),
            // Nothing is served any more that would show it.
            None => drop(own.take().map(|watch| cx.unwatch_topic(watch))),
        });
        watch.set(watched.ok());
    }

    /// Has every process do what a message says, this one too.
    pub(crate) fn publish(&self, cx: &mut Context<'_>, message: String) {
        // With as much waiting as may, it is lost: nothing was shown of it.
        let _ = cx.publish_topic(&self.topic, &Broadcast::new(MessageKind::Text, message));
    }

    /// Something may be missing here, or there: all publish what they have.
    pub(crate) fn ask(self: &Arc<Self>, cx: &mut Context<'_>) {
        self.publish(cx, format!("{ASKS}{}", self.process));
        self.answer(cx);
    }

    fn received(self: &Arc<Self>, cx: &mut Context<'_>, message: &Broadcast) {
        let Ok(text) = std::str::from_utf8(message.bytes()) else { return };
        let now = cx.now();
        let is_new = if let Some(process) = text.strip_prefix(ASKS) {
            if process != self.process {
                self.answer(cx);
            }
            false
        } else if let Some(part) = text.strip_prefix(PART) {
            self.state().merge(part, now)
        } else {
            self.state().apply(text, now)
        };
        if is_new {
            // Those on a thread with much to do learn of it with the next change.
            let _ = cx.publish_local(&self.changes, &Broadcast::new(MessageKind::Text, ""));
        }
    }

    /// Publishes what there is, soon and once.
    fn answer(self: &Arc<Self>, cx: &mut Context<'_>) {
        if self.is_answering.swap(true, Ordering::AcqRel) {
            return;
        }
        let delay = RandomState::new().hash_one(cx.now().as_micros()) % ANSWER_DELAY_MS;
        let state = Arc::clone(self);
        cx.after(Duration::from_millis(delay), move |cx| {
            state.is_answering.store(false, Ordering::Release);
            let parts = state.state().parts(cx.now());
            parts.into_iter().for_each(|part| state.publish(cx, format!("{PART}{part}")));
        });
    }
}
