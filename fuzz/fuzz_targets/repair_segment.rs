#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| asynclogger::fuzzing::repair_segment(bytes));
