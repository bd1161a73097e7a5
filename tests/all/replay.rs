//! The fuzz targets without a fuzzer: their kept corpora, and inputs of a generator that is the same in every run.

use std::path::Path;
use tests::Random;
use tests::fuzz::{Input, TARGETS, Target};

#[test]
fn every_kept_input_passes() {
    for Target { name, body, .. } in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for entry in entries {
            let path = entry.expect("an entry of the folder").path();
            body(&std::fs::read(&path).expect("a kept input"));
            count += 1;
        }
        assert!(count > 0, "{name} has no corpus");
    }
}

/// Words of which octets are made.
const WORDS: &[&[u8]] = &[
    b"GET ",
    b"POST ",
    b"CONNECT a:80",
    b"/",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"Host: a\r\n",
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b":",
    b"Content-Length: ",
    b"5",
    b"0",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\n",
    b"Expect: 100-continue\r\n",
    b"hello",
    b"\x81\x85\x01\x02\x03\x04abcde",
    b"\x81\x05hello",
    b"\x88\x00",
    b"\x88\x80\x00\x00\x00\x00",
    b"\x89\x00",
    b"\x01\x01a",
    b"\x80\x01b",
    b"\x00\x81\0\0\0\0c",
    b"\x01\x81\0\0\0\0\xc3",
    b"\x7e\x00\x80",
    b"HTTP/1.1 200 OK\r\n",
    b"MSG lws.a 1 5\r\n",
    b"HMSG lws.b.c 2 12 ",
    b"NATS/1.0\r\n\r\n",
    b"PONG\r\n",
    b"-ERR 'Permissions Violation for Subscription to \"lws.a\"'\r\n",
    b"INFO {\"proto\":1}\r\n",
    b"\x01\0\0\0\x0b\x01other.sock",
    b"\0\0\0\x0a\x02\0\0\0\0\0\0\0\x01a",
    b"\0\0\0\x0a\x06\0\0\0\0\0\0\0\x01a",
    b"\0\0\0\x0a\x05\0\0\0\0\0\0\0\x01\x01",
    b"*2\r\n",
    b">3\r\n",
    b"$5\r\nhello\r\n",
    b":1\r\n",
    b"+OK\r\n",
    b"%1\r\n",
    b"|1\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b";a=b",
    b"X: y\r\n",
    b"\xff",
    b"\0",
    b"\x05\x82\x86\x84\xbe\xbf",
    b"\x05\x40\x01a\x01b",
    b"\x06\x44\x84\x60\xd5\x48\x5f",
    b"\x04\x3f\x45\xbe\xbe",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
];

#[test]
fn thousands_of_made_inputs_pass() {
    // Each target beside the others: alone, this would be the last test by a minute.
    std::thread::scope(|scope| {
        for target in TARGETS {
            scope.spawn(move || made_inputs_pass(&target));
        }
    });
}

fn made_inputs_pass(target: &Target) {
    let Target { name, body, input: kind, made } = *target;
    let choices = kind == Input::Choices;
    for seed in 0..made {
        let mut random = Random::new(seed);
        let mut input = Vec::new();
        for _ in 0..random.below(if choices { 100 } else { 20 }) {
            if random.one_in(3) || choices {
                let len = 1 + random.below(8);
                input.extend(random.bytes(len));
            } else {
                input.extend_from_slice(WORDS[random.below(WORDS.len())]);
            }
        }
        input.extend(random.bytes(4));
        let outcome = std::panic::catch_unwind(|| body(&input));
        assert!(outcome.is_ok(), "{name}, seed {seed}: {}", input.escape_ascii());
    }
}
