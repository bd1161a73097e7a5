//! `engine`: the protocol engine alone, doing one thing many times, to be counted by callgrind.
//!
//! No socket, no loop, no clock. One turn is what a driver does for one read: lend a buffer, hand the bytes in, answer
//! what they say, and take what is to be written.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use benches::{Result, hpack};
use clap::{Parser, Subcommand};
use lws_proto::http::Status;
use lws_proto::ws::Accept;
use lws_proto::{Cause, Config, Connection, Event, Limits, Payload, SLICES_MAX, Time, WallClock};

/// Runs the protocol engine in memory.
#[derive(Parser)]
#[command(name = "engine")]
struct Cli {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// WebSocket messages, each received and echoed in a turn of its own
    Echo {
        /// Payload bytes.
        size: usize,
        /// How many messages.
        count: usize,
    },
    /// WebSocket messages, as many to a turn as 64 KiB hold
    Batch {
        /// Payload bytes.
        size: usize,
        /// How many messages.
        count: usize,
    },
    /// HTTP/1.1 requests, each received and answered in a turn of its own
    Hello {
        /// How many different heads they have, one after the other
        #[arg(value_parser = clap::value_parser!(u64).range(1..=9))]
        heads: u64,
        /// How many requests.
        count: usize,
    },
    /// HTTP/2 requests, as many to a turn as 4,000 bytes hold
    H2 {
        /// What stands in them.
        fields: hpack::Fields,
        /// How many requests.
        count: usize,
    },
    /// Field blocks, decoded by themselves
    HpackDecode {
        /// What stands in them.
        fields: hpack::Fields,
        /// How many blocks.
        count: usize,
    },
    /// Field blocks, encoded by themselves
    HpackEncode {
        /// What stands in them.
        fields: hpack::Fields,
        /// How many blocks.
        count: usize,
    },
}

/// What one read brings where messages are many.
const BATCH_BYTES: usize = 64 << 10;
/// Any moment: servers tell the date.
const NOW: u32 = 1_800_000_000;
const TURN: Duration = Duration::from_micros(3);
const OPENING: &[u8] =
    b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1:7681\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1:7681\r\n\r\n";
const CONTENT: &[u8] = b"Hello, world!";

fn main() -> ExitCode {
    let done = match Cli::parse().work {
        Work::Echo { size, count } => echo(size, count, 1),
        Work::Batch { size, count } => echo(size, count, (BATCH_BYTES / frame(size).len()).max(1)),
        Work::Hello { heads, count } => hello(heads, count),
        Work::H2 { fields, count } => h2(fields, count),
        Work::HpackDecode { fields, count } => hpack::decode(fields, count),
        Work::HpackEncode { fields, count } => hpack::encode(fields, count),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine: {error}");
            ExitCode::FAILURE
        }
    }
}

fn echo(size: usize, count: usize, per_turn: usize) -> Result<()> {
    let mut driver = Driver::new();
    driver.turn(&mut OPENING.to_vec())?;
    let frame = frame(size);
    // The engine unmasks in place. Unmasked again the payload is masked, and so on: every other time the messages are
    // the same, and the frames need not be copied afresh.
    let mut frames = frame.repeat(per_turn);
    let before = driver.written;
    let mut left = count;
    while left > 0 {
        let now = left.min(per_turn);
        driver.turn(&mut frames[..now * frame.len()])?;
        left -= now;
    }
    // A server's frame has no masking key. RFC 6455 §5.1.
    driver.check(before + count * (frame.len() - 4))
}

fn hello(heads: u64, count: usize) -> Result<()> {
    let mut driver = Driver::new();
    let head = |number| String::from_utf8_lossy(REQUEST).replace("hello", &format!("hell{number}"));
    let mut requests: Vec<_> = (0..heads).map(|number| head(number).into_bytes()).collect();
    driver.turn(&mut REQUEST.to_vec())?;
    let response = driver.written;
    for number in 0..count {
        let number = number % requests.len();
        driver.turn(&mut requests[number])?;
    }
    driver.check(response * (count + 1))
}

/// What one read brings of HTTP/2: as the peers were measured.
const H2_BATCH_BYTES: usize = 4_000;

/// Requests on streams of one connection, which a client opens as fast as they are answered.
fn h2(fields: hpack::Fields, count: usize) -> Result<()> {
    let (first, next) = fields.blocks();
    let mut driver = Driver::new();
    let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    opening.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    opening.extend_from_slice(&[0, 0, 0, 4, 1, 0, 0, 0, 0]);
    opening.extend_from_slice(&request(1, &first));
    driver.turn(&mut opening)?;
    let per_turn = H2_BATCH_BYTES / (9 + next.len());
    let (mut id, mut left) = (3, count);
    let mut batch = Vec::new();
    while left > 0 {
        batch.clear();
        for _ in 0..left.min(per_turn) {
            batch.extend_from_slice(&request(id, &next));
            id += 2;
        }
        left -= left.min(per_turn);
        let responses = (per_turn * CONTENT.len()) as u32;
        batch.extend_from_slice(&[0, 0, 4, 8, 0, 0, 0, 0, 0]);
        batch.extend_from_slice(&responses.to_be_bytes());
        let before = driver.answered;
        driver.turn(&mut batch)?;
        if driver.answered == before {
            return Err("a turn without an answer".into());
        }
    }
    if driver.answered == count + 1 { Ok(()) } else { Err("requests were not answered".into()) }
}

/// HEADERS that end the stream. RFC 9113 §6.2.
fn request(id: u32, block: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (block.len() as u32).to_be_bytes();
    let mut frame = vec![a, b, c, 1, 5];
    frame.extend_from_slice(&id.to_be_bytes());
    frame.extend_from_slice(block);
    frame
}

/// A masked binary message. RFC 6455 §5.2.
fn frame(size: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    benches::client::ws::frame(&mut frame, &vec![b'x'; size], [0x37, 0xfa, 0x21, 0x3d]);
    frame
}

/// Drives one server connection, as a loop would.
struct Driver {
    connection: Connection,
    /// The buffer that is lent for each turn.
    spare: Vec<u8>,
    now: Time,
    /// Bytes that the transport has taken.
    written: usize,
    /// Requests that were answered.
    answered: usize,
}

impl Driver {
    fn new() -> Self {
        let limits = Limits { keep_alive_requests_max: u32::MAX, ..Limits::default() };
        let wall_clock = WallClock::default();
        wall_clock.set(NOW);
        let config = Arc::new(Config { limits, wall_clock, ..Config::default() });
        Self {
            connection: Connection::server(Time::ZERO, config),
            spare: Vec::with_capacity(2 * BATCH_BYTES),
            now: Time::ZERO,
            written: 0,
            answered: 0,
        }
    }

    fn turn(&mut self, received: &mut [u8]) -> Result<()> {
        self.now = self.now + TURN;
        self.connection.lend(&mut self.spare);
        let mut feed = self.connection.receive(self.now, received);
        while let Some(event) = feed.next_event() {
            self.answered += usize::from(matches!(event, Event::Request { .. }));
            answer(event)?;
        }
        drop(feed);
        self.write();
        self.connection.reclaim(&mut self.spare);
        Ok(())
    }

    /// The transport takes everything.
    fn write(&mut self) {
        if let Some(transmit) = self.connection.transmit(self.now) {
            let taken = if transmit.is_contiguous() {
                black_box(transmit.first()).len()
            } else {
                let mut slices: [&[u8]; SLICES_MAX] = [&[]; SLICES_MAX];
                let count = transmit.slices(&mut slices);
                black_box(&slices[..count]).iter().map(|slice| slice.len()).sum::<usize>()
            };
            transmit.commit(taken);
            self.written += taken;
        }
    }

    fn check(&self, expected: usize) -> Result<()> {
        if self.connection.needs_service() || self.connection.interest().write {
            return Err("a turn was left undone".into());
        }
        if self.written == expected {
            return Ok(());
        }
        Err(format!("{} bytes were written instead of {expected}", self.written).into())
    }
}

/// What the application says.
fn answer(event: Event<'_>) -> Result<()> {
    match event {
        Event::Message { stream, kind, chunk, end, .. } => {
            let permit = stream.permit().map_err(|_| "no permit to echo")?;
            permit.message(kind, Payload::Copy(chunk), end)?;
        }
        Event::Request { stream, head, .. } if head.get("upgrade").is_some() => {
            stream.accept_websocket(&head, &Accept::new().streamed())?;
        }
        Event::Request { stream, .. } => {
            let permit = stream.permit().map_err(|_| "no permit to respond")?;
            permit.respond(Status::OK, [("content-type", "text/plain")], Payload::Static(CONTENT), true)?;
        }
        Event::Closed { cause, .. } if cause != Cause::Complete => return Err(cause.into()),
        _ => {}
    }
    Ok(())
}
