//! Measures how long a turn of a flooded service takes, with and without a budget: 256 WebSockets that each keep 2,048
//! messages in flight.
//!
//! `cargo run --release -p lws-loop-external --features mio --example turns -- 256 2048 5`: connections, depth, seconds.
//! It measures processor time of the thread, so that other load on the machine counts little.

use lws_loop_external::{
    Accepted, Address, Application, Clock, Driver, DriverContext, DriverOptions, ListenOptions, ListenerId,
    OneDescriptor, Peer, TurnLimits,
};
use lws_proto::{Config, Event, Payload, Time, ws};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, clock_gettime};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

struct Echo(Arc<Config>);

impl Application for Echo {
    type State = ();
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        Some(Accepted { config: Arc::clone(&self.0), state: () })
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), event: Event<'_>) {
        match event {
            Event::Request { stream, head, .. } => {
                let _ = stream.accept_websocket(&head, &ws::Accept::default());
            }
            Event::Message { stream, kind, chunk, end, .. } => {
                if let Ok(permit) = stream.permit()
                    && let Ok(sent) = permit.message(kind, Payload::Copy(chunk), end)
                {
                    sent.throttle();
                }
            }
            _ => {}
        }
    }
}

const OPENING: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// A binary message of 16 octets, masked with zeros.
const MESSAGE: [u8; 22] = *b"\x82\x90\0\0\0\x000123456789abcdef";
/// The octets of the same message as the server sends it, without a mask.
const ECHO: usize = 18;

/// Keeps `depth` messages of each connection in flight until it is stopped. Returns how many came back.
fn flood(address: SocketAddr, connections: usize, depth: usize, stop: &AtomicBool) -> io::Result<u64> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let mut client = TcpStream::connect(address)?;
        client.write_all(OPENING)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut octet = [0];
            client.read_exact(&mut octet)?;
            head.extend(octet);
        }
        client.set_nonblocking(true)?;
        // A client, the octets that it may still send, and the octets that it has received.
        clients.push((client, depth * MESSAGE.len(), 0_usize));
    }
    let messages = MESSAGE.repeat(depth);
    let mut room = vec![0; 64 << 10];
    let mut returned = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let mut idle = true;
        for (client, open, came) in &mut clients {
            // The buffer holds the message over and over: a write begins at the octet where the last one was cut.
            let from = (messages.len() - *open % messages.len()) % messages.len();
            let until = messages.len().min(from + *open);
            match client.write(&messages[from..until]) {
                Ok(n) => {
                    *open -= n;
                    idle &= n == 0;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            match client.read(&mut room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    let before = *came / ECHO;
                    *came += n;
                    let more = *came / ECHO - before;
                    *open += more * MESSAGE.len();
                    returned += more as u64;
                    idle = false;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if idle {
            thread::yield_now();
        }
    }
    Ok(returned)
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn measure(time: Duration, connections: usize, depth: usize, seconds: u64) -> io::Result<()> {
    let turn = TurnLimits { time, bytes: usize::MAX, ..TurnLimits::default() };
    let options = DriverOptions { turn, ..DriverOptions::default() };
    let mut driver = Driver::new(Echo(Arc::default()), options)?;
    let address = driver.with(Time::ZERO, |_, cx| {
        let id = cx.listen(&Address::Tcp(([127, 0, 0, 1], 0).into()), &ListenOptions::default())?;
        cx.listening_on(id)
    })?;
    let Address::Tcp(address) = address else { return Err(ErrorKind::AddrNotAvailable.into()) };
    let stop = Arc::new(AtomicBool::new(false));
    let peers = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || flood(address, connections, depth, &stop))
    };
    let clock = Clock::new();
    let mut one = OneDescriptor::new(driver)?;
    let mut turns = Vec::new();
    let (mut began, mut spent) = (None, Duration::ZERO);
    loop {
        let timeout = one.wait().timeout(clock.now()).unwrap_or(Duration::from_millis(100));
        let timeout = timeout.min(Duration::from_millis(100)).try_into().ok();
        poll(&mut [PollFd::new(&one, PollFlags::IN)], timeout.as_ref())?;
        let before = processor_time();
        one.dispatch(clock.now());
        let took = processor_time() - before;
        // Measure only while every client is connected.
        if one.service().stats().connections == connections {
            let began = *began.get_or_insert_with(Instant::now);
            turns.push(took);
            spent += took;
            if began.elapsed() > Duration::from_secs(seconds) {
                break;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let returned = peers.join().map_err(|_| io::Error::other("the peers panicked"))?.unwrap_or(0);
    turns.sort_unstable();
    let at = |permille: usize| turns[(turns.len() - 1) * permille / 1_000];
    let budget = if time == Duration::MAX { "no budget".to_owned() } else { format!("{time:?}") };
    println!(
        "{budget:>9}: {} dispatches, median {:.2?}, p99 {:.2?}, p99.9 {:.2?}, longest {:.2?}; {:.0} messages per second of \
         processor time",
        turns.len(),
        at(500),
        at(990),
        at(999),
        at(1_000),
        returned as f64 / spent.as_secs_f64()
    );
    Ok(())
}

fn main() -> io::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<usize>().unwrap_or(0));
    let mut next = |default: usize| numbers.next().filter(|number| *number > 0).unwrap_or(default);
    let (connections, depth, seconds) = (next(256), next(2_048), next(5));
    for time in [
        Duration::MAX,
        Duration::from_millis(2),
        Duration::MAX,
        Duration::from_millis(2),
        Duration::from_millis(1),
    ] {
        measure(time, connections, depth, seconds as u64)?;
    }
    Ok(())
}
