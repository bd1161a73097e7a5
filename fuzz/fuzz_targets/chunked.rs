//! The body of a chunked request, whole and cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::chunked(input));
