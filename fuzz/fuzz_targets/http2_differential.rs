//! `h2` as the client of our server and as the server of our client: what one side says is what the other hears.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::http2_differential(input));
