//! The calls of ready hosts that a program makes itself.

use lws_loop_external::hosts::{OnPoll, PollFd, poll};
use lws_loop_external::{
    Accepted, Address, Application, Clock, Driver, DriverContext, DriverOptions, Interest, ListenOptions,
    ListenerId, Peer,
};
use lws_proto::{Config, Event, Expect, Payload};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Echoes, and calls `on_event` with every event.
pub(crate) struct Echo {
    config: Arc<Config>,
    pub(crate) on_event: Box<dyn FnMut()>,
    pub(crate) timers: usize,
}

impl Application for Echo {
    type State = ();
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        Some(Accepted { config: Arc::clone(&self.config), state: () })
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), event: Event<'_>) {
        (self.on_event)();
        if let Event::Raw { stream, chunk, end } = event
            && let Ok(permit) = stream.permit()
        {
            permit.data(Payload::Copy(chunk), end).expect("an open stream").throttle();
        }
    }

    fn timer(&mut self, _: &mut DriverContext<'_, Self>) {
        self.timers += 1;
    }
}

/// A service that echoes, and its address.
pub(crate) fn service(clock: Clock) -> (Driver<Echo>, SocketAddr) {
    let config = Config { expect: Expect::Raw, ..Config::default() }.into();
    let echo = Echo { config, on_event: Box::new(|| {}), timers: 0 };
    let mut service = Driver::new(echo, DriverOptions::default()).expect("a descriptor");
    let address = service.with(clock.now(), |_, cx| {
        let any = Address::Tcp(([127, 0, 0, 1], 0).into());
        let id = cx.listen(&any, &ListenOptions::default()).expect("a listener");
        cx.listening_on(id).expect("an address")
    });
    let Address::Tcp(address) = address else { panic!("not of TCP: {address}") };
    (service, address)
}

/// Runs one turn, and checks that the program's entries have not moved.
fn turn(
    on_poll: &mut OnPoll<Driver<Echo>>,
    fds: &mut Vec<PollFd>,
    clock: Clock,
    foreign: &[(usize, PollFd)],
) {
    let wait = on_poll.settle(fds, clock.now());
    poll(fds, wait.timeout(clock.now())).expect("a wait");
    for fd in fds.iter_mut() {
        let before = *fd;
        let ours = on_poll.service_fd(fd, clock.now());
        assert!(ours && fd.revents == 0 || *fd == before, "{before:?} became {fd:?}");
    }
    for (index, known) in foreign {
        assert_eq!((fds[*index].fd, fds[*index].events), (known.fd, known.events), "at {index}");
    }
}

#[test]
fn foreign_entries_of_the_array_stay_where_and_what_they_are() {
    let clock = Clock::new();
    let (service, address) = service(clock);
    let (own, mut other) = UnixStream::pair().expect("two descriptors");
    other.write_all(b"x").expect("room");
    let entry = PollFd::new(own.as_raw_fd(), Interest::READ);
    let mut fds = vec![entry];
    let mut foreign = vec![(0, entry)];
    let mut on_poll = OnPoll::new(service);
    // Connections come and go, and the program adds entries in between.
    for round in 1..=4 {
        let mut clients: Vec<_> =
            (0..round * 2).map(|_| TcpStream::connect(address).expect("a connection")).collect();
        while on_poll.service().stats().connections < clients.len() {
            turn(&mut on_poll, &mut fds, clock, &foreign);
        }
        foreign.push((fds.len(), entry));
        fds.push(entry);
        for client in &mut clients {
            client.write_all(b"hello").expect("room");
        }
        let sent = on_poll.service().stats().sent_bytes_total + 5 * clients.len() as u64;
        while on_poll.service().stats().sent_bytes_total < sent {
            turn(&mut on_poll, &mut fds, clock, &foreign);
        }
        for mut client in clients {
            let mut echoed = [0; 5];
            client.read_exact(&mut echoed).expect("the echo");
        }
        while on_poll.service().stats().connections > 0 {
            turn(&mut on_poll, &mut fds, clock, &foreign);
        }
    }
    assert!(fds.iter().filter(|fd| fd.revents != 0).count() == foreign.len(), "it is left to the program");
    on_poll.detach(&mut fds);
    assert!(
        fds.iter()
            .enumerate()
            .all(|(index, fd)| { fd.fd < 0 || foreign.iter().any(|(known, _)| *known == index) })
    );
}

#[cfg(feature = "mio")]
mod one_descriptor {
    use super::*;
    use lws_loop_external::{OneDescriptor, Wait};
    use std::time::Duration;

    fn is_readable(one: &OneDescriptor<Driver<Echo>>) -> bool {
        let mut fds = [PollFd::new(one.as_raw_fd(), Interest::READ)];
        poll(&mut fds, Some(Duration::ZERO)).expect("a look") == 1
    }

    #[test]
    fn an_earlier_deadline_makes_it_readable_and_a_later_one_does_not() {
        let clock = Clock::new();
        let mut one = OneDescriptor::new(service(clock).0).expect("two descriptors");
        assert!(is_readable(&one), "for the first dispatch");
        let now = clock.now();
        assert_eq!(one.dispatch(now), Wait::Forever);
        assert!(!is_readable(&one));
        let after = |seconds| now + Duration::from_secs(seconds);
        for (at, readable) in [(100, true), (200, false), (50, true)] {
            one.with(now, |service| {
                service.with(now, |_, cx| cx.set_timer(Some(cx.now() + Duration::from_secs(at))));
            });
            assert_eq!(is_readable(&one), readable, "after {at} s");
            assert_eq!(one.dispatch(now), Wait::Until(after(at)));
            assert!(!is_readable(&one));
        }
        assert_eq!(one.dispatch(after(50)), Wait::Forever);
        assert_eq!(one.service().application().timers, 1);
    }

    #[test]
    fn an_end_from_outside_is_reported_to_a_host_that_sleeps() {
        let clock = Clock::new();
        let mut one = OneDescriptor::new(service(clock).0).expect("two descriptors");
        one.dispatch(clock.now());
        assert!(!is_readable(&one));
        one.with(clock.now(), |service| service.drain(Duration::from_secs(1)));
        assert!(one.is_done() && is_readable(&one));
    }

    #[test]
    fn what_is_asked_for_from_outside_is_done_before_the_call_returns() {
        let clock = Clock::new();
        let (service, address) = service(clock);
        let mut one = OneDescriptor::new(service).expect("two descriptors");
        one.dispatch(clock.now());
        let _client = TcpStream::connect(address).expect("a connection");
        while one.service().stats().connections == 0 {
            one.dispatch(clock.now());
        }
        one.with(clock.now(), |service| service.drain(Duration::ZERO));
        while !one.is_done() {
            one.dispatch(clock.now());
        }
    }
}

#[cfg(feature = "mio")]
mod callbacks {
    use super::*;
    use lws_loop_external::hosts::{OnCallbacks, Watch};
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;
    use std::time::Duration;

    type Call = Rc<dyn Fn()>;

    /// A loop that calls back when the test wants.
    #[derive(Clone, Default)]
    struct Manual {
        call: Rc<RefCell<Option<Call>>>,
        stopped: Rc<Cell<bool>>,
    }

    impl Manual {
        fn call(&self) {
            let call = self.call.borrow().clone().expect("a callback");
            call();
        }

        fn host(&self, service: Driver<Echo>) -> OnCallbacks<Driver<Echo>, Self> {
            let watched = OnCallbacks::watched_by(service, |_, call| {
                self.call.replace(Some(Rc::from(call)));
                Ok(self.clone())
            });
            watched.expect("two descriptors")
        }
    }

    impl Watch for Manual {
        fn arm(&self, _: Option<Duration>) {}

        fn stop(&self) {
            self.stopped.set(true);
        }
    }

    type Hosted = Rc<RefCell<Option<OnCallbacks<Driver<Echo>, Manual>>>>;

    /// Calls `attempt` with the host inside a handler of its service, and returns the result.
    fn in_a_handler(attempt: impl Fn(&Hosted) -> bool + 'static) -> (bool, Manual, Hosted) {
        let clock = Clock::new();
        let (service, address) = service(clock);
        let manual = Manual::default();
        let hosted: Hosted = Rc::default();
        let result = Rc::new(Cell::new(None));
        hosted.replace(Some(manual.host(service)));
        let (inner, outer) = (Rc::clone(&hosted), Rc::clone(&result));
        if let Some(on_manual) = &*hosted.borrow() {
            let set = on_manual.with(|service| {
                service.application_mut().on_event = Box::new(move || outer.set(Some(attempt(&inner))));
            });
            assert_eq!(set, Some(()));
        }
        let _client = TcpStream::connect(address).expect("a connection");
        while result.get().is_none() {
            manual.call();
        }
        (result.get() == Some(true), manual, hosted)
    }

    #[test]
    fn a_handler_cannot_borrow_its_own_service_again() {
        let attempt = |hosted: &Hosted| {
            let hosted = hosted.borrow();
            let Some(on_manual) = &*hosted else { return false };
            on_manual.with(|_| ()).is_none() && !on_manual.is_done()
        };
        let (refused, _, hosted) = in_a_handler(attempt);
        assert!(refused);
        let on_manual = hosted.take().expect("still hosted");
        assert!(on_manual.detach().is_some(), "and outside it is given back");
    }

    #[test]
    fn a_handler_may_end_the_service_that_called_it() {
        for detach in [false, true] {
            let (ended, manual, _) = in_a_handler(move |hosted| match hosted.take() {
                Some(on_manual) if detach => on_manual.detach().is_none(),
                on_manual => on_manual.is_some(),
            });
            assert!(ended);
            assert!(!detach || manual.stopped.get());
            // The loop may call back once more after this.
            manual.call();
        }
    }
}
