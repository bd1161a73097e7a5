//! What another process of a mesh sends, whole and cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::mesh(input));
