//! What one subscriber of a topic has received, and whether it may be so.

use lws_broker::oracle::Oracle;
use std::collections::HashMap;

/// A subscriber. Publishers are known by numbers that are not used again, and count what they publish to a topic from 1 on.
#[derive(Default)]
pub(crate) struct Subscriber {
    pub(crate) oracle: Oracle,
    pub(crate) is_subscribed: bool,
    /// Publishers that have begun while it was subscribed, with its gaps at that time: it has all that they publish.
    born: HashMap<u64, u64>,
    pub(crate) last: HashMap<u64, u64>,
}

impl Subscriber {
    /// A process has begun.
    pub(crate) fn born(&mut self, publisher: u64) {
        if self.is_subscribed {
            self.born.insert(publisher, self.oracle.gaps());
        }
    }

    pub(crate) fn message(&mut self, publisher: u64, number: u64) {
        if let Err(wrong) = self.oracle.message(publisher, number) {
            panic!("{wrong}");
        }
        let is_first = self.last.insert(publisher, number).is_none();
        if let Some(gaps) = self.born.get(&publisher).filter(|_| is_first && number > 1) {
            assert!(
                self.oracle.gaps() > *gaps,
                "{publisher} has begun, and its first {} messages are missing",
                number - 1
            );
        }
    }
}
