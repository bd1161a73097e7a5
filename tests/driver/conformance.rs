//! Every ready host passes the suite, in each way to report readiness that its loop has. Where a scenario has several services
//! they come to the same loop, one after the other.

use lws_loop_conformance::Host;
use lws_loop_external::hosts::{OnPoll, poll};
use lws_loop_external::{Clock, Service};

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
                assert!(fds.is_empty(), "left behind: {fds:?}");
                return service;
            }
            poll(&mut fds, wait.timeout(clock.now())).expect("a wait");
            for fd in &mut fds {
                on_poll.service_fd(fd, clock.now());
                assert_eq!(fd.revents, 0, "not ours: {fd:?}");
            }
        }
    }
}

mod on_poll {
    lws_loop_conformance::suite!(super::Poll);
}

/// One descriptor in an epoll that reports it in each of the three ways, and that heeds nothing but readiness and the
/// deadline of the last dispatch.
#[cfg(all(feature = "mio", any(target_os = "linux", target_os = "android")))]
mod one_descriptor {
    use lws_loop_conformance::Host;
    use lws_loop_external::{Clock, OneDescriptor, Service, Trigger};
    use lws_proto::Time;
    use rustix::event::epoll::{self, EventData, EventFlags};

    struct Epoll(Trigger);

    impl Host for Epoll {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            let clock = Clock::new();
            let mut one = OneDescriptor::new(service).expect("two descriptors");
            let outer = epoll::create(epoll::CreateFlags::CLOEXEC).expect("a descriptor");
            let flags = EventFlags::IN
                | match self.0 {
                    Trigger::Level => EventFlags::empty(),
                    Trigger::Edge => EventFlags::ET,
                    Trigger::OneShot => EventFlags::ONESHOT,
                };
            let data = EventData::new_u64(0);
            epoll::add(&outer, &one, data, flags).expect("an added descriptor");
            let mut deadline = None;
            while !one.is_done() {
                let mut events = Vec::with_capacity(1);
                let left = deadline.map(|at: Time| (at - clock.now()).try_into().expect("a short time"));
                epoll::wait(&outer, rustix::buffer::spare_capacity(&mut events), left.as_ref())
                    .expect("a wait");
                if !events.is_empty() && self.0 == Trigger::OneShot {
                    epoll::modify(&outer, &one, data, flags).expect("a modified descriptor");
                }
                if !events.is_empty() || deadline.is_some_and(|at| at <= clock.now()) {
                    deadline = one.dispatch(clock.now()).deadline();
                }
            }
            one.detach()
        }
    }

    mod level {
        lws_loop_conformance::suite!(super::Epoll(super::Trigger::Level));
    }

    mod edge {
        lws_loop_conformance::suite!(super::Epoll(super::Trigger::Edge));
    }

    mod one_shot {
        lws_loop_conformance::suite!(super::Epoll(super::Trigger::OneShot));
    }
}

#[cfg(feature = "mio")]
mod on_mio {
    use lws_loop_conformance::Host;
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
    }

    lws_loop_conformance::suite!(Mio(mio::Poll::new().expect("a descriptor")));
}

#[cfg(feature = "polling")]
mod on_polling {
    use lws_loop_conformance::Host;
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
    use lws_loop_conformance::Host;
    use lws_loop_external::Service;
    use lws_loop_external::hosts::OnTokio;
    use tokio::runtime::{Builder, Runtime};

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
    use lws_loop_conformance::Host;
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
    }

    lws_loop_conformance::suite!(AsyncIo);
}

#[cfg(feature = "calloop")]
mod on_calloop {
    use calloop::{Dispatcher, EventLoop};
    use lws_loop_conformance::Host;
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
    }

    lws_loop_conformance::suite!(Calloop(EventLoop::try_new().expect("descriptors")));
}

#[cfg(feature = "glib")]
mod on_glib {
    use lws_loop_conformance::Host;
    use lws_loop_external::Service;
    use lws_loop_external::hosts::OnGlib;
    use lws_loop_external::hosts::glib::MainContext;

    struct Glib(MainContext);

    impl Host for Glib {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            let Self(context) = self;
            let on_glib = OnGlib::new(service, context).expect("descriptors");
            while !on_glib.is_done() {
                context.iteration(true);
            }
            on_glib.detach().expect("the service")
        }
    }

    lws_loop_conformance::suite!(Glib(MainContext::new().expect("a context")));
}

#[cfg(feature = "libevent")]
mod on_libevent {
    use lws_loop_conformance::Host;
    use lws_loop_external::Service;
    use lws_loop_external::hosts::OnLibevent;
    use lws_loop_external::hosts::libevent::Base;

    struct Libevent(Base);

    impl Host for Libevent {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            let Self(base) = self;
            let on_libevent = OnLibevent::new(service, base).expect("descriptors");
            // To the end of the service: nothing else keeps the base waiting.
            base.run().expect("a wait");
            on_libevent.detach().expect("the service")
        }
    }

    lws_loop_conformance::suite!(Libevent(Base::new().expect("a base")));
}

#[cfg(feature = "libev")]
mod on_libev {
    use lws_loop_conformance::Host;
    use lws_loop_external::Service;
    use lws_loop_external::hosts::OnLibev;
    use lws_loop_external::hosts::libev::Loop;

    struct Libev(Loop);

    impl Host for Libev {
        fn host<S: Service + 'static>(&mut self, service: S) -> S {
            let Self(ev_loop) = self;
            let on_libev = OnLibev::new(service, ev_loop).expect("descriptors");
            // To the end of the service: nothing else keeps the loop waiting.
            ev_loop.run();
            on_libev.detach().expect("the service")
        }
    }

    lws_loop_conformance::suite!(Libev(Loop::new().expect("a loop")));
}
