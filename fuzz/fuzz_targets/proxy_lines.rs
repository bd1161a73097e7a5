//! The first octets of a connection as a header of the PROXY protocol.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::proxy_lines(input));
