//! Processes that announce who is where, by a seed: announcements that are lost or delayed, partitions, crashes and new processes. In the end,
//! with everything healed, all say the same; and never is a ghost older than its time to live.

use lws_broker::presence::{Presence, PresenceLimits, PresenceOptions};
use lws_broker::{Bytes, Time, Topic};
use std::collections::BTreeMap;
use std::time::Duration;
use test_kit::Chance;

const STEP: Duration = Duration::from_millis(100);
const INTERVAL: Duration = Duration::from_secs(5);
const TTL: Duration = Duration::from_secs(15);
/// Five minutes of faults, and then as long as everything may take to be right again.
const STORM_STEPS: u64 = 3_000;
const CALM_STEPS: u64 = 250;
const PROCESSES: usize = 4;

/// A process, and who is really there.
struct Process {
    presence: Presence,
    present: Vec<(usize, Option<String>)>,
    /// It gets and sends nothing until then.
    apart_until: Time,
}

struct World {
    chance: Chance,
    now: Time,
    topics: Vec<Topic>,
    processes: Vec<Process>,
    /// On their way: when each arrives, from whom, to whom.
    travelling: Vec<(Time, usize, usize, Bytes)>,
    started: u64,
    /// When somebody was last in a topic, of all processes that there have been.
    last_present: BTreeMap<usize, Time>,
    announcements: u64,
}

fn options() -> PresenceOptions {
    let limits = PresenceLimits { announcement_bytes_max: 64, ..PresenceLimits::default() };
    PresenceOptions { interval: INTERVAL, change_delay: Duration::from_millis(300), limits }
}

impl World {
    fn new(seed: u64) -> Self {
        let topics = (0..6).map(|number| Topic::new(&format!("room/{number}")).expect("a name")).collect();
        let mut world = Self {
            chance: Chance::of_seed(seed),
            now: Time::ZERO,
            topics,
            processes: Vec::new(),
            travelling: Vec::new(),
            started: 0,
            last_present: BTreeMap::new(),
            announcements: 0,
        };
        for _ in 0..PROCESSES {
            let process = world.process();
            world.processes.push(process);
        }
        world
    }

    fn process(&mut self) -> Process {
        self.started += 1;
        let mut presence = Presence::new(self.now, options(), self.started);
        presence.connected(self.now);
        Process { presence, present: Vec::new(), apart_until: self.now }
    }

    fn run(&mut self) {
        for _ in 0..STORM_STEPS {
            self.act();
            self.fault();
            self.step(true);
            self.judge_ghosts();
        }
        for index in 0..self.processes.len() {
            self.heal(index);
        }
        for _ in 0..CALM_STEPS {
            self.step(false);
        }
        self.judge();
    }

    /// Somebody comes or goes.
    fn act(&mut self) {
        let at = self.chance.below(PROCESSES as u64) as usize;
        let process = &mut self.processes[at];
        if self.chance.one_in(3) && process.present.len() < 10 {
            let topic = self.chance.below(6) as usize;
            let member = (!self.chance.one_in(3)).then(|| format!("member {}", self.chance.below(4)));
            process.presence.join(self.now, &self.topics[topic], member.as_deref()).expect("room");
            process.present.push((topic, member));
        } else if self.chance.one_in(3) && !process.present.is_empty() {
            let who = self.chance.below(process.present.len() as u64) as usize;
            let (topic, member) = process.present.swap_remove(who);
            process.presence.leave(self.now, &self.topics[topic], member.as_deref());
        }
    }

    fn fault(&mut self) {
        let at = self.chance.below(PROCESSES as u64) as usize;
        if self.chance.one_in(300) {
            // A crash: another process takes its place.
            let new = self.process();
            self.processes[at] = new;
            self.travelling.retain(|(_, _, to, _)| *to != at);
        } else if self.chance.one_in(300) {
            let mut ends =
                std::mem::replace(&mut self.processes[at].presence, Presence::new(self.now, options(), 0));
            ends.end();
            self.send(at, &mut ends, true);
            let new = self.process();
            self.processes[at] = new;
        } else if self.chance.one_in(200) {
            self.processes[at].apart_until = self.now + STEP * self.chance.below(200) as u32;
        }
    }

    fn heal(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.apart_until = self.now;
        process.presence.connected(self.now);
    }

    fn send(&mut self, from: usize, presence: &mut Presence, faults: bool) {
        while let Some(announcement) = presence.poll() {
            self.announcements += 1;
            for to in 0..PROCESSES {
                if faults && self.chance.one_in(8) {
                    continue;
                }
                let delay = if faults { STEP * self.chance.below(5) as u32 } else { STEP };
                self.travelling.push((self.now + delay, from, to, announcement.clone()));
            }
        }
    }

    fn step(&mut self, faults: bool) {
        self.now = self.now + STEP;
        for index in 0..PROCESSES {
            let process = &mut self.processes[index];
            let was_apart = process.apart_until + STEP > self.now;
            if was_apart && process.apart_until <= self.now {
                // As the connection to its broker comes back.
                process.presence.connected(self.now);
            }
            process.presence.handle_timeout(self.now);
            let mut presence =
                std::mem::replace(&mut process.presence, Presence::new(self.now, options(), 0));
            self.send(index, &mut presence, faults);
            self.processes[index].presence = presence;
        }
        let now = self.now;
        let is_apart: Vec<_> = self.processes.iter().map(|process| process.apart_until > now).collect();
        let (arrived, travelling): (Vec<_>, _) =
            std::mem::take(&mut self.travelling).into_iter().partition(|(at, ..)| *at <= now);
        self.travelling = travelling;
        for (_, from, to, announcement) in arrived {
            if from == to || !is_apart[from] && !is_apart[to] {
                self.processes[to].presence.receive(now, &announcement);
            }
        }
        for (topic, _) in self.processes.iter().flat_map(|process| &process.present) {
            self.last_present.insert(*topic, now);
        }
    }

    /// In a topic that was empty everywhere for longer than announcements live, no process sees anybody.
    fn judge_ghosts(&self) {
        for (number, topic) in self.topics.iter().enumerate() {
            let empty_since = self.last_present.get(&number).copied().unwrap_or(Time::ZERO);
            if self.now - empty_since > TTL + Duration::from_secs(1) {
                let counts: Vec<_> =
                    self.processes.iter().map(|process| process.presence.count(topic)).collect();
                assert_eq!(counts, [0; PROCESSES], "{topic} is empty since {empty_since:?}");
            }
        }
    }

    fn judge(&self) {
        for (number, topic) in self.topics.iter().enumerate() {
            let present = self.processes.iter().flat_map(|process| &process.present);
            let present: Vec<_> = present.filter(|(topic, _)| *topic == number).collect();
            let mut members: Vec<_> = present.iter().filter_map(|(_, member)| member.as_deref()).collect();
            members.sort_unstable();
            members.dedup();
            for (index, process) in self.processes.iter().enumerate() {
                let found = process.presence.members(topic);
                let found: Vec<_> = found.iter().map(|member| &**member).collect();
                let count = process.presence.count(topic);
                assert_eq!(
                    (count, found),
                    (present.len() as u64, members.clone()),
                    "{topic} in process {index}"
                );
            }
        }
    }
}

#[test]
fn in_the_end_all_processes_say_who_is_there() {
    let seeds = std::env::var("SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(40);
    let mut announcements = 0;
    for seed in 0..seeds {
        let mut world = World::new(seed);
        world.run();
        announcements += world.announcements;
    }
    assert!(announcements > 1_000 * seeds, "or nothing is tested: {announcements}");
}

#[test]
fn a_process_that_crashes_leaves_ghosts_for_their_time_to_live_and_no_longer() {
    let room = Topic::new("room").expect("a name");
    let [mut one, mut other] = [1, 2].map(|process| Presence::new(Time::ZERO, options(), process));
    one.join(Time::ZERO, &room, None).expect("room");
    let announced = Time::ZERO + Duration::from_millis(300);
    one.handle_timeout(announced);
    while let Some(announcement) = one.poll() {
        other.receive(announced, &announcement);
    }
    drop(one);
    for (after, expected) in [(TTL - STEP, 1), (TTL, 0)] {
        other.handle_timeout(announced + after);
        assert_eq!(other.count(&room), expected, "{after:?}");
    }
}

#[test]
fn processes_do_not_beat_in_step() {
    let beats: Vec<_> = (1..=100)
        .map(|process| {
            Presence::new(Time::ZERO, options(), process * 0x1234_5678_9abc).next_timeout().expect("a beat")
        })
        .collect();
    let (first, last) = (beats.iter().min().expect("one"), beats.iter().max().expect("one"));
    assert!(*first >= Time::ZERO + INTERVAL * 4 / 5 && *last <= Time::ZERO + INTERVAL);
    assert!(*last - *first > INTERVAL / 8, "{first:?} {last:?}");
}
