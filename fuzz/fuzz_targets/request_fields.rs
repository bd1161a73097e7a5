//! Field lines as the helpers of a server read them.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lws_server::fuzz::fields(input));
