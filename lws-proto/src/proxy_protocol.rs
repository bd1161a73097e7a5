//! The PROXY protocol, versions 1 and 2: what a proxy says in front of a connection about the one that it stands for. HAProxy's
//! `proxy-protocol.txt`, revision of 2020.
//!
//! Knows no connection, and does not know whom to believe: a peer that can write such a header can claim any address.
//!
//! ```
//! use lws_proto::proxy_protocol::{Addresses, Parsed, Version, parse, write};
//!
//! let header = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n";
//! let Ok(Parsed::Header(parsed)) = parse(header) else { panic!("it is complete") };
//! let addresses = parsed.addresses.expect("it was proxied");
//! assert_eq!(addresses.source.to_string(), "203.0.113.9:4711");
//!
//! let mut written = Vec::new();
//! write(Version::V1, Some(&addresses), &mut written);
//! assert_eq!(written, header);
//! ```

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a header of version 1, with its line break. §2.1.
pub const V1_BYTES_MAX: usize = 107;

/// Bytes of a header of version 2 that is read. The format has room for 64 KiB; addresses and what proxies add to them, a certificate's
/// names included, have never been seen to take one.
pub const V2_BYTES_MAX: usize = 4 << 10;

/// Which format a header has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// A line of text. §2.1.
    V1,
    /// Octets. §2.2.
    #[default]
    V2,
}

/// The ends of the connection that a proxy has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Who has connected.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its format.
    pub version: Version,
    /// `None` of a connection that the proxy has made for itself, to see whether this side is well, and of one that is no TCP: it
    /// has the address of the proxy then.
    pub addresses: Option<Addresses>,
    /// How many bytes it has. What follows is content of the connection.
    pub len: usize,
    additions: &'a [u8],
}

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// It is not complete. So many bytes at least are still to come, all of which belong to it: who reads no more than that reads nothing
    /// of the content behind it.
    Incomplete(usize),
    /// It is complete.
    Header(Header<'a>),
}

/// Why something is no header. The connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// It begins neither as version 1 nor as version 2.
    Signature,
    /// The line of version 1 is not one of §2.1.
    Line,
    /// The octets of version 2 are not those of §2.2.
    Octets,
    /// It is longer than [`V1_BYTES_MAX`] or [`V2_BYTES_MAX`].
    TooLong,
    /// Its checksum is another one. §2.2.4.
    Checksum,
}

impl Malformed {
    /// A short, stable name, for logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Signature => "proxy_signature",
            Self::Line => "proxy_line",
            Self::Octets => "proxy_octets",
            Self::TooLong => "proxy_too_long",
            Self::Checksum => "proxy_checksum",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "no header of the PROXY protocol",
            Self::Line => "malformed line of the PROXY protocol",
            Self::Octets => "malformed header of the PROXY protocol",
            Self::TooLong => "the header of the PROXY protocol is too long",
            Self::Checksum => "wrong checksum of the PROXY protocol",
        })
    }
}

impl core::error::Error for Malformed {}

impl<'a> Header<'a> {
    /// What the proxy has added: the type and the value of each, in order. §2.2.1 to §2.2.7 name some types. Version 1 has none.
    pub fn additions(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.additions;
        core::iter::from_fn(move || {
            let (kind, value, left) = addition(rest)?;
            rest = left;
            Some((kind, value))
        })
    }
}

const V1_BEGINNING: &[u8] = b"PROXY ";
const V2_BEGINNING: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const V2_FIXED: usize = 16;
/// `PROXY UNKNOWN` and its line break: no header is shorter.
const BYTES_MIN: usize = 15;

/// Reads a header from the first bytes of a connection.
///
/// # Errors
/// No bytes that follow could make it one.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Malformed> {
    let may_begin = |beginning: &[u8]| bytes.iter().zip(beginning).all(|(byte, expected)| byte == expected);
    match bytes.first() {
        None => Ok(Parsed::Incomplete(BYTES_MIN)),
        Some(b'P') if may_begin(V1_BEGINNING) => parse_v1(bytes),
        Some(b'\r') if may_begin(V2_BEGINNING) => parse_v2(bytes),
        Some(_) => Err(Malformed::Signature),
    }
}

// Version 1.

fn parse_v1(bytes: &[u8]) -> Result<Parsed<'_>, Malformed> {
    let within = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() {
            V1_BYTES_MAX.. => Err(Malformed::TooLong),
            _ => Ok(Parsed::Incomplete(left_of_line(bytes)?)),
        };
    };
    let line = within[..end].strip_suffix(b"\r").ok_or(Malformed::Line)?;
    let addresses = core::str::from_utf8(line).ok().and_then(addresses_of_line).ok_or(Malformed::Line)?;
    Ok(Parsed::Header(Header { version: Version::V1, addresses, len: end + 1, additions: &[] }))
}

/// The addresses of a line, which may say that it has none.
fn addresses_of_line(line: &str) -> Option<Option<Addresses>> {
    let mut fields = line.strip_prefix("PROXY ")?.split(' ');
    let addresses = match fields.next()? {
        // "the receiver must ignore anything presented before the CRLF".
        "UNKNOWN" => return Some(None),
        "TCP4" => {
            let (source, destination): (Ipv4Addr, Ipv4Addr) =
                (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (IpAddr::V4(source), IpAddr::V4(destination))
        }
        "TCP6" => {
            let (source, destination): (Ipv6Addr, Ipv6Addr) =
                (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (IpAddr::V6(source), IpAddr::V6(destination))
        }
        _ => return None,
    };
    let ports = (port(fields.next()?)?, port(fields.next()?)?);
    let (source, destination) =
        (SocketAddr::new(addresses.0, ports.0), SocketAddr::new(addresses.1, ports.1));
    fields.next().is_none().then_some(Some(Addresses { source, destination }))
}

/// A decimal number without a sign and without leading zeros.
fn port(digits: &str) -> Option<u16> {
    let is_canonical = digits == "0" || !digits.starts_with('0');
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_canonical && is_number).then(|| digits.parse().ok())?
}

/// How many bytes are missing of a line at least.
fn left_of_line(bytes: &[u8]) -> Result<usize, Malformed> {
    let break_left = if bytes.last() == Some(&b'\r') { 1 } else { 2 };
    // The shortest address, of which two follow the name of the protocol.
    let address = match bytes {
        _ if bytes.len() < BYTES_MIN => return Ok(BYTES_MIN - bytes.len()),
        [b'P', b'R', b'O', b'X', b'Y', b' ', b'T', b'C', b'P', b'4', b' ', ..] => "0.0.0.0".len(),
        [b'P', b'R', b'O', b'X', b'Y', b' ', b'T', b'C', b'P', b'6', b' ', ..] => "::".len(),
        [b'P', b'R', b'O', b'X', b'Y', b' ', b'U', b'N', b'K', b'N', b'O', b'W', b'N', ..] => {
            return Ok(break_left);
        }
        _ => return Err(Malformed::Line),
    };
    // A port has one digit, and each of what is missing a space before it.
    Ok(match bytes.iter().filter(|byte| **byte == b' ').count() {
        2 => 1 + address + 2 + 2 + 2,
        3 => 2 + 2 + 2,
        4 => 2 + 2,
        _ => break_left,
    })
}

// Version 2.

fn parse_v2(bytes: &[u8]) -> Result<Parsed<'_>, Malformed> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED>() else {
        return Ok(Parsed::Incomplete(V2_FIXED - bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Malformed::Octets),
    };
    // "Other values are unspecified and must not be emitted in version 2 of this protocol and must be rejected as invalid by receivers."
    if family >> 4 > 3 || family & 0xf > 2 {
        return Err(Malformed::Octets);
    }
    let len = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if len > V2_BYTES_MAX {
        return Err(Malformed::TooLong);
    }
    let Some(block) = rest.get(..len - V2_FIXED) else {
        return Ok(Parsed::Incomplete(len - bytes.len()));
    };
    let version = Version::V2;
    if is_local {
        // "the receiver must ... discard the protocol block including the family which is ignored".
        return Ok(Parsed::Header(Header { version, addresses: None, len, additions: &[] }));
    }
    let (addresses, additions) = addresses_of_block(family, block).ok_or(Malformed::Octets)?;
    check_additions(&bytes[..len], additions)?;
    Ok(Parsed::Header(Header { version, addresses, len, additions }))
}

/// The addresses at the beginning of a block, and what follows them. §2.2, table of `union proxy_addr`.
fn addresses_of_block(family: u8, block: &[u8]) -> Option<(Option<Addresses>, &[u8])> {
    let (addresses, additions) = match family >> 4 {
        1 => {
            let (of_block, rest) = block.split_first_chunk::<12>()?;
            let (ips, ports) = of_block.split_first_chunk::<8>()?;
            let ip = |at: usize| IpAddr::from([ips[at], ips[at + 1], ips[at + 2], ips[at + 3]]);
            (ends(ip(0), ip(4), ports), rest)
        }
        2 => {
            let (source, rest) = block.split_first_chunk::<16>()?;
            let (destination, rest) = rest.split_first_chunk::<16>()?;
            let (ports, rest) = rest.split_at_checked(4)?;
            (ends(IpAddr::from(*source), IpAddr::from(*destination), ports), rest)
        }
        3 => (None, block.get(216..)?),
        _ => (None, block),
    };
    // What comes by datagrams is carried by no connection.
    Some((addresses.filter(|_| family & 0xf == 1), additions))
}

fn ends(source: IpAddr, destination: IpAddr, ports: &[u8]) -> Option<Addresses> {
    let [a, b, c, d] = *ports else { return None };
    let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some(Addresses { source: SocketAddr::new(source, from), destination: SocketAddr::new(destination, to) })
}

/// The first addition, and what follows it. §2.2.7.
fn addition(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    Some((kind, value, rest))
}

/// `PP2_TYPE_CRC32C`.
const CRC32C: u8 = 0x03;

/// Checks that additions are whole, and the checksum if there is one.
fn check_additions(header: &[u8], additions: &[u8]) -> Result<(), Malformed> {
    let mut rest = additions;
    while !rest.is_empty() {
        let (kind, value, left) = addition(rest).ok_or(Malformed::Octets)?;
        if kind == CRC32C {
            let expected = <[u8; 4]>::try_from(value).map_err(|_| Malformed::Octets)?;
            let at = header.len() - left.len() - expected.len();
            if crc32c(&header[..at], &header[at + expected.len()..]) != u32::from_be_bytes(expected) {
                return Err(Malformed::Checksum);
            }
        }
        rest = left;
    }
    Ok(())
}

/// The checksum of a header, whose four octets between both parts count as zero. RFC 4960 appendix B.
fn crc32c(before: &[u8], behind: &[u8]) -> u32 {
    let octets = before.iter().chain(&[0; 4]).chain(behind);
    !octets.fold(!0, |crc, octet| {
        (0..8).fold(
            crc ^ u32::from(*octet),
            |crc, _| {
                if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x82f6_3b78 }
            },
        )
    })
}

// Writing.

/// Appends a header for a connection with these ends, or for one that this side has made for itself. Ends of different families are
/// both written as IPv6.
pub fn write(version: Version, addresses: Option<&Addresses>, out: &mut Vec<u8>) {
    let ends = addresses.map(of_one_family);
    match version {
        Version::V1 => write_v1(ends, out),
        Version::V2 => write_v2(ends, out),
    }
}

fn of_one_family(Addresses { source, destination }: &Addresses) -> Addresses {
    let ips = (source.ip().to_canonical(), destination.ip().to_canonical());
    let mapped = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        IpAddr::V6(_) => ip,
    };
    let ips = if ips.0.is_ipv4() && ips.1.is_ipv4() { ips } else { (mapped(ips.0), mapped(ips.1)) };
    // Without the scopes of links, which mean nothing elsewhere.
    Addresses {
        source: SocketAddr::new(ips.0, source.port()),
        destination: SocketAddr::new(ips.1, destination.port()),
    }
}

fn write_v1(ends: Option<Addresses>, out: &mut Vec<u8>) {
    let line = match ends {
        None => alloc::string::String::from("PROXY UNKNOWN\r\n"),
        Some(Addresses { source, destination }) => {
            let protocol = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            alloc::format!("PROXY {protocol} {from} {to} {} {}\r\n", source.port(), destination.port())
        }
    };
    out.extend_from_slice(line.as_bytes());
}

fn write_v2(ends: Option<Addresses>, out: &mut Vec<u8>) {
    out.extend_from_slice(V2_BEGINNING);
    let Some(Addresses { source, destination }) = ends else {
        return out.extend_from_slice(&[0x20, 0, 0, 0]);
    };
    let (family, len) = if source.is_ipv4() { (0x11, 12) } else { (0x21, 36) };
    out.extend_from_slice(&[0x21, family, 0, len]);
    for end in [source, destination] {
        match end.ip() {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
    }
    for end in [source, destination] {
        out.extend_from_slice(&end.port().to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
