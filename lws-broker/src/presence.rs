//! Who is in which topic, and how many, over all processes: announced by each of them again and again in a topic of its own. Does no I/O.
//!
//! What one process reports of the others is *eventually* right: a change is announced within
//! [`change_delay`](PresenceOptions::change_delay), and what was lost on its way is repaired by the next announcement of everything, each
//! [`interval`](PresenceOptions::interval). A process that ends says so; of one that crashes ghosts stay for its time to live, which is three
//! intervals. Knows no broker: the program publishes what [`Presence::poll`] returns to one topic, and hands in what comes from there.
//!
//! ```
//! use lws_broker::{Time, Topic};
//! use lws_broker::presence::{Presence, PresenceOptions};
//! use std::time::Duration;
//!
//! let (now, room) = (Time::ZERO, Topic::new("room/a")?);
//! let [mut one, mut other] = [1, 2].map(|process| Presence::new(now, PresenceOptions::default(), process));
//! one.join(now, &room, Some("Ann"))?;
//! let later = now + Duration::from_secs(1);
//! one.handle_timeout(later);
//! while let Some(announcement) = one.poll() {
//!     other.receive(later, &announcement);
//! }
//! assert_eq!((other.count(&room), other.members(&room)), (1, vec!["Ann".into()]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::{Time, Topic};
use bytes::Bytes;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// How presence is announced. All processes have the same, or else what each announces has the time to live of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceOptions {
    /// Between two announcements of everything, less up to a fifth by chance, so that processes do not beat in step. Default 20 s. The time to
    /// live is three times as long. A second or more.
    pub interval: Duration,
    /// How long a change waits for others, which are announced with it. Default 0.5 s.
    pub change_delay: Duration,
    /// What is kept.
    pub limits: PresenceLimits,
}

impl Default for PresenceOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(20),
            change_delay: Duration::from_millis(500),
            limits: PresenceLimits::default(),
        }
    }
}

/// What a process keeps of presence, at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceLimits {
    /// Topics of this process. Default 100,000. Further ones are [refused](PresenceError::Topics).
    pub topics_max: usize,
    /// What is known of others: topics, counted once for each process. Default 1,000,000, at some 200 octets each without members. Further
    /// ones are left out.
    pub entries_max: usize,
    /// Other processes. Default 1,024. What further ones announce is left out.
    pub processes_max: usize,
    /// Members of one topic that are named, in each process. Default 64. Further ones are counted only.
    pub members_max: usize,
    /// Octets of the text of a member. Default 64. One of more is [refused](PresenceError::Member).
    pub member_bytes_max: usize,
    /// Octets of one announcement, more than one topic with its members takes. Default 32 KiB.
    pub announcement_bytes_max: usize,
}

impl Default for PresenceLimits {
    fn default() -> Self {
        Self {
            topics_max: 100_000,
            entries_max: 1_000_000,
            processes_max: 1_024,
            members_max: 64,
            member_bytes_max: 64,
            announcement_bytes_max: 32 << 10,
        }
    }
}

/// Why somebody could not be noted in a topic. Nothing was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceError {
    /// [`PresenceLimits::topics_max`] topics have somebody already.
    Topics,
    /// The text of a member is empty, longer than [`PresenceLimits::member_bytes_max`], or has control characters.
    Member,
}

impl fmt::Display for PresenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topics => "as many topics as may have presence have it",
            Self::Member => "the text of a member is empty, too long, or has control characters",
        })
    }
}

impl std::error::Error for PresenceError {}

/// What an announcement begins with.
const MARKER: &str = "lws-presence 1";
/// Between two announcements, if there is more than one has room for.
const PAUSE: Duration = Duration::from_millis(20);
/// Within this time, or an eighth of an interval, a process that asks is answered.
const HELLO_DELAY_MAX: Duration = Duration::from_secs(1);
/// A time to live that another process asks for, at most.
const TTL_MAX: Duration = Duration::from_secs(3_600);
/// Announcements that wait to be published, at most: with more, the oldest is left out.
const WAITING_MAX: usize = 64;

/// Presence as one process sees it.
pub struct Presence {
    options: PresenceOptions,
    process: u64,
    /// Those of this process.
    local: BTreeMap<Topic, Present>,
    /// What is to be announced of them.
    changed: BTreeSet<Topic>,
    announce_at: Option<Time>,
    everything_at: Time,
    chance: u64,
    /// Those of others, by topic and process.
    others: HashMap<Topic, BTreeMap<u64, Announced>>,
    /// The topics of each other process.
    processes: BTreeMap<u64, BTreeSet<Topic>>,
    /// When what is known of others ends to be true.
    ends: BTreeSet<(Time, u64, Topic)>,
    waiting: VecDeque<Bytes>,
    has_left: bool,
}

/// Those of this process in one topic.
#[derive(Debug, Default)]
struct Present {
    count: u64,
    members: BTreeMap<Arc<str>, u64>,
}

/// Those of another process in one topic.
#[derive(Debug)]
struct Announced {
    count: u64,
    members: Box<[Arc<str>]>,
    until: Time,
}

impl Presence {
    /// `process` is a random number that differs between processes.
    #[must_use]
    pub fn new(now: Time, options: PresenceOptions, process: u64) -> Self {
        let mut presence = Self {
            process,
            local: BTreeMap::new(),
            changed: BTreeSet::new(),
            announce_at: None,
            everything_at: now,
            chance: process | 1,
            others: HashMap::new(),
            processes: BTreeMap::new(),
            ends: BTreeSet::new(),
            waiting: VecDeque::new(),
            has_left: false,
            options,
        };
        presence.everything_at = presence.next_beat(now);
        presence
    }

    /// Somebody is in a topic, be it by a text that others may read, or only counted.
    ///
    /// # Errors
    /// A limit is reached, or the text is none.
    pub fn join(&mut self, now: Time, topic: &Topic, member: Option<&str>) -> Result<(), PresenceError> {
        let limits = &self.options.limits;
        if member.is_some_and(|member| !is_member(member, limits)) {
            return Err(PresenceError::Member);
        }
        if !self.local.contains_key(topic) && self.local.len() >= limits.topics_max {
            return Err(PresenceError::Topics);
        }
        let present = self.local.entry(topic.clone()).or_default();
        present.count += 1;
        if let Some(member) = member {
            if let Some(times) = present.members.get_mut(member) {
                *times += 1;
            } else if present.members.len() < limits.members_max {
                present.members.insert(member.into(), 1);
            }
        }
        self.change(now, topic);
        Ok(())
    }

    /// Somebody has left a topic, who [joined](Self::join) with the same text.
    pub fn leave(&mut self, now: Time, topic: &Topic, member: Option<&str>) {
        let Some(present) = self.local.get_mut(topic) else { return };
        present.count -= 1;
        if let Some((member, times)) = member.and_then(|member| present.members.get_key_value(member)) {
            match times {
                1 => drop(present.members.remove(&Arc::clone(member))),
                times => drop(present.members.insert(Arc::clone(member), times - 1)),
            }
        }
        if present.count == 0 {
            self.local.remove(topic);
        }
        self.change(now, topic);
    }

    /// How many are in a topic, in all processes.
    #[must_use]
    pub fn count(&self, topic: &Topic) -> u64 {
        let local = self.local.get(topic).map_or(0, |present| present.count);
        let others = self.others.get(topic).into_iter().flat_map(BTreeMap::values);
        others.fold(local, |sum, announced| sum.saturating_add(announced.count))
    }

    /// The members of a topic by their texts, each once, in all processes: up to [`PresenceLimits::members_max`] of each.
    #[must_use]
    pub fn members(&self, topic: &Topic) -> Vec<Arc<str>> {
        let local = self.local.get(topic).into_iter().flat_map(|present| present.members.keys());
        let others = self.others.get(topic).into_iter().flat_map(BTreeMap::values);
        let others = others.flat_map(|announced| announced.members.iter());
        let members: BTreeSet<_> = local.chain(others).cloned().collect();
        members.into_iter().collect()
    }

    /// Other processes that are known to have somebody in a topic.
    #[must_use]
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// Announcements come from now on, be it for the first time or after some were lost: the others are asked for theirs.
    pub fn connected(&mut self, now: Time) {
        let hello = self.head("hello");
        self.send(hello);
        self.announce_everything(now, Duration::ZERO);
    }

    /// An announcement has come. What is none is ignored, and so is one of this process.
    pub fn receive(&mut self, now: Time, payload: &[u8]) {
        let Some((head, lines)) = std::str::from_utf8(payload).ok().and_then(|text| text.split_once('\n'))
        else {
            return;
        };
        let Some(head) = Head::parse(head).filter(|head| head.process != self.process) else { return };
        match head.verb {
            "hello" => {
                // Not all at once, if there are many.
                let delay = self.below((self.options.interval / 8).min(HELLO_DELAY_MAX));
                self.announce_everything(now, delay);
            }
            "bye" => self.forget(head.process),
            "here" => {
                for line in lines.lines() {
                    self.note(now, &head, line);
                }
            }
            // Of a later version.
            _ => {}
        }
    }

    /// This process ends, which the others learn of. Nothing more is announced.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.has_left, true) {
            self.waiting.clear();
            self.announce_at = None;
            let bye = self.head("bye");
            self.waiting.push_back(bye.into());
        }
    }

    /// An announcement to publish. To be called until it is `None`, after every other call. One that cannot be published may be dropped.
    pub fn poll(&mut self) -> Option<Bytes> {
        self.waiting.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has to be called.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        let ends = self.ends.first().map(|(at, ..)| *at);
        let everything = (!self.has_left).then_some(self.everything_at);
        ends.into_iter().chain(self.announce_at).chain(everything).min()
    }

    /// Does what is due. A spurious call does nothing.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some((at, process, topic)) = self.ends.first().cloned()
            && at <= now
        {
            self.remove(process, &topic);
        }
        if self.everything_at <= now {
            self.announce_everything(now, Duration::ZERO);
        }
        if self.announce_at.is_some_and(|at| at <= now) {
            self.announce(now);
        }
    }

    fn change(&mut self, now: Time, topic: &Topic) {
        if !self.has_left {
            self.changed.insert(topic.clone());
            self.announce_by(now + self.options.change_delay);
        }
    }

    fn announce_by(&mut self, at: Time) {
        self.announce_at = Some(self.announce_at.map_or(at, |before| before.min(at)));
    }

    fn announce_everything(&mut self, now: Time, delay: Duration) {
        if self.has_left {
            return;
        }
        self.changed.extend(self.local.keys().cloned());
        self.everything_at = self.next_beat(now + delay);
        if !self.changed.is_empty() {
            self.announce_by(now + delay);
        }
    }

    /// Announces as many changes as one announcement has room for.
    fn announce(&mut self, now: Time) {
        let mut text = self.head("here");
        let mut is_empty = true;
        while let Some(topic) = self.changed.pop_first() {
            let line = line(&topic, self.local.get(&topic));
            if !is_empty && text.len() + line.len() > self.options.limits.announcement_bytes_max {
                self.changed.insert(topic);
                break;
            }
            is_empty = false;
            text.push_str(&line);
        }
        if !is_empty {
            self.send(text);
        }
        self.announce_at = (!self.changed.is_empty()).then(|| now + PAUSE);
    }

    fn send(&mut self, text: String) {
        if self.has_left {
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(text.into());
    }

    fn head(&self, verb: &str) -> String {
        let ttl = (self.options.interval * 3).as_millis();
        format!("{MARKER} {:016x} {ttl} {verb}\n", self.process)
    }

    /// Notes a line of another process: how many, the topic, and its members.
    fn note(&mut self, now: Time, head: &Head<'_>, line: &str) {
        let limits = &self.options.limits;
        let mut words = line.split('\t');
        let count = words.next().and_then(|count| count.parse().ok());
        let topic = words.next().and_then(|name| Topic::new(name).ok());
        let (Some(count), Some(topic)) = (count, topic) else { return };
        if count == 0 {
            return self.remove(head.process, &topic);
        }
        let members = words.filter(|member| is_member(member, limits)).take(limits.members_max);
        let members = members.map(Into::into).collect();
        let (entries_max, processes_max) = (limits.entries_max, limits.processes_max);
        let is_known = self.processes.contains_key(&head.process);
        if !is_known && self.processes.len() >= processes_max {
            return;
        }
        let is_full = self.ends.len() >= entries_max;
        let until = now + head.ttl;
        match self.others.entry(topic.clone()).or_default().entry(head.process) {
            Entry::Occupied(mut known) => {
                self.ends.remove(&(known.get().until, head.process, topic.clone()));
                known.insert(Announced { count, members, until });
            }
            Entry::Vacant(_) if is_full => {
                self.others.retain(|other, processes| *other != topic || !processes.is_empty());
                return;
            }
            Entry::Vacant(place) => {
                place.insert(Announced { count, members, until });
                self.processes.entry(head.process).or_default().insert(topic.clone());
            }
        }
        self.ends.insert((until, head.process, topic));
    }

    /// Another process has no one in a topic any more.
    fn remove(&mut self, process: u64, topic: &Topic) {
        if let Some(processes) = self.others.get_mut(topic) {
            if let Some(announced) = processes.remove(&process) {
                self.ends.remove(&(announced.until, process, topic.clone()));
            }
            if processes.is_empty() {
                self.others.remove(topic);
            }
        }
        if let Some(topics) = self.processes.get_mut(&process) {
            topics.remove(topic);
            if topics.is_empty() {
                self.processes.remove(&process);
            }
        }
    }

    /// Another process has ended.
    fn forget(&mut self, process: u64) {
        for topic in self.processes.get(&process).cloned().unwrap_or_default() {
            self.remove(process, &topic);
        }
    }

    fn next_beat(&mut self, now: Time) -> Time {
        let early = self.below(self.options.interval / 5);
        now + (self.options.interval - early)
    }

    /// A duration by chance: no clock and no other randomness is needed for jitter.
    fn below(&mut self, bound: Duration) -> Duration {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.chance % micros)
    }
}

/// The first line of an announcement.
struct Head<'a> {
    process: u64,
    ttl: Duration,
    verb: &'a str,
}

impl<'a> Head<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.strip_prefix(MARKER)?.strip_prefix(' ')?.split(' ');
        let process = u64::from_str_radix(words.next()?, 16).ok()?;
        let ttl = Duration::from_millis(words.next()?.parse().ok()?).min(TTL_MAX);
        Some(Self { process, ttl, verb: words.next()? })
    }
}

/// What is announced of a topic. Neither its name nor a member has a control character.
fn line(topic: &Topic, present: Option<&Present>) -> String {
    let mut line = format!("{}\t{topic}", present.map_or(0, |present| present.count));
    for member in present.into_iter().flat_map(|present| present.members.keys()) {
        // A string takes whatever is written.
        let _ = write!(line, "\t{member}");
    }
    line.push('\n');
    line
}

fn is_member(text: &str, limits: &PresenceLimits) -> bool {
    !text.is_empty() && text.len() <= limits.member_bytes_max && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::new(name).expect("a name")
    }

    fn presence(process: u64, limits: PresenceLimits) -> Presence {
        Presence::new(Time::ZERO, PresenceOptions { limits, ..PresenceOptions::default() }, process)
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    /// Carries everything that one announces at this time to another. Gives how many announcements there were.
    fn carry(from: &mut Presence, to: &mut Presence, now: Time) -> usize {
        let mut count = 0;
        for step in 0..1_000 {
            let now = now + PAUSE * step;
            from.handle_timeout(now);
            while let Some(announcement) = from.poll() {
                assert!(announcement.len() <= from.options.limits.announcement_bytes_max);
                to.receive(now, &announcement);
                count += 1;
            }
            if from.announce_at.is_none() {
                break;
            }
        }
        count
    }

    #[test]
    fn limits_hold_at_the_limit_and_one_past_it() {
        let limits = PresenceLimits {
            topics_max: 2,
            entries_max: 3,
            processes_max: 2,
            members_max: 2,
            member_bytes_max: 4,
            announcement_bytes_max: 100,
        };
        let mut one = presence(1, limits.clone());
        let names: Vec<_> = ["a", "b", "c"].map(topic).into();
        assert_eq!(one.join(at(0), &names[0], None), Ok(()));
        for (member, expected) in [
            ("four", Ok(())),
            ("fives", Err(PresenceError::Member)),
            ("", Err(PresenceError::Member)),
            ("a\tb", Err(PresenceError::Member)),
            ("four", Ok(())),
            ("two", Ok(())),
            ("3", Ok(())),
        ] {
            assert_eq!(one.join(at(0), &names[1], Some(member)), expected, "{member}");
        }
        assert_eq!(one.join(at(0), &names[2], None), Err(PresenceError::Topics));
        assert_eq!((one.count(&names[1]), one.members(&names[1]).len()), (4, 2), "a third is counted only");
        one.leave(at(0), &names[1], Some("four"));
        assert_eq!(one.members(&names[1]).len(), 2, "it was there twice");
        one.leave(at(0), &names[1], Some("four"));
        assert_eq!((one.count(&names[1]), one.members(&names[1])), (2, vec!["two".into()]));
        // Three processes of two topics each, of which two processes and three entries are kept.
        let mut here = presence(9, limits.clone());
        for process in 1..=3 {
            let mut other = presence(process, limits.clone());
            names[..2].iter().for_each(|name| other.join(at(0), name, None).expect("room"));
            carry(&mut other, &mut here, at(1));
        }
        assert_eq!((here.count(&names[0]), here.count(&names[1]), here.processes()), (2, 1, 2));
        assert_eq!((here.ends.len(), here.others.len()), (3, 2));
        // And all of it ends.
        here.handle_timeout(at(1_000));
        assert_eq!((here.ends.len(), here.others.len(), here.processes()), (0, 0, 0));
    }

    #[test]
    fn everything_is_announced_in_pieces_and_lives_for_three_intervals() {
        let (mut one, mut other) =
            (presence(1, PresenceLimits::default()), presence(2, PresenceLimits::default()));
        let topics: Vec<_> = (0..5_000).map(|number| topic(&format!("room/{number}"))).collect();
        topics.iter().for_each(|topic| one.join(at(0), topic, Some("Ann")).expect("room"));
        assert!(carry(&mut one, &mut other, at(1)) > 2);
        assert!(topics.iter().all(|topic| other.count(topic) == 1));
        // Nothing comes any more: it is as it was up to the last moment, and then all of it has gone.
        other.handle_timeout(at(60));
        assert_eq!(other.ends.len(), 5_000);
        other.handle_timeout(at(63));
        assert_eq!((other.ends.len(), other.count(&topics[7])), (0, 0));
        // The next announcement has it again.
        assert!(carry(&mut one, &mut other, at(70)) > 2);
        assert_eq!(other.count(&topics[7]), 1);
        one.leave(at(71), &topics[7], Some("Ann"));
        carry(&mut one, &mut other, at(72));
        assert_eq!((other.count(&topics[7]), other.count(&topics[8])), (0, 1));
        one.end();
        carry(&mut one, &mut other, at(73));
        assert_eq!((other.ends.len(), other.processes()), (0, 0));
    }

    #[test]
    fn what_is_no_announcement_changes_nothing() {
        let mut here = presence(7, PresenceLimits::default());
        for wrong in [
            "",
            "hello",
            "lws-presence 1",
            "lws-presence 2 0000000000000001 60000 here\n1\ta\n",
            "lws-presence 1 x 60000 here\n1\ta\n",
            "lws-presence 1 0000000000000001 -1 here\n1\ta\n",
            "lws-presence 1 0000000000000001 60000 there\n1\ta\n",
            "lws-presence 1 0000000000000001 60000 here\nx\ta\n\n1\n1\t\n-1\ta\n1 a\n",
            // Of this process.
            "lws-presence 1 0000000000000007 60000 here\n1\ta\n",
        ] {
            here.receive(at(0), wrong.as_bytes());
            assert_eq!((here.ends.len(), here.others.len(), here.processes()), (0, 0, 0), "{wrong:?}");
        }
        here.receive(at(0), b"lws-presence 1 0000000000000001 60000 here\n\xff\n");
        // A time to live without end has one.
        here.receive(at(0), b"lws-presence 1 0000000000000001 18446744073709551615 here\n3\ta\tAnn\tAnn\t\n");
        assert_eq!((here.count(&topic("a")), here.members(&topic("a")).len()), (3, 1));
        here.handle_timeout(at(3_600));
        assert_eq!(here.count(&topic("a")), 0);
    }
}
