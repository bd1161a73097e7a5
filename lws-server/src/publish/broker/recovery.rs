//! WebSockets that come back to a topic with the position that they have got to: they get what they have missed, or learn of a gap.
//!
//! The thread that owns the broker has the newest messages of the topics, and reads the history of one once for all who need it. What a
//! WebSocket gets is fixed there, between two messages of the topic; on its own thread it is subscribed at the same place, so that nothing is
//! missing and nothing comes twice.

use super::bridge::Bridge;
use super::envelope::Envelope;
use crate::id::StreamId;
use crate::publish::topics::{Subscription, UnreadReplay};
use crate::thread::command::Command;
use crate::ws::{Broadcast, Prepared};
use crate::{Context, SubscribeError};
use lws_broker::{Asked, Bytes, Position, Recent, RecentLimits, Replay, Topic};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What came of [`Context::subscribe_from`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The topic.
    pub topic: Arc<str>,
    /// Where the topic is: a client that has not received a message yet comes back with it. `None` without history.
    pub position: Option<Position>,
    /// Nothing is missing behind the position that was named. Otherwise the client fetches the state again.
    pub is_complete: bool,
    /// Messages that follow now, which the WebSocket has missed.
    pub messages: usize,
}

/// What a stream gets with its subscription.
pub(crate) struct StreamRecovery {
    pub(crate) subscription: Subscription,
    pub(crate) recovered: Recovered,
}

/// How a message looks to those who can come back behind it.
pub(super) type ShowPosition = dyn Fn(&Topic, Position, &Broadcast) -> Broadcast + Send + Sync;

/// What is kept for WebSockets that come back.
#[derive(Clone)]
pub(super) struct RecoveryOptions {
    pub(super) limits: RecentLimits,
    pub(super) show: Arc<ShowPosition>,
}

/// The newest messages, as WebSockets get them.
pub(super) struct TopicRecovery {
    recent: Recent<StreamId, Broadcast>,
    show: Arc<ShowPosition>,
}

type Answers = Vec<(StreamId, Replay<Broadcast>)>;

impl TopicRecovery {
    pub(super) fn new(options: &RecoveryOptions) -> Self {
        Self { recent: Recent::new(options.limits.clone()), show: Arc::clone(&options.show) }
    }

    /// A message of the broker as WebSockets get it.
    pub(super) fn received(
        &mut self,
        topic: &Topic,
        message: &Broadcast,
        position: Option<Position>,
    ) -> Option<Broadcast> {
        let position = position?;
        let shown = (self.show)(topic, position, message);
        self.recent.message(topic, shown.clone(), shown.bytes().len(), Some(position));
        Some(shown)
    }

    pub(super) fn gap(&mut self, topic: &Topic) {
        self.recent.gap(topic);
    }

    pub(super) fn forget(&mut self, topic: &Topic) -> Answers {
        self.recent.forget(topic)
    }

    pub(super) fn history(
        &mut self,
        topic: &Topic,
        newest: Option<Position>,
        (entries, whole_after): (&[(u64, Bytes)], u64),
    ) -> Answers {
        let epoch = newest.map_or(0, |newest| newest.epoch);
        // From the newest on, as long as they can be read: one that cannot be is a hole.
        let (mut shown, mut whole_after) = (Vec::new(), whole_after);
        for (offset, payload) in entries.iter().rev() {
            let Some(Envelope { message, .. }) = Envelope::decode(payload) else {
                whole_after = whole_after.max(*offset);
                break;
            };
            let message = (self.show)(topic, Position { epoch, offset: *offset }, &message);
            let bytes = message.bytes().len();
            shown.push((*offset, message, bytes));
        }
        shown.reverse();
        self.recent.history(topic, newest, whole_after, shown)
    }
}

/// The messages of the last replay, encoded once for all streams of the thread that get some of them.
#[derive(Default)]
pub(crate) struct PreparedReplay(Option<(Arc<[Broadcast]>, PreparedMessages)>);

type PreparedMessages = Rc<[Rc<Prepared>]>;

impl PreparedReplay {
    fn of(&mut self, messages: &Arc<[Broadcast]>) -> PreparedMessages {
        match &self.0 {
            Some((known, prepared)) if Arc::ptr_eq(known, messages) => Rc::clone(prepared),
            _ => {
                let prepared: PreparedMessages =
                    messages.iter().map(|message| Rc::new(message.prepare())).collect();
                self.0 = Some((Arc::clone(messages), Rc::clone(&prepared)));
                prepared
            }
        }
    }
}

impl Context<'_> {
    /// Subscribes the WebSocket that the call is about to a topic behind a position: that of the last message that its client has received,
    /// before it came back, or none of one that comes for the first time. It is subscribed when
    /// [`recovered`](crate::ws::Handler::recovered) is called, and gets what it has missed behind that. Where that is not known it is a gap:
    /// [`Recovered::is_complete`] says so. While the broker is away it waits.
    ///
    /// [`BrokerOptions::recover`](super::BrokerOptions::recover) has clients learn of positions; a topic without history has none, and a
    /// client that names one has a gap.
    ///
    /// # Errors
    /// Those of [`subscribe`](Self::subscribe). A pattern has no position.
    pub fn subscribe_from(&mut self, topic: &str, after: Option<Position>) -> Result<(), SubscribeError> {
        let id = self.id().ok_or(SubscribeError::NoWebSocket)?;
        let subscriptions = self.subscriptions.as_deref().ok_or(SubscribeError::NoWebSocket)?;
        if !self.state.topics.has_room(subscriptions) {
            return Err(SubscribeError::TooMany);
        }
        self.state.topics.keep(topic)?;
        // Before the question: messages to the topic come to this thread by the time it is answered.
        self.report_topics();
        let topic: Arc<str> = topic.into();
        if self.state.shard == 0 {
            self.recover(id, topic, after);
        } else {
            let call = move |cx: &mut Context<'_>| cx.recover(id, topic, after);
            self.state.group.send_in_order(0, Command::Call(Box::new(call)));
        }
        Ok(())
    }

    /// Answers a stream that comes back, on the thread that has the broker.
    fn recover(&mut self, id: StreamId, name: Arc<str>, after: Option<Position>) {
        let covers = self.state.group.broker.as_ref().is_some_and(|broker| broker.covers(&name));
        let bridge = self.state.broker.clone().filter(|_| covers);
        let (Some(bridge), Ok(topic)) = (bridge, Topic::new(&name)) else {
            // A topic of this process alone: one that comes for the first time has missed nothing.
            return self.answer(id, &name, Replay::gap(None), after.is_none());
        };
        let now = self.now();
        let asked = bridge.borrow_mut().recovery().map(|recovery| recovery.recent.ask(&topic, after, id));
        match asked {
            None => self.answer(id, &name, Replay::gap(None), after.is_none()),
            Some(Asked::Now(id, replay)) => self.answer(id, &name, replay, false),
            Some(Asked::Later { read: false }) => {}
            Some(Asked::Later { read: true }) => {
                if !bridge.borrow_mut().read_history(now, &topic) {
                    let answers = bridge.borrow_mut().recovery().map(|it| it.history(&topic, None, (&[], 0)));
                    self.answer_all(&topic, answers.unwrap_or_default());
                }
                self.drive_broker();
            }
        }
    }

    pub(super) fn answer_all(&mut self, topic: &Topic, answers: Answers) {
        let name: Arc<str> = topic.as_str().into();
        for (id, replay) in answers {
            self.answer(id, &name, replay, false);
        }
    }

    /// Has a stream subscribed, behind everything that was delivered until now.
    fn answer(&mut self, id: StreamId, name: &Arc<str>, replay: Replay<Broadcast>, is_complete: bool) {
        let is_complete = is_complete || replay.is_complete;
        if id.shard == self.state.shard {
            return self.begin_behind(id, name, &replay, is_complete);
        }
        let (to, gap) = (Arc::clone(name), Replay::gap(replay.newest));
        let call = move |cx: &mut Context<'_>| cx.begin_behind(id, &to, &replay, is_complete);
        let sent = self.state.group.try_send(id.shard, Command::Call(Box::new(call)));
        if sent == Err(crate::PostError::Full) {
            // Beside the mailbox, and so perhaps before messages that are in it: that is a gap.
            let name = Arc::clone(name);
            let call = move |cx: &mut Context<'_>| cx.begin_behind(id, &name, &gap, false);
            self.state.group.send_surely(id.shard, Command::Call(Box::new(call)));
        }
    }

    /// Subscribes a stream of this thread, which learns of it next.
    fn begin_behind(&mut self, id: StreamId, name: &Arc<str>, replay: &Replay<Broadcast>, is_complete: bool) {
        let (messages, first) = replay.shared();
        let messages = self.state.replayed.of(messages);
        let missed = replay.messages().len();
        let replay_of_stream = UnreadReplay { messages, next: first };
        let subscription = self.state.topics.join_behind(name, id, replay_of_stream);
        self.state.topics.release(name);
        if let Some(subscription) = subscription {
            let recovered =
                Recovered { topic: Arc::clone(name), position: replay.newest, is_complete, messages: missed };
            let recovery = Box::new(StreamRecovery { subscription, recovered });
            self.driver.recovered(id.connection, id.key, recovery);
        }
        self.report_topics();
    }

    /// The stream of a subscription has gone.
    pub(crate) fn end_recovery(&mut self, recovery: &StreamRecovery) {
        self.state.topics.leave(recovery.subscription);
        self.report_topics();
    }

    /// The history of a topic is here.
    pub(super) fn topic_read(
        &mut self,
        bridge: &Rc<RefCell<Bridge>>,
        topic: &Topic,
        newest: Option<Position>,
        entries: (&[(u64, Bytes)], u64),
    ) {
        let recovered =
            bridge.borrow_mut().recovery().map(|recovery| recovery.history(topic, newest, entries));
        self.answer_all(topic, recovered.unwrap_or_default());
    }

    /// The broker refuses a topic: its history will never be here.
    pub(super) fn topic_refused(&mut self, bridge: &Rc<RefCell<Bridge>>, topic: &Topic) {
        let forgotten = bridge.borrow_mut().recovery().map(|recovery| recovery.forget(topic));
        self.answer_all(topic, forgotten.unwrap_or_default());
    }
}
