//! TLS records, whole, cut and damaged.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::records(input));
