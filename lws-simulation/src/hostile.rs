//! The input of hostile peers: whole and cut requests, opening handshakes, frames in and out of place, noise.

use crate::plan::{List, Octets, Peer, Step, octets};
use crate::random::Random;

impl Peer {
    pub(crate) fn draw(random: &mut Random, tls: bool) -> Self {
        let mut steps = Vec::new();
        let tls = tls && random.chance(300);
        if random.chance(250) {
            steps.push(Step::Reads(if random.chance(400) {
                0
            } else {
                random.magnitude(10, 100_000) as u32
            }));
        }
        match random.below(if tls { 2 } else { 9 }) {
            0 => steps.push(say(random, noise)),
            1 => steps.push(Step::Says(octets(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))),
            2 | 3 => http1(random, &mut steps),
            4 => websocket(random, &mut steps),
            _ => http2(random, &mut steps),
        }
        if random.chance(400) {
            steps.push(Step::Waits(random.magnitude(1, 20_000) as u32));
        }
        match random.below(6) {
            0 => steps.push(Step::Finishes),
            1 => steps.push(Step::Vanishes),
            2 => steps.push(Step::Resets),
            3 => steps.extend([Step::Finishes, Step::Stays]),
            _ => steps.push(Step::Stays),
        }
        Self {
            begins: random.magnitude(1, 3_000) as u32,
            tls,
            honest: false,
            steps: steps.into_iter().collect::<List<_>>(),
        }
    }
}

/// A step that sends the octets at once, or slowly in pieces.
fn say(random: &mut Random, what: impl FnOnce(&mut Random) -> Vec<u8>) -> Step {
    let said = octets(what(random));
    step(random, said)
}

fn step(random: &mut Random, said: Octets) -> Step {
    if random.chance(700) {
        return Step::Says(said);
    }
    let pieces = random.magnitude(1, 60);
    let piece = (said.len() as u64).div_ceil(pieces) as u32;
    Step::Trickles(said, piece, random.magnitude(1, 2_000) as u32)
}

fn noise(random: &mut Random) -> Vec<u8> {
    let count = random.magnitude(1, 2_000);
    (0..count).map(|_| random.next() as u8).collect()
}

fn target(random: &mut Random) -> String {
    let size = random.magnitude(1, 2_000_000);
    match random.below(8) {
        0 => "/hello".into(),
        1 => format!("/bytes?n={size}"),
        2 => format!("/bytes?n={size}&framing=streamed"),
        3 => format!("/bytes?n={size}&aborts={}", size / 2),
        4 => format!("/wait?ms={}", random.magnitude(1, 5_000)),
        5 => "/silence".into(),
        6 => "/files/300000".into(),
        _ => "/nowhere".into(),
    }
}

fn http1(random: &mut Random, steps: &mut Vec<Step>) {
    for _ in 0..random.magnitude(1, 4) {
        let target = target(random);
        let content = random.magnitude(1, 30_000);
        let said = random.below(content + 1);
        let text = match random.below(8) {
            0 => format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("GET {target} HTTP/1.0\r\n\r\n"),
            2 => format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {content}\r\n\r\n"),
            3 => format!("POST /collect HTTP/1.1\r\nHost: a\r\nContent-Length: {content}\r\n\r\n"),
            4 => {
                format!("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{content:x}\r\n")
            }
            5 => format!("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: {content}\r\n\r\n"),
            _ => format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
        };
        let mut said_octets = text.clone().into_bytes();
        if text.starts_with("POST") {
            said_octets.extend((0..said).map(|at| at as u8));
        }
        if random.chance(100) {
            said_octets.truncate(random.below(said_octets.len() as u64) as usize);
        }
        steps.push(step(random, octets(said_octets)));
        if random.chance(200) {
            steps.push(Step::Waits(random.magnitude(1, 5_000) as u32));
        }
    }
}

fn websocket(random: &mut Random, steps: &mut Vec<Step>) {
    let route = *random.pick(&["/chat", "/push?n=30&size=30000", "/idle", "/hello"]).unwrap_or(&"/chat");
    let content = match random.below(6) {
        0 => "Content-Length: 5\r\n",
        1 => "Transfer-Encoding: chunked\r\n",
        _ => "",
    };
    let opening = format!(
        "GET {route} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{content}\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    let mut said = opening.into_bytes();
    if random.chance(50) {
        said.truncate(random.below(said.len() as u64) as usize);
    }
    steps.push(step(random, octets(said)));
    for _ in 0..random.below(5) {
        let size = random.below(120) as u8;
        let first =
            *random.pick(&[0x81_u8, 0x82, 0x01, 0x00, 0x80, 0x88, 0x89, 0x8a, 0x83, 0xc1]).unwrap_or(&0x82);
        let mut frame = vec![first, 0x80 | size, 1, 2, 3, 4];
        let missing = if random.chance(150) { random.below(u64::from(size) + 1) as usize } else { 0 };
        frame.extend((0..usize::from(size) - missing).map(|at| b'a' ^ (at as u8 % 4 + 1)));
        steps.push(step(random, octets(frame)));
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn request(stream: u32, target: &str, method: u8, flags: u8) -> Vec<u8> {
    // RFC 7541 Appendix A: 2 and 3 are methods, 6 is the scheme; §6.2.2 says a name by its index and a value.
    let mut block = vec![0x80 | method, 0x86, 0x04, target.len() as u8];
    block.extend(target.as_bytes());
    block.extend(b"\x01\x01a");
    frame(1, 4 | flags, stream, &block)
}

/// The extended CONNECT that opens a WebSocket. RFC 8441 §4.
fn opening(stream: u32, target: &str) -> Vec<u8> {
    let mut block = vec![0x86, 0x04, target.len() as u8];
    block.extend(target.as_bytes());
    block.extend(b"\x01\x01a\x02\x07CONNECT\x00\x09:protocol\x09websocket");
    block.extend(b"\x00\x15sec-websocket-version\x0213");
    frame(1, 4, stream, &block)
}

fn http2(random: &mut Random, steps: &mut Vec<Step>) {
    let window = *random.pick(&[0_u32, 1, 1_000, 65_535, 1 << 20]).unwrap_or(&65_535);
    let mut settings = vec![0, 4];
    settings.extend(window.to_be_bytes());
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    said.extend(frame(4, 0, 0, &settings));
    if random.chance(700) {
        said.extend(frame(4, 1, 0, b""));
    }
    steps.push(step(random, octets(said)));
    let mut stream = 1;
    for _ in 0..random.magnitude(1, 12) {
        let any = random.below(u64::from(stream) + 4) as u32;
        let grant = (random.magnitude(1, 1 << 20) as u32).to_be_bytes();
        let said = match random.below(16) {
            0..=4 => {
                let said = request(stream, &target(random), 2, 1);
                stream += 2;
                said
            }
            5 => {
                let size = random.below(2_000) as usize;
                let mut said = request(stream, "/echo", 3, 0);
                said.extend(frame(0, random.below(2) as u8, stream, &vec![b'x'; size]));
                stream += 2;
                said
            }
            14 | 15 => {
                let mut said = opening(
                    stream,
                    random.pick(&["/chat", "/idle", "/push?n=20&size=9000"]).unwrap_or(&"/chat"),
                );
                // A Close frame, which may end the stream too.
                if random.chance(700) {
                    said.extend(frame(0, random.below(2) as u8, stream, b"\x88\x82\x01\x02\x03\x04\x02\xea"));
                }
                stream += 2;
                said
            }
            6 | 7 => frame(8, 0, 0, &grant),
            8 => frame(8, 0, any, &grant),
            9 => frame(3, 0, any, &[0, 0, 0, 8]),
            10 => frame(6, 0, 0, b"pingpong"),
            11 => frame(0, random.below(2) as u8, any, b"hello"),
            12 => frame(7, 0, 0, &[0; 8]),
            _ => frame(random.below(12) as u8, random.below(256) as u8, any, &noise(random)[..1]),
        };
        if random.chance(60) {
            steps.push(Step::Repeats(octets(said), random.magnitude(1, 300) as u32));
        } else {
            steps.push(step(random, octets(said)));
        }
        if random.chance(150) {
            steps.push(Step::Waits(random.magnitude(1, 3_000) as u32));
        }
    }
}
