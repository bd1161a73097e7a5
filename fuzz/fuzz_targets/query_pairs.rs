//! Queries and simple forms.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lws_server::fuzz::pairs(input));
