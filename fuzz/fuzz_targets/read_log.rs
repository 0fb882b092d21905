#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| asynclogger::read::fuzzing::read_log(bytes));
