//! Peers that follow the grammar of HTTP/2 and mean harm: each attack is made in full, and shows what it costs us. What is kept stays
//! within the limits, what is done stays in proportion to what the peer does, and the end has the name of the limit.
//! RFC 9113 §10.5.

use crate::support::defaults;
use lws_proto::http::Status;
use lws_proto::{Cause, Config, Connection, Deadline, Event, Limit, Payload, StreamKey, Time, Violation};
use std::sync::Arc;
use std::time::Duration;
use tests::application::NO_FIELDS;
use tests::h2::{self, flag, kind, setting};
use tests::sys::Counting;

/// What the server that is attacked does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handler {
    /// Nothing, so that the stream stays open.
    Wait,
    /// Takes no content.
    Pause,
    /// Gives a large response at once.
    Give,
    /// Gives as much of one as each permit takes.
    Stream,
}

/// The content of a large response, which costs us nothing to keep.
static LARGE: [u8; 200_000] = [b'x'; 200_000];

/// A server without a harness around it, so that nothing else is counted.
struct Victim {
    connection: Connection,
    handler: Handler,
    now: Time,
    /// Whether the peer takes what is sent.
    drains: bool,
    causes: Vec<Cause>,
    open: Vec<StreamKey>,
    /// Events, and bytes sent: what was done.
    events: usize,
    sent: usize,
    before: isize,
    /// The most that was held.
    peak: isize,
}

impl Victim {
    /// One behind the preface.
    fn new(handler: Handler, settings: &[(u16, u32)]) -> Self {
        Self::with(&defaults(), handler, settings)
    }

    fn with(config: &Arc<Config>, handler: Handler, settings: &[(u16, u32)]) -> Self {
        let config = Arc::clone(config);
        let before = Counting::held();
        let mut victim = Self {
            connection: Connection::server(Time::ZERO, config),
            handler,
            now: Time::ZERO,
            drains: true,
            causes: Vec::with_capacity(1_000),
            open: Vec::with_capacity(1_000),
            events: 0,
            sent: 0,
            before,
            peak: 0,
        };
        victim.receive(&h2::client_begins(settings));
        victim
    }

    /// Whether the server still reads.
    fn reads(&self) -> bool {
        self.connection.interest().read && !self.connection.interest().shutdown
    }

    fn receive(&mut self, frames: &[u8]) {
        let mut frames = frames.to_vec();
        let outside = Counting::held();
        let mut feed = self.connection.receive(self.now, &mut frames);
        let (handler, causes, open) = (self.handler, &mut self.causes, &mut self.open);
        while let Some(event) = feed.next_event() {
            self.events += 1;
            handler.event(event, causes, open);
        }
        drop(feed);
        let grown = Counting::held() - outside;
        drop(frames);
        self.settle();
        let held = Counting::held() - self.before;
        self.peak = self.peak.max(held).max(grown);
    }

    fn settle(&mut self) {
        loop {
            while let Some(event) = self.connection.next_event() {
                self.events += 1;
                self.handler.event(event, &mut self.causes, &mut self.open);
            }
            let Some(transmit) = self.drains.then(|| self.connection.transmit(self.now)).flatten() else {
                // A driver always offers what there is.
                let _ = self.connection.transmit(self.now);
                return;
            };
            let len = transmit.first().len();
            transmit.commit(len);
            self.sent += len;
        }
    }

    /// Lets `duration` pass.
    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.connection.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.connection.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// Sends frames until the server has had enough. Returns how many rounds it took.
    fn flood(&mut self, rounds: u32, frames: impl Fn(u32) -> Vec<u8>) -> u32 {
        for round in 0..rounds {
            if !self.reads() {
                return round;
            }
            self.receive(&frames(round));
        }
        rounds
    }
}

impl Handler {
    fn event(self, event: Event<'_>, causes: &mut Vec<Cause>, open: &mut Vec<StreamKey>) {
        match event {
            Event::Request { mut stream, .. } => {
                open.push(stream.key());
                match self {
                    Self::Wait => {}
                    Self::Pause => stream.pause(),
                    Self::Give => {
                        // There is none while too much is queued.
                        let Ok(permit) = stream.permit() else { return };
                        permit
                            .respond(Status::OK, NO_FIELDS, Payload::Static(&LARGE), true)
                            .expect("a response");
                    }
                    Self::Stream => {
                        let permit = stream.permit().expect("a permit");
                        permit
                            .respond(Status::OK, NO_FIELDS, Payload::Static(b""), false)
                            .expect("a response")
                            .again();
                    }
                }
            }
            Event::Writable(permit) if self == Self::Stream => {
                let budget = permit.budget();
                let permit = permit.into_exchange().expect("an exchange");
                permit.fill(budget, |room| (room.len(), false)).expect("content").again();
            }
            Event::Closed { cause, key } => {
                causes.push(cause);
                open.retain(|other| *other != key);
            }
            _ => {}
        }
    }
}

/// What a server with a single open request may hold while a flood of frames goes on.
const HELD_MAX: isize = 24 << 10;

/// The `n`th stream of a client.
fn id(n: u32) -> u32 {
    2 * n + 1
}

/// A flood ends with this limit, after so many rounds at most, with the peer reading; and what it costs stays small.
fn ends(limit: Limit, rounds_max: u32, frames: impl Fn(u32) -> Vec<u8>) {
    let mut victim = Victim::new(Handler::Wait, &[]);
    victim.receive(&h2::post(id(0)));
    let rounds = victim.flood(100_000, &frames);
    assert!(rounds <= rounds_max, "{}: {rounds} rounds", limit.name());
    let expected = Cause::Limit(limit);
    assert!(victim.causes.contains(&expected), "{}: {:?}", limit.name(), victim.causes);
    assert!(victim.open.is_empty(), "{}: {} streams are open", limit.name(), victim.open.len());
    // The causes are kept here, and not by the engine.
    let causes = victim.causes.capacity() * size_of::<Cause>();
    let held = victim.peak - isize::try_from(causes).unwrap_or(0);
    assert!(held <= HELD_MAX, "{}: {held} bytes were held", limit.name());
    assert!(victim.events <= 3 * rounds as usize + 10, "{}: {} events", limit.name(), victim.events);
    assert!(victim.sent <= 40 * rounds as usize + 1_000, "{}: {} bytes", limit.name(), victim.sent);
}

/// Rounds of a reset each until the peer gets ENHANCE_YOUR_CALM, and then until the end: what it begins then counts as of no use.
const RESETS: u32 = 1_001 + 1_101;

#[test]
fn rapid_reset_is_counted() {
    // CVE-2023-44487: a request and its reset, for ever.
    ends(Limit::Resets, RESETS, |n| [h2::get(id(n + 1)), h2::rst_stream(id(n + 1), 8)].concat());
    ends(Limit::Resets, RESETS, |n| [h2::post(id(n + 1)), h2::rst_stream(id(n + 1), 8)].concat());
}

#[test]
fn resets_that_the_peer_makes_us_send_are_counted() {
    // CVE-2025-8671: the peer resets nothing itself.
    ends(Limit::Resets, RESETS, |n| [h2::post(id(n + 1)), h2::window_update(id(n + 1), 0)].concat());
    ends(Limit::Resets, RESETS, |n| [h2::get(id(n + 1)), h2::data(id(n + 1), "more", false)].concat());
    let dependent = |n: u32| h2::frame(kind::PRIORITY, 0, id(n), &[&id(n).to_be_bytes()[..], &[1]].concat());
    ends(Limit::Resets, RESETS, |n| [h2::post(id(n + 1)), dependent(n + 1)].concat());
}

#[test]
fn streams_past_the_limit_are_refused_and_counted() {
    // 99 more fit beside the first; each one after that costs a reset.
    let mut victim = Victim::new(Handler::Wait, &[]);
    let rounds = victim.flood(10_000, |n| h2::post(id(n)));
    assert!((1_100..=100 + RESETS).contains(&rounds), "{rounds} rounds");
    assert_eq!(victim.causes, [Cause::Limit(Limit::Resets); 100]);
    assert!(victim.peak <= 128 << 10, "{} bytes for 100 streams", victim.peak);
}

#[test]
fn a_field_block_in_endless_pieces_ends() {
    // CVE-2024-27316: CONTINUATION without END_HEADERS.
    let piece = |n: u32, payload: &[u8]| match n {
        0 => h2::frame(kind::HEADERS, 0, id(1), payload),
        _ => h2::frame(kind::CONTINUATION, 0, id(1), payload),
    };
    ends(Limit::Continuations, 10, |n| piece(n, b""));
    ends(Limit::Continuations, 10, |n| piece(n, &[0x82; 100]));
    let mut victim = Victim::new(Handler::Wait, &[]);
    victim.receive(&h2::post(id(0)));
    victim.flood(100, |n| piece(n, &[0x82; 16_384]));
    assert_eq!(victim.causes, [Cause::Limit(Limit::FieldSection)]);
    assert!(victim.peak <= 200 << 10, "{} bytes were held", victim.peak);
}

#[test]
fn a_field_block_that_trickles_has_a_deadline() {
    let mut victim = Victim::new(Handler::Pause, &[]);
    victim.receive(&h2::post(id(0)));
    victim.receive(&h2::frame(kind::HEADERS, 0, id(1), &[0x82]));
    victim.wait(Duration::from_secs(9));
    victim.receive(&h2::frame(kind::CONTINUATION, 0, id(1), &[0x86]));
    assert!(victim.causes.is_empty());
    victim.wait(Duration::from_secs(2));
    assert_eq!(victim.causes, [Cause::Timeout(Deadline::Head)]);
}

#[test]
fn frames_of_no_use_are_counted() {
    // Twice, as the streams that run go on the first time; and what any traffic explains.
    let burst = 2 * (1_001 + 104);
    let floods: [(&str, Vec<u8>); 12] = [
        ("empty DATA", h2::data(id(0), "", false)),
        ("one byte of DATA", h2::data(id(0), "x", false)),
        ("only padding", h2::padded(id(0), b"", 3, false)),
        ("much padding", h2::padded(id(0), b"", 255, false)),
        ("PING of an orderly end answered", h2::ping(true, *b"go away\0")),
        ("SETTINGS", h2::settings(&[(setting::INITIAL_WINDOW_SIZE, 1)])),
        ("PING", h2::ping(false, *b"12345678")),
        ("PING answered", h2::ping(true, *b"12345678")),
        ("PRIORITY", h2::frame(kind::PRIORITY, 0, id(7), &[0, 0, 0, 1, 5])),
        ("PRIORITY_UPDATE", h2::priority_update(id(7), "u=1")),
        ("an unknown type", h2::frame(99, 0, 0, b"what")),
        ("SETTINGS acknowledged", h2::settings_ack()),
    ];
    for (name, frame) in floods {
        println!("{name}");
        ends(Limit::Glitches, burst, |_| frame.clone());
    }
    ends(Limit::Glitches, burst, |_| h2::window_update(id(0), 1));
    ends(Limit::Glitches, burst, |_| h2::window_update(0, 1));
}

#[test]
fn a_slow_flood_is_no_flood() {
    let mut victim = Victim::new(Handler::Pause, &[]);
    victim.receive(&h2::post(id(0)));
    for _ in 0..3_000 {
        victim.receive(&h2::ping(false, *b"12345678"));
        victim.wait(Duration::from_millis(20));
    }
    assert!(victim.causes.is_empty() && victim.reads(), "{:?}", victim.causes);
}

#[test]
fn answers_to_a_peer_that_does_not_read_are_bounded() {
    // CVE-2019-9512, 9515: PING, SETTINGS and resets whose answers pile up.
    let floods: [fn(u32) -> Vec<u8>; 4] = [
        |_| h2::ping(false, *b"12345678"),
        |_| h2::settings(&[]),
        |n| [h2::post(id(n + 1)), h2::window_update(id(n + 1), 0)].concat(),
        |_| h2::ping(false, *b"12345678").repeat(1_000),
    ];
    for flood in floods {
        let mut victim = Victim::new(Handler::Pause, &[]);
        victim.receive(&h2::post(id(0)));
        victim.drains = false;
        let rounds = victim.flood(10_000, flood);
        assert!(rounds <= 65, "{rounds} rounds until reading stopped");
        assert!(
            victim.causes.iter().all(|cause| matches!(cause, Cause::Violation(_))),
            "{:?}",
            victim.causes
        );
        assert!(victim.peak <= 64 << 10, "{} bytes were held", victim.peak);
        victim.wait(Duration::from_secs(31));
        assert_eq!(victim.causes.last(), Some(&Cause::Timeout(Deadline::Stalled)));
        assert!(victim.connection.interest().close);
    }
}

#[test]
fn responses_to_a_peer_that_does_not_read_are_bounded() {
    let wide = [(setting::INITIAL_WINDOW_SIZE, 1 << 30)];
    let mut victim = Victim::new(Handler::Give, &wide);
    victim.receive(&h2::window_update(0, 1 << 30));
    victim.drains = false;
    victim.flood(100, |n| h2::get(id(n)));
    // The contents are static; what is queued of them are frame headers and positions.
    assert!(victim.peak <= 256 << 10, "{} bytes were held", victim.peak);
    victim.wait(Duration::from_secs(31));
    assert!(victim.connection.interest().close);
    assert!(victim.causes.contains(&Cause::Timeout(Deadline::Stalled)), "{:?}", victim.causes);
}

#[test]
fn a_bomb_of_references_is_defused_while_it_is_decoded() {
    // One field of 4,000 bytes enters the table; each byte after it stands for all of them.
    let mut entry = vec![0x40, 1, b'x', 0x7f];
    let len: usize = 4_000 - 127;
    entry.extend([(len % 128) as u8 | 128, (len / 128) as u8]);
    entry.extend([b'y'; 4_000]);
    for references in [100, 16_000] {
        let mut victim = Victim::new(Handler::Pause, &[]);
        victim.receive(&h2::post(id(0)));
        let block = [&[0x82, 0x86, 0x84, 0x41, 1, b'a'][..], &entry, &vec![0xbe; references]].concat();
        for part in 0.. {
            let at = part * 10_000;
            if at >= block.len() || !victim.reads() {
                break;
            }
            let end = block.len().min(at + 10_000);
            let flags = if end == block.len() { flag::END_HEADERS | flag::END_STREAM } else { 0 };
            let kind = if part == 0 { kind::HEADERS } else { kind::CONTINUATION };
            let flags = if part == 0 { flags | flag::END_STREAM } else { flags & flag::END_HEADERS };
            victim.receive(&h2::frame(kind, flags, id(1), &block[at..end]));
        }
        assert_eq!(victim.causes, [Cause::Limit(Limit::FieldSection)], "{references} references");
        assert!(victim.peak <= 160 << 10, "{} bytes were held", victim.peak);
    }
}

#[test]
fn crumbs_of_a_cookie_count_as_fields() {
    // Joined they would be one line: the bomb that counts of lines overlook.
    let crumbs = |count: usize| {
        let fields: Vec<(&str, &str)> =
            h2::GET.into_iter().chain(std::iter::repeat_n(("cookie", "a"), count)).collect();
        let mut victim = Victim::new(Handler::Wait, &[]);
        let block = h2::block(&fields);
        victim.receive(&h2::frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, id(0), &block));
        victim
    };
    assert!(crumbs(90).causes.is_empty());
    let victim = crumbs(101);
    assert_eq!(victim.causes, [Cause::Limit(Limit::FieldLines)]);
    assert!(victim.reads(), "only the request suffers");
    for count in [500, 1_200] {
        let victim = crumbs(count);
        assert!(matches!(victim.causes[..], [Cause::Limit(Limit::FieldLines | Limit::HeadBytes)] | []));
        assert!(victim.peak <= 96 << 10, "{} bytes were held", victim.peak);
    }
}

#[test]
fn windows_that_open_by_bytes_are_no_progress() {
    // A response that cannot go holds memory: progress is counted in bytes, and not in window updates.
    let narrow = [(setting::INITIAL_WINDOW_SIZE, 0)];
    let wide = [(setting::INITIAL_WINDOW_SIZE, 1 << 30)];
    for handler in [Handler::Give, Handler::Stream] {
        for (of_connection, settings) in [(false, &narrow), (true, &wide)] {
            let mut victim = Victim::new(handler, settings);
            victim.receive(&h2::get(id(0)));
            let mut seconds = 0;
            while victim.causes.is_empty() && seconds < 120 {
                victim.wait(Duration::from_secs(1));
                victim.receive(&h2::window_update(if of_connection { 0 } else { id(0) }, 1));
                seconds += 1;
            }
            let stalled = Cause::Timeout(Deadline::Stalled);
            assert_eq!(victim.causes, [stalled], "window of the connection: {of_connection}");
            assert!((30..=61).contains(&seconds), "{seconds} seconds, connection: {of_connection}");
            assert!(victim.reads(), "only the stream suffers");
        }
    }
}

#[test]
fn a_response_that_waits_for_its_application_is_not_stalled() {
    // The window was used up once and is wide open: nothing waits for the peer.
    let mut victim = Victim::new(Handler::Stream, &[(setting::INITIAL_WINDOW_SIZE, 10)]);
    victim.receive(&h2::get(id(0)));
    // From here on the application has nothing to give.
    victim.handler = Handler::Wait;
    victim.receive(&h2::window_update(id(0), 100_000));
    for _ in 0..12 {
        victim.wait(Duration::from_secs(10));
        victim.receive(&h2::ping(false, *b"12345678"));
    }
    assert_eq!(victim.causes, []);
}

#[test]
fn what_paused_streams_hold_is_bounded_by_the_window_of_the_connection() {
    let mut victim = Victim::new(Handler::Pause, &[]);
    let window = defaults().limits.h2_connection_window as isize;
    // Each stream has a window of its own; together they would hold six times as much.
    victim.flood(100, |n| {
        let content = [b'x'; 16_000];
        let mut frames = h2::post(id(n));
        (0..4).for_each(|_| frames.extend(h2::data(id(n), content, false)));
        frames
    });
    assert!(victim.causes.iter().all(|cause| *cause == Cause::Violation(Violation::FlowControl)));
    assert!(!victim.causes.is_empty() && victim.open.is_empty(), "the window was not kept");
    assert!(victim.peak >= window / 2 && victim.peak <= 2 * window + (256 << 10), "{} bytes", victim.peak);
}
