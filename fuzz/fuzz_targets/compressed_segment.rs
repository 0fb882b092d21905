#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| asynclogger::read::fuzzing::compressed_segment(bytes));
