//! Every kind of descriptor in one service: a stream over two pipes, pipes that the application reads and writes
//! itself, and UDP.

use crate::Host;
use crate::auditor::received_from_another_thread;
use crate::bench::host_until_done;
use crate::checked_service::Exit;
use crate::pattern;
use crate::watchdog::Watchdog;
use lws_loop_external::{
    Accepted, Application, Descriptor, DescriptorEvent, Driver, DriverContext, DriverOptions, Interest,
    ListenerId, Peer, Route, Service, Udp, UdpEvent, UdpOptions,
};
use lws_proto::{Config, Connection, Established, Event, Expect, Payload};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The number of bytes, several times the capacity of a pipe.
const BYTES: usize = 1 << 20;
const DATAGRAMS: usize = 500;
/// The most datagrams in flight: few, as the system may drop those for which it has no room.
const WINDOW: usize = 8;

pub(super) fn every_kind_of_descriptor_is_served<H: Host>(
    watchdog: &Watchdog,
    host: &mut H,
) -> Result<(), String> {
    let made = |error: io::Error| format!("a driver could not be made: {error}");
    let driver = Driver::new(Kinds::default(), DriverOptions::default()).map_err(made)?;
    let handle = driver.handle();
    handle.wake();
    watchdog.on_give_up(move |after| {
        // Sending fails only if the service has ended.
        let _ = handle.send(after);
    });
    let driver = host_until_done(host, driver, &Exit::default())?;
    let kinds = driver.application();
    if let Some(failure) = &kinds.failure {
        return Err(failure.clone());
    }
    if !kinds.is_over() || !driver.is_done() {
        return Err(format!("the host gave the service back when it had come no further than {kinds:?}"));
    }
    Ok(())
}

/// The progress of each kind of descriptor.
#[derive(Debug, Default)]
struct Kinds {
    /// Bytes that were echoed on the stream. The ends of the stream are counted beside them.
    streamed: usize,
    stream_ends: usize,
    /// Bytes that the application has written into its pipe.
    written: usize,
    read: usize,
    hang_ups: usize,
    datagrams_sent: usize,
    datagrams_back: usize,
    failure: Option<String>,
}

/// The role of a descriptor.
enum DescriptorRole {
    /// The end of the stream that sends first.
    Client,
    /// The end of the stream that echoes.
    Server,
    Writer,
    Reader,
    /// The UDP socket that sends first, to this address.
    Asks(SocketAddr),
    Answers,
}

impl Kinds {
    fn is_over(&self) -> bool {
        self.stream_ends == 2 && self.hang_ups == 1 && self.datagrams_back == DATAGRAMS
    }

    fn fail(&mut self, cx: &mut DriverContext<'_, Self>, what: impl Into<String>) {
        self.failure.get_or_insert_with(|| what.into());
        cx.drain(Duration::ZERO);
    }

    fn expect(&mut self, cx: &mut DriverContext<'_, Self>, so: bool, what: &str) {
        if !so {
            self.fail(cx, what);
        } else if self.is_over() {
            cx.drain(Duration::from_secs(30));
        }
    }

    fn begin(&self, cx: &mut DriverContext<'_, Self>) -> io::Result<()> {
        let config = Arc::new(Config { expect: Expect::Raw, ..Config::default() });
        let ((in_a, out_b), (in_b, out_a)) = (pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?);
        cx.adopt_pair(
            in_a,
            out_a,
            Connection::client_raw(cx.now(), Arc::clone(&config)),
            DescriptorRole::Client,
        )?;
        cx.adopt_pair(in_b, out_b, Connection::server(cx.now(), config), DescriptorRole::Server)?;

        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        cx.adopt_descriptor(reader, Interest::READ, DescriptorRole::Reader)?;
        cx.adopt_descriptor(writer, Interest::WRITE, DescriptorRole::Writer)?;

        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = UdpOptions::default();
        let (_, answers) = cx.bind_udp(anywhere, &options, DescriptorRole::Answers)?;
        cx.connect_udp(answers, &options, DescriptorRole::Asks(answers))?;
        Ok(())
    }

    fn read(&mut self, cx: &mut DriverContext<'_, Self>, reader: &Descriptor<'_>) {
        let mut piece = [0; 5_000];
        match reader.read(&mut piece) {
            Ok(n) => {
                let fits = n > 0 && pattern::fits(2, self.read as u64, &piece[..n]);
                self.read += n;
                self.expect(cx, fits, "a pipe gives other bytes than were written");
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.fail(cx, "a pipe was reported as readable, and nothing is there");
            }
            Err(error) => self.fail(cx, format!("a pipe could not be read: {error}")),
        }
    }

    fn write(&mut self, cx: &mut DriverContext<'_, Self>, writer: &mut Descriptor<'_>) {
        let piece = pattern::bytes(2, self.written as u64, (BYTES - self.written).min(100_000));
        match writer.write(&piece) {
            Ok(n) => {
                self.written += n;
                if self.written == BYTES { writer.close() } else { writer.want_write() }
            }
            Err(error) => self.fail(cx, format!("a pipe was reported as writable: {error}")),
        }
    }

    /// Sends datagrams until as many are in flight as [`WINDOW`] allows.
    fn ask(&mut self, cx: &mut DriverContext<'_, Self>, mut socket: Udp<'_>, to: SocketAddr) {
        while self.datagrams_sent < DATAGRAMS && self.datagrams_sent < self.datagrams_back + WINDOW {
            let n = self.datagrams_sent as u64;
            let datagram = pattern::bytes(n, 0, 1 + (self.datagrams_sent * 7) % 1_400);
            self.datagrams_sent += 1;
            let sent = match socket.permit() {
                Ok(permit) => permit.send(Route::from(to), &datagram).map_err(|error| error.to_string()),
                Err(_) => Err("a queue with little in it has no room".to_owned()),
            };
            socket = match sent {
                Ok(socket) => socket,
                Err(what) => return self.fail(cx, what),
            };
        }
    }
}

impl Application for Kinds {
    type State = DescriptorRole;
    type Message = Duration;

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        None
    }

    fn event(&mut self, cx: &mut DriverContext<'_, Self>, role: &mut DescriptorRole, event: Event<'_>) {
        match (event, role) {
            (Event::Established { stream: Established::Raw(stream), .. }, DescriptorRole::Client) => {
                let everything = pattern::bytes(1, 0, BYTES).into();
                let sent = stream.permit().is_ok_and(|it| it.data(Payload::Own(everything), true).is_ok());
                self.expect(cx, sent, "a stream over pipes takes nothing");
            }
            (Event::Raw { chunk, .. }, DescriptorRole::Client) => {
                let fits = pattern::fits(1, self.streamed as u64, chunk);
                self.streamed += chunk.len();
                self.expect(cx, fits, "a stream over pipes gives other bytes back");
            }
            (Event::Raw { stream, chunk, end }, _) => {
                let sent = stream.permit().ok().and_then(|it| it.data(Payload::Copy(chunk), end).ok());
                match sent {
                    Some(sent) => sent.throttle(),
                    None => self.fail(cx, "a stream over pipes takes no answer"),
                }
            }
            _ => {}
        }
    }

    fn descriptor(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        _: &mut DescriptorRole,
        event: DescriptorEvent,
        descriptor: &mut Descriptor<'_>,
    ) {
        match event {
            DescriptorEvent::Readable => self.read(cx, descriptor),
            DescriptorEvent::Writable => self.write(cx, descriptor),
            DescriptorEvent::HangUp => {
                self.hang_ups += 1;
                let all = self.read == BYTES;
                self.expect(cx, all, "a pipe hangs up before everything was read");
            }
            DescriptorEvent::Refused(error) => {
                self.fail(cx, format!("the host cannot watch a pipe: {error}"))
            }
            _ => {}
        }
    }

    fn udp(&mut self, cx: &mut DriverContext<'_, Self>, role: &mut DescriptorRole, event: UdpEvent<'_>) {
        match (event, role) {
            (UdpEvent::Opened(socket), DescriptorRole::Asks(to)) => self.ask(cx, socket, *to),
            (UdpEvent::Datagram { socket, datagram }, DescriptorRole::Asks(to)) => {
                let fits = pattern::fits(self.datagrams_back as u64, 0, datagram.bytes);
                let length = 1 + (self.datagrams_back * 7) % 1_400;
                self.datagrams_back += 1;
                self.expect(cx, fits && datagram.length == length, "another datagram came back");
                self.ask(cx, socket, *to);
            }
            (UdpEvent::Datagram { socket, datagram }, _) => {
                let route = datagram.reply_to();
                let sent = socket.permit().is_ok_and(|permit| permit.send(route, datagram.bytes).is_ok());
                self.expect(cx, sent, "a queue with little in it has no room");
            }
            (UdpEvent::Unsent { error, .. } | UdpEvent::Failed { error, .. }, _) => {
                self.fail(cx, format!("a datagram was not sent: {error}"));
            }
            (UdpEvent::Refused(error), _) => self.fail(cx, format!("the host cannot watch UDP: {error}")),
            _ => {}
        }
    }

    fn closed(&mut self, cx: &mut DriverContext<'_, Self>, role: DescriptorRole) {
        let all = match role {
            DescriptorRole::Client => self.streamed == BYTES,
            // Its last bytes may still be in the pipe.
            DescriptorRole::Server => true,
            DescriptorRole::Writer
            | DescriptorRole::Reader
            | DescriptorRole::Asks(_)
            | DescriptorRole::Answers => return,
        };
        self.stream_ends += 1;
        self.expect(
            cx,
            all || self.failure.is_some(),
            "a stream over pipes ends before everything came back",
        );
    }

    fn message(&mut self, cx: &mut DriverContext<'_, Self>, after: Duration) {
        received_from_another_thread();
        let what = format!("after {} s it had come no further than {self:?}", after.as_secs());
        self.fail(cx, what);
    }

    fn notified(&mut self, cx: &mut DriverContext<'_, Self>) {
        received_from_another_thread();
        if let Err(error) = self.begin(cx) {
            self.fail(cx, format!("a descriptor could not be opened: {error}"));
        }
    }
}
