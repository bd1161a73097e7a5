//! The common part of all scenarios: an application that runs both ends of the connections, and records failures.
//!
//! Nothing here panics inside a callback, as a loop may not be able to unwind: a failure is recorded, the service
//! ends, and the host gives it back.

use crate::checked_service::{CheckedService, Exit};
use crate::setup::Setup;
use crate::watchdog::Watchdog;
use crate::{Host, received_from_another_thread};
use lws_loop_external::{
    Accepted, Address, Application, ConnectError, ConnectOptions, ConnectionId, Driver, DriverContext,
    DriverOptions, ListenerId, Peer, Service,
};
use lws_proto::{Cause, Config, Connection, Event, Payload, Protocol, Stream, StreamKey, Time, Writable, ws};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The behaviour of a scenario. The default of each method does nothing, unless its documentation says otherwise.
pub(crate) trait Script: Sized + 'static {
    /// The script's state of each end of a connection.
    type Data: Default + 'static;

    /// Begins the scenario, in the first turn of the loop.
    fn begin(&mut self, bench: &mut Bench<'_, '_, Self>);

    /// A stream is open, and can be written.
    fn open(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<Self::Data>, stream: Stream<'_>) {
        let _ = (bench, side, stream);
    }

    /// Content of the peer was received.
    fn content(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<Self::Data>,
        stream: Stream<'_>,
        chunk: &[u8],
    ) {
        let _ = (bench, side, stream, chunk);
    }

    /// The peer has ended its direction of a raw stream.
    fn end(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<Self::Data>, stream: Stream<'_>) {
        let _ = side;
        if let Ok(permit) = stream.permit() {
            bench.end(permit);
        }
    }

    fn writable(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<Self::Data>,
        permit: Writable<'_>,
    ) {
        let _ = (bench, side, permit);
    }

    fn timeout(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<Self::Data>, stream: Stream<'_>) {
        let _ = (bench, side, stream);
    }

    /// A stream has ended. By default that is a failure, unless the scenario has finished.
    fn over(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<Self::Data>, cause: Cause) {
        let role = side.role;
        bench.expect(bench.is_over(), || format!("the stream of {role:?} ended: {}", cause.name()));
    }

    /// A connection has ended.
    fn gone(&mut self, bench: &mut Bench<'_, '_, Self>, side: Side<Self::Data>) {
        let _ = (bench, side);
    }

    fn refused(&mut self, bench: &mut Bench<'_, '_, Self>, side: Side<Self::Data>, error: io::Error) {
        let role = side.role;
        bench.expect(bench.is_over(), || format!("the connection of {role:?} could not be made: {error}"));
    }

    fn woken(
        &mut self,
        bench: &mut Bench<'_, '_, Self>,
        side: &mut Side<Self::Data>,
        connection: &mut Connection,
    ) {
        let _ = (bench, side, connection);
    }

    fn number(&mut self, bench: &mut Bench<'_, '_, Self>, number: u64) {
        let _ = (bench, number);
    }

    /// A number that was sent to this connection has arrived.
    fn delivered(&mut self, bench: &mut Bench<'_, '_, Self>, side: &mut Side<Self::Data>, number: u64) {
        let _ = (bench, side, number);
    }

    /// A number could not be delivered to its connection.
    fn undelivered(&mut self, bench: &mut Bench<'_, '_, Self>, id: ConnectionId, number: u64) {
        bench.expect(bench.is_over(), || format!("number {number} did not reach {id:?}"));
    }

    fn notified(&mut self, bench: &mut Bench<'_, '_, Self>) {
        let _ = bench;
    }

    fn timer(&mut self, bench: &mut Bench<'_, '_, Self>) {
        let _ = bench;
    }

    /// Describes the progress, for the text of a failure.
    fn progress(&self) -> String;
}

/// The role of an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The end that a listener has accepted.
    Server,
    /// The end that was requested with this number.
    Client(usize),
}

/// One end of a connection.
pub(crate) struct Side<D> {
    pub(crate) id: ConnectionId,
    pub(crate) role: Role,
    pub(crate) key: Option<StreamKey>,
    pub(crate) data: D,
}

impl<D> Side<D> {
    /// The number of a client.
    pub(crate) fn number(&self) -> Option<u64> {
        match self.role {
            Role::Server => None,
            Role::Client(number) => Some(number as u64),
        }
    }

    pub(crate) fn is_server(&self) -> bool {
        self.role == Role::Server
    }
}

/// A message of another thread.
pub(crate) enum Message {
    /// The scenario has taken this long, which is too long.
    GiveUp(Duration),
    /// A message of the scenario.
    Number(u64),
}

/// The state that all scenarios have.
pub(crate) struct Common {
    pub(crate) setup: Setup,
    config: Arc<Config>,
    pub(crate) address: Option<Address>,
    clients: Vec<ConnectionId>,
    begun: bool,
    finished: bool,
    failure: Option<String>,
}

impl Common {
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The clients that were begun since the last call. Some of them may have ended.
    pub(crate) fn clients(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.clients)
    }
}

/// The services of the kit, lent to a script with every call.
pub(crate) struct Bench<'a, 'c, S: Script> {
    pub(crate) cx: &'a mut DriverContext<'c, ScriptedApplication<S>>,
    pub(crate) common: &'a mut Common,
}

impl<S: Script> Bench<'_, '_, S> {
    pub(crate) fn now(&self) -> Time {
        self.cx.now()
    }

    /// Records a failure, and ends the service.
    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.common.failure.get_or_insert_with(|| what.into());
        self.cx.drain(Duration::ZERO);
    }

    /// Fails with this text if the condition is false.
    pub(crate) fn expect(&mut self, so: bool, what: impl FnOnce() -> String) {
        if !so {
            self.fail(what());
        }
    }

    /// Finishes the scenario: connections close in an orderly way.
    pub(crate) fn finish(&mut self) {
        self.finish_within(Duration::from_secs(30));
    }

    /// Finishes the scenario as [`finish`](Self::finish) does, and cuts off connections that are left after
    /// `timeout`.
    pub(crate) fn finish_within(&mut self, timeout: Duration) {
        self.common.finished = true;
        self.cx.drain(timeout);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.cx.is_draining()
    }

    /// Listens, or returns the error.
    pub(crate) fn try_listen(&mut self) -> io::Result<ListenerId> {
        let setup = self.common.setup;
        let id = self.cx.listen(&setup.address(), &setup.listen_options())?;
        self.common.address = Some(self.cx.listening_on(id)?);
        Ok(id)
    }

    pub(crate) fn listen(&mut self) -> Option<ListenerId> {
        match self.try_listen() {
            Ok(id) => Some(id),
            Err(error) => {
                self.fail(format!("a listener could not be made: {error}"));
                None
            }
        }
    }

    /// Begins a connection to the listener, as the client with this number.
    pub(crate) fn connect(&mut self, number: usize) {
        let Some(address) = self.common.address.clone() else { return };
        let options = self.common.setup.connect_options();
        if let Some(id) = self.connect_to(number, &address, &options) {
            self.common.clients.push(id);
        }
    }

    /// Adopts both ends of a connection that takes little at a time; its client has this number.
    pub(crate) fn adopt_squeezed_pair(&mut self, number: usize) {
        let now = self.now();
        let Common { setup, config, .. } = &*self.common;
        let adopt = || {
            let (client, server) = setup.squeezed_pair()?;
            let peer = setup.client(now, config).map_err(io::Error::other)?;
            let own = Connection::server(now, Arc::clone(config));
            let state = State { role: Role::Server, key: None, data: None };
            self.cx.adopt(server, own, state)?;
            let state = State { role: Role::Client(number), key: None, data: None };
            self.cx.adopt(client, peer, state)
        };
        if let Err(error) = { adopt }() {
            self.fail(format!("a connection could not be adopted: {error}"));
        }
    }

    /// Begins a connection as the client with this number, or returns the error.
    pub(crate) fn try_connect(
        &mut self,
        number: usize,
        address: &Address,
        options: &ConnectOptions,
    ) -> io::Result<ConnectionId> {
        let state = State { role: Role::Client(number), key: None, data: None };
        self.cx.connect(address, Arc::clone(&self.common.config), options, state)
    }

    /// Begins a connection as the client with this number, or fails.
    pub(crate) fn connect_to(
        &mut self,
        number: usize,
        address: &Address,
        options: &ConnectOptions,
    ) -> Option<ConnectionId> {
        match self.try_connect(number, address, options) {
            Ok(id) => Some(id),
            Err(error) => {
                self.fail(format!("a connection could not be begun: {error}"));
                None
            }
        }
    }

    /// Sends content.
    pub(crate) fn send(&mut self, permit: Writable<'_>, content: Payload<'_>) {
        if let Err(misuse) = self.common.setup.send(permit, content) {
            self.fail(format!("content could not be sent: {misuse:?}"));
        }
    }

    /// Sends content, and pauses reading while much of it is queued. If both ends do that, they wait for each
    /// other.
    pub(crate) fn answer(&mut self, permit: Writable<'_>, content: Payload<'_>) {
        match self.common.setup.send(permit, content) {
            Ok(sent) => sent.throttle(),
            Err(misuse) => self.fail(format!("content could not be sent: {misuse:?}")),
        }
    }

    /// Sends content, and asks for the next permit.
    pub(crate) fn send_again(&mut self, permit: Writable<'_>, content: Payload<'_>) {
        match self.common.setup.send(permit, content) {
            Ok(sent) => sent.again(),
            Err(misuse) => self.fail(format!("content could not be sent: {misuse:?}")),
        }
    }

    /// Sends a little content at once, or fails. Does nothing if the service is ending.
    pub(crate) fn say(&mut self, stream: Stream<'_>, content: &[u8]) {
        match stream.permit() {
            Ok(permit) => self.send(permit, Payload::Copy(content)),
            Err(_) if self.is_over() => {}
            Err(_) => self.fail("a stream with nothing queued gives no permit"),
        }
    }

    /// Ends this side's direction.
    pub(crate) fn end(&mut self, permit: Writable<'_>) {
        if let Err(misuse) = self.common.setup.end(permit) {
            self.fail(format!("a stream could not be ended: {misuse:?}"));
        }
    }
}

/// The application of every scenario: it passes each event to its script, with a bench.
pub(crate) struct ScriptedApplication<S: Script> {
    pub(crate) script: S,
    pub(crate) common: Common,
}

/// The state in the connection table. A [`Side`] is made from it for each call.
pub(crate) struct State<D> {
    role: Role,
    key: Option<StreamKey>,
    data: Option<D>,
}

impl<S: Script> ScriptedApplication<S> {
    /// Calls `call` with the script, the bench and one side.
    fn with_side<R>(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        state: &mut State<S::Data>,
        call: impl FnOnce(&mut S, &mut Bench<'_, '_, S>, &mut Side<S::Data>) -> R,
    ) -> Option<R> {
        let Some(id) = cx.connection() else {
            self.bench(cx).1.fail("a call about a connection does not say about which one");
            return None;
        };
        let data = state.data.take().unwrap_or_default();
        let mut side = Side { id, role: state.role, key: state.key, data };
        let (script, mut bench) = self.bench(cx);
        let result = call(script, &mut bench, &mut side);
        (state.key, state.data) = (side.key, Some(side.data));
        Some(result)
    }

    fn bench<'a, 'c>(&'a mut self, cx: &'a mut DriverContext<'c, Self>) -> (&'a mut S, Bench<'a, 'c, S>) {
        (&mut self.script, Bench { cx, common: &mut self.common })
    }
}

impl<S: Script> Application for ScriptedApplication<S> {
    type State = State<S::Data>;
    type Message = Message;

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        let state = State { role: Role::Server, key: None, data: None };
        Some(Accepted { config: Arc::clone(&self.common.config), state })
    }

    fn connected(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        _: &mut Self::State,
        connection: &mut Connection,
    ) {
        if let Err(misuse) = self.common.setup.open(connection, cx.now()) {
            self.bench(cx).1.fail(format!("a connection could not be opened: {misuse:?}"));
        }
    }

    fn connect_failed(&mut self, cx: &mut DriverContext<'_, Self>, state: Self::State, error: ConnectError) {
        let Some(id) = cx.connection() else { return };
        let data = state.data.unwrap_or_default();
        let side = Side { id, role: state.role, key: state.key, data };
        let (script, mut bench) = self.bench(cx);
        script.refused(&mut bench, side, error.into());
    }

    fn event(&mut self, cx: &mut DriverContext<'_, Self>, state: &mut Self::State, event: Event<'_>) {
        self.with_side(cx, state, |script, bench, side| match event {
            Event::Request { stream, head, .. } => {
                if let Err(misuse) = stream.accept_websocket(&head, &ws::Accept::new()) {
                    bench.fail(format!("an opening handshake was not accepted: {misuse:?}"));
                }
            }
            Event::Established { stream, .. } => {
                side.key = Some(stream.key());
                let protocol = stream.protocol();
                let expected =
                    if bench.common.setup.has_halves() { Protocol::Raw } else { Protocol::WebSocket };
                bench.expect(protocol == expected, || format!("a stream speaks {protocol:?}"));
                script.open(bench, side, stream.into_stream());
            }
            Event::Raw { stream, chunk, end: false } => script.content(bench, side, stream.into_any(), chunk),
            Event::Raw { stream, end: true, .. } => script.end(bench, side, stream.into_any()),
            Event::Message { stream, chunk, .. } => script.content(bench, side, stream.into_any(), chunk),
            Event::Writable(permit) => script.writable(bench, side, permit),
            Event::Timeout { stream } => script.timeout(bench, side, stream),
            Event::Closed { cause, .. } => {
                // An HTTP/2 connection whose only stream has ended is closed, as no other stream follows.
                if bench.common.setup.shares() {
                    bench.cx.close(side.id);
                }
                script.over(bench, side, cause);
            }
            _ => {}
        });
    }

    fn closed(&mut self, cx: &mut DriverContext<'_, Self>, state: Self::State) {
        let Some(id) = cx.connection() else { return };
        let data = state.data.unwrap_or_default();
        let side = Side { id, role: state.role, key: state.key, data };
        let (script, mut bench) = self.bench(cx);
        script.gone(&mut bench, side);
    }

    fn woken(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        state: &mut Self::State,
        connection: &mut Connection,
    ) {
        self.with_side(cx, state, |script, bench, side| script.woken(bench, side, connection));
    }

    fn message(&mut self, cx: &mut DriverContext<'_, Self>, message: Message) {
        received_from_another_thread();
        let (script, mut bench) = self.bench(cx);
        match message {
            Message::GiveUp(after) => {
                bench.fail(format!(
                    "after {} s it had come no further than {}",
                    after.as_secs(),
                    script.progress()
                ));
            }
            Message::Number(number) => script.number(&mut bench, number),
        }
    }

    fn message_to(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        state: &mut Self::State,
        _: &mut Connection,
        message: Message,
    ) {
        if let Message::Number(number) = message {
            self.with_side(cx, state, |script, bench, side| script.delivered(bench, side, number));
        }
    }

    fn undelivered(&mut self, cx: &mut DriverContext<'_, Self>, id: ConnectionId, message: Message) {
        let (script, mut bench) = self.bench(cx);
        if let Message::Number(number) = message {
            script.undelivered(&mut bench, id, number);
        }
    }

    fn notified(&mut self, cx: &mut DriverContext<'_, Self>) {
        received_from_another_thread();
        let (script, mut bench) = self.bench(cx);
        if std::mem::replace(&mut bench.common.begun, true) {
            script.notified(&mut bench);
        } else {
            script.begin(&mut bench);
        }
    }

    fn timer(&mut self, cx: &mut DriverContext<'_, Self>) {
        let (script, mut bench) = self.bench(cx);
        script.timer(&mut bench);
    }
}

/// A driver for a script, which is not hosted yet. The script begins in the first turn, as there is no time before
/// that.
pub(crate) fn driver<S: Script>(
    watchdog: &Watchdog,
    setup: Setup,
    options: DriverOptions,
    script: S,
) -> Result<Driver<ScriptedApplication<S>>, String> {
    let common = Common {
        setup,
        config: setup.config(),
        address: None,
        clients: Vec::new(),
        begun: false,
        finished: false,
        failure: None,
    };
    let driver = Driver::new(ScriptedApplication { script, common }, options)
        .map_err(|error| format!("a driver could not be made: {error}"))?;
    let handle = driver.handle();
    handle.wake();
    watchdog.on_give_up(move |after| drop(handle.send(Message::GiveUp(after))));
    Ok(driver)
}

/// Hosts a script until it has finished, and returns its outcome.
pub(crate) fn run_script<H: Host, S: Script>(
    watchdog: &Watchdog,
    host: &mut H,
    setup: Setup,
    script: S,
) -> Result<Driver<ScriptedApplication<S>>, String> {
    run_script_with(watchdog, host, setup, DriverOptions::default(), script)
}

/// Runs a script as [`run_script`] does, with options.
pub(crate) fn run_script_with<H: Host, S: Script>(
    watchdog: &Watchdog,
    host: &mut H,
    setup: Setup,
    options: DriverOptions,
    script: S,
) -> Result<Driver<ScriptedApplication<S>>, String> {
    outcome(host_until_done(host, driver(watchdog, setup, options, script)?, &Exit::default())?)
}

/// Makes a host run a service until the service is done, or leaves by its exit.
pub(crate) fn host_until_done<H: Host, S: Service + 'static>(
    host: &mut H,
    service: S,
    exit: &Exit,
) -> Result<S, String> {
    host.host(CheckedService::new(service, exit)).leave()
}

/// The outcome of a script whose host has given it back.
pub(crate) fn outcome<S: Script>(
    driver: Driver<ScriptedApplication<S>>,
) -> Result<Driver<ScriptedApplication<S>>, String> {
    let common = &driver.application().common;
    if let Some(failure) = &common.failure {
        return Err(failure.clone());
    }
    if !common.finished {
        let progress = driver.application().script.progress();
        return Err(format!("the host gave the service back when it had come no further than {progress}"));
    }
    if !driver.is_done() {
        return Err(format!("the host gave the service back before it was done: {driver:?}"));
    }
    Ok(driver)
}
