//! One run of a plan: the world and the services in it until everything has ended, and the oracles.

use crate::client::{Clients, Destination, is_success};
use crate::host::{Fault, Host};
use crate::ledger::{Account, Ledger, Shared};
use crate::peer::Actor;
use crate::plan::{Ask, Ends, Plan, Reading};
use crate::random::Random;
use crate::secrets::Secrets;
use crate::server;
use crate::weather::Weather;
use crate::work;
use crate::world::{SocketId, World};
use lws_loop_external::{Driver, Service as _, Wait, simulation};
use lws_proto::{Cause, Config, Limits, Time};
use lws_server::{Builder, Server, ServerService};
use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The property that an oracle checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// Liveness: everything makes progress, and ends.
    Life,
    /// Fairness: every connection gets its turn.
    Share,
    /// Memory and descriptors stay within the limits.
    Cost,
    /// A failure is never reported as a success.
    Truth,
    /// The guarantees of the seam and the engine: one end of each stream, no sleep while work is pending, nothing left
    /// at the end.
    Order,
    /// No panic, and so no failed assertion.
    Panic,
}

/// A violation that a run has shown.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The oracle that found it.
    pub oracle: Oracle,
    /// The description of the violation.
    pub text: String,
    /// The last events, if the run kept a log.
    pub log: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.oracle, self.text)
    }
}

impl Finding {
    /// The description without numbers and particulars, which is the same for two findings of one kind.
    #[must_use]
    pub fn kind(&self) -> String {
        let what = self.text.split_once(": ").map_or(&*self.text, |(what, _)| what);
        let what = what.replace(|char: char| char.is_ascii_digit(), "#");
        let mut kind = format!("{:?}: {what}", self.oracle);
        while kind.contains("##") {
            kind = kind.replace("##", "#");
        }
        kind
    }
}

/// The outcome of a run without a finding.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// A hash of all events: the same for the same plan.
    pub hash: u64,
    /// The simulated time that it took.
    pub took: Duration,
    /// The clients' exchanges, in the order of the plan.
    pub exchanges: Vec<ExchangeResult>,
}

/// The result of one exchange, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeResult {
    /// The status code; zero if no response began.
    pub status: u16,
    /// Octets of content.
    pub octets: u64,
    /// The cause of its end; `None` if it never began, or its client stopped reading for ever.
    pub cause: Option<Cause>,
}

/// Adds the routes of a server. Its addresses and limits come from the plan.
pub type Describe<'a> = dyn Fn(Builder) -> Builder + 'a;

/// The most successive turns in which a service only asks for another turn.
const IDLE_TURNS_MAX: u32 = 20_000;
/// The most turns of one run.
const TURNS_MAX: u64 = 3_000_000;
/// The most calls of handlers in one call of `settle`: a thousand of each kind of work.
const SETTLE_CALLBACKS_MAX: u64 = 10_000;
/// The most calls of handlers when one descriptor is reported. Most come from one read: a receive buffer full of the
/// shortest messages.
const CALLBACKS_MAX: u64 = 40_000;
/// The time that the server gets to drain.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs a plan with the server that `describe` describes, or the built-in one. With `keeps_log` a finding has a log.
pub(crate) fn run(plan: &Plan, describe: Option<&Describe<'_>>, keeps_log: bool) -> Result<Outcome, Finding> {
    let world = Rc::new(RefCell::new(World::new(plan.seed, plan.weather)));
    if keeps_log {
        world.borrow_mut().log = Some(Default::default());
    }
    let entered = simulation::enter(world.clone());
    let result = Run::new(plan, describe, &world).and_then(Run::finish);
    let finding = match result {
        Ok(outcome) if world.borrow().descriptors() == 0 => Ok(outcome),
        Ok(_) => Err((Oracle::Order, format!("{} descriptors are left", world.borrow().descriptors()))),
        Err(fault) => Err(fault),
    };
    drop(entered);
    finding.map_err(|(oracle, text)| {
        let log = world.borrow_mut().log.take().unwrap_or_default().into();
        Finding { oracle, text, log }
    })
}

struct Run<'p> {
    plan: &'p Plan,
    limits: Limits,
    world: Rc<RefCell<World>>,
    ledger: Shared,
    random: Random,
    server: ServerService,
    server_host: Host,
    clients: Driver<Clients>,
    client_host: Host,
    peers: Vec<Actor>,
    turns: u64,
    idle_turns: u32,
    built_in: bool,
    /// The number of messages that were delivered, and of those that were accepted.
    posts: Arc<AtomicU64>,
    accepted: u64,
    /// Connections with unread input when the server was drained.
    unanswered: Vec<SocketId>,
}

fn broken(what: &str) -> impl FnOnce(std::io::Error) -> Fault {
    move |error| (Oracle::Order, format!("{what}: {error}"))
}

impl<'p> Run<'p> {
    fn new(
        plan: &'p Plan,
        describe: Option<&Describe<'_>>,
        world: &Rc<RefCell<World>>,
    ) -> Result<Self, Fault> {
        let mut random = Random::new(plan.seed ^ 0x7275_6e73);
        let ledger = Shared::default();
        let limits = plan.limits();
        let plain = SocketAddr::from(([10, 0, 0, 1], 80));
        let tls = SocketAddr::from(([10, 0, 0, 1], 443));
        let needs_tls = plan.clients.iter().any(|client| client.speaks.is_tls())
            || plan.peers.iter().any(|peer| peer.tls);
        let secrets = if needs_tls { Secrets::new() } else { None };
        let mut builder = Server::builder()
            .limits(limits.clone())
            .driver_options(work::driver_options())
            .drain_timeout(DRAIN)
            .listen(&plain.to_string());
        if let Some(secrets) = &secrets {
            builder = builder.listen_tls(&tls.to_string(), &secrets.server);
        }
        builder = match describe {
            Some(describe) => describe(builder),
            None => server::describe(builder, &ledger),
        };
        let mut server = builder.build().map_err(broken("the server cannot be built"))?.into_service();
        let config = Arc::new(Config { limits: limits.clone(), ..Config::default() });
        let (http1, http2) = secrets.map(|it| (it.http1, it.http2)).unzip();
        let destination = Destination { plain, tls, http1, http2 };
        let application = Clients::new(&plan.clients, destination, config, &ledger, world);
        let mut clients = Driver::new(application, work::driver_options()).map_err(broken("no client"))?;
        let posts = Arc::new(AtomicU64::new(0));
        let mut host = |name, service: &mut dyn lws_loop_external::Service| {
            Host::new(name, plan.delivery, plan.lets_go_late, random.fork(), Arc::clone(&posts), service)
        };
        let server_host = host("server", &mut server);
        let client_host = host("client", &mut clients);
        clients.with(Time::ZERO, |application, cx| application.set_alarm(cx));
        let address = |peer: &crate::plan::Peer| if peer.tls { tls } else { plain };
        let peers = plan.peers.iter().map(|peer| Actor::new(peer.clone(), address(peer))).collect();
        Ok(Self {
            plan,
            limits,
            world: world.clone(),
            ledger,
            random,
            server,
            server_host,
            clients,
            client_host,
            peers,
            turns: 0,
            idle_turns: 0,
            built_in: describe.is_none(),
            posts,
            accepted: 0,
            unanswered: Vec::new(),
        })
    }

    fn now(&self) -> Time {
        self.world.borrow().now
    }

    /// Runs the plan from its beginning to its end.
    fn finish(mut self) -> Result<Outcome, Fault> {
        // The phase with faults.
        let calm = Time::ZERO + Duration::from_millis(self.random.magnitude(500, 20_000));
        if let Some(millis) = self.plan.drains {
            let drains = Time::ZERO + Duration::from_millis(millis.into());
            self.go_on_until(drains.min(calm))?;
            self.drain();
        }
        if self.plan.posts > 0 {
            let at = self.now() + Duration::from_micros(self.random.below(2_000_000));
            self.go_on_until(at.min(calm))?;
            self.post(self.plan.posts);
        }
        self.go_on_until(calm)?;
        // The liveness phase: everything ends by itself.
        let weather = self.plan.weather.calmed();
        self.world.borrow_mut().change_weather(weather);
        for peer in &mut self.peers {
            peer.calm();
        }
        let bound = calm + self.patience();
        while self.now() < bound && !self.is_quiet() {
            self.turn(bound)?;
        }
        self.check_life()?;
        // Draining.
        self.drain();
        self.post(self.plan.posts.min(3));
        self.clients.application_mut().over = true;
        self.clients.drain(DRAIN);
        let bound = self.now() + DRAIN + Duration::from_secs(1);
        while self.now() < bound && !(self.server.is_done() && self.clients.is_done()) {
            self.turn(bound)?;
        }
        self.post(self.plan.posts.min(1));
        self.check_end()
    }

    /// Drains the server.
    fn drain(&mut self) {
        if self.unanswered.is_empty() {
            self.unanswered = self.world.borrow().unanswered();
        }
        self.server.handle().drain();
    }

    /// Sends messages to the server, as another thread would.
    fn post(&mut self, count: u32) {
        for _ in 0..count {
            let posts = Arc::clone(&self.posts);
            let post = move |_: &mut lws_server::Context<'_>| {
                posts.fetch_add(1, Ordering::Relaxed);
            };
            self.accepted += u64::from(self.server.handle().post(post));
        }
    }

    /// Whether the network has no faults except latency, so that outcomes can be predicted.
    fn is_fair(&self) -> bool {
        let weather = self.plan.weather;
        let calm = Weather::CALM;
        let as_calm = Weather {
            latency: calm.latency,
            send_bytes: calm.send_bytes,
            receive_bytes: calm.receive_bytes,
            ..weather
        };
        as_calm == calm && self.plan.drains.is_none() && self.plan.limits.is_empty() && self.plan.posts == 0
    }

    fn go_on_until(&mut self, until: Time) -> Result<(), Fault> {
        while self.now() < until {
            self.turn(until)?;
        }
        Ok(())
    }

    /// A bound on the time of the liveness phase: the sum of all deadlines and of the planned work.
    fn patience(&self) -> Duration {
        let it = &self.limits;
        let limits = [
            it.head_timeout,
            it.content_period * 3,
            it.keep_alive_timeout,
            it.response_timeout,
            it.stalled_timeout * 3,
            it.dead_peer_timeout + it.ping_interval,
            it.close_timeout,
            it.linger_timeout,
            it.h2_settings_timeout,
        ];
        limits.iter().sum::<Duration>() * 2 + Duration::from_secs(300)
    }

    /// Whether all clients and peers have ended.
    fn is_quiet(&self) -> bool {
        self.connections() == 0
            && self.clients.stats().connections == 0
            && self.clients.application().is_over()
            && self.peers.iter().all(Actor::is_over)
    }

    /// The number of connections of the server.
    fn connections(&self) -> usize {
        self.server.handle().thread_connections(0)
    }

    /// Runs one turn of every service and peer, and advances the time to the next event.
    fn turn(&mut self, until: Time) -> Result<(), Fault> {
        self.turns += 1;
        if self.turns > TURNS_MAX {
            return Err((Oracle::Life, format!("{TURNS_MAX} turns and no end")));
        }
        let Self { world, ledger, server, server_host, clients, client_host, .. } = self;
        let calls = world.borrow().calls;
        world.borrow_mut().run_due();
        for peer in &mut self.peers {
            peer.step(&mut world.borrow_mut());
        }
        client_host.settle(clients, world, ledger)?;
        server_host.settle(server, world, ledger)?;
        let reported = client_host.report(clients, world, ledger) | server_host.report(server, world, ledger);
        if server_host.busiest_settle.max(client_host.busiest_settle) > SETTLE_CALLBACKS_MAX {
            let text = format!("one call of `settle` makes more than {SETTLE_CALLBACKS_MAX} of handlers");
            return Err((Oracle::Share, text));
        }
        if server_host.busiest.max(client_host.busiest) > CALLBACKS_MAX {
            return Err((
                Oracle::Share,
                format!("one call of the service makes more than {CALLBACKS_MAX} of handlers"),
            ));
        }
        if let Some(complaint) = world.borrow_mut().complaints.pop() {
            return Err((Oracle::Truth, complaint));
        }
        if let Some(complaint) = ledger.borrow_mut().complaints.pop() {
            return Err((Oracle::Order, complaint));
        }
        let at_once = client_host.wait == Wait::Now || server_host.wait == Wait::Now;
        if reported || at_once {
            self.idle_turns = if reported || world.borrow().calls != calls { 0 } else { self.idle_turns + 1 };
            if self.idle_turns > IDLE_TURNS_MAX {
                return Err((
                    Oracle::Life,
                    "a service asks for one turn after the other, and does nothing".into(),
                ));
            }
            // A turn takes simulated time.
            let mut world = world.borrow_mut();
            world.now = world.now + Duration::from_micros(5);
            return Ok(());
        }
        self.idle_turns = 0;
        let mut next = [world.borrow().next_due(), client_host.wakes(), server_host.wakes()]
            .into_iter()
            .chain(self.peers.iter().map(Actor::wakes))
            .flatten()
            .min();
        for wait in [client_host.wait, server_host.wait] {
            if let Some(at) = wait.deadline() {
                let oversleep = u64::from(world.borrow().weather.oversleep);
                let at = at + Duration::from_micros(self.random.below(oversleep + 1));
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        let mut world = world.borrow_mut();
        let next = next.unwrap_or(until).min(until);
        // Time advances by at least a microsecond, whatever the next deadline is.
        world.now = next.max(world.now + Duration::from_micros(1));
        Ok(())
    }

    /// The planned exchange with this number.
    fn planned(&self, number: u32) -> Option<&'p crate::plan::Exchange> {
        let mut all = self.plan.clients.iter().flat_map(|client| client.exchanges.iter());
        all.nth(number.checked_sub(1)? as usize)
    }

    /// The oracle of life: everything that can end by itself has ended.
    fn check_life(&self) -> Result<(), Fault> {
        let ledger = self.ledger.borrow();
        for (number, account) in ledger.accounts() {
            let client = account.client;
            if client.begun && client.cause.is_none() && !client.stopped {
                let asks =
                    self.planned(number).map(|exchange| format!("{:?}", exchange.asks)).unwrap_or_default();
                let name = asks.split('(').next().unwrap_or_default();
                let text =
                    format!("exchange {number} ({name}) has not ended at its client: {asks}, {account:?}");
                return Err((Oracle::Life, text));
            }
        }
        let orphans = self.world.borrow().orphans();
        if orphans > 0 {
            return Err((Oracle::Life, format!("{orphans} connections are there whose peers have gone")));
        }
        let (left, waiting) = (self.connections(), ledger.waiting as usize);
        if left > waiting {
            let text = format!(
                "{left} connections of the server have not ended, and {waiting} handlers wait; {} are there",
                ledger.handlers
            );
            return Err((Oracle::Life, text));
        }
        Ok(())
    }

    /// The checks at the end: nothing is left, and no event was wrong.
    fn check_end(mut self) -> Result<Outcome, Fault> {
        if !self.server.is_done() || !self.clients.is_done() {
            let text = format!(
                "a drain has not ended in its time: server {} with {} connections, clients {} with {}",
                self.server.is_done(),
                self.connections(),
                self.clients.is_done(),
                self.clients.stats().connections,
            );
            return Err((Oracle::Life, text));
        }
        if let Some(complaint) = self.ledger.borrow_mut().complaints.pop() {
            return Err((Oracle::Order, complaint));
        }
        let ledger = self.ledger.borrow();
        if ledger.handlers > 0 {
            return Err((Oracle::Order, format!("{} handlers are left", ledger.handlers)));
        }
        for (number, account) in ledger.accounts() {
            if let Some(planned) = self.planned(number).filter(|_| self.built_in) {
                check_truth(number, &planned.asks, account)?;
                self.check_belief(number, &planned.reads, account)?;
            }
        }
        self.check_share(&ledger)?;
        self.check_honest()?;
        if let Some(socket) =
            self.unanswered.iter().find(|socket| !self.world.borrow().was_answered(**socket))
            && self.plan.weather.resets == 0
        {
            return Err((
                Oracle::Truth,
                format!("a request lay in its socket at the drain, and was not answered: {socket:?}"),
            ));
        }
        let exchanges = results(&ledger, self.plan.clients.iter().map(|client| client.exchanges.len()).sum());
        drop(ledger);
        let hash = self.world.borrow().hash;
        let took = self.now() - Time::ZERO;
        self.peers.clear();
        let (posts, accepted) = (Arc::clone(&self.posts), self.accepted);
        drop(self);
        let delivered = posts.load(Ordering::Relaxed);
        if delivered != accepted {
            let text = format!("of {accepted} messages that were accepted {delivered} were delivered");
            return Err((Oracle::Truth, text));
        }
        Ok(Outcome { hash, took, exchanges })
    }

    /// The oracle of share: on a fair network small responses do not wait for large ones, and a client that keeps
    /// reading is served completely.
    fn check_share(&self, ledger: &Ledger) -> Result<(), Fault> {
        if !self.is_fair() || !self.built_in {
            return Ok(());
        }
        let due = self.due();
        for (number, account) in ledger.accounts() {
            let client = account.client;
            let Some(planned) = self.planned(number).filter(|_| client.begun) else { continue };
            let small = match planned.asks {
                Ask::Hello => true,
                Ask::File(n) => n < 70_000,
                Ask::Echo(n, _, pause) => n <= 1_000 && pause == 0,
                Ask::Collect(n) => n <= 1_000,
                _ => false,
            };
            let slow = matches!(planned.reads, Reading::Slow(every, pause) if every >= 4 * pause);
            let steady = planned.reads == Reading::Steady;
            let alone = self.is_alone(number);
            if steady && small && !alone && client.took > due {
                let text = format!(
                    "exchange {number} took longer than its due turn: {} ms, and {} ms are due: {:?}",
                    client.took.as_millis(),
                    due.as_millis(),
                    planned.asks,
                );
                return Err((Oracle::Share, text));
            }
            let whole = matches!(planned.asks, Ask::Bytes(_, _, Ends::Whole) | Ask::File(_) | Ask::Hello);
            let shares =
                self.planned_client(number).is_some_and(|client| client.exchanges.iter().any(leaves));
            if (steady || slow) && whole && !shares && client.cause != Some(Cause::Complete) {
                let text =
                    format!("exchange {number} of a client that goes on reading is cut: {:?}", account);
                return Err((Oracle::Share, text));
            }
        }
        Ok(())
    }

    /// The time that a small response may take.
    fn due(&self) -> Duration {
        Duration::from_micros(self.plan.weather.latency.into()) * 20 + Duration::from_millis(300)
    }

    /// Whether an exchange has its connection for itself, or has one that will be lost.
    fn is_alone(&self, number: u32) -> bool {
        self.planned_client(number)
            .is_none_or(|client| !client.speaks.is_http2() || client.exchanges.iter().any(leaves))
    }

    /// The client in the plan that makes an exchange.
    fn planned_client(&self, number: u32) -> Option<&'p crate::plan::Client> {
        let mut last = 0;
        self.plan.clients.iter().find(|client| {
            last += client.exchanges.len() as u32;
            number <= last
        })
    }

    /// Checks that an honest peer is answered completely.
    fn check_honest(&self) -> Result<(), Fault> {
        if !self.is_fair() {
            return Ok(());
        }
        for socket in self.peers.iter().filter_map(Actor::honest) {
            let Some(given) = self.world.borrow().given(socket) else { continue };
            if given.goaway.is_some_and(|code| code != 0) || given.complete < given.asked {
                return Err((
                    Oracle::Truth,
                    format!("a peer that keeps every rule is not served: {given:?}"),
                ));
            }
            if given.slowest_small > self.due() {
                return Err((
                    Oracle::Share,
                    format!("a small response took longer than its due turn: {given:?}"),
                ));
            }
        }
        Ok(())
    }

    /// Checks that an exchange which the server counts as complete is complete at the client, unless something else
    /// than the server may have cut it.
    fn check_belief(&self, number: u32, reads: &Reading, account: &Account) -> Result<(), Fault> {
        let clear = self.plan.weather.resets == 0 && self.plan.drains.is_none() && *reads == Reading::Steady;
        let vanishes = |client: &crate::plan::Client| {
            client.exchanges.iter().any(|it| !matches!(it.reads, Reading::Steady | Reading::Slow(..)))
        };
        let clear = clear && !self.plan.clients.iter().any(vanishes);
        match (account.server, account.client.cause) {
            (
                Some(Cause::Complete),
                Some(cause @ (Cause::Disconnected | Cause::Truncated | Cause::Reset(_))),
            ) if clear => {
                let text =
                    format!("exchange {number} is complete for the server, and for its client {cause:?}");
                Err((Oracle::Truth, text))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the client of an exchange abandons its connection.
fn leaves(exchange: &crate::plan::Exchange) -> bool {
    matches!(exchange.reads, Reading::Leaves(_) | Reading::Vanishes(_))
}

fn results(ledger: &Ledger, count: usize) -> Vec<ExchangeResult> {
    let mut results = vec![ExchangeResult { status: 0, octets: 0, cause: None }; count];
    for (number, account) in ledger.accounts() {
        let client = account.client;
        if let Some(place) = (number as usize).checked_sub(1).and_then(|at| results.get_mut(at)) {
            *place = ExchangeResult { status: client.status, octets: client.octets, cause: client.cause };
        }
    }
    results
}

/// Checks that a response which the client counts as a success was complete.
fn check_truth(number: u32, asks: &Ask, account: &Account) -> Result<(), Fault> {
    let client = account.client;
    if !client.cause.is_some_and(is_success) || client.status != 200 {
        return Ok(());
    }
    let lie = |text: String| Err((Oracle::Truth, format!("exchange {number}: {text}: {account:?}")));
    match asks {
        Ask::Bytes(n, _, ends) => {
            let cut = match ends {
                Ends::Whole => false,
                Ends::Aborts(at) | Ends::Stalls(at) => at < n,
            };
            if cut {
                return lie("a response that was cut is complete for its client".into());
            }
            if client.octets != u64::from(*n) || !client.ended {
                return lie(format!(
                    "{n} octets were meant, and its client is content with {}",
                    client.octets
                ));
            }
        }
        Ask::Echo(n, ..) if client.octets != u64::from(*n) => {
            return lie(format!("{n} octets were sent, and {} came back as all", client.octets));
        }
        Ask::Head(_) if client.octets > 0 => return lie("a response to HEAD has content".into()),
        _ => {}
    }
    Ok(())
}
