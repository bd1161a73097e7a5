//! Links that no listener has accepted: outgoing connections, descriptors, UDP sockets; and timers, which belong to none.

use super::{App, Lent};
use crate::Context;
use crate::link::Link;
use crate::thread::panics;
use crate::thread::timers::TimerCall;
use lws_loop_external::tls::{Failure, Info};
use lws_loop_external::{ConnectError, Descriptor, DescriptorEvent, UdpEvent};
use lws_proto::{Connection, Event};

impl App {
    /// Calls the handler of a link. One that panics is dropped, and its link is cut off.
    fn call_link(
        &mut self,
        cx: &mut Lent<'_>,
        link: &mut Link,
        call: impl FnOnce(&mut Link, &mut Context<'_>),
    ) {
        let called = self.guard(cx, |app, cx| call(&mut *link, &mut app.nowhere(cx)));
        if called.is_none() {
            panics::discard(std::mem::replace(link, Link::Panicked));
            if let Some(id) = cx.connection() {
                cx.abort(id);
            }
        }
    }

    pub(super) fn outgoing_connected(
        &mut self,
        cx: &mut Lent<'_>,
        link: &mut Link,
        connection: &mut Connection,
    ) {
        #[cfg(feature = "client")]
        if let Link::Client(link) = *link {
            return self.call_client(cx, link, |client, cx, link| client.on_connected(cx, link, connection));
        }
        self.call_link(cx, link, |link, cx| {
            if let Link::Upstream(handler) = link {
                handler.connected(cx, connection);
            }
        });
    }

    pub(super) fn outgoing_failed(&mut self, cx: &mut Lent<'_>, mut link: Link, error: &ConnectError) {
        #[cfg(feature = "client")]
        if let Link::Client(link) = link {
            return self.call_client(cx, link, |client, cx, link| client.on_connect_failed(cx, link, error));
        }
        self.call_link(cx, &mut link, |link, cx| {
            if let Link::Upstream(handler) = link {
                handler.failed(cx, error);
            }
        });
        // What is dropped with the handler may panic, too.
        panics::discard(link);
    }

    pub(super) fn outgoing_secured(&mut self, cx: &mut Lent<'_>, link: &mut Link, info: &Info) {
        if let Link::Upstream(_) = link {
            self.call_link(cx, link, |link, cx| {
                if let Link::Upstream(handler) = link {
                    handler.secured(cx, info);
                }
            });
        }
    }

    pub(super) fn outgoing_tls_failed(&mut self, cx: &mut Lent<'_>, link: &mut Link, failure: &Failure) {
        if let Link::Upstream(_) = link {
            self.call_link(cx, link, |link, cx| {
                if let Link::Upstream(handler) = link {
                    handler.tls_failed(cx, failure);
                }
            });
        }
    }

    #[cold]
    pub(super) fn outgoing_event(&mut self, cx: &mut Lent<'_>, link: &mut Link, event: Event<'_>) {
        #[cfg(feature = "client")]
        if let Link::Client(link) = *link {
            return self.call_client(cx, link, |client, cx, link| client.on_event(cx, link, event));
        }
        self.call_link(cx, link, |link, cx| {
            if let Link::Upstream(handler) = link {
                handler.event(cx, event);
            }
        });
    }

    pub(super) fn outgoing_woken(&mut self, cx: &mut Lent<'_>, link: &mut Link, connection: &mut Connection) {
        #[cfg(feature = "client")]
        if let Link::Client(link) = *link {
            return self.call_client(cx, link, |client, cx, link| client.on_woken(cx, link, connection));
        }
        self.call_link(cx, link, |link, cx| {
            if let Link::Upstream(handler) = link {
                handler.wake(cx, connection);
            }
        });
    }

    pub(super) fn descriptor_event(
        &mut self,
        cx: &mut Lent<'_>,
        link: &mut Link,
        event: DescriptorEvent,
        descriptor: &mut Descriptor<'_>,
    ) {
        self.call_link(cx, link, |link, cx| {
            if let Link::Descriptor(handler) = link {
                handler.event(cx, event, descriptor);
            }
        });
    }

    pub(super) fn datagrams_event(&mut self, cx: &mut Lent<'_>, link: &mut Link, event: UdpEvent<'_>) {
        self.call_link(cx, link, |link, cx| {
            if let Link::Datagrams(handler) = link {
                handler.event(cx, event);
            }
        });
    }

    /// A link is over.
    pub(super) fn end_link(&mut self, cx: &mut Lent<'_>, mut link: Link) {
        match link {
            Link::Accepted(streams) => {
                self.state.sites.disconnected(streams.ingress.listener);
                self.end_streams(cx, streams);
            }
            Link::Child(streams) => self.end_streams(cx, *streams),
            #[cfg(feature = "client")]
            Link::Client(link) => self.call_client(cx, link, |client, cx, link| client.on_closed(cx, link)),
            Link::Upstream(_) | Link::Descriptor(_) | Link::Datagrams(_) | Link::Panicked => {
                self.call_link(cx, &mut link, |link, cx| match link {
                    Link::Upstream(handler) => handler.close(cx),
                    Link::Descriptor(handler) => handler.close(cx),
                    Link::Datagrams(handler) => handler.close(cx),
                    _ => {}
                });
                panics::discard(link);
            }
        }
    }

    /// Calls the timers that are due. What they ask for themselves has to wait for the next turn.
    pub(super) fn call_timers(&mut self, cx: &mut Lent<'_>) {
        let now = cx.now();
        for _ in 0..self.state.timers.count_due(now) {
            let Some((due, id, call)) = self.state.timers.take(now) else { break };
            let called = self.guard(cx, |app, cx| match call {
                TimerCall::Once(call) => call(&mut app.nowhere(cx)),
                TimerCall::Every(period, mut call) => {
                    call(&mut app.nowhere(cx));
                    app.state.timers.put_back(now, due, id, period, call);
                }
            });
            if called.is_none() {
                self.state.timers.forget(id);
            }
        }
        cx.set_timer(self.state.next_timer());
    }
}
