//! Operations of a driver and an application on a connection, in any order.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tests::fuzz::operations(input));
