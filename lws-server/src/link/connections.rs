//! What a handler may ask of streams and links other than its own.

use crate::Context;
use crate::id::{LinkId, RouteId, StreamId};
use crate::thread::command::{Command, StreamCommand};
use lws_loop_external::GlobalId;
use lws_loop_external::tls::Provider;
use std::sync::Arc;
use std::time::Duration;

impl Context<'_> {
    /// Has another handler's `wake` called, before the server sleeps. Several calls before that are one. The handler of a stream of
    /// another thread is called soon, once for each call, or not at all if too many messages wait there.
    pub fn wake(&mut self, id: StreamId) {
        if id.shard != self.state.shard {
            self.send_to(id, StreamCommand::Wake);
        } else if self.state.wakes.begin(id.connection, id.key) {
            self.driver.wake_stream(id.connection, id.key);
        }
    }

    /// Asks for a permit on behalf of another handler, whose `writable` gets it.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self, id: StreamId) {
        if id.shard != self.state.shard {
            self.send_to(id, StreamCommand::WantWrite);
        } else {
            self.driver.want_write(id.connection, id.key);
        }
    }

    fn send_to(&mut self, id: StreamId, command: StreamCommand) {
        let there = GlobalId { shard: id.shard, connection: id.connection };
        self.state.group.send_to(there, Command::ToStream(id.key, command));
    }

    /// Asks for a permit for every open WebSocket of the route that the call is about, the caller's own too, on all
    /// threads.
    #[doc(alias = "lws_callback_on_writable_all_protocol")]
    pub fn want_write_all(&mut self) {
        self.want_write_route(self.subject.route);
    }

    /// Asks for a permit for every open WebSocket of the route called `path`.
    #[doc(alias = "lws_callback_on_writable_all_protocol_vhost")]
    pub fn want_write_all_of(&mut self, path: &str) {
        if let Some(route) = self.state.group.route_named(path) {
            self.want_write_route(route);
        }
    }

    fn want_write_route(&mut self, route: RouteId) {
        self.want_write_here(route);
        self.state.group.want_write_all(route, Some(self.state.shard));
    }

    /// Asks for a permit for every open WebSocket of a route on this thread.
    pub(crate) fn want_write_here(&mut self, route: RouteId) {
        for id in self.state.topics.members(route) {
            self.driver.want_write(id.connection, id.key);
        }
    }

    /// Wakes every WebSocket of a route on this thread.
    pub(crate) fn wake_here(&mut self, route: RouteId) {
        for id in self.state.topics.members(route) {
            if self.state.wakes.begin(id.connection, id.key) {
                self.driver.wake_stream(id.connection, id.key);
            }
        }
    }

    /// Has the `wake` of what a handler of this thread has opened called, before the server sleeps. That of another thread is
    /// not reached.
    pub fn wake_link(&mut self, id: LinkId) {
        if id.shard == self.state.shard {
            self.driver.wake_link(id.connection);
        }
    }

    /// Begins TLS on an outgoing connection of this thread that is established without it: see
    /// [`DriverContext::start_tls`](lws_loop_external::DriverContext::start_tls). Its handler's
    /// [`secured`](crate::upstream::Handler::secured) follows, or
    /// [`tls_failed`](crate::upstream::Handler::tls_failed) and [`close`](crate::upstream::Handler::close).
    pub fn start_tls(&mut self, id: LinkId, provider: Arc<dyn Provider>, timeout: Duration) {
        if id.shard == self.state.shard {
            self.driver.start_tls(id.connection, provider, timeout);
        }
    }

    /// Ends what a handler of this thread has opened, in an orderly way: a connection that is being made is given up, one that is
    /// there ends as its protocol says, and its handler hears of its end.
    pub fn close_link(&mut self, id: LinkId) {
        if id.shard == self.state.shard {
            self.driver.close_link(id.connection);
        }
    }
}
