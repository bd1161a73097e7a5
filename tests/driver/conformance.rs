//! Every ready host passes the suite, in each way to report readiness that its loop has. Where a scenario has several services
//! they come to the same loop, one after the other.

use lws_loop_conformance::{Host, Nesting};
use lws_loop_external::hosts::{OnPoll, poll};
use lws_loop_external::{Clock, Service};

/// Of a loop that is a function of the program's, with the service in it.
const BORROWED: &str = "the loop is lines of the program that have the service borrowed while a handler runs: a wait inside a handler is one \
                        of the program's own, without the service's descriptors";

/// Plain poll(2).
struct Poll;

impl Host for Poll {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        let clock = Clock::new();
        let mut fds = Vec::new();
        let mut on_poll = OnPoll::new(service);
        loop {
            let wait = on_poll.settle(&mut fds, clock.now());
            if on_poll.service().is_done() {
                let service = on_poll.detach(&mut fds);
                // In a child the array is a copy, which nothing waits for.
                assert!(fds.is_empty() || service.is_forked(), "left behind: {fds:?}");
                return service;
            }
            poll(&mut fds, wait.timeout(clock.now())).expect("a wait");
            for fd in &mut fds {
                on_poll.service_fd(fd, clock.now());
                assert_eq!(fd.revents, 0, "not ours: {fd:?}");
            }
        }
    }

    fn nesting(&mut self) -> Nesting {
        Nesting::No(BORROWED)
    }
}

mod on_poll {
    lws_loop_conformance::suite!(super::Poll);
}

/// One descriptor in an epoll that reports it in each of the three ways, and that heeds nothing but readiness and the
/// deadline of the last dispatch.
#[cfg(all(feature = "mio", any(target_os = "linux", target_os = "android")))]
mod one_descriptor {
    use lws_loop_conformance::{Host, Nesting, Reentry};
    use lws_loop_external::{Clock, OneDescriptor, Service, Trigger};
    use lws_proto::Time;
    use rustix::buffer::spare_capacity;
    use rustix::event::epoll::{self, EventData, EventFlags};
    use std::cell::{Cell, RefCell};
    use std::os::fd::{AsFd, OwnedFd};
    use std::rc::Rc;
    use std::time::Duration;

    struct Epoll(Rc<Outer>);

    /// The program's loop.
    struct Outer {
        epoll: OwnedFd,
        trigger: Trigger,
        /// Another descriptor of what the service's one is of, for handlers: that one is in use while they run.
        watched: RefCell<Option<OwnedFd>>,
        /// Whether the descriptor is not watched, because a handler runs this loop.
        paused: Cell<bool>,
    }

    impl Epoll {
        fn new(trigger: Trigger) -> Self {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("a descriptor");
            Self(Rc::new(Outer { epoll, trigger, watched: RefCell::new(None), paused: Cell::new(false) }))
        }
    }

    impl Outer {
        const DATA: EventData = EventData::new_u64(0);

        fn flags(&self) -> EventFlags {
            EventFlags::IN
                | match self.trigger {
                    Trigger::Level => EventFlags::empty(),
                    Trigger::Edge => EventFlags::ET,
                    Trigger::OneShot => EventFlags::ONESHOT,
                }
        }

        /// Changes what the descriptor is watched for.
        fn watch(&self, flags: EventFlags) {
            if let Some(watched) = &*self.watched.borrow() {
                epoll::modify(&self.epoll, watched, Self::DATA, flags).expect("a modified descriptor");
            }
        }

        /// Waits. Answers whether the descriptor is readable.
        fn wait(&self, timeout: Option<Duration>) -> bool {
            let mut events = Vec::with_capacity(1);
            let timeout = timeout.map(|timeout| timeout.try_into().expect("a short time"));
            epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()).expect("a wait");
            !events.is_empty()
        }
    }

    impl Host for Epoll {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            let Self(outer) = self;
            let clock = Clock::new();
            let mut one = OneDescriptor::new(service).expect("two descriptors");
            let watched = one.as_fd().try_clone_to_owned().expect("a descriptor");
            epoll::add(&outer.epoll, &watched, Outer::DATA, outer.flags()).expect("an added descriptor");
            outer.watched.replace(Some(watched));
            let mut deadline = None;
            while !one.is_done() {
                let readable = outer.wait(deadline.map(|at: Time| at - clock.now()));
                if readable && outer.trigger == Trigger::OneShot {
                    outer.watch(outer.flags());
                }
                if readable || deadline.is_some_and(|at| at <= clock.now()) {
                    deadline = one.dispatch(clock.now()).deadline();
                }
                if outer.paused.take() {
                    outer.watch(outer.flags());
                }
            }
            // The epoll is shared with a parent, and forgets the descriptor when both have closed it.
            let watched = outer.watched.take().filter(|_| !one.service().is_forked());
            watched
                .map_or(Ok(()), |watched| epoll::delete(&outer.epoll, watched))
                .expect("a deleted descriptor");
            one.detach()
        }

        fn nesting(&mut self) -> Nesting {
            let outer = Rc::clone(&self.0);
            Nesting::Runs(Box::new(move |time| {
                // Nothing can be done about it here, and it would be reported in every turn.
                if outer.wait(Some(time)) {
                    outer.watch(EventFlags::empty());
                    outer.paused.set(true);
                }
                Reentry::Ran
            }))
        }
    }

    mod level {
        lws_loop_conformance::suite!(super::Epoll::new(super::Trigger::Level));
    }

    mod edge {
        lws_loop_conformance::suite!(super::Epoll::new(super::Trigger::Edge));
    }

    mod one_shot {
        lws_loop_conformance::suite!(super::Epoll::new(super::Trigger::OneShot));
    }
}

#[cfg(feature = "mio")]
mod on_mio {
    use lws_loop_conformance::{Host, Nesting};
    use lws_loop_external::hosts::OnMio;
    use lws_loop_external::{Clock, Service};

    struct Mio(mio::Poll);

    impl Host for Mio {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            let clock = Clock::new();
            let Self(poll) = self;
            let mut events = mio::Events::with_capacity(16);
            let mut on_mio = OnMio::new(service, 7);
            loop {
                let wait = on_mio.settle(poll.registry(), clock.now());
                if on_mio.service().is_done() {
                    return on_mio.detach(poll.registry());
                }
                poll.poll(&mut events, wait.timeout(clock.now())).expect("a wait");
                for event in &events {
                    assert!(on_mio.handle(event, clock.now()), "not ours");
                }
            }
        }

        fn nesting(&mut self) -> Nesting {
            Nesting::No(super::BORROWED)
        }
    }

    lws_loop_conformance::suite!(Mio(mio::Poll::new().expect("a descriptor")));
}

#[cfg(feature = "polling")]
mod on_polling {
    use lws_loop_conformance::{Host, Nesting};
    use lws_loop_external::hosts::OnPolling;
    use lws_loop_external::{Clock, Service, Trigger};
    use polling::{Events, Poller};
    use std::sync::Arc;

    struct Polling(Trigger, Arc<Poller>);

    impl Polling {
        fn new(trigger: Trigger) -> Self {
            Self(trigger, Arc::new(Poller::new().expect("descriptors")))
        }
    }

    impl Host for Polling {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            let clock = Clock::new();
            let Self(trigger, poller) = self;
            let mut events = Events::new();
            let mut on_polling = OnPolling::new(service, Arc::clone(poller), *trigger, 7).expect("the mode");
            loop {
                let wait = on_polling.settle(clock.now());
                if on_polling.service().is_done() {
                    return on_polling.detach();
                }
                events.clear();
                poller.wait(&mut events, wait.timeout(clock.now())).expect("a wait");
                for event in events.iter() {
                    assert!(on_polling.handle(&event, clock.now()), "not ours");
                }
            }
        }

        fn nesting(&mut self) -> Nesting {
            Nesting::No(super::BORROWED)
        }
    }

    mod level {
        lws_loop_conformance::suite!(super::Polling::new(super::Trigger::Level));
    }

    mod edge {
        lws_loop_conformance::suite!(super::Polling::new(super::Trigger::Edge));
    }

    mod one_shot {
        lws_loop_conformance::suite!(super::Polling::new(super::Trigger::OneShot));
    }
}

#[cfg(feature = "tokio")]
mod on_tokio {
    use lws_loop_conformance::{Host, InChild, Nesting, Reentry};
    use lws_loop_external::Service;
    use lws_loop_external::hosts::OnTokio;
    use tokio::runtime::{Builder, Runtime, RuntimeFlavor};

    struct Tokio(Runtime);

    impl Tokio {
        fn new(mut builder: Builder) -> Self {
            Self(builder.enable_all().build().expect("a runtime"))
        }
    }

    impl Host for Tokio {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            self.0.block_on(async {
                let mut on_tokio = OnTokio::new(service).expect("descriptors");
                on_tokio.run().await.expect("a reactor");
                on_tokio.detach()
            })
        }

        fn in_child(&self) -> InChild {
            InChild::IsForgotten("tokio deregisters from the runtime's epoll, which is the parent's too")
        }

        fn nesting(&mut self) -> Nesting {
            let handle = self.0.handle().clone();
            if handle.runtime_flavor() == RuntimeFlavor::CurrentThread {
                return Nesting::No("a runtime of one thread cannot be entered inside itself: tokio panics");
            }
            Nesting::Runs(Box::new(move |time| {
                tokio::task::block_in_place(|| handle.block_on(tokio::time::sleep(time)));
                Reentry::Ran
            }))
        }
    }

    mod current_thread {
        lws_loop_conformance::suite!(super::Tokio::new(super::Builder::new_current_thread()));
    }

    mod multi_thread {
        lws_loop_conformance::suite!(super::Tokio::new(super::Builder::new_multi_thread()));
    }
}

#[cfg(feature = "async-io")]
mod on_async_io {
    use lws_loop_conformance::{Host, InChild, Nesting, Reentry};
    use lws_loop_external::Service;
    use lws_loop_external::hosts::OnAsyncIo;

    struct AsyncIo;

    impl Host for AsyncIo {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            async_io::block_on(async {
                let mut on_async_io = OnAsyncIo::new(service).expect("descriptors");
                on_async_io.run().await.expect("a reactor");
                on_async_io.detach()
            })
        }

        fn in_child(&self) -> InChild {
            InChild::IsForgotten(
                "the reactor deregisters from an epoll that is the parent's too, and its thread is the parent's alone",
            )
        }

        fn nesting(&mut self) -> Nesting {
            Nesting::Runs(Box::new(|time| {
                async_io::block_on(async_io::Timer::after(time));
                Reentry::Ran
            }))
        }
    }

    lws_loop_conformance::suite!(AsyncIo);
}

#[cfg(feature = "calloop")]
mod on_calloop {
    use calloop::{Dispatcher, EventLoop};
    use lws_loop_conformance::{Host, InChild, Nesting};
    use lws_loop_external::Service;
    use lws_loop_external::hosts::OnCalloop;

    struct Calloop(EventLoop<'static, bool>);

    impl Host for Calloop {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            let Self(event_loop) = self;
            let source = OnCalloop::new(service).expect("descriptors");
            let source = Dispatcher::new(source, |(), _, done| *done = true);
            event_loop.handle().register_dispatcher(source.clone()).expect("room");
            let mut done = false;
            while !done {
                event_loop.dispatch(None, &mut done).expect("a wait");
            }
            Dispatcher::into_source_inner(source).detach()
        }

        fn in_child(&self) -> InChild {
            InChild::IsForgotten("calloop deregisters from an epoll that is the parent's too")
        }

        fn nesting(&mut self) -> Nesting {
            Nesting::No("`EventLoop::dispatch` has the loop borrowed while a source is called")
        }
    }

    lws_loop_conformance::suite!(Calloop(EventLoop::try_new().expect("descriptors")));
}

/// The way of a program to a service in a loop that calls back.
#[cfg(any(feature = "glib", feature = "libev", feature = "libevent"))]
mod called_back {
    use lws_loop_conformance::Reentry;
    use lws_loop_external::Service;
    use lws_loop_external::hosts::{OnCallbacks, Watch};
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Calls the service that is hosted now, if there is one. Answers whether that was possible.
    #[derive(Clone, Default)]
    pub(super) struct Door(Rc<RefCell<Option<Enter>>>);

    type Enter = Box<dyn Fn() -> bool>;

    impl Door {
        /// Leads to this service while `run` runs, then takes it from its loop.
        pub(super) fn during<S: Service + 'static, W: Watch>(
            &self,
            hosted: OnCallbacks<S, W>,
            run: impl FnOnce(&OnCallbacks<S, W>),
        ) -> S {
            let hosted = Rc::new(hosted);
            let way = Rc::downgrade(&hosted);
            let enter = move || way.upgrade().is_some_and(|hosted| hosted.with(|_| ()).is_some());
            self.0.replace(Some(Box::new(enter)));
            run(&hosted);
            self.0.take();
            Rc::into_inner(hosted).and_then(OnCallbacks::detach).expect("the service")
        }

        /// What came of a turn after which the door is tried.
        pub(super) fn after(&self, turn: Reentry) -> Reentry {
            if self.0.borrow().as_ref().is_some_and(|enter| enter()) { Reentry::Entered } else { turn }
        }
    }
}

#[cfg(feature = "glib")]
mod on_glib {
    use super::called_back::Door;
    use lws_loop_conformance::{Host, Nesting, Reentry};
    use lws_loop_external::Service;
    use lws_loop_external::hosts::OnGlib;
    use lws_loop_external::hosts::glib::MainContext;
    use std::rc::Rc;

    struct Glib(Rc<MainContext>, Door);

    impl Host for Glib {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            let Self(context, door) = self;
            let on_glib = OnGlib::new(service, context).expect("descriptors");
            door.during(on_glib, |on_glib| {
                while !on_glib.is_done() {
                    context.iteration(true);
                }
            })
        }

        fn nesting(&mut self) -> Nesting {
            let (context, door) = (Rc::clone(&self.0), self.1.clone());
            Nesting::Runs(Box::new(move |time| {
                let _tick = context.every(time, || {}).expect("a timer");
                context.iteration(true);
                door.after(Reentry::Ran)
            }))
        }
    }

    lws_loop_conformance::suite!(Glib(Rc::new(MainContext::new().expect("a context")), Door::default()));
}

#[cfg(feature = "libevent")]
mod on_libevent {
    use super::called_back::Door;
    use lws_loop_conformance::{Host, InChild, Nesting, Reentry};
    use lws_loop_external::Service;
    use lws_loop_external::hosts::OnLibevent;
    use lws_loop_external::hosts::libevent::Base;

    struct Libevent(Base, Door);

    impl Host for Libevent {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            let Self(base, door) = self;
            let on_libevent = OnLibevent::new(service, base).expect("descriptors");
            // To the end of the service: nothing else keeps the base waiting.
            door.during(on_libevent, |_| base.run().expect("a wait"))
        }

        fn in_child(&self) -> InChild {
            InChild::IsForgotten("libevent deregisters from an epoll that is the parent's too")
        }

        fn nesting(&mut self) -> Nesting {
            let Self(base, door) = self;
            let (base, door) = (base.clone(), door.clone());
            Nesting::Runs(Box::new(move |_| {
                // libevent warns on standard error.
                let turn = if base.run_once().is_ok() { Reentry::Ran } else { Reentry::Refused };
                door.after(turn)
            }))
        }
    }

    lws_loop_conformance::suite!(Libevent(Base::new().expect("a base"), Door::default()));
}

#[cfg(feature = "libev")]
mod on_libev {
    use super::called_back::Door;
    use lws_loop_conformance::{Host, Nesting, Reentry};
    use lws_loop_external::Service;
    use lws_loop_external::hosts::OnLibev;
    use lws_loop_external::hosts::libev::Loop;

    struct Libev(Loop, Door);

    impl Host for Libev {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            let Self(ev_loop, door) = self;
            let on_libev = OnLibev::new(service, ev_loop).expect("descriptors");
            // To the end of the service: nothing else keeps the loop waiting.
            door.during(on_libev, |_| ev_loop.run())
        }

        fn nesting(&mut self) -> Nesting {
            let Self(ev_loop, door) = self;
            let (ev_loop, door) = (ev_loop.clone(), door.clone());
            Nesting::Runs(Box::new(move |time| {
                let _tick = ev_loop.every(time, || {});
                ev_loop.run_once();
                door.after(Reentry::Ran)
            }))
        }
    }

    lws_loop_conformance::suite!(Libev(Loop::new().expect("a loop"), Door::default()));
}
