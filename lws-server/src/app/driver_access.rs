//! What a handler's context asks of the driver.

use super::Lent;
use crate::Peer;
use crate::context::DriverAccess;
use crate::link::Link;
use crate::publish::topics::Subscription;
use crate::thread::command::{Command, StreamCommand};
use crate::tls::Info;
use crate::upstream::{ConnectOptions, Target};
use lws_loop_external::tls::Provider;
use lws_loop_external::{
    self as external, ConnectionId, DriverStats, Interest, ListenOptions, ListenerId, ListeningSocket,
    UdpOptions,
};
use lws_proto::{Config, Connection, StreamKey, Time};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

impl DriverAccess for Lent<'_> {
    fn now(&self) -> Time {
        external::DriverContext::now(self)
    }

    fn peer(&self) -> Option<Peer> {
        external::DriverContext::peer(self)
    }

    fn local_address(&self) -> Option<SocketAddr> {
        external::DriverContext::local_address(self)
    }

    fn tls(&self) -> Option<&Info> {
        external::DriverContext::tls(self)
    }

    fn connection(&self) -> Option<ConnectionId> {
        external::DriverContext::connection(self)
    }

    fn stats(&self) -> crate::Stats {
        let stats = external::DriverContext::stats(self);
        crate::Stats {
            connections: stats.connections as u64,
            accepted: stats.accepted_total,
            bytes_in: stats.received_bytes_total,
            bytes_out: stats.sent_bytes_total,
            ..crate::Stats::default()
        }
    }

    fn driver_stats(&self) -> &DriverStats {
        external::DriverContext::stats(self)
    }

    fn want_write(&mut self, id: ConnectionId, key: StreamKey) {
        external::DriverContext::want_write(self, id, key);
    }

    fn wake_stream(&mut self, id: ConnectionId, key: StreamKey) {
        self.send_to(id, Command::ToStream(key, StreamCommand::Wake));
    }

    fn wake_link(&mut self, id: ConnectionId) {
        external::DriverContext::wake(self, id);
    }

    fn close_link(&mut self, id: ConnectionId) {
        external::DriverContext::close(self, id);
    }

    fn start_tls(&mut self, id: ConnectionId, provider: Arc<dyn Provider>, timeout: Duration) {
        external::DriverContext::start_tls(self, id, provider, timeout);
    }

    fn deliver(&mut self, id: ConnectionId, key: StreamKey, subscription: Subscription) {
        self.send_to(id, Command::ToStream(key, StreamCommand::Deliver(subscription)));
    }

    #[cfg(feature = "broker")]
    fn recovered(
        &mut self,
        id: ConnectionId,
        key: StreamKey,
        recovery: Box<crate::publish::broker::StreamRecovery>,
    ) {
        self.send_to(id, Command::ToStream(key, StreamCommand::Recovered(recovery)));
    }

    fn send_away(&mut self, id: ConnectionId, key: StreamKey) {
        self.send_to(id, Command::ToStream(key, StreamCommand::GoAway));
    }

    fn pace_messages(&mut self) {
        external::DriverContext::pace_messages(self);
    }

    fn set_timer(&mut self, at: Option<Time>) {
        external::DriverContext::set_timer(self, at);
    }

    fn listen_on(&mut self, socket: ListeningSocket, options: &ListenOptions) -> io::Result<ListenerId> {
        external::DriverContext::listen_on(self, socket, options)
    }

    fn duplicate_listener(&mut self, id: ListenerId) -> io::Result<OwnedFd> {
        external::DriverContext::duplicate_listener(self, id)
    }

    fn leave_listener_files(&mut self) {
        external::DriverContext::leave_listener_files(self);
    }

    fn take_listener_files(&mut self) {
        external::DriverContext::take_listener_files(self);
    }

    fn unlisten(&mut self, id: ListenerId) {
        external::DriverContext::unlisten(self, id);
    }

    fn connect(
        &mut self,
        target: Target,
        config: Arc<Config>,
        options: &ConnectOptions,
        link: Link,
    ) -> io::Result<ConnectionId> {
        external::DriverContext::connect(self, target, config, options, link)
    }

    fn adopt(&mut self, descriptor: OwnedFd, engine: Connection, link: Link) -> io::Result<ConnectionId> {
        external::DriverContext::adopt(self, descriptor, engine, link)
    }

    fn adopt_pair(
        &mut self,
        input: OwnedFd,
        output: OwnedFd,
        engine: Connection,
        link: Link,
    ) -> io::Result<ConnectionId> {
        external::DriverContext::adopt_pair(self, input, output, engine, link)
    }

    fn adopt_descriptor(
        &mut self,
        descriptor: OwnedFd,
        interest: Interest,
        link: Link,
    ) -> io::Result<ConnectionId> {
        external::DriverContext::adopt_descriptor(self, descriptor, interest, link)
    }

    fn bind_udp(
        &mut self,
        local: SocketAddr,
        options: &UdpOptions,
        link: Link,
    ) -> io::Result<(ConnectionId, SocketAddr)> {
        external::DriverContext::bind_udp(self, local, options, link)
    }
}
