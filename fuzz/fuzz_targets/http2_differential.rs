//! `h2` as the client of the project's server and as the server of its client: each side receives what the other
//! has sent.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::http2_differential(input));
