//! Operations on a client and a server of HTTP/2, in any order.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::http2_operations(input));
