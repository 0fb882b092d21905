//! What `scripts/instructions` counts under callgrind: one `log_bytes` of 256 bytes, and the reading of
//! one record. Instructions, not time: noise cannot hide a slower hot path.

use std::hint::black_box;

use asynclogger::{Config, Logger, Reader};

/// In one buffer, so that no swap is among them.
const RECORDS: u64 = 20_000;

#[inline(never)]
fn log_records(logger: &Logger, record: &[u8]) {
    for _ in 0..RECORDS {
        logger.log_bytes(black_box(record));
    }
}

#[inline(never)]
fn read_records(reader: &mut Reader) -> u64 {
    let mut read = 0;
    while let Some(record) = reader.next_record().expect("read") {
        black_box(record.bytes());
        read += 1;
    }
    read
}

fn main() {
    let directory = std::path::Path::new("target/instructions");
    let _ = std::fs::remove_dir_all(directory);
    let path = directory.join("app.log");
    let logger = Logger::new(Config::new(&path)).expect("a logger");
    // The home is found by the first call.
    logger.log_bytes(b"first");
    log_records(&logger, &[7; 256]);
    let stats = logger.close().expect("close");
    assert_eq!((stats.accepted, stats.dropped_logs, stats.flushes), (RECORDS + 1, 0, 1));
    let mut reader = Reader::open(&path).expect("a reader");
    assert_eq!(read_records(&mut reader), RECORDS + 1);
    let _ = std::fs::remove_dir_all(directory);
}
