//! The project's own client, as an application on a driver: it makes the exchanges of a plan, and records the events
//! that it receives in the ledger.

use crate::ledger::{ClientSide, Shared, content, octet};
use crate::plan::{Ask, Client, Ends, Exchange, Framing, Reading};
use crate::server::FILES;
use crate::world::World;
use lws_loop_external::tls::Provider;
use lws_loop_external::{
    Accepted, Application, ConnectError, ConnectOptions, ConnectionId, DriverContext, ListenerId, Peer, Speak,
};
use lws_proto::http::Request;
use lws_proto::{
    Cause, Config, Connection, Established, Event, MessageKind, Misuse, Payload, Stream, StreamKey, Time,
    Writable, ws,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The addresses of the server of a run, and the TLS configuration for it.
pub(crate) struct Destination {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) http1: Option<Arc<dyn Provider>>,
    pub(crate) http2: Option<Arc<dyn Provider>>,
}

/// The application: all clients of a run.
pub(crate) struct Clients {
    plans: Vec<Rc<Client>>,
    /// The number of the first exchange of each plan.
    first: Vec<u32>,
    /// The plans that have not begun, with the times at which they do.
    pending: Vec<(Time, usize)>,
    /// The timer of each connection.
    alarms: BTreeMap<ConnectionId, Time>,
    destination: Destination,
    config: Arc<Config>,
    ledger: Shared,
    world: Rc<RefCell<World>>,
    /// Whether no further exchange is begun, because the run is ending.
    pub(crate) over: bool,
}

/// The state of one connection.
pub(crate) struct PlannedConnection {
    plan: usize,
    begun: Time,
    /// The index of the next exchange.
    next: usize,
    running: BTreeMap<StreamKey, Running>,
    /// The time at which it is closed.
    closes: Option<Time>,
}

/// An exchange that has begun.
struct Running {
    id: u32,
    exchange: Exchange,
    /// The octets of the request's content, and how many of them were sent.
    uploads: u64,
    sent: u64,
    /// The octets of the response since the last pause.
    since: u32,
    /// The messages that are still to be sent, and to be received.
    messages: u32,
    answers: u32,
    websocket: bool,
    /// Whether it pauses between two pieces of its content.
    waits: bool,
}

impl Clients {
    pub(crate) fn new(
        plans: &[Client],
        destination: Destination,
        config: Arc<Config>,
        ledger: &Shared,
        world: &Rc<RefCell<World>>,
    ) -> Self {
        let mut number = 0;
        let mut first = Vec::new();
        for plan in plans {
            first.push(number + 1);
            number += plan.exchanges.len() as u32;
        }
        let begins = |(index, plan): (usize, &Client)| (Time::ZERO + millis(plan.begins), index);
        Self {
            pending: plans.iter().enumerate().map(begins).collect(),
            plans: plans.iter().cloned().map(Rc::new).collect(),
            first,
            alarms: BTreeMap::new(),
            destination,
            config,
            ledger: ledger.clone(),
            world: world.clone(),
            over: false,
        }
    }

    /// Sets the driver's timer to the earliest of all timers.
    pub(crate) fn set_alarm(&self, cx: &mut DriverContext<'_, Self>) {
        let next = self.pending.iter().map(|(at, _)| *at).chain(self.alarms.values().copied()).min();
        cx.set_timer(next);
    }

    /// Whether every plan has begun.
    pub(crate) fn is_over(&self) -> bool {
        self.pending.is_empty()
    }

    fn begin(&mut self, cx: &mut DriverContext<'_, Self>, index: usize) {
        let Some(plan) = self.plans.get(index) else { return };
        let Destination { plain, tls, http1, http2 } = &self.destination;
        let speaks = plan.speaks;
        let options = ConnectOptions {
            speak: if speaks.is_http2() { Speak::Http2 } else { Speak::Http },
            tls: match (speaks.is_tls(), speaks.is_http2()) {
                (false, _) => None,
                (true, false) => http1.clone(),
                (true, true) => http2.clone(),
            },
            ..ConnectOptions::default()
        };
        let address = if speaks.is_tls() { *tls } else { *plain };
        let planned = PlannedConnection {
            plan: index,
            begun: Time::ZERO,
            next: 0,
            running: BTreeMap::new(),
            closes: None,
        };
        // If connecting fails at once, its exchanges never begin.
        let _ = cx.connect(address, Arc::clone(&self.config), &options, planned);
    }

    /// Begins the exchanges that are due, and sets the next timer.
    fn go_on(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        planned: &mut PlannedConnection,
        connection: &mut Connection,
    ) {
        let Some(id) = cx.connection() else { return };
        let now = cx.now();
        let plan = Rc::clone(&self.plans[planned.plan]);
        while let Some(exchange) = plan.exchanges.get(planned.next) {
            if planned.begun + millis(exchange.begins) > now || self.over {
                break;
            }
            if !plan.speaks.is_http2() && !planned.running.is_empty() {
                break;
            }
            let number = self.first[planned.plan] + planned.next as u32;
            planned.next += 1;
            if let Ok((key, running)) = Running::begin(connection, now, number, exchange) {
                self.note(number, |client| {
                    client.begun = true;
                    client.asked = now;
                });
                planned.running.insert(key, running);
            }
        }
        let done = planned.running.is_empty() && (planned.next == plan.exchanges.len() || self.over);
        if done && planned.closes.is_none() {
            planned.closes = Some(now + if self.over { Duration::ZERO } else { millis(plan.keeps) });
        }
        if planned.closes.is_some_and(|at| at <= now) {
            cx.close(id);
            self.alarms.remove(&id);
        } else {
            let begins = plan.exchanges.get(planned.next).map(|it| planned.begun + millis(it.begins));
            // An exchange that is due but cannot begin yet, begins when the last one has ended.
            match [begins.filter(|at| *at > now), planned.closes].into_iter().flatten().min() {
                Some(at) => drop(self.alarms.insert(id, at)),
                None => drop(self.alarms.remove(&id)),
            }
        }
        self.set_alarm(cx);
    }

    /// Makes the machine of this connection's client vanish from the network.
    fn vanish(&self, cx: &DriverContext<'_, Self>) {
        if let Some(own) = cx.local_address() {
            self.world.borrow_mut().vanish_at(own);
        }
    }

    fn note(&self, id: u32, note: impl FnOnce(&mut ClientSide)) {
        note(&mut self.ledger.borrow_mut().account(id).client);
    }

    /// Handles content of a response.
    fn took(
        &self,
        cx: &DriverContext<'_, Self>,
        running: &mut Running,
        mut stream: Stream<'_>,
        chunk: &[u8],
        end: bool,
    ) {
        let ClientSide { octets: at, status, .. } = self.ledger.borrow_mut().account(running.id).client;
        let checked = matches!(running.exchange.asks, Ask::Bytes(..) | Ask::Echo(..) | Ask::File(_));
        if checked && status == 200 && !chunk.iter().zip(at..).all(|(is, at)| *is == octet(at)) {
            let id = running.id;
            self.ledger.borrow_mut().complain(format!("exchange {id}: wrong content after {at} octets"));
        }
        let octets = at + chunk.len() as u64;
        self.note(running.id, |client| {
            client.octets = octets;
            client.ended |= end;
        });
        match running.exchange.reads {
            Reading::Steady => {}
            Reading::Slow(every, pause) => {
                running.since += chunk.len() as u32;
                if running.since >= every && !end {
                    running.since = 0;
                    stream.pause();
                    stream.set_timeout(Some(cx.now() + millis(pause)));
                }
            }
            Reading::Stops(after) if octets >= after.into() && !end => {
                self.note(running.id, |client| client.stopped = true);
                stream.pause();
            }
            Reading::Leaves(after) if octets >= after.into() && !end => {
                self.note(running.id, |client| client.left = true);
                stream.abort();
            }
            Reading::Vanishes(after) if octets >= after.into() && !end => {
                self.note(running.id, |client| client.left = true);
                self.vanish(cx);
            }
            Reading::Stops(_) | Reading::Leaves(_) | Reading::Vanishes(_) => {}
        }
    }
}

/// How long an idle WebSocket is kept.
const IDLE: Duration = Duration::from_secs(70);

fn millis(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

impl Running {
    /// Sends the request.
    fn begin(
        connection: &mut Connection,
        now: Time,
        id: u32,
        exchange: &Exchange,
    ) -> Result<(StreamKey, Self), Misuse> {
        let mut running = Self {
            id,
            exchange: exchange.clone(),
            uploads: 0,
            sent: 0,
            since: 0,
            messages: 0,
            answers: 0,
            websocket: false,
            waits: false,
        };
        let mut method = "GET";
        let target = match &exchange.asks {
            Ask::Hello => "/hello".to_owned(),
            Ask::Get(target) => String::from_utf8_lossy(target).into_owned(),
            Ask::Head(n) => {
                method = "HEAD";
                format!("/bytes?id={id}&n={n}")
            }
            Ask::Bytes(n, framing, ends) => {
                let framing = if *framing == Framing::Streamed { "&framing=streamed" } else { "" };
                let ends = match ends {
                    Ends::Whole => String::new(),
                    Ends::Aborts(at) => format!("&aborts={at}"),
                    Ends::Stalls(at) => format!("&stalls={at}"),
                };
                format!("/bytes?id={id}&n={n}{framing}{ends}")
            }
            Ask::Wait(millis) => format!("/wait?id={id}&ms={millis}"),
            Ask::Silence => format!("/silence?id={id}"),
            Ask::Echo(n, ..) => {
                method = "POST";
                running.uploads = (*n).into();
                format!("/echo?id={id}")
            }
            Ask::Collect(n) => {
                method = "POST";
                running.uploads = (*n).into();
                format!("/collect?id={id}")
            }
            Ask::File(n) => {
                let size = FILES.into_iter().filter(|size| size <= n).max().unwrap_or(0);
                format!("/files/{size}")
            }
            Ask::Chat(messages, _) => {
                (running.messages, running.answers, running.websocket) = (*messages, *messages, true);
                format!("/chat?id={id}")
            }
            Ask::Push(messages, size) => {
                (running.answers, running.websocket) = (*messages, true);
                format!("/push?id={id}&n={messages}&size={size}")
            }
            Ask::Refused(n, ends) => {
                running.websocket = true;
                let stalls =
                    if let Ends::Stalls(at) = ends { format!("&stalls={at}") } else { String::new() };
                format!("/bytes?id={id}&n={n}{stalls}")
            }
            Ask::Idle => {
                running.websocket = true;
                format!("/idle?id={id}")
            }
        };
        if running.websocket {
            let key = connection.connect_websocket(now, &ws::Connect::new("localhost", &target))?;
            return Ok((key, running));
        }
        let request = Request { method, target: &target, host: "localhost" };
        let priority = (exchange.urgency != 3).then(|| ("priority", format!("u={}", exchange.urgency)));
        let length = (running.uploads > 0).then(|| ("content-length", running.uploads.to_string()));
        let end = running.uploads == 0;
        let sent = connection.request(
            now,
            &request,
            priority.into_iter().chain(length),
            Payload::Static(b""),
            end,
        )?;
        let key = sent.key();
        if !end {
            sent.again();
        }
        Ok((key, running))
    }

    /// Sends the next piece, if there is one.
    fn send(&mut self, now: Time, permit: Writable<'_>) -> Result<(), Misuse> {
        if self.websocket {
            let Ask::Chat(_, size) = self.exchange.asks else { return Ok(()) };
            if let (1.., Ok(permit)) = (self.messages, permit.into_websocket()) {
                self.messages -= 1;
                let message = Payload::Own(content(0, size as usize).into());
                permit.message(MessageKind::Binary, message, true)?.again();
            }
            return Ok(());
        }
        let (false, Ok(permit)) = (self.waits, permit.into_exchange()) else { return Ok(()) };
        let (piece, pause) = match self.exchange.asks {
            Ask::Echo(_, piece, pause) => (piece.max(1), pause),
            _ => (16 << 10, 0),
        };
        let left = self.uploads - self.sent;
        if left == 0 {
            return Ok(());
        }
        // The part of a piece that the queue does not take is sent with the next permit, and the pause follows it.
        let rest = u64::from(piece) - self.sent % u64::from(piece);
        let taken = left.min(rest).min(permit.budget() as u64);
        let payload = Payload::Own(content(self.sent, taken as usize).into());
        self.sent += taken;
        let end = self.sent == self.uploads;
        let sent = permit.data(payload, end)?;
        if end {
            return Ok(());
        }
        if pause == 0 || taken < rest {
            sent.again();
        } else {
            self.waits = true;
            sent.into_stream().set_timeout(Some(now + millis(pause)));
        }
        Ok(())
    }
}

impl Application for Clients {
    type State = PlannedConnection;
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        None
    }

    fn connected(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        planned: &mut PlannedConnection,
        connection: &mut Connection,
    ) {
        self.ledger.borrow_mut().callbacks += 1;
        planned.begun = cx.now();
        self.go_on(cx, planned, connection);
    }

    fn connect_failed(&mut self, cx: &mut DriverContext<'_, Self>, _: PlannedConnection, _: ConnectError) {
        self.ledger.borrow_mut().callbacks += 1;
        self.set_alarm(cx);
    }

    fn event(&mut self, cx: &mut DriverContext<'_, Self>, planned: &mut PlannedConnection, event: Event<'_>) {
        self.ledger.borrow_mut().callbacks += 1;
        let now = cx.now();
        let key = event.key();
        if let Event::Closed { cause, .. } = event {
            match planned.running.remove(&key) {
                Some(running) => {
                    let mut ledger = self.ledger.borrow_mut();
                    let id = running.id;
                    let client = &mut ledger.account(id).client;
                    client.took = now - client.asked;
                    if let Some(before) = client.cause.replace(cause) {
                        ledger.complain(format!("exchange {id} has ended twice: {before:?}, {cause:?}"));
                    }
                }
                None => self
                    .ledger
                    .borrow_mut()
                    .complain(format!("a stream that was never begun has ended: {cause:?}")),
            }
            if let Some(id) = cx.connection() {
                // Beginning the next exchange needs the connection, which an event does not lend.
                cx.wake(id);
            }
            return;
        }
        let Some(mut running) = planned.running.remove(&key) else { return };
        match event {
            Event::Response { stream, head, end } => {
                let status = head.status().map_or(0, |status| status.code());
                if status >= 200 {
                    self.note(running.id, |client| client.status = status);
                    self.took(cx, &mut running, stream.into_any(), b"", end);
                }
            }
            Event::Body { stream, chunk, end } => self.took(cx, &mut running, stream.into_any(), chunk, end),
            Event::Established { stream: Established::WebSocket(mut stream), .. } => {
                self.note(running.id, |client| client.status = 101);
                if matches!(running.exchange.asks, Ask::Idle) {
                    stream.set_timeout(Some(now + IDLE));
                } else if running.answers == 0 {
                    let _ = stream.close(ws::CloseCode::NORMAL, "");
                } else {
                    stream.want_write();
                }
            }
            Event::Message { stream, chunk, end, .. } => {
                running.answers = running.answers.saturating_sub(u32::from(end));
                if running.answers == 0 && end {
                    let _ = stream.close(ws::CloseCode::NORMAL, "");
                } else {
                    self.took(cx, &mut running, stream.into_any(), chunk, false);
                }
            }
            Event::Writable(permit) => {
                if let Err(misuse) = running.send(now, permit) {
                    // A misuse is possible here: the server may have ended the stream first.
                    let _ = misuse;
                }
            }
            Event::Timeout { mut stream } => {
                if matches!(running.exchange.asks, Ask::Idle) {
                    if let Ok(websocket) = stream.into_websocket() {
                        let _ = websocket.close(ws::CloseCode::NORMAL, "");
                    }
                    planned.running.insert(key, running);
                    return;
                }
                if std::mem::take(&mut running.waits) {
                    stream.want_write();
                }
                if matches!(running.exchange.reads, Reading::Slow(..)) {
                    stream.resume();
                }
            }
            _ => {}
        }
        planned.running.insert(key, running);
    }

    fn closed(&mut self, cx: &mut DriverContext<'_, Self>, planned: PlannedConnection) {
        let mut ledger = self.ledger.borrow_mut();
        ledger.callbacks += 1;
        for running in planned.running.values() {
            let id = running.id;
            ledger.complain(format!("exchange {id} never got its end, and its connection has gone"));
        }
        drop(ledger);
        if let Some(id) = cx.connection() {
            self.alarms.remove(&id);
        }
        self.set_alarm(cx);
    }

    fn woken(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        planned: &mut PlannedConnection,
        connection: &mut Connection,
    ) {
        self.ledger.borrow_mut().callbacks += 1;
        self.go_on(cx, planned, connection);
    }

    fn timer(&mut self, cx: &mut DriverContext<'_, Self>) {
        self.ledger.borrow_mut().callbacks += 1;
        let now = cx.now();
        let due: Vec<usize> =
            self.pending.iter().filter(|(at, _)| *at <= now).map(|(_, index)| *index).collect();
        self.pending.retain(|(at, _)| *at > now);
        for index in due {
            self.begin(cx, index);
        }
        let due: Vec<ConnectionId> =
            self.alarms.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for id in due {
            self.alarms.remove(&id);
            cx.wake(id);
        }
        self.set_alarm(cx);
    }
}

/// Whether a cause counts as success.
pub(crate) fn is_success(cause: Cause) -> bool {
    cause == Cause::Complete
}
