//! A network in memory: the client's engines against engines as servers, and a clock that jumps to what is due next. What goes
//! wrong, and at which octet, is said beforehand.

use lws_client::{Action, Cause, Client, Failure, Link, Options, Phase, Response};
use lws_loop_external::{Speak, Target};
use lws_proto::http::Scheme;
use lws_proto::{Config, Connection, Event, Payload, Time};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Both directions end.
    Cut,
    /// Both directions fail.
    Reset,
    /// Nothing more arrives, in either direction.
    Stall,
    /// The server ends in an orderly way, after what it has said.
    Close,
}

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    ToServer,
    ToClient,
}

/// A fault of one connection: behind so many octets of a direction from now on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    pub(crate) direction: Direction,
    pub(crate) after: usize,
}

/// One connection.
struct Pair {
    client: Connection,
    server: Connection,
    target: Target,
    stalled: bool,
    dead: bool,
    /// The client has ended its direction.
    ended: bool,
}

/// What servers have done.
#[derive(Default)]
pub(crate) struct Acts {
    /// Requests that were received whole: where, method and target.
    pub(crate) done: Vec<String>,
    /// Heads of requests, with their fields.
    pub(crate) heads: Vec<String>,
}

/// What a server does with an event.
pub(crate) type Serve = Box<dyn FnMut(&mut Acts, &str, Event<'_>)>;

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) now: Time,
    /// The wall clock.
    pub(crate) unix_seconds: Option<u32>,
    pairs: BTreeMap<Link, Pair>,
    pub(crate) acts: Acts,
    serve: Serve,
    plan: Option<Plan>,
    /// Every connection is refused.
    pub(crate) refuses: bool,
    pub(crate) connects: usize,
    /// Octets that went to the server and to the client.
    pub(crate) moved: (usize, usize),
    pub(crate) server_config: Arc<Config>,
}

/// Turns without an end are a fault of the client.
const TURNS_MAX: usize = 20_000;

impl World {
    pub(crate) fn new(options: Options, serve: impl FnMut(&mut Acts, &str, Event<'_>) + 'static) -> Self {
        Self {
            client: Client::new(options),
            now: Time::from_micros(1_000_000),
            unix_seconds: None,
            pairs: BTreeMap::new(),
            acts: Acts::default(),
            serve: Box::new(serve),
            plan: None,
            refuses: false,
            connects: 0,
            moved: (0, 0),
            server_config: Arc::new(Config::default()),
        }
    }

    /// Lets something go wrong from here on.
    pub(crate) fn plan(&mut self, plan: Plan) {
        self.plan = Some(plan);
    }

    /// Lets every server close its connections as soon as it can.
    pub(crate) fn close_servers(&mut self) {
        for pair in self.pairs.values_mut() {
            pair.server.drain(self.now);
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.pairs.len()
    }

    /// Runs until `done`, and says after how long that was.
    pub(crate) fn run_until(&mut self, mut done: impl FnMut() -> bool) -> Duration {
        let begun = self.now;
        for _ in 0..TURNS_MAX {
            if done() {
                return self.now - begun;
            }
            if !self.turn() && !done() && !self.sleep() {
                panic!("nothing is left to happen");
            }
        }
        panic!("no end");
    }

    /// Runs for a time.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..TURNS_MAX {
            if self.turn() {
                continue;
            }
            match self.next_timeout().filter(|at| *at < end) {
                Some(at) => self.wake_at(at),
                None => {
                    self.now = end;
                    self.turn();
                    return;
                }
            }
        }
        panic!("no end");
    }

    /// Asks, and waits for the one outcome.
    pub(crate) fn outcome(&mut self, ask: impl FnOnce(&mut Client, Outcomes)) -> Result<Response, Failure> {
        let outcomes = Outcomes::default();
        ask(&mut self.client, outcomes.clone());
        let finished = outcomes.clone();
        self.run_until(move || finished.len() > 0);
        self.turn();
        outcomes.only()
    }

    pub(crate) fn get(&mut self, url: &str) -> Result<Response, Failure> {
        self.outcome(|client, outcomes| {
            client.get(url).expect("a URL").collect(1 << 20, outcomes.sink());
        })
    }

    pub(crate) fn post(&mut self, url: &str, content: &'static str) -> Result<Response, Failure> {
        self.outcome(|client, outcomes| {
            client.post(url).expect("a URL").body(content).collect(1 << 20, outcomes.sink());
        })
    }

    // What moves.

    /// Lets everything happen that can happen now. Whether something did.
    pub(crate) fn turn(&mut self) -> bool {
        let mut moved = self.act();
        let links: Vec<_> = self.pairs.keys().copied().collect();
        for link in links {
            moved |= self.move_bytes(link);
            moved |= self.act();
        }
        moved
    }

    fn act(&mut self) -> bool {
        let mut acted = false;
        loop {
            self.client.settle(self.now, self.unix_seconds);
            let Some(action) = self.client.poll_action() else { return acted };
            acted = true;
            match action {
                Action::Connect { link, target, config, options } => {
                    self.connects += 1;
                    if self.refuses {
                        self.client.connect_failed(link, &refused());
                    } else {
                        self.connect(link, target, config, options.speak == Speak::Http2);
                    }
                }
                Action::Wake(link) => self.lend(link, |client, pair| client.woken(link, &mut pair.client)),
                Action::Close(link) => {
                    let now = self.now;
                    self.lend(link, |_, pair| pair.client.drain(now));
                }
                Action::Abort(link) => self.lend(link, |_, pair| pair.client.abort()),
                other => panic!("{other:?}"),
            }
        }
    }

    fn connect(&mut self, link: Link, target: Target, config: Arc<Config>, http2: bool) {
        let entropy = Box::new(|bytes: &mut [u8]| bytes.fill(7));
        let client = if http2 {
            Connection::client_http2(self.now, config, entropy, Scheme::Http)
        } else {
            Connection::client(self.now, config, entropy)
        };
        let server = Connection::server(self.now, Arc::clone(&self.server_config));
        self.pairs.insert(link, Pair { client, server, target, stalled: false, dead: false, ended: false });
        self.lend(link, |client, pair| {
            client.connected(link, &mut pair.client, http2, Some("memory".into()))
        });
    }

    fn lend(&mut self, link: Link, call: impl FnOnce(&mut Client, &mut Pair)) {
        if let Some(mut pair) = self.pairs.remove(&link) {
            call(&mut self.client, &mut pair);
            self.pairs.insert(link, pair);
        }
    }

    fn move_bytes(&mut self, link: Link) -> bool {
        let Some(mut pair) = self.pairs.remove(&link) else { return false };
        let mut moved = self.feed_server(&mut pair);
        moved |= self.feed_client(link, &mut pair);
        let server_over = pair.server.interest().close || pair.server.interest().shutdown;
        if server_over && !pair.stalled && !pair.dead && !pair.server.interest().write {
            pair.dead = true;
            pair.client.received_eof(self.now);
            moved = true;
        }
        self.tell(link, &mut pair);
        let over = pair.client.interest().shutdown && !pair.client.interest().write;
        if over && !pair.ended && !pair.stalled && !pair.dead {
            pair.ended = true;
            pair.server.received_eof(self.now);
            moved = true;
        }
        if pair.client.interest().close {
            self.client.closed(link);
            return true;
        }
        self.pairs.insert(link, pair);
        moved
    }

    /// How many of so many octets get through, and whether the fault has come.
    fn pass(&mut self, direction: Direction, len: usize) -> (usize, Option<Fault>) {
        match &mut self.plan {
            Some(plan) if plan.direction == direction && plan.after <= len => {
                let (after, fault) = (plan.after, plan.fault);
                self.plan = None;
                // Nothing is lost where an end is in order.
                (if fault == Fault::Close { len } else { after }, Some(fault))
            }
            Some(plan) if plan.direction == direction => {
                plan.after -= len;
                (len, None)
            }
            _ => (len, None),
        }
    }

    fn feed_server(&mut self, pair: &mut Pair) -> bool {
        let mut bytes = take(&mut pair.client, self.now);
        if pair.stalled {
            // The system takes what fits its buffer, and no one reads it.
            return !bytes.is_empty();
        }
        if pair.dead {
            // The port is closed: the system answers with a reset.
            if !bytes.is_empty() {
                pair.client.transport_failed(self.now);
            }
            return !bytes.is_empty();
        }
        if bytes.is_empty() {
            return false;
        }
        let (n, fault) = self.pass(Direction::ToServer, bytes.len());
        bytes.truncate(n);
        self.moved.0 += n;
        let place = pair.target.to_string();
        let mut feed = pair.server.receive(self.now, &mut bytes);
        while let Some(event) = feed.next_event() {
            (self.serve)(&mut self.acts, &place, event);
        }
        drop(feed);
        while let Some(event) = pair.server.next_event() {
            (self.serve)(&mut self.acts, &place, event);
        }
        self.happen(pair, fault);
        true
    }

    fn feed_client(&mut self, link: Link, pair: &mut Pair) -> bool {
        if pair.stalled || pair.dead {
            return false;
        }
        let place = pair.target.to_string();
        while let Some(event) = pair.server.next_event() {
            (self.serve)(&mut self.acts, &place, event);
        }
        if !pair.client.interest().read {
            return false;
        }
        let mut bytes = take(&mut pair.server, self.now);
        if bytes.is_empty() {
            return false;
        }
        let (n, fault) = self.pass(Direction::ToClient, bytes.len());
        bytes.truncate(n);
        self.moved.1 += n;
        let mut feed = pair.client.receive(self.now, &mut bytes);
        while let Some(event) = feed.next_event() {
            self.client.event(link, event);
        }
        drop(feed);
        self.happen(pair, fault);
        true
    }

    fn happen(&mut self, pair: &mut Pair, fault: Option<Fault>) {
        match fault {
            None => {}
            Some(Fault::Stall) => pair.stalled = true,
            Some(Fault::Cut) => {
                pair.dead = true;
                pair.client.received_eof(self.now);
            }
            Some(Fault::Reset) => {
                pair.dead = true;
                pair.client.transport_failed(self.now);
            }
            Some(Fault::Close) => pair.server.drain(self.now),
        }
    }

    fn tell(&mut self, link: Link, pair: &mut Pair) {
        while let Some(event) = pair.client.next_event() {
            self.client.event(link, event);
        }
    }

    // Time.

    fn next_timeout(&self) -> Option<Time> {
        let engines = self.pairs.values().flat_map(|pair| {
            let server = if pair.stalled || pair.dead { None } else { pair.server.next_timeout() };
            [pair.client.next_timeout(), server]
        });
        engines.chain([self.client.next_timeout()]).flatten().min()
    }

    fn sleep(&mut self) -> bool {
        match self.next_timeout() {
            Some(at) => {
                self.wake_at(at);
                true
            }
            None => false,
        }
    }

    fn wake_at(&mut self, at: Time) {
        self.now = self.now.max(at);
        let links: Vec<_> = self.pairs.keys().copied().collect();
        for link in links {
            let Some(mut pair) = self.pairs.remove(&link) else { continue };
            pair.client.handle_timeout(self.now);
            pair.server.handle_timeout(self.now);
            self.tell(link, &mut pair);
            self.pairs.insert(link, pair);
        }
    }
}

fn take(connection: &mut Connection, now: Time) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(transmit) = connection.transmit(now) {
        let first = transmit.first().to_vec();
        transmit.commit(first.len());
        bytes.extend(first);
    }
    bytes
}

fn refused() -> Failure {
    // The kind of the error is the driver's; here it only has to be an error.
    let mut client = Client::new(Options::default());
    let outcomes = Outcomes::default();
    let id = client.get("http://refused/").expect("a URL").collect(0, outcomes.sink());
    client.cancel(id);
    client.settle(Time::ZERO, None);
    let mut failure = outcomes.only().expect_err("it was cancelled");
    failure.phase = Phase::Tcp;
    failure.cause = Cause::Connect(std::io::ErrorKind::ConnectionRefused, "refused".into());
    failure.retryable = true;
    failure
}

/// Outcomes of requests, which are counted.
#[derive(Clone, Default)]
pub(crate) struct Outcomes(Rc<RefCell<Vec<Result<Response, Failure>>>>);

impl Outcomes {
    pub(crate) fn sink(
        &self,
    ) -> impl FnOnce(&mut lws_client::Context<'_>, Result<Response, Failure>) + 'static {
        let outcomes = Rc::clone(&self.0);
        move |_, outcome| outcomes.borrow_mut().push(outcome)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn only(&self) -> Result<Response, Failure> {
        let mut outcomes = self.0.borrow_mut();
        assert_eq!(outcomes.len(), 1, "exactly one outcome");
        outcomes.remove(0)
    }

    pub(crate) fn all(&self) -> Vec<Result<Response, Failure>> {
        self.0.borrow_mut().drain(..).collect()
    }
}

/// A server that answers each whole request with its method and target.
pub(crate) fn echo() -> impl FnMut(&mut Acts, &str, Event<'_>) + 'static {
    respond_with(|head| (200, vec![], format!("{head} done")))
}

/// A server that answers each whole request as `answer` says of method and target.
pub(crate) fn respond_with(
    mut answer: impl FnMut(&str) -> (u16, Vec<(&'static str, String)>, String) + 'static,
) -> impl FnMut(&mut Acts, &str, Event<'_>) + 'static {
    let mut running: BTreeMap<(String, usize), String> = BTreeMap::new();
    move |acts, place, event| {
        let (stream, end) = match event {
            Event::Request { stream, head, end } => {
                let line = format!("{} {}", head.method_name(), head.target());
                let fields: Vec<_> = head
                    .fields()
                    .map(|(name, value)| format!("{}: {}", name.to_ascii_lowercase(), value.escape_ascii()))
                    .collect();
                acts.heads.push(format!("{line} | {}", fields.join(" | ")));
                running.insert((place.to_owned(), stream.key().index()), line);
                (stream, end)
            }
            Event::Body { stream, end, .. } => (stream, end),
            _ => return,
        };
        if !end {
            return;
        }
        let Some(line) = running.remove(&(place.to_owned(), stream.key().index())) else { return };
        acts.done.push(format!("{place} {line}"));
        let (status, fields, content) = answer(&line);
        let status = lws_proto::http::Status::new(status).expect("a status");
        if let Ok(permit) = stream.permit() {
            permit.respond(status, fields, Payload::Own(content.into()), true).expect("an answer");
        }
    }
}
