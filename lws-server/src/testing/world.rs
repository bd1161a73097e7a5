//! What a test has at hand: the service, its host, its network and its clients, and the order in which they have their turns.

use super::client::{Client, Record};
use super::host::{Host, earlier};
use super::network::Memory;
use crate::{Builder, Context, Handle, ServerService};
use lws_loop_external::Wait;
use lws_loop_external::simulation::{self, Network};
use lws_proto::Time;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Turns without a pause. A handler that wants another one for ever is a mistake, and not a test that hangs.
const TURNS_MAX: u32 = 1_000_000;

/// How long a thread or process may take to do something that a response waits for, in the time of the machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where clients come to if the description listens nowhere: no loopback address, so that every name is served.
const ADDRESS: &str = "192.0.2.1:80";

pub(super) struct World {
    service: Option<ServerService>,
    host: Host,
    memory: Rc<RefCell<Memory>>,
    clients: Vec<Option<Client>>,
    address: SocketAddr,
    /// What the service has answered last.
    wait: Wait,
}

/// Names a client of a world.
pub(super) type ClientIndex = usize;

impl World {
    pub(super) fn new(builder: Builder) -> io::Result<Self> {
        let memory = Rc::new(RefCell::new(Memory::new()));
        let entered = simulation::enter(memory.clone());
        let (mut service, address) = builder.build_for_test(ADDRESS)?;
        let host = Host::new(&mut service);
        drop(entered);
        let (service, clients) = (Some(service), Vec::new());
        let mut world = Self { service, host, memory, clients, address, wait: Wait::Now };
        world.settle();
        Ok(world)
    }

    pub(super) fn now(&self) -> Time {
        self.memory.borrow().now
    }

    pub(super) fn handle(&self) -> Handle {
        self.service().handle()
    }

    fn service(&self) -> &ServerService {
        self.service.as_ref().expect("it is there until the world is dropped")
    }

    /// Calls something with the service, in its network.
    fn inside<R>(&mut self, call: impl FnOnce(&mut ServerService, &mut Host, &RefCell<Memory>) -> R) -> R {
        let _entered = simulation::enter(self.memory.clone());
        let service = self.service.as_mut().expect("it is there until the world is dropped");
        call(service, &mut self.host, &self.memory)
    }

    pub(super) fn with<R>(&mut self, call: impl FnOnce(&mut Context<'_>) -> R) -> R {
        let now = self.now();
        let result = self.inside(|service, _, _| service.with(now, call));
        self.settle();
        result
    }

    /// Whether nothing is left that the server would do anything for.
    pub(super) fn has_ended(&self) -> bool {
        !self.service().handle().0.is_there()
    }

    /// Connects a client: `from` there, or from an address of its own.
    pub(super) fn connect(&mut self, http2: bool, from: Option<SocketAddr>) -> Option<Client> {
        let now = self.now();
        let mut memory = self.memory.borrow_mut();
        let from = from.unwrap_or_else(|| memory.new_client());
        let pipe = memory.open(from, self.address)?;
        Some(Client::new(Client::engine(now, http2), pipe))
    }

    pub(super) fn add(&mut self, client: Client) -> ClientIndex {
        self.clients.push(Some(client));
        self.settle();
        self.clients.len() - 1
    }

    /// Does something with a client that has not been removed, and lets happen what follows.
    pub(super) fn with_client<R>(
        &mut self,
        index: ClientIndex,
        call: impl FnOnce(&mut Client, &RefCell<Memory>) -> R,
    ) -> R {
        let client = self.clients[index].as_mut().expect("it is there until its handle is dropped");
        let result = call(client, &self.memory);
        self.settle();
        result
    }

    pub(super) fn record(&mut self, index: ClientIndex) -> &mut Record {
        &mut self.clients[index].as_mut().expect("it is there until its handle is dropped").record
    }

    /// Has a client leave: as a program that ends, whose system resets what it has not read to its end.
    pub(super) fn remove(&mut self, index: ClientIndex) -> Record {
        let mut client = self.clients[index].take().expect("it is there until its handle is dropped");
        let reset = !client.is_over();
        client.leave(&self.memory, reset);
        self.settle();
        client.record
    }

    /// Lets everything happen that can happen now.
    pub(super) fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            if !self.turn() {
                return;
            }
        }
        panic!("the server does not come to rest: a handler asks for the next turn in each");
    }

    fn turn(&mut self) -> bool {
        self.wait = self.inside(|service, host, memory| host.turn(service, memory));
        let mut busy = self.wait == Wait::Now;
        for client in self.clients.iter_mut().flatten() {
            busy |= client.turn(&self.memory);
        }
        busy
    }

    /// Lets everything happen that can happen now. Answers whether the exchange of a client is over.
    pub(super) fn settle_now(&mut self, index: ClientIndex) -> bool {
        self.settle();
        self.clients[index].as_ref().is_some_and(Client::is_over)
    }

    /// Lets everything happen, in the time of the machine too, until `done` says so of a client.
    pub(super) fn settle_until(&mut self, index: ClientIndex, done: impl Fn(&Client) -> bool) -> bool {
        loop {
            self.settle();
            if self.clients[index].as_ref().is_some_and(&done) {
                return true;
            }
            let outside = |service: &mut ServerService, host: &mut Host, memory: &RefCell<Memory>| {
                host.wait_for_outside(service, memory, PATIENCE)
            };
            if !self.inside(outside) {
                return false;
            }
        }
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now() + duration;
        loop {
            self.settle();
            let due = self.clients.iter().flatten().filter_map(Client::next_timeout).min();
            match earlier(self.wait.deadline(), due).filter(|at| *at <= end) {
                // A deadline may lie where the clock stands already, and nothing more be done about it.
                Some(at) if at > self.now() => self.memory.borrow_mut().now = at,
                _ => break,
            }
        }
        self.memory.borrow_mut().now = end;
        self.settle();
    }

    /// When something happens by itself, for a message about what has not.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.wait.timeout(self.now())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Its sockets are closed in the network that they are of.
        let memory: Rc<RefCell<dyn Network>> = self.memory.clone();
        let _entered = simulation::enter(memory);
        self.service = None;
    }
}
