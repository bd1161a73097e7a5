//! One run of a plan: the world, the services in it, what they do until everything has ended, and the oracles.

use crate::client::{Clients, Destination, is_success};
use crate::host::{Fault, Host};
use crate::house;
use crate::ledger::{Account, Ledger, Shared};
use crate::peer::Actor;
use crate::plan::{Ask, Ends, Plan, Reading};
use crate::random::Random;
use crate::secrets::Secrets;
use crate::world::World;
use lws_loop_external::{Driver, DriverOptions, Service as _, Wait, simulation};
use lws_proto::{Cause, Config, Limits, Time};
use lws_server::{Builder, Server, Service};
use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What an oracle watches over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// Something happens, and it ends.
    Life,
    /// All get their turn.
    Share,
    /// What is held stays within the limits.
    Cost,
    /// What is not a success is not told as one.
    Truth,
    /// What the seam and the engine promise of order: one end of each stream, no sleep while work is pending, nothing left.
    Order,
    /// Something panicked: an assertion, mostly.
    Panic,
}

/// What a run has shown to be wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which oracle says so.
    pub oracle: Oracle,
    /// What it says.
    pub text: String,
    /// What happened last, if the run kept a log.
    pub log: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.oracle, self.text)
    }
}

impl Finding {
    /// What it says without its numbers and particulars: what two findings of one kind have in common.
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

/// What a run that nothing was wrong with has come to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Everything that happened, folded into a number: the same for the same plan.
    pub hash: u64,
    /// How long it took in the world.
    pub took: Duration,
    /// The clients' exchanges, in the order of the plan.
    pub exchanges: Vec<Told>,
}

/// What a client was told of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The status code; zero if no response began.
    pub status: u16,
    /// Octets of content.
    pub octets: u64,
    /// Why it ended; `None` if it never began, or its client stopped reading for good.
    pub cause: Option<Cause>,
}

/// Describes a server: which routes it has. Where it listens and its limits are the plan's.
pub type Describe<'a> = dyn Fn(Builder) -> Builder + 'a;

/// Turns in which nothing happens but a wish for another one.
const IDLE_TURNS_MAX: u32 = 20_000;
/// Turns of one run.
const TURNS_MAX: u64 = 3_000_000;
/// Calls of handlers in one call of a service. What one read brings is the most of it: a receive buffer of the shortest messages.
const CALLBACKS_MAX: u64 = 40_000;
/// How long the server may take to end.
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
    server: Service,
    server_host: Host,
    clients: Driver<Clients>,
    client_host: Host,
    peers: Vec<Actor>,
    turns: u64,
    idle_turns: u32,
    built_in: bool,
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
        let mut builder =
            Server::builder().limits(limits.clone()).drain_timeout(DRAIN).listen(&plain.to_string());
        if let Some(secrets) = &secrets {
            builder = builder.listen_tls(&tls.to_string(), &secrets.server);
        }
        builder = match describe {
            Some(describe) => describe(builder),
            None => house::describe(builder, &ledger),
        };
        let mut server = builder.build().map_err(broken("the server cannot be built"))?.into_service();
        let config = Arc::new(Config { limits: limits.clone(), ..Config::default() });
        let (http1, http2) = secrets.map(|it| (it.http1, it.http2)).unzip();
        let destination = Destination { plain, tls, http1, http2 };
        let application = Clients::new(&plan.clients, destination, config, &ledger, world);
        let mut clients = Driver::new(application, DriverOptions::default()).map_err(broken("no client"))?;
        let mut host = |name, service: &mut dyn lws_loop_external::Service| {
            Host::new(name, plan.delivery, plan.lets_go_late, random.fork(), service)
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
        })
    }

    fn now(&self) -> Time {
        self.world.borrow().now
    }

    /// The whole of it.
    fn finish(mut self) -> Result<Outcome, Fault> {
        // Faults.
        let calm = Time::ZERO + Duration::from_millis(self.random.magnitude(500, 20_000));
        if let Some(millis) = self.plan.drains {
            let drains = Time::ZERO + Duration::from_millis(millis.into());
            self.go_on_until(drains.min(calm))?;
            self.server.handle().drain();
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
        // The end.
        self.server.handle().drain();
        self.clients.application_mut().over = true;
        self.clients.drain(DRAIN);
        let bound = self.now() + DRAIN + Duration::from_secs(1);
        while self.now() < bound && !(self.server.is_done() && self.clients.is_done()) {
            self.turn(bound)?;
        }
        self.check_end()
    }

    fn go_on_until(&mut self, until: Time) -> Result<(), Fault> {
        while self.now() < until {
            self.turn(until)?;
        }
        Ok(())
    }

    /// How long everything may take that ends by a limit, one after the other, and what was planned.
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

    /// Whether nobody is there any more.
    fn is_quiet(&self) -> bool {
        self.connections() == 0
            && self.clients.stats().connections == 0
            && self.clients.application().is_over()
            && self.peers.iter().all(Actor::is_over)
    }

    /// Connections of the server.
    fn connections(&self) -> usize {
        self.server.handle().thread_connections(0)
    }

    /// One turn of everybody, and the time until the next.
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
            // A turn takes time.
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
        // Time goes on, whatever was asked for.
        world.now = next.max(world.now + Duration::from_micros(1));
        Ok(())
    }

    /// What the plan has of an exchange, by its number.
    fn planned(&self, number: u32) -> Option<&'p crate::plan::Exchange> {
        let mut all = self.plan.clients.iter().flat_map(|client| client.exchanges.iter());
        all.nth(number.checked_sub(1)? as usize)
    }

    /// All that can end by itself has ended.
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

    /// Nothing is left, and nobody was told what is not true.
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
        let exchanges = told(&ledger, self.plan.clients.iter().map(|client| client.exchanges.len()).sum());
        drop(ledger);
        let hash = self.world.borrow().hash;
        let took = self.now() - Time::ZERO;
        self.peers.clear();
        Ok(Outcome { hash, took, exchanges })
    }

    /// A server that believes an exchange to be complete is right, where nothing but itself could have cut it.
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

fn told(ledger: &Ledger, count: usize) -> Vec<Told> {
    let mut told = vec![Told { status: 0, octets: 0, cause: None }; count];
    for (number, account) in ledger.accounts() {
        let client = account.client;
        if let Some(place) = (number as usize).checked_sub(1).and_then(|at| told.get_mut(at)) {
            *place = Told { status: client.status, octets: client.octets, cause: client.cause };
        }
    }
    told
}

/// What a client takes for a success was one.
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
