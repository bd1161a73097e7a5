//! The slot of a key in a cluster of Redis, and which node has it. Knows no connection.

use super::value::RespValue;
use crate::Endpoint;
use crate::servers::SERVERS_MAX;

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// What stands in the first braces, which decides about the slot: of a prefix with one, all topics are in one slot. `None` if there is
/// none, or nothing in it.
pub(super) fn hash_tag(prefix: &str) -> Option<&str> {
    let (_, rest) = prefix.split_once('{')?;
    rest.split_once('}').map(|(tag, _)| tag).filter(|tag| !tag.is_empty())
}

/// The slot of a hash tag, or of a key without one: CRC-16/XMODEM modulo 16384.
pub(super) fn slot(tag: &str) -> u16 {
    let crc =
        tag.bytes().fold(0_u16, |crc, octet| {
            (0..8).fold(crc ^ u16::from(octet) << 8, |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            })
        });
    crc % SLOTS
}

/// Which nodes a cluster has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nodes {
    /// The master of the slot that was asked for.
    pub(super) master: Option<Endpoint>,
    /// All masters and replicas, [`SERVERS_MAX`] of them at the most.
    pub(super) all: Vec<Endpoint>,
}

/// The answer to `CLUSTER SLOTS`: ranges, each with its first and last slot, its master and its replicas. `None` if it is none.
pub(super) fn nodes(answer: &RespValue, wanted: u16, here: &Endpoint) -> Option<Nodes> {
    let RespValue::Array(ranges) = answer else { return None };
    let mut nodes = Nodes { master: None, all: Vec::new() };
    for range in ranges {
        let RespValue::Array(parts) = range else { return None };
        let [RespValue::Integer(first), RespValue::Integer(last), members @ ..] = &parts[..] else {
            return None;
        };
        for (index, member) in members.iter().enumerate() {
            let RespValue::Array(member) = member else { return None };
            let [host, RespValue::Integer(port), ..] = &member[..] else { return None };
            // A node whose name is not known is of no use.
            let Some(endpoint) = node(host, *port, here) else { continue };
            if index == 0 && (*first..=*last).contains(&i64::from(wanted)) {
                nodes.master = Some(endpoint.clone());
            }
            if nodes.all.len() < SERVERS_MAX && !nodes.all.contains(&endpoint) {
                nodes.all.push(endpoint);
            }
        }
    }
    Some(nodes)
}

/// A node as servers name it. Without a host it is on that of the connection.
fn node(host: &RespValue, port: i64, here: &Endpoint) -> Option<Endpoint> {
    let named = host.octets().map_or(&b""[..], |host| &host[..]);
    if named == b"?" {
        return None;
    }
    endpoint(named, u16::try_from(port).ok()?, here)
}

/// The server that another one has named, with TLS as on the connection to that one. Without a host it is on the same; a client on a Unix
/// socket stays on its machine.
pub(super) fn endpoint(host: &[u8], port: u16, here: &Endpoint) -> Option<Endpoint> {
    let Endpoint::Tcp { host: own, tls, .. } = here else { return None };
    let host = if host.is_empty() { own } else { std::str::from_utf8(host).ok()? };
    let is_host = |host: &str| host.len() <= 255 && host.bytes().all(|octet| octet.is_ascii_graphic());
    let valid = port > 0 && is_host(host);
    valid.then(|| Endpoint::Tcp { host: host.to_owned(), port, tls: *tls })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Security;
    use crate::redis::{RespLimits, RespParser};

    #[test]
    fn slots_are_those_of_a_server() {
        // As `CLUSTER KEYSLOT` of 7.0 says.
        for (key, expected) in [("123456789", 12_739), ("lws", 12_592), ("foo", 12_182), ("", 0)] {
            assert_eq!(slot(key), expected, "{key}");
        }
    }

    #[test]
    fn a_hash_tag_is_what_stands_in_the_first_braces() {
        for (prefix, expected) in [
            ("{lws}/", Some("lws")),
            ("a{b}c{d}", Some("b")),
            ("{{b}}", Some("{b")),
            ("lws/", None),
            ("{}a{b}", None),
            ("{a", None),
            ("}a{", None),
        ] {
            assert_eq!(hash_tag(prefix), expected, "{prefix}");
        }
    }

    fn at(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp { host: host.into(), port, tls: Security::Tls }
    }

    fn read(text: &str) -> RespValue {
        let mut parser = RespParser::new(RespLimits::default());
        parser.feed(text.replace(' ', "\r\n").as_bytes());
        parser.next().expect("no error").expect("a value")
    }

    #[test]
    fn the_master_of_a_slot_is_found_and_all_nodes_are_known() {
        let text = "*3 *3 :0 :99 *2 +a :1 *4 :100 :199 *3 +b :2 +id *2 +c :3 *4 :200 :300 *2 _ :4 *2 +? :5 ";
        let all = vec![at("a", 1), at("b", 2), at("c", 3), at("h", 4)];
        for (wanted, master) in [
            (0, Some(at("a", 1))),
            (99, Some(at("a", 1))),
            (100, Some(at("b", 2))),
            (300, Some(at("h", 4))),
            (301, None),
        ] {
            let found = nodes(&read(text), wanted, &at("h", 9));
            assert_eq!(found, Some(Nodes { master, all: all.clone() }), "{wanted}");
        }
        assert_eq!(nodes(&read("*0 "), 0, &at("h", 9)), Some(Nodes { master: None, all: Vec::new() }));
    }

    #[test]
    fn what_is_no_description_of_slots_is_none() {
        for text in [
            "+OK ",
            "*1 +a ",
            "*1 *1 :1 ",
            "*1 *2 +a :1 ",
            "*1 *3 :0 :1 +a ",
            "*1 *3 :0 :1 *1 +a ",
            "*1 *3 :0 :1 *2 +a +b ",
        ] {
            assert_eq!(nodes(&read(text), 0, &at("h", 9)), None, "{text}");
        }
    }

    #[test]
    fn what_a_server_names_is_an_address() {
        let here = at("h", 9);
        for (host, port, expected) in [
            (&b"a"[..], 1, Some(at("a", 1))),
            (b"::1", 1, Some(at("::1", 1))),
            (b"", 1, Some(at("h", 1))),
            (b"a", 0, None),
            (b"a b", 1, None),
            (b"\xff", 1, None),
            (&[b'a'; 256], 1, None),
        ] {
            assert_eq!(endpoint(host, port, &here), expected, "{host:?}");
        }
        assert_eq!(endpoint(b"a", 1, &Endpoint::Unix("/redis".into())), None);
    }
}
