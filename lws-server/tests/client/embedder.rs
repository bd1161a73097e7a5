//! What embedders of libcurl's multi interface have to live with, and those of this client have not.

use super::{LONG, PATIENCE, get, serve};
use lws_client::{
    Client, ClientApp, Context, Failure, Options, Reply, RequestId, ResponseHead, Runtime, Timings,
};
use lws_loop_external::{Change, Driver, Interest, Query, Readiness, Resolver, Service, Token, Trigger};
use lws_loop_poll::PollLoop;
use lws_proto::Time;
use rustix::event::{PollFd, PollFlags, poll};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// Runs until `done`.
fn run_until(runtime: &mut Runtime, mut done: impl FnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < give_up, "it does not come");
        runtime.turn(Some(Duration::from_millis(20))).expect("it runs");
    }
}

/// Pauses with the first content, and notes how it ends.
struct Paused {
    begun: Rc<Cell<bool>>,
    ended: Rc<Cell<bool>>,
}

impl Reply for Paused {
    fn body(&mut self, cx: &mut Context<'_>, _: &mut [u8]) {
        if !self.begun.replace(true) {
            cx.pause();
        }
    }

    fn end(self: Box<Self>, _: &mut Context<'_>, outcome: Result<Timings, Failure>) {
        self.ended.set(outcome.is_ok());
    }
}

#[test]
fn a_transfer_that_is_paused_does_not_wake_the_loop() {
    let server = serve(|builder| builder);
    let mut runtime = Runtime::new(Options::default()).expect("a runtime");
    let (begun, ended) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let reply = Paused { begun: Rc::clone(&begun), ended: Rc::clone(&ended) };
    let request = get(&format!("http://{}/long", server.plain));
    let id = runtime.with(|client| client.start(request, reply));
    run_until(&mut runtime, || begun.get());
    // What was on its way when it paused may still be looked at.
    let mut turns = 0;
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        runtime.turn(Some(Duration::from_millis(300))).expect("it runs");
        turns += 1;
    }
    assert!(turns <= 10 && !ended.get(), "{turns} turns with nothing to do");
    runtime.with(|client| client.resume(id));
    run_until(&mut runtime, || ended.get());
}

/// Asks for something else from within its own end, and notes that no call is made inside of another one.
struct Asks {
    url: String,
    left: u32,
    depth: Rc<Cell<u32>>,
    done: Rc<Cell<bool>>,
}

impl Reply for Asks {
    fn head(&mut self, _: &mut Context<'_>, _: ResponseHead) {
        assert_eq!(self.depth.get(), 0, "no call inside of another one");
    }

    fn end(self: Box<Self>, cx: &mut Context<'_>, outcome: Result<Timings, Failure>) {
        outcome.expect("a response");
        assert_eq!(self.depth.replace(1), 0, "no call inside of another one");
        let depth = Rc::clone(&self.depth);
        if self.left > 0 {
            let request = get(&self.url);
            cx.client().start(request, Self { left: self.left - 1, ..*self });
        } else {
            self.done.set(true);
        }
        depth.set(0);
    }
}

#[test]
fn what_is_asked_for_in_a_call_is_never_answered_within_it() {
    let server = serve(|builder| builder);
    let mut runtime = Runtime::new(Options::default()).expect("a runtime");
    let done = Rc::new(Cell::new(false));
    let url = format!("http://{}/hello", server.plain);
    let reply = Asks { url: url.clone(), left: 20, depth: Rc::default(), done: Rc::clone(&done) };
    runtime.with(|client| client.start(get(&url), reply));
    run_until(&mut runtime, || done.get());
}

#[test]
fn the_name_of_a_request_that_has_ended_does_nothing_to_the_next_one() {
    let server = serve(|builder| builder);
    let mut runtime = Runtime::new(Options::default()).expect("a runtime");
    let url = format!("http://{}/hello", server.plain);
    let outcomes: Rc<RefCell<Vec<bool>>> = Rc::default();
    let ask = |client: &mut Client| {
        let outcomes = Rc::clone(&outcomes);
        client.collect(get(&url), 1_000, move |_, outcome| outcomes.borrow_mut().push(outcome.is_ok()))
    };
    let mut before: Option<RequestId> = None;
    for n in 0..5 {
        let id = runtime.with(|client| {
            let id = ask(client);
            // It has the place of the one before, and not its name.
            before.into_iter().for_each(|before| client.cancel(before));
            id
        });
        assert_ne!(before.replace(id), Some(id));
        run_until(&mut runtime, || outcomes.borrow().len() > n);
    }
    assert_eq!(*outcomes.borrow(), [true; 5]);
}

#[test]
fn one_request_that_fails_leaves_the_others_alone_and_a_dropped_client_calls_no_reply() {
    let server = serve(|builder| builder);
    let mut runtime = Runtime::new(Options::default()).expect("a runtime");
    let outcomes: Rc<RefCell<Vec<bool>>> = Rc::default();
    let nobody = test_kit::free_port();
    let urls = [format!("http://{}/hello", server.plain), format!("http://127.0.0.1:{nobody}/")];
    runtime.with(|client| {
        for url in urls.iter().cycle().take(10) {
            let outcomes = Rc::clone(&outcomes);
            client.collect(get(url), 1_000, move |_, it| outcomes.borrow_mut().push(it.is_ok()));
        }
    });
    run_until(&mut runtime, || outcomes.borrow().len() == 10);
    assert_eq!(outcomes.borrow().iter().filter(|good| **good).count(), 5);

    let called = Rc::new(Cell::new(false));
    let seen = Rc::clone(&called);
    let url = format!("http://{}/long", server.plain);
    runtime.with(|client| client.collect(get(&url), LONG, move |_, _| seen.set(true)));
    drop(runtime);
    assert!(!called.get());
}

/// A resolver that is asked and does not answer.
struct Hangs(Sender<Query>);

impl Resolver for Hangs {
    fn resolve(&mut self, query: Query) {
        self.0.send(query).expect("the test waits");
    }
}

#[test]
fn the_end_of_a_client_waits_for_no_resolver() {
    let (sender, asked) = channel();
    let mut driver = ClientApp::driver(Options::default()).expect("a service");
    driver.set_resolver(Hangs(sender));
    let mut poll_loop = PollLoop::new().expect("a loop");
    let service = poll_loop.add(driver).expect("there is room");
    let now = poll_loop.now();
    poll_loop.service_mut(service).expect("the service").with(now, |app, cx| {
        app.client().collect(get("http://a.test/"), 100, |_, _| {});
        app.act(cx);
    });
    poll_loop.run_once(Some(Duration::ZERO)).expect("it runs");
    let query = asked.recv_timeout(PATIENCE).expect("it was asked for");
    assert_eq!(query.name(), "a.test");
    drop(poll_loop);
    // An answer that comes now has no receiver.
    assert!(query.is_cancelled());
    query.answer(Ok(vec![([127, 0, 0, 1], 1).into()]));
}

/// A loop of an embedder's own, over poll(2). It lets go of a descriptor a turn after it was asked to, as one does that has other things to
/// do.
struct OwnLoop {
    driver: Driver<ClientApp>,
    watched: HashMap<Token, (Interest, Identity)>,
    /// Those that it was asked to let go of.
    leaving: Vec<(Token, Identity)>,
    let_go: usize,
    begun: Instant,
}

/// What a descriptor is, whatever its number: the device and the number of the file behind it.
type Identity = (u64, u64);

impl OwnLoop {
    fn new(options: Options) -> Self {
        let mut driver = ClientApp::driver(options).expect("a service");
        driver.attach(Trigger::Level);
        Self { driver, watched: HashMap::new(), leaving: Vec::new(), let_go: 0, begun: Instant::now() }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.begun.elapsed()
    }

    fn with<R>(&mut self, call: impl FnOnce(&mut Client) -> R) -> R {
        let now = self.now();
        self.driver.with(now, |app, cx| {
            let result = call(app.client());
            app.act(cx);
            result
        })
    }

    fn identity(&self, token: Token) -> Identity {
        let descriptor = self.driver.descriptor(token).expect("a descriptor until it was let go of");
        let stat = rustix::fs::fstat(descriptor).expect("it is open");
        (stat.st_dev, stat.st_ino)
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Add { token, interest, .. } => {
                let identity = self.identity(token);
                assert!(self.watched.insert(token, (interest, identity)).is_none(), "the name is another's");
            }
            Change::Modify { token, interest, .. } => {
                self.watched.get_mut(&token).expect("one that is watched").0 = interest;
            }
            Change::Remove { token, .. } => {
                let (_, identity) = self.watched.remove(&token).expect("one that is watched");
                assert_eq!(self.identity(token), identity, "it was closed before it was to be let go of");
                self.leaving.push((token, identity));
            }
        }
    }

    fn turn(&mut self) {
        for (token, identity) in std::mem::take(&mut self.leaving) {
            assert_eq!(self.identity(token), identity, "it was closed before it was let go of");
            self.driver.removed(token);
            self.let_go += 1;
        }
        let mut timeout = self.driver.settle(self.now()).timeout(self.now());
        while let Some(change) = self.driver.poll_change() {
            self.apply(change);
        }
        if !self.leaving.is_empty() {
            timeout = Some(Duration::ZERO);
        }
        let timeout = timeout.unwrap_or(PATIENCE).min(PATIENCE).try_into().expect("a time");
        let wanted: Vec<_> = self.watched.iter().filter(|(_, (interest, _))| !interest.is_empty()).collect();
        let descriptor = |(token, (interest, _)): &(&Token, &(Interest, Identity))| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, interest.contains(Interest::READ));
            flags.set(PollFlags::OUT, interest.contains(Interest::WRITE));
            PollFd::from_borrowed_fd(self.driver.descriptor(**token).expect("its descriptor"), flags)
        };
        let mut descriptors: Vec<_> = wanted.iter().map(descriptor).collect();
        poll(&mut descriptors, Some(&timeout)).expect("a wait");
        let flags: Vec<_> = descriptors.iter().map(PollFd::revents).collect();
        let tokens: Vec<_> = wanted.into_iter().map(|(token, _)| *token).collect();
        for (token, flags) in tokens.into_iter().zip(flags).filter(|(_, flags)| !flags.is_empty()) {
            let ready = Readiness::READABLE.when(flags.contains(PollFlags::IN))
                | Readiness::WRITABLE.when(flags.contains(PollFlags::OUT))
                | Readiness::HANG_UP.when(flags.contains(PollFlags::HUP))
                | Readiness::ERROR.when(flags.contains(PollFlags::ERR));
            let now = self.now();
            self.driver.handle_ready(now, token, ready);
        }
    }
}

/// Asks thirty times, each time on a connection of its own, of which every fifth request is given up; `look` is called after each turn with
/// how many outcomes there were.
fn thirty(own: &mut OwnLoop, url: &str, mut look: impl FnMut(&mut OwnLoop, usize)) {
    let told = Rc::new(Cell::new(0));
    own.with(|client| {
        for n in 0..30 {
            let told = Rc::clone(&told);
            let id = client.collect(get(url), 1_000, move |_, _| told.set(told.get() + 1));
            if n % 5 == 0 {
                client.cancel(id);
            }
        }
    });
    let give_up = Instant::now() + PATIENCE;
    while told.get() < 30 || own.let_go < 24 {
        assert!(Instant::now() < give_up, "{} outcomes, {} connections", told.get(), own.let_go);
        own.turn();
        look(own, told.get());
    }
}

/// Each connection carries one request.
fn one_each() -> Options {
    let mut options = Options::default();
    options.limits.requests_per_connection_max = 1;
    options
}

#[test]
fn a_descriptor_is_open_until_its_loop_has_let_go_of_it() {
    let server = serve(|builder| builder);
    let url = format!("http://{}/hello", server.plain);
    let mut own = OwnLoop::new(one_each());
    thirty(&mut own, &url, |_, _| {});
    assert_eq!((own.let_go, own.with(|client| client.connections())), (24, 0));
}

#[test]
fn an_outcome_is_told_in_the_turn_that_brings_it_and_is_never_asked_for() {
    let server = serve(|builder| builder);
    let url = format!("http://{}/hello", server.plain);
    thirty(&mut OwnLoop::new(one_each()), &url, |own, told| {
        let stats = own.with(|client| client.stats());
        assert_eq!((stats.completed_total + stats.failed_total) as usize, told);
    });
}
