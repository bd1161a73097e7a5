//! What embedders of libcurl's multi interface have to live with, and those of this client have not.

use super::{LONG, PATIENCE, get, serve};
use lws_client::{
    Client, ClientApp, Context, Failure, Options, Reply, RequestId, ResponseHead, Runtime, Timings,
};
use lws_loop_external::{Query, Resolver};
use lws_loop_poll::PollLoop;
use std::cell::{Cell, RefCell};
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
