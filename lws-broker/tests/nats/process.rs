//! One process of ours: a `Remote` over NATS, its socket, and one subscriber for each topic, which an oracle judges.

use crate::carrier::Carrier;
use crate::server::Server;
use lws_broker::nats::{Nats, NatsOptions};
use lws_broker::oracle::Oracle;
use lws_broker::{
    Broker, Bytes, Cause, Event, Full, Options, Receipt, Remote, Time, Topic, TransportRequest,
};
use rustls::ClientConfig;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long anything may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Process {
    /// What the oracle knows it by: the first part of what it publishes.
    pub(crate) number: u64,
    pub(crate) remote: Remote,
    carrier: Option<Carrier>,
    tls: Option<Arc<ClientConfig>>,
    /// It reads nothing from its socket.
    pub(crate) stalled: bool,
    pub(crate) subscribers: BTreeMap<Topic, Subscriber>,
    pub(crate) published: u64,
    /// The oracle judges by offsets, not by the publishers' numbers: of a stream with one topic.
    pub(crate) judges_offsets: bool,
    pub(crate) downs: Vec<Cause>,
    pub(crate) refused: Vec<(Topic, Option<Receipt>, String)>,
    begin: Instant,
}

#[derive(Default)]
pub(crate) struct Subscriber {
    pub(crate) oracle: Oracle,
    pub(crate) subscribed: bool,
    /// The numbers of the last message of each process.
    pub(crate) last: BTreeMap<u64, u64>,
    /// Everything that was received.
    pub(crate) received: Vec<(u64, u64)>,
}

/// Delays that a test does not have to wait for. Deadlines are as they are: a machine that is busy is no broken server.
pub(crate) fn short() -> Options {
    Options {
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(200),
        ..Options::default()
    }
}

/// Deadlines for a server that does not answer.
pub(crate) fn impatient() -> Options {
    Options {
        ping_interval: Duration::from_millis(300),
        answer_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        ..short()
    }
}

pub(crate) fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a name")
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last: Vec<_> =
            self.subscribers.iter().map(|(topic, it)| (topic, it.subscribed, &it.last)).collect();
        let Self { number, published, downs, refused, .. } = self;
        write!(f, "{number}: {published} published, {last:?}, {downs:?}, {refused:?}")
    }
}

impl Process {
    pub(crate) fn new(
        number: u64,
        servers: &[String],
        options: Options,
        nats: NatsOptions,
        tls: Option<Arc<ClientConfig>>,
    ) -> Self {
        let servers: Vec<_> = servers.iter().map(String::as_str).collect();
        let protocol = Nats::new(&servers, nats).expect("addresses");
        Self {
            number,
            remote: Remote::new(Time::ZERO, options, Box::new(protocol), number),
            carrier: None,
            tls,
            stalled: false,
            subscribers: BTreeMap::new(),
            published: 0,
            judges_offsets: false,
            downs: Vec::new(),
            refused: Vec::new(),
            begin: Instant::now(),
        }
    }

    pub(crate) fn at(number: u64, port: u16) -> Self {
        Self::new(number, &[format!("127.0.0.1:{port}")], short(), NatsOptions::default(), None)
    }

    fn now(&self) -> Time {
        Time::ZERO + self.begin.elapsed()
    }

    pub(crate) fn subscribe(&mut self, topic: &Topic) {
        self.subscribers.entry(topic.clone()).or_default();
        self.remote.subscribe(self.now(), topic);
    }

    /// Publishes the next number, with `padding` octets behind it.
    pub(crate) fn publish(&mut self, topic: &Topic, padding: usize) -> Result<Receipt, Full> {
        let payload = format!("{} {} {}", self.number, self.published + 1, "x".repeat(padding));
        let receipt = self.remote.publish(self.now(), topic, Bytes::from(payload))?;
        self.published += 1;
        Ok(receipt)
    }

    /// Its connection is cut, and it does not notice anything else until it runs again.
    pub(crate) fn cut(&mut self) {
        self.carrier = None;
        self.remote.closed(self.now(), "");
    }

    /// Does what can be done without waiting. Gives whether anything was done.
    pub(crate) fn step(&mut self) -> bool {
        let mut busy = false;
        self.remote.handle_timeout(self.now());
        while let Some(request) = self.remote.poll_transport() {
            self.on_request(request);
            busy = true;
        }
        busy |= self.send() | self.read();
        while let Some(event) = self.remote.poll() {
            self.on_event(event);
            busy = true;
        }
        busy
    }

    fn on_request(&mut self, request: TransportRequest) {
        let now = self.now();
        match request {
            TransportRequest::Connect(endpoint) => match Carrier::connect(&endpoint) {
                Ok(carrier) => {
                    self.carrier = Some(carrier);
                    self.remote.connected(now);
                }
                Err(error) => self.remote.connect_failed(now, &error.to_string()),
            },
            TransportRequest::StartTls => {
                let config = self.tls.clone().expect("a test with TLS");
                self.carrier.as_mut().expect("a connection").start_tls(config);
            }
            _ => self.carrier = None,
        }
    }

    fn send(&mut self) -> bool {
        let (now, mut busy) = (self.now(), false);
        let Some(carrier) = &mut self.carrier else { return false };
        loop {
            match carrier.write(self.remote.transmit()) {
                Ok(0) => return busy,
                Ok(count) => {
                    self.remote.transmitted(now, count);
                    busy = true;
                }
                Err(error) => {
                    self.carrier = None;
                    self.remote.closed(now, &error.to_string());
                    return true;
                }
            }
        }
    }

    fn read(&mut self) -> bool {
        let now = self.now();
        if self.stalled || !self.remote.wants_read() {
            return false;
        }
        let Some(carrier) = &mut self.carrier else { return false };
        // A prime, so that operations are cut everywhere.
        let mut buffer = [0; 4_099];
        match carrier.read(&mut buffer) {
            Ok(None) => return false,
            Ok(Some(0)) => {
                self.carrier = None;
                self.remote.closed(now, "");
            }
            Ok(Some(count)) => self.remote.receive(now, &buffer[..count]),
            Err(error) => {
                self.carrier = None;
                self.remote.closed(now, &error.to_string());
            }
        }
        true
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Subscribed { topic } => {
                let subscriber = self.subscribers.get_mut(&topic).expect("it was asked for");
                subscriber.subscribed = true;
                subscriber.oracle.subscribed(&[]);
            }
            Event::Gap { topic } => {
                let subscriber = self.subscribers.get_mut(&topic).expect("it was asked for");
                subscriber.oracle.gap();
            }
            Event::Message { topic, payload, position } => {
                let text = String::from_utf8(payload.to_vec()).expect("text");
                let mut words = text.split(' ').map(|word| word.parse::<u64>());
                let (Some(Ok(publisher)), Some(Ok(number))) = (words.next(), words.next()) else {
                    panic!("nothing else was published: {text}")
                };
                let subscriber = self.subscribers.get_mut(&topic).expect("it was asked for");
                subscriber.last.insert(publisher, number);
                subscriber.received.push((publisher, number));
                let judged = match position {
                    Some(position) if self.judges_offsets => (position.epoch, position.offset),
                    _ => (publisher, number),
                };
                if let Err(wrong) = subscriber.oracle.message(judged.0, judged.1) {
                    panic!("process {} in {topic}: {wrong}, {:?}", self.number, self.downs);
                }
            }
            Event::Down { cause, .. } => {
                self.subscribers.values_mut().for_each(|subscriber| subscriber.subscribed = false);
                self.downs.push(cause);
            }
            Event::Refused { topic, receipt, cause } => {
                self.refused.push((topic, receipt, cause.to_string()))
            }
            Event::Up => {}
            other => panic!("{other:?}"),
        }
    }

    /// Whether all topics are subscribed to.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.remote.is_up() && self.subscribers.values().all(|subscriber| subscriber.subscribed)
    }

    /// Messages that its subscribers have received.
    pub(crate) fn messages(&self) -> u64 {
        self.subscribers.values().map(|subscriber| subscriber.oracle.messages()).sum()
    }

    /// Gaps that its subscribers were informed of.
    pub(crate) fn gaps(&self) -> u64 {
        self.subscribers.values().map(|subscriber| subscriber.oracle.gaps()).sum()
    }
}

/// Runs processes until `done`, with `act` before each round.
pub(crate) fn run(
    processes: &mut [&mut Process],
    what: &str,
    mut act: impl FnMut(&mut [&mut Process]) -> bool,
) {
    let begin = Instant::now();
    while !act(processes) {
        let mut busy = false;
        for process in processes.iter_mut() {
            busy |= process.step();
        }
        if begin.elapsed() > PATIENCE {
            processes.iter().for_each(|process| eprintln!("{process:?}"));
            panic!("in a minute there was not: {what}");
        }
        if !busy {
            std::thread::sleep(Duration::from_micros(300));
        }
    }
}

/// Runs processes until each is connected and subscribed to everything.
pub(crate) fn run_until_subscribed(processes: &mut [&mut Process]) {
    run(processes, "all subscriptions", |processes| processes.iter().all(|process| process.is_subscribed()));
}

/// Kills a server in the middle of what processes publish, after so many turns with `each` publications of each. It stops first, so that
/// there is something that it has not read or not sent.
pub(crate) fn kill_while_it_sends(
    server: &mut Server,
    processes: &mut [&mut Process],
    topic: &Topic,
    each: usize,
    turns: usize,
) {
    let downs: Vec<_> = processes.iter().map(|process| process.downs.len()).collect();
    let mut turn = 0;
    run(processes, "the end of a server that sends", |all| {
        turn += 1;
        match turn {
            _ if turn == turns => server.signal("STOP"),
            _ if turn == turns + 5 => server.kill(),
            _ => {}
        }
        for process in all.iter_mut() {
            // Those that are not taken are published later: they have no number before.
            for _ in 0..each {
                let _ = process.publish(topic, 100);
            }
        }
        all.iter().zip(&downs).all(|(process, before)| process.downs.len() > *before)
    });
}
