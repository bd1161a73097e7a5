//! How much an engine holds: nothing that waits for something may cost a buffer.

use crate::support::{NEXT, defaults};
use lws_proto::http::Status;
use lws_proto::ws::Accept;
use lws_proto::{Config, Connection, Event, MessageKind, Payload, StreamKey, Time};
use std::sync::Arc;
use std::time::Duration;
use tests::application::NO_FIELDS;
use tests::endpoint::{OPENING, limits};
use tests::h2;
use tests::sys::Counting;
use tests::wire::{BINARY, BINARY_BEGINS, PING, masked};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What an idle connection may cost in all.
const IDLE_BYTES_MAX: isize = 600;

/// One connection without a harness around it, so that nothing else is counted.
struct Bare {
    before: isize,
    connection: Connection,
    key: Option<StreamKey>,
}

impl Bare {
    fn new(config: &Arc<Config>) -> Self {
        let config = Arc::clone(config);
        let before = Counting::held();
        Self { before, connection: Connection::server(Time::ZERO, config), key: None }
    }

    fn websocket() -> Self {
        let mut bare = Self::new(&defaults());
        bare.receive(OPENING.as_bytes());
        bare.drain();
        bare
    }

    /// Bytes that the connection holds, itself included.
    fn held(&self) -> isize {
        Counting::held() - self.before + size_of::<Connection>() as isize
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut feed = self.connection.receive(Time::ZERO, &mut bytes);
        while let Some(event) = feed.next_event() {
            match event {
                Event::Request { stream, head, .. } => {
                    self.key = Some(stream.key());
                    if head.get("upgrade").is_some() {
                        stream.accept_websocket(&head, &Accept::new()).expect("an opening");
                    } else {
                        let permit = stream.permit().expect("a permit");
                        permit
                            .respond(Status::OK, NO_FIELDS, Payload::Static(b"ok"), true)
                            .expect("a response");
                    }
                }
                Event::Message { stream, chunk, .. } => {
                    let permit = stream.permit().expect("a permit");
                    permit.message(MessageKind::Binary, Payload::Copy(chunk), true).expect("a message");
                }
                _ => {}
            }
        }
    }

    fn receive_into_its_own(&mut self, bytes: &[u8]) {
        self.connection.recv_buf()[..bytes.len()].copy_from_slice(bytes);
        self.connection.received(Time::ZERO, bytes.len());
        while self.connection.next_event().is_some() {}
    }

    fn drain(&mut self) {
        while let Some(transmit) = self.connection.transmit(Time::ZERO) {
            let len = transmit.first().len();
            transmit.commit(len);
        }
    }
}

#[test]
fn an_idle_websocket_holds_no_buffer() {
    let mut bare = Bare::websocket();
    let idle = bare.held();
    assert!(idle <= IDLE_BYTES_MAX, "{idle} bytes");
    for _ in 0..3 {
        bare.receive(&masked(BINARY, &[7; 20_000]));
        bare.receive(
            &[masked(BINARY_BEGINS, &[7; 5_000]), masked(PING, b"x"), masked(0x80, &[7; 5_000])].concat(),
        );
        for byte in masked(BINARY, b"byte by byte") {
            bare.receive(&[byte]);
        }
        bare.receive_into_its_own(&masked(PING, b"own"));
        bare.drain();
        assert!(bare.held() <= idle, "{} bytes, not {idle} as before", bare.held());
    }
}

#[test]
fn an_idle_http_connection_holds_no_buffer() {
    let mut bare = Bare::new(&defaults());
    bare.receive(NEXT.as_bytes());
    bare.drain();
    let idle = bare.held();
    assert!(idle <= 3 * IDLE_BYTES_MAX, "{idle} bytes");
    for _ in 0..3 {
        bare.receive(NEXT.repeat(16).as_bytes());
        for byte in NEXT.as_bytes() {
            bare.receive(&[*byte]);
        }
        bare.drain();
        // A list of field positions may stay, a buffer may not.
        assert!(bare.held() <= idle + 256, "{} bytes, not {idle} as before", bare.held());
    }
}

#[test]
fn a_connection_that_was_only_opened_holds_next_to_nothing() {
    let bare = Bare::new(&defaults());
    assert!(bare.held() <= IDLE_BYTES_MAX, "{} bytes", bare.held());
}

#[test]
fn half_a_message_costs_what_came_of_it() {
    // A peer that announces much and sends little makes us hold little.
    let mut bare = Bare::websocket();
    let idle = bare.held();
    bare.receive(&masked(BINARY, &vec![7; 1 << 20])[..1000]);
    assert!(bare.held() <= idle + 3_000, "{} bytes", bare.held());
}

#[test]
fn a_head_that_trickles_costs_what_came_of_it() {
    let mut bare = Bare::new(&limits(|limits| limits.head_bytes_max = 16 << 10));
    for byte in "GET / HTTP/1.1\r\nHost: a\r\nX: ".bytes().chain([b'y'; 15_000]) {
        bare.receive(&[byte]);
    }
    assert!(bare.held() <= 40_000, "{} bytes", bare.held());
}

#[test]
fn a_request_over_http_2_asks_for_no_memory_once_its_connection_is_warm() {
    let mut connection = Connection::server(Time::ZERO, defaults());
    let mut spare = Vec::with_capacity(64 << 10);
    let mut turn = |bytes: &mut [u8]| {
        let before = Counting::asked();
        connection.lend(&mut spare);
        let mut feed = connection.receive(Time::ZERO, bytes);
        while let Some(event) = feed.next_event() {
            if let Event::Request { stream, .. } = event {
                let permit = stream.permit().expect("a permit");
                let fields = [("content-type", "text/plain")];
                permit.respond(Status::OK, fields, Payload::Static(b"ok"), true).expect("a response");
            }
        }
        drop(feed);
        while let Some(transmit) = connection.transmit(Time::ZERO) {
            let len = transmit.first().len();
            transmit.commit(len);
        }
        connection.reclaim(&mut spare);
        Counting::asked() - before
    };
    turn(&mut [h2::client_begins(&[]), h2::settings_ack()].concat());
    for id in (1..200).step_by(2) {
        turn(&mut h2::get(id));
    }
    for id in (201..400).step_by(2) {
        let mut request = h2::get(id);
        assert_eq!(turn(&mut request), 0, "request {id}");
    }
}

/// What an idle connection of HTTP/2 may cost, tables of both directions included.
const IDLE_HTTP_2_BYTES_MAX: isize = 4 << 10;

/// So long after the last request a connection is idle.
const QUIET: Duration = Duration::from_secs(2);

/// What a load generator says.
const FIELDS: [(&str, &str); 5] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "127.0.0.1:7681"),
    (":path", "/hello"),
    ("user-agent", "h2load nghttp2/1.64.0"),
];

#[test]
fn an_idle_http_2_connection_gives_back_what_a_burst_needed() {
    for at_once in [1, 10, 100] {
        let mut bare = Bare::new(&defaults());
        bare.receive(&[h2::client_begins(&[]), h2::settings_ack()].concat());
        bare.drain();
        let ids = || (0..at_once).map(|at| 1 + 2 * at);
        bare.receive(&ids().flat_map(|id| h2::headers(id, &FIELDS, false)).collect::<Vec<_>>());
        bare.drain();
        let busy = bare.held();
        bare.receive(&ids().flat_map(|id| h2::data(id, "content", true)).collect::<Vec<_>>());
        bare.drain();
        while let Some(due) = bare.connection.next_timeout().filter(|due| *due <= Time::ZERO + QUIET) {
            bare.connection.handle_timeout(due);
        }
        println!("{at_once}: {busy} then {}", bare.held());
        assert!(bare.held() < busy, "{at_once} at once: {} of {busy} bytes", bare.held());
        assert!(bare.held() <= IDLE_HTTP_2_BYTES_MAX, "{at_once} at once: {} bytes", bare.held());
    }
}
