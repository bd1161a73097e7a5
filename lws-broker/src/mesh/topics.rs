//! What a process of a mesh is subscribed to, and which of the others have confirmed it. Knows no connection and no octets.

use super::group::LinkId;
use crate::{Event, Topic};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The subscriptions of a process.
#[derive(Debug, Default)]
pub(super) struct MeshTopics {
    /// In an order that is the same in every run.
    topics: BTreeMap<Topic, Confirmation>,
    /// Topics that no process owes a confirmation, and that are not confirmed here.
    ready: BTreeSet<Topic>,
    /// How many are [`Confirmation::Awaited`].
    awaited: usize,
    /// A gap in all topics was reported, and nothing that it does not cover has come since.
    covered: bool,
}

/// How far a subscription is.
#[derive(Debug)]
enum Confirmation {
    /// These have to confirm it. What comes of it meanwhile is not delivered.
    Awaited(BTreeSet<LinkId>),
    /// Messages are delivered.
    Live,
}

impl MeshTopics {
    pub(super) fn names(&self) -> impl Iterator<Item = &Topic> {
        self.topics.keys()
    }

    pub(super) fn count(&self) -> usize {
        self.topics.len()
    }

    pub(super) fn contains(&self, topic: &Topic) -> bool {
        self.topics.contains_key(topic)
    }

    /// Whether a message that has come is delivered.
    pub(super) fn delivers(&mut self, topic: &Topic) -> bool {
        let is_live = matches!(self.topics.get(topic), Some(Confirmation::Live));
        self.covered &= !is_live;
        is_live
    }

    /// A subscription begins, which these connections have to confirm.
    pub(super) fn insert(&mut self, topic: &Topic, asked: BTreeSet<LinkId>) {
        if asked.is_empty() {
            self.ready.insert(topic.clone());
        }
        self.topics.insert(topic.clone(), Confirmation::Awaited(asked));
        self.awaited += 1;
    }

    /// A subscription has ended. Gives whether there was one.
    pub(super) fn remove(&mut self, topic: &Topic) -> bool {
        let removed = self.topics.remove(topic);
        self.ready.remove(topic);
        self.awaited -= usize::from(matches!(removed, Some(Confirmation::Awaited(_))));
        removed.is_some()
    }

    /// A process is asked for all topics.
    pub(super) fn joined(&mut self, link: LinkId) {
        for confirmation in self.awaited() {
            if let (_, Confirmation::Awaited(links)) = confirmation {
                links.insert(link);
            }
        }
    }

    /// A process has gone, and confirms nothing any more.
    pub(super) fn left(&mut self, link: LinkId) {
        let mut ready = Vec::new();
        for (topic, confirmation) in self.awaited() {
            if let Confirmation::Awaited(links) = confirmation
                && links.remove(&link)
                && links.is_empty()
            {
                ready.push(topic.clone());
            }
        }
        self.ready.extend(ready);
    }

    fn awaited(&mut self) -> impl Iterator<Item = (&Topic, &mut Confirmation)> {
        // Mostly all are confirmed: then none is looked at.
        let all = if self.awaited == 0 { 0 } else { usize::MAX };
        self.topics.iter_mut().take(all)
    }

    /// A process has confirmed a subscription.
    pub(super) fn confirmed(
        &mut self,
        link: LinkId,
        topic: &Topic,
        has_published: bool,
        events: &mut VecDeque<Event>,
    ) {
        match self.topics.get_mut(topic) {
            Some(Confirmation::Awaited(links)) => {
                if links.remove(&link) && links.is_empty() {
                    self.ready.insert(topic.clone());
                }
            }
            // It is new, or is there again: of what it has published before, something may have been to this topic.
            Some(Confirmation::Live) if has_published => {
                events.push_back(Event::Gap { topic: topic.clone() })
            }
            Some(Confirmation::Live) | None => {}
        }
    }

    /// Confirms those that all processes have confirmed.
    pub(super) fn confirm_all(&mut self, events: &mut VecDeque<Event>) {
        while let Some(topic) = self.ready.pop_first() {
            if let Some(confirmation @ Confirmation::Awaited(_)) = self.topics.get_mut(&topic)
                && matches!(confirmation, Confirmation::Awaited(links) if links.is_empty())
            {
                *confirmation = Confirmation::Live;
                self.awaited -= 1;
                self.covered = false;
                events.push_back(Event::Subscribed { topic });
            }
        }
    }

    /// Messages of any topic may be lost. Said once until there is another message.
    pub(super) fn gap_in_all(&mut self, events: &mut VecDeque<Event>) {
        if std::mem::replace(&mut self.covered, true) {
            return;
        }
        let live = self.topics.iter().filter(|(_, confirmation)| matches!(confirmation, Confirmation::Live));
        events.extend(live.map(|(topic, _)| Event::Gap { topic: topic.clone() }));
    }
}
