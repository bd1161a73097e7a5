//! The objects `limits`, `budgets` and `peers`, which are this server's own: what peers may have of it.
//!
//! A key has the name of the value that it sets, with its unit behind a time. Whether a number is in the range of that value is known to the
//! server.

use super::{Key, Shape};
use crate::model::{Numbers, Peers};
use crate::scalar::Reader;
use crate::tree::{Cursor, Value};

/// Keys of numbers, each with what it means.
macro_rules! numbers {
    ($table:ident: $($name:literal => $meaning:literal,)*) => {
        pub(crate) static $table: &[Key<Numbers>] = &[
            $(Key::read($name, Shape::Number, $meaning, |numbers, at, reader| {
                numbers.read($name, at, reader);
            }),)*
        ];
    };
}

numbers! {
    LIMITS:
    "head-bytes-max" => "octets of the head of a request; past it 431",
    "target-bytes-max" => "octets of a request target; past it 414",
    "field-lines-max" => "field lines of a head or of trailers; past it 431",
    "head-timeout-ms" => "from the first octet of a head to its last; past it 408",
    "content-bytes-min" => "octets of content that a peer has to send in each content-period-ms; below it 408",
    "content-period-ms" => "what content-bytes-min is counted over",
    "content-bytes-max" => "octets of content of one request; past it 413; 0 for no limit",
    "chunk-extension-bytes-max" => "octets of chunk extensions of one request; past it 400",
    "trailer-bytes-max" => "octets of trailers; past it 431",
    "discard-bytes-max" => "octets of content that are dropped behind the response so that the connection can go on",
    "keep-alive-timeout-ms" => "how long a connection may stand idle between two requests",
    "keep-alive-requests-max" => "requests on one connection",
    "response-timeout-ms" => "how long this side, as a client, waits for the head of a response",
    "between-bytes-timeout-ms" => "how long this side, as a client, waits for more of a response",
    "held-bytes-max" => "octets that one connection may hold for its peer; past it 413, 1009 or REFUSED_STREAM",
    "look-ahead-bytes-max" => "octets that are kept while nothing takes them",
    "send-queue-bytes-max" => "octets that are queued for a peer before it gets no more",
    "stalled-timeout-ms" => "how long what is queued may make no progress",
    "stalled-bytes-min" => "octets that count as progress in that time",
    "stalled-grace-max-ms" => "how long a peer may live on what it took before",
    "message-bytes-max" => "octets of a WebSocket message; past it close code 1009",
    "message-fragments-max" => "frames of a WebSocket message; past it close code 1008",
    "inflate-ratio-max" => "how many times its size a compressed message may have; past it 1009; 0 for no limit",
    "ping-interval-ms" => "silence of a peer after which a Ping is sent",
    "dead-peer-timeout-ms" => "silence of a peer after which it is given up",
    "pongs-per-second-max" => "Pongs that are sent in a second",
    "close-timeout-ms" => "how long a peer may take to answer a Close frame",
    "linger-timeout-ms" => "how long what still comes is read after the last octet was sent",
    "half-closed-timeout-ms" => "how long an exchange goes on whose peer has ended its direction and is sent nothing",
    "h2-streams-max" => "streams at a time on one connection of HTTP/2",
    "h2-stream-window" => "octets of the window of a stream",
    "h2-stream-window-max" => "octets that the window of a stream grows to",
    "h2-connection-window" => "octets of the window of a connection",
    "h2-table-bytes-max" => "octets of the table of a peer's field compression",
    "h2-continuations-max" => "CONTINUATION frames of one section",
    "h2-resets-burst" => "streams that may be reset at once beyond those that end well",
    "h2-resets-per-second" => "and in each second after that",
    "h2-glitches-burst" => "frames of no use at once",
    "h2-glitches-per-second" => "and in each second after that",
    "h2-settings-entries-max" => "entries of one SETTINGS frame",
    "h2-control-frames-max" => "answers to control frames that wait for the transport",
    "h2-settings-timeout-ms" => "how long a peer may take to acknowledge SETTINGS",
    "h2-waiting-bytes-min" => "octets that must leave for each of several waiting streams in stalled-timeout-ms",
    "h2-requests-queued-max" => "requests that wait, as a client, until the server takes more streams",
}

numbers! {
    BUDGETS:
    "connections-max" => "connections at a time, of all threads together",
    "held-bytes-max" => "octets that are held for all peers together; past it new work is refused",
    "open-files-max" => "files that each thread keeps open for transfers",
    "turn-time-us" => "microseconds of one turn of a loop; 0 for no bound",
    "turn-bytes-max" => "octets, received and sent, of one turn of a loop",
    "receive-buffer-bytes" => "octets of the receive buffer that the connections of a thread share",
    "read-bytes-per-turn" => "octets that one connection may receive before the others come",
    "write-bytes-per-turn" => "octets that one connection may send before the others come",
    "events-per-turn" => "events of one connection before the others come",
    "accepts-per-turn" => "connections that one listener accepts before others come",
    "tls-handshakes-max" => "TLS handshakes at a time, of each thread",
    "tls-handshakes-per-network-max" => "handshakes of one network while others wait",
    "tls-silent-max" => "connections with TLS whose peer has sent nothing yet",
    "tls-steps-per-turn" => "steps of handshakes in one turn of a loop",
    "drain-timeout-ms" => "how long what runs may take to end",
    "disk-threads-max" => "threads that wait for disks",
    "disk-queue-max" => "lookups and reads that wait for them; past it 503",
}

pub(crate) static PEERS: &[Key<Peers>] = &[
    Key::read(
        "connections-max",
        Shape::Number,
        "connections of one address; past it they are closed",
        |peers, at, reader| peers.numbers.read("connections-max", at, reader),
    ),
    Key::read(
        "new-connections-per-second",
        Shape::Number,
        "connections of one address that begin in a second; past it they are closed",
        |peers, at, reader| peers.numbers.read("new-connections-per-second", at, reader),
    ),
    Key::read(
        "requests-max",
        Shape::Number,
        "requests of one address at a time; others wait",
        |peers, at, reader| peers.numbers.read("requests-max", at, reader),
    ),
    Key::read(
        "waiting-requests-max",
        Shape::Number,
        "requests of one address that wait; past it 503",
        |peers, at, reader| peers.numbers.read("waiting-requests-max", at, reader),
    ),
    Key::read("trusted", Shape::Texts, "addresses that are not limited", trusted),
];

impl Numbers {
    /// The names of all keys of `limits`.
    pub fn limits() -> impl Iterator<Item = &'static str> {
        LIMITS.iter().map(|key| key.name)
    }

    /// The names of all keys of `budgets`.
    pub fn budgets() -> impl Iterator<Item = &'static str> {
        BUDGETS.iter().map(|key| key.name)
    }

    /// Reads the number of a key.
    fn read(&mut self, name: &'static str, at: &Cursor<'_>, reader: &mut Reader<'_>) {
        if let Some(number) = reader.count(at, i64::MAX) {
            self.0.insert(name, number);
        }
    }
}

fn trusted(peers: &mut Peers, at: &Cursor<'_>, reader: &mut Reader<'_>) {
    let options = reader.options;
    let mut add = |element: &Cursor<'_>, report: &mut crate::report::Report| {
        let Some(text) = (Reader { options, report }).text(element) else { return };
        match text.parse() {
            Ok(address) => peers.trusted.push(address),
            Err(_) => report.error(element, format!("\"{text}\" is no address")),
        }
    };
    match at.value() {
        Value::Array(_) => at.each_element(reader.report, add),
        _ => add(at, reader.report),
    }
}
