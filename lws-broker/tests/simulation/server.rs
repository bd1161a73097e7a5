//! The simulated broker: topics with their streams, and what each connection is owed.

use crate::world::Mode;
use std::collections::{BTreeMap, BTreeSet};

/// A link from one process to the broker, both directions.
#[derive(Default)]
pub(crate) struct Pipe {
    pub(crate) to_server: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    line: Vec<u8>,
    topics: BTreeSet<String>,
}

#[derive(Default)]
struct Stream {
    epoch: u64,
    offset: u64,
    /// The last messages only: what is older is lost.
    entries: Vec<(u64, String)>,
    /// The offset of the newest one that was lost.
    forgotten: u64,
    /// Messages of all epochs, in all and by publisher.
    total: u64,
    by_publisher: BTreeMap<u64, u64>,
}

pub(crate) struct Server {
    mode: Mode,
    streams: BTreeMap<String, Stream>,
    pub(crate) pipes: BTreeMap<u64, Pipe>,
    epochs: u64,
    /// The last offset of the stream that topics share.
    shared_offset: u64,
    /// Octets that may wait for one process before it is cut off, as real brokers do.
    output_max: usize,
}

const HISTORY_MAX: usize = 12;

impl Server {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            streams: BTreeMap::new(),
            pipes: BTreeMap::new(),
            epochs: 0,
            shared_offset: 0,
            output_max: 4_000,
        }
    }

    /// The last numbers of the topic, as the oracle of one process counts them.
    pub(crate) fn published(&self, topic: &str, process: u64) -> Vec<(u64, u64)> {
        let Some(stream) = self.streams.get(topic) else { return Vec::new() };
        if self.mode.echo {
            return vec![(0, stream.total)];
        }
        stream.by_publisher.iter().map(|(of, count)| (*of, *count)).filter(|(of, _)| *of != process).collect()
    }

    /// All connections are cut, and perhaps all streams are lost.
    pub(crate) fn crash(&mut self, lose_streams: bool) {
        self.pipes.clear();
        if lose_streams {
            for stream in self.streams.values_mut() {
                (stream.epoch, stream.offset, stream.forgotten) = (0, 0, 0);
                stream.entries.clear();
            }
        }
    }

    /// Takes what has come from a process.
    pub(crate) fn serve(&mut self, process: u64, octets: &[u8]) {
        let Some(pipe) = self.pipes.get_mut(&process) else { return };
        pipe.line.extend_from_slice(octets);
        loop {
            let Some(pipe) = self.pipes.get_mut(&process) else { return };
            let Some(end) = pipe.line.iter().position(|octet| *octet == b'\n') else { return };
            let line: Vec<u8> = pipe.line.drain(..=end).collect();
            self.command(process, String::from_utf8_lossy(&line).trim_end());
        }
    }

    fn answer(&mut self, process: u64, line: &str) {
        let max = self.output_max;
        if let Some(pipe) = self.pipes.get_mut(&process) {
            pipe.to_client.extend_from_slice(line.as_bytes());
            pipe.to_client.push(b'\n');
            if pipe.to_client.len() > max {
                self.pipes.remove(&process);
            }
        }
    }

    fn command(&mut self, process: u64, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["HELLO"] => self.answer(process, "READY"),
            ["PING"] => self.answer(process, "PONG"),
            ["SUB", topic] => {
                if let Some(pipe) = self.pipes.get_mut(&process) {
                    pipe.topics.insert(topic.to_owned());
                }
                self.answer(process, &format!("SUBSCRIBED {topic}"));
            }
            ["UNSUB", topic] => {
                if let Some(pipe) = self.pipes.get_mut(&process) {
                    pipe.topics.remove(topic);
                }
            }
            ["PUB", topic, payload] => self.publish(process, topic, payload),
            ["HISTORY", topic, epoch, offset] => {
                let stream = self.stream(topic);
                let (epoch, offset) = (epoch.parse().unwrap_or(0), offset.parse().unwrap_or(0));
                let entries = stream.entries.iter().filter(|(at, _)| epoch == stream.epoch && *at > offset);
                let entries: String =
                    entries.map(|(offset, payload)| format!(" {offset}={payload}")).collect();
                let Stream { epoch, offset, forgotten, .. } = stream;
                let answer = format!("HISTORY {topic} {epoch} {offset} {forgotten}{entries}");
                self.answer(process, &answer);
            }
            _ => panic!("{line}"),
        }
    }

    fn stream(&mut self, topic: &str) -> &mut Stream {
        let stream = self.streams.entry(topic.to_owned()).or_default();
        if stream.epoch == 0 {
            self.epochs += 1;
            stream.epoch = self.epochs;
        }
        stream
    }

    pub(crate) fn publish(&mut self, process: u64, topic: &str, payload: &str) {
        let mode = self.mode;
        self.shared_offset += 1;
        let shared_offset = self.shared_offset;
        let stream = self.stream(topic);
        let previous = stream.offset;
        stream.offset = if mode.linked { shared_offset } else { previous + 1 };
        stream.total += 1;
        let own = stream.by_publisher.entry(process).or_default();
        *own += 1;
        // The number that the oracle judges by is the broker's own.
        let marked = if mode.echo {
            format!("0#{}#{payload}", stream.total)
        } else {
            format!("{process}#{own}#{payload}")
        };
        stream.entries.push((stream.offset, marked.clone()));
        let excess = stream.entries.len().saturating_sub(HISTORY_MAX);
        stream.forgotten =
            stream.entries.drain(..excess).next_back().map_or(stream.forgotten, |(offset, _)| offset);
        let (epoch, offset) = if mode.history { (stream.epoch, stream.offset) } else { (0, 0) };
        let line = format!("MESSAGE {topic} {epoch} {offset} {previous} {marked}");
        let concerned: Vec<_> = self.pipes.iter().filter(|(_, pipe)| pipe.topics.contains(topic)).collect();
        let concerned: Vec<_> = concerned.into_iter().map(|(of, _)| *of).collect();
        for of in concerned {
            if mode.echo || of != process {
                self.answer(of, &line);
            }
        }
    }

    /// The broker ends a subscription by itself, as at the migration of a slot.
    pub(crate) fn end_subscription(&mut self, process: u64, topic: &str) {
        if self.pipes.get_mut(&process).is_some_and(|pipe| pipe.topics.remove(topic)) {
            self.answer(process, &format!("ENDED {topic}"));
        }
    }

    /// Octets of one process are lost on the way, without the end of a connection: a slow consumer that is reported.
    pub(crate) fn lose(&mut self, process: u64, topic: &str, silently: bool) {
        let Some(pipe) = self.pipes.get_mut(&process) else { return };
        let text = String::from_utf8_lossy(&pipe.to_client).into_owned();
        let prefix = format!("MESSAGE {topic} ");
        // What is in the middle of being received is not touched.
        let Some((first, rest)) = text.split_once('\n') else { return };
        let kept = rest.split_inclusive('\n').filter(|line| !line.starts_with(&prefix));
        let report = if silently { String::new() } else { format!("LOST {topic}\n") };
        pipe.to_client = format!("{first}\n{}{report}", kept.collect::<String>()).into_bytes();
    }
}
