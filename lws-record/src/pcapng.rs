//! Captures of connections for Wireshark.
//!
//! The packets are synthetic: they contain the plaintext in order, with the time at which the engine had it. The
//! server's port is given as 80, at which Wireshark detects every version of HTTP and WebSockets. Blocks and their
//! numbers are those of the pcapng draft (draft-ietf-opsawg-pcapng).

use crate::redact::{Redaction, Redactor};
use lws_proto::Time;
use lws_proto::record::{Note, Role, Tape};
use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// LINKTYPE_RAW: a packet begins with its IP header.
const LINK_RAW: u16 = 101;
/// The most octets of one packet: its length must fit 16 bits.
const SEGMENT_BYTES_MAX: usize = 32 << 10;
/// The port that stands for the server's.
const PORT: u16 = 80;
/// "TLSK": secrets of TLS, as `SSLKEYLOGFILE` has them.
const TLS_KEY_LOG: u32 = 0x544c_534b;

mod block {
    pub(super) const SECTION: u32 = 0x0a0d_0d0a;
    pub(super) const INTERFACE: u32 = 1;
    pub(super) const PACKET: u32 = 6;
    pub(super) const SECRETS: u32 = 10;
}

/// Writes blocks.
pub struct Writer<W> {
    /// `None` once writing has failed.
    out: Option<W>,
}

impl<W: Write> Writer<W> {
    /// Begins a capture: writes the section header and the interface description.
    #[must_use]
    pub fn new(out: W) -> Self {
        let mut writer = Self { out: Some(out) };
        // The byte order, version 1.0, and an unspecified length.
        writer.block(block::SECTION, &[&0x1a2b_3c4d_u32.to_le_bytes(), &[1, 0, 0, 0], &[0xff; 8]]);
        // No limit of the packet length; the default resolution of times is microseconds.
        writer.block(block::INTERFACE, &[&LINK_RAW.to_le_bytes(), &[0; 6]]);
        writer
    }

    /// Writes secrets of TLS connections, in the format of `SSLKEYLOGFILE`. Merged with a capture from elsewhere, they
    /// allow decrypting that.
    pub fn secrets(&mut self, key_log: &[u8]) {
        let len = u32::try_from(key_log.len()).unwrap_or(u32::MAX);
        self.block(
            block::SECRETS,
            &[&TLS_KEY_LOG.to_le_bytes(), &len.to_le_bytes(), key_log, padding(key_log.len())],
        );
    }

    /// Writes a packet, which begins with its IP header.
    pub fn packet(&mut self, at: SystemTime, packet: &[u8]) {
        let micros = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        let len = u32::try_from(packet.len()).unwrap_or(u32::MAX).to_le_bytes();
        let (high, low) = ((micros >> 32) as u32, micros as u32);
        let time = [high.to_le_bytes(), low.to_le_bytes()].concat();
        self.block(block::PACKET, &[&[0; 4], &time, &len, &len, packet, padding(packet.len())]);
    }

    fn block(&mut self, kind: u32, parts: &[&[u8]]) {
        let Some(out) = &mut self.out else { return };
        let body = parts.concat();
        let len = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
        let block = [&kind.to_le_bytes()[..], &len, &body, &len].concat();
        if out.write_all(&block).and_then(|()| out.flush()).is_err() {
            self.out = None;
        }
    }
}

impl<W> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("writes", &self.out.is_some()).finish()
    }
}

/// The padding to a multiple of four.
fn padding(len: usize) -> &'static [u8] {
    &[0; 3][..len.next_multiple_of(4) - len]
}

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The other side.
    pub peer: SocketAddr,
    /// This side. If it is not of the peer's family, the unspecified address is written.
    pub local: SocketAddr,
}

impl Ends {
    /// Stand-in addresses for a connection without any, such as one of a Unix socket.
    #[must_use]
    pub fn unknown() -> Self {
        let nowhere = |last, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), port);
        Self { peer: nowhere(2, 1_024), local: nowhere(1, PORT) }
    }
}

/// A tape that writes one connection to a capture.
pub struct Tap<W> {
    writer: Writer<W>,
    ends: Ends,
    client: bool,
    /// The wall-clock time of the engine's time zero.
    epoch: SystemTime,
    now: SystemTime,
    input: Redactor,
    output: Redactor,
    /// The TCP sequence numbers: octets that were received and sent, and the SYN of each side.
    sequence: [u32; 2],
    finished: [bool; 2],
    plain: Vec<u8>,
}

/// The index of the sender of a packet.
const PEER: usize = 0;
const OURS: usize = 1;

mod flag {
    pub(super) const FIN: u8 = 1;
    pub(super) const SYN: u8 = 2;
    pub(super) const RST: u8 = 4;
    pub(super) const PSH: u8 = 8;
    pub(super) const ACK: u8 = 16;
}

impl<W: Write> Tap<W> {
    /// A tape for the connection between `ends`.
    #[must_use]
    pub fn new(writer: Writer<W>, ends: Ends, redaction: Redaction) -> Self {
        let now = SystemTime::now();
        Self {
            writer,
            ends,
            client: false,
            epoch: now,
            now,
            input: Redactor::new(redaction),
            output: Redactor::new(redaction),
            sequence: [0; 2],
            finished: [false; 2],
            plain: Vec::new(),
        }
    }

    fn at(&mut self, time: Time) {
        self.now = self.epoch.checked_add(Duration::from_micros(time.as_micros())).unwrap_or(self.now);
    }

    fn begin(&mut self, role: Role, time: Time) {
        self.client = role == Role::Client;
        self.epoch =
            SystemTime::now().checked_sub(Duration::from_micros(time.as_micros())).unwrap_or(UNIX_EPOCH);
        self.at(time);
        if role == Role::ServerHttp2 {
            self.output.begin_http2();
        }
        let (first, second) = if self.client { (OURS, PEER) } else { (PEER, OURS) };
        self.segment(first, flag::SYN, &[]);
        self.segment(second, flag::SYN | flag::ACK, &[]);
        self.segment(first, flag::ACK, &[]);
    }

    /// Writes octets of one side. If they cannot be masked, they are left out, and a reset ends the connection in the
    /// capture.
    fn say(&mut self, from: usize, octets: &[u8]) {
        if self.finished[from] {
            return;
        }
        let mut plain = std::mem::take(&mut self.plain);
        let redactor = if from == PEER { &mut self.input } else { &mut self.output };
        if redactor.redact(octets, &mut plain).is_err() {
            self.segment(from, flag::RST, &[]);
            self.finished = [true; 2];
            return;
        }
        if from == PEER && self.input.speaks_http2() && self.output.is_fresh() {
            self.output.begin_http2();
        }
        for part in plain.chunks(SEGMENT_BYTES_MAX) {
            self.segment(from, flag::PSH | flag::ACK, part);
        }
        plain.clear();
        self.plain = plain;
    }

    fn finish(&mut self, from: usize, flags: u8) {
        if !self.finished[from] {
            self.segment(from, flags, &[]);
            self.finished[from] = true;
        }
    }

    fn segment(&mut self, from: usize, flags: u8, octets: &[u8]) {
        let Ends { peer, local } = self.ends;
        let (mut peer, mut local) = (peer, local);
        if peer.is_ipv4() != local.is_ipv4() {
            let unspecified = if peer.is_ipv4() { "0.0.0.0" } else { "::" };
            local.set_ip(unspecified.parse().unwrap_or(peer.ip()));
        }
        let server = if self.client { &mut peer } else { &mut local };
        server.set_port(PORT);
        let (source, target) = if from == PEER { (peer, local) } else { (local, peer) };
        let other = 1 - from;
        let header = Header {
            source,
            target,
            sequence: self.sequence[from],
            acknowledged: if flags & flag::ACK == 0 { 0 } else { self.sequence[other] },
            flags,
        };
        self.writer.packet(self.now, &header.packet(octets));
        // SYN and FIN count as an octet each. RFC 9293 §3.4.
        let counts = octets.len() as u32 + u32::from(flags & (flag::SYN | flag::FIN) != 0);
        self.sequence[from] = self.sequence[from].wrapping_add(counts);
    }
}

impl<W: Write + Send> Tape for Tap<W> {
    fn note(&mut self, note: Note<'_>) {
        match note {
            Note::Begin { role, now, .. } => self.begin(role, now),
            Note::Received { now, bytes, .. } => {
                self.at(now);
                self.say(PEER, &bytes);
            }
            Note::Sent(bytes) => self.say(OURS, &bytes),
            Note::Transmit(now)
            | Note::Timeout(now)
            | Note::Delivered(now, _)
            | Note::Drain(now)
            | Note::Retire(now) => self.at(now),
            Note::Eof(now) | Note::Truncation(now) => {
                self.at(now);
                self.finish(PEER, flag::FIN | flag::ACK);
            }
            Note::Failed(now) => {
                self.at(now);
                self.finish(PEER, flag::RST);
            }
            _ => {}
        }
    }
}

impl<W> Drop for Tap<W> {
    fn drop(&mut self) {
        // Octets that still wait may contain credentials, so they are dropped.
        self.plain.clear();
    }
}

impl<W> fmt::Debug for Tap<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// The header fields of a packet.
struct Header {
    source: SocketAddr,
    target: SocketAddr,
    sequence: u32,
    acknowledged: u32,
    flags: u8,
}

impl Header {
    /// A packet with IP and TCP headers. RFC 791 §3.1 or RFC 8200 §3, and RFC 9293 §3.1.
    fn packet(&self, octets: &[u8]) -> Vec<u8> {
        let mut tcp = Vec::with_capacity(20 + octets.len());
        tcp.extend_from_slice(&self.source.port().to_be_bytes());
        tcp.extend_from_slice(&self.target.port().to_be_bytes());
        tcp.extend_from_slice(&self.sequence.to_be_bytes());
        tcp.extend_from_slice(&self.acknowledged.to_be_bytes());
        // The header length of five words, the flags, a window; checksum and urgent pointer are zero.
        tcp.extend_from_slice(&[0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend_from_slice(octets);
        let len = tcp.len() as u16;
        let (mut ip, pseudo) = match (self.source.ip(), self.target.ip()) {
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                let addresses = [source.octets(), target.octets()].concat();
                let header = [&[0x60, 0, 0, 0], &len.to_be_bytes()[..], &[6, 64], &addresses].concat();
                (header, addresses)
            }
            (source, target) => {
                let v4 = |address| match address {
                    IpAddr::V4(address) => address.octets(),
                    IpAddr::V6(_) => [0; 4],
                };
                let addresses = [v4(source), v4(target)].concat();
                let total = (20 + len).to_be_bytes();
                // The "don't fragment" flag, and protocol 6, TCP.
                let mut header = [&[0x45, 0], &total[..], &[0, 0, 0x40, 0, 64, 6, 0, 0], &addresses].concat();
                let sum = checksum(&header);
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                (header, addresses)
            }
        };
        let sum = checksum(&[&pseudo[..], &[0, 6], &len.to_be_bytes(), &tcp].concat());
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        ip.append(&mut tcp);
        ip
    }
}

/// The Internet checksum. RFC 1071 §1.
fn checksum(octets: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = octets.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
