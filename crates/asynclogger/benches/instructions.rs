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
fn read_records(reader: &mut Reader) {
    for _ in 0..RECORDS {
        let record = reader.next_record().expect("read").expect("a record");
        black_box(record.bytes());
    }
}

fn main() {
    let directory = std::path::Path::new("target/instructions");
    let _ = std::fs::remove_dir_all(directory);
    let path = directory.join("app.log");
    let logger = Logger::new(Config::new(&path)).expect("a logger");
    let record = [7; 256];
    // The first block warms up: the home is found, the reader's memory is made.
    (0..RECORDS).for_each(|_| logger.log_bytes(&record));
    logger.flush().expect("flush");
    log_records(&logger, &record);
    let stats = logger.close().expect("close");
    assert_eq!((stats.accepted, stats.dropped_logs, stats.flushes), (2 * RECORDS, 0, 2));
    let mut reader = Reader::open(&path).expect("a reader");
    for _ in 0..RECORDS {
        assert!(reader.next_record().expect("read").is_some());
    }
    read_records(&mut reader);
    assert!(reader.next_record().expect("read").is_none());
    let _ = std::fs::remove_dir_all(directory);
}
