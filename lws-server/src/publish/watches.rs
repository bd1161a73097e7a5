//! Topics that the process itself watches: a call for each message, on the thread that has asked for it. Knows no broker.

use crate::context::Subject;
use crate::publish::topics::{Destination, Publication};
use crate::ws::Broadcast;
use crate::{Context, SubscribeError};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

type WatchCall = dyn Fn(&mut Context<'_>, &Broadcast);

/// A watch of [`Context::watch_topic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WatchId {
    shard: u16,
    number: u64,
}

/// The watches of one thread.
#[derive(Default)]
pub(crate) struct TopicWatches {
    by_name: HashMap<Rc<str>, Vec<(u64, Rc<WatchCall>)>>,
    names: HashMap<u64, Rc<str>>,
    last: u64,
}

impl TopicWatches {
    fn insert(&mut self, name: &str, call: Rc<WatchCall>) -> u64 {
        self.last += 1;
        let name: Rc<str> = name.into();
        self.by_name.entry(Rc::clone(&name)).or_default().push((self.last, call));
        self.names.insert(self.last, name);
        self.last
    }

    /// The topic of a watch that was there.
    fn remove(&mut self, number: u64) -> Option<Rc<str>> {
        let name = self.names.remove(&number)?;
        if let Some(watches) = self.by_name.get_mut(&name) {
            watches.retain(|(other, _)| *other != number);
            if watches.is_empty() {
                self.by_name.remove(&name);
            }
        }
        Some(name)
    }

    /// What is called with a publication: none of almost all.
    fn calls(&self, publication: &Publication) -> Vec<Rc<WatchCall>> {
        match &publication.to {
            Destination::Topic(name) if !self.by_name.is_empty() => {
                let watches = self.by_name.get(&**name).into_iter().flatten();
                watches.map(|(_, call)| Rc::clone(call)).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl fmt::Debug for TopicWatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.names.iter()).finish()
    }
}

impl Context<'_> {
    /// Has `call` called with each message to a topic, on this thread: for a state that the process keeps, such as a picture or a score. The
    /// sender of [`publish_others`](Self::publish_others) is left out among the subscribers only. A topic of a broker is subscribed to there
    /// as long as it is watched, or has a subscriber. The context of the call belongs to no stream.
    ///
    /// What `call` publishes to its own topic comes back to it: at once, where the topic is of this process alone.
    ///
    /// # Errors
    /// No topic can have this name, or it is a pattern.
    pub fn watch_topic(
        &mut self,
        topic: &str,
        call: impl Fn(&mut Context<'_>, &Broadcast) + 'static,
    ) -> Result<WatchId, SubscribeError> {
        self.state.topics.keep(topic)?;
        let number = self.state.watches.insert(topic, Rc::new(call));
        self.report_topics();
        Ok(WatchId { shard: self.state.shard, number })
    }

    /// Ends a watch of this thread. Answers whether it was there.
    pub fn unwatch_topic(&mut self, watch: WatchId) -> bool {
        if watch.shard != self.state.shard {
            return false;
        }
        let Some(name) = self.state.watches.remove(watch.number) else { return false };
        self.state.topics.release(&name);
        self.report_topics();
        true
    }

    /// Calls those who watch the topic of a publication.
    pub(crate) fn call_watches(&mut self, publication: &Publication) {
        let calling = self.state.calling;
        for call in self.state.watches.calls(publication) {
            call(
                &mut Context::new(&mut *self.driver, &mut *self.state, Subject::NONE, None),
                &publication.message,
            );
        }
        self.state.calling = calling;
    }
}
