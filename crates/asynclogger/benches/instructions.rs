//! What `scripts/instructions` counts under callgrind: one `log_bytes` of 256 bytes, by a plain logger, by a crash-safe one,
//! by one whose records have times, through an event's handle and by an event's name, both without times and with, and the
//! reading of one record. Instructions, not time: noise cannot hide a slower hot path.

use std::{hint::black_box, path::Path};

use asynclogger::{
    Config, CrashSafe, EventLogger, Logger, LoggerManager, Timestamps, read::Reader,
};

/// In one buffer, so that no swap is among them.
const RECORDS: u64 = 20_000;
/// The buffers that events share are smaller.
const OF_EVENTS: u64 = 2_000;
/// That are open meanwhile.
const EVENTS: usize = 1_000;

#[inline(never)]
fn log_records(logger: &Logger, record: &[u8]) {
    for _ in 0..RECORDS {
        logger.log_bytes(black_box(record));
    }
}

#[inline(never)]
fn log_crash_safe(logger: &Logger, record: &[u8]) {
    // Without a difference the compiler makes one function of this and `log_records`.
    black_box("crash-safe");
    for _ in 0..RECORDS {
        logger.log_bytes(black_box(record));
    }
}

#[inline(never)]
fn log_with_times(logger: &Logger, record: &[u8]) {
    black_box("with times");
    for _ in 0..RECORDS {
        logger.log_bytes(black_box(record));
    }
}

#[inline(never)]
fn log_by_writer(logger: &Logger, record: &[u8]) {
    for _ in 0..RECORDS {
        let record = black_box(record);
        let _ = logger.try_log_with(record.len(), |writer| {
            writer.write(record);
        });
    }
}

/// What it would cost to hand out bytes that hold nothing of others.
#[inline(never)]
fn log_by_cleaned_bytes(logger: &Logger, record: &[u8]) {
    for _ in 0..RECORDS {
        let record = black_box(record);
        let _ = logger.try_log_with(record.len(), |writer| {
            if let Some(bytes) = writer.zeroed(record.len()) {
                // The zeroes are not to be left out because they are written over at once.
                black_box(&mut *bytes).copy_from_slice(record);
            }
        });
    }
}

#[inline(never)]
fn log_through_handle(event: &EventLogger, record: &[u8]) {
    for _ in 0..OF_EVENTS {
        event.log_bytes(black_box(record));
    }
}

#[inline(never)]
fn log_by_name(manager: &LoggerManager, name: &str, record: &[u8]) {
    for _ in 0..OF_EVENTS {
        manager.log_bytes_with_event(black_box(name), black_box(record));
    }
}

#[inline(never)]
fn read_records(reader: &mut Reader) {
    for _ in 0..RECORDS {
        let record = reader.next_record().expect("read").expect("a record");
        black_box(record.bytes());
    }
}

fn plain(directory: &Path) {
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
}

fn crash_safe(directory: &Path) {
    let config = Config::new(directory.join("safe.log"));
    let config = config.crash_safe(CrashSafe::in_dir(directory.join("maps")));
    let logger = Logger::new(config).expect("a logger");
    let record = [7; 256];
    (0..RECORDS).for_each(|_| logger.log_bytes(&record));
    logger.flush().expect("flush");
    log_crash_safe(&logger, &record);
    let stats = logger.close().expect("close");
    assert_eq!((stats.accepted, stats.dropped_logs, stats.flushes), (2 * RECORDS, 0, 2));
}

fn with_times(directory: &Path) {
    let config = Config::new(directory.join("times.log")).timestamps(Timestamps::On);
    let logger = Logger::new(config).expect("a logger");
    let record = [7; 256];
    (0..RECORDS).for_each(|_| logger.log_bytes(&record));
    logger.flush().expect("flush");
    // The first record of a buffer begins its column.
    logger.log_bytes(&record);
    log_with_times(&logger, &record);
    let stats = logger.close().expect("close");
    assert_eq!((stats.accepted, stats.dropped_logs, stats.flushes), (2 * RECORDS + 1, 0, 2));
}

fn encoded(directory: &Path) {
    let logger = Logger::new(Config::new(directory.join("encoded.log"))).expect("a logger");
    let record = [7; 256];
    logger.log_bytes(&record);
    log_by_writer(&logger, &record);
    logger.flush().expect("flush");
    logger.log_bytes(&record);
    log_by_cleaned_bytes(&logger, &record);
    let stats = logger.close().expect("close");
    assert_eq!((stats.accepted, stats.dropped_logs), (2 + 2 * RECORDS, 0));
}

fn of_events(directory: &Path, timestamps: Timestamps) {
    let config = Config::default().timestamps(timestamps);
    let manager = LoggerManager::in_dir(directory.join("events"), config).expect("a manager");
    // As long as names are: three words of the hash.
    let names: Vec<_> = (0..EVENTS).map(|event| format!("checkout-event-{event:04}")).collect();
    for name in &names {
        manager.initialize_event_logger(name).expect("opened");
    }
    let (name, record) = (&names[EVENTS / 2], [7; 256]);
    let event = manager.event(name).expect("open");
    // As above; and each of them begins with a buffer of its own.
    event.log_bytes(&record);
    manager.log_bytes_with_event(name, &record);
    manager.flush().expect("flush");
    event.log_bytes(&record);
    log_through_handle(&event, &record);
    manager.flush().expect("flush");
    event.log_bytes(&record);
    log_by_name(&manager, name, &record);
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.accepted, stats.total.dropped_logs), (4 + 2 * OF_EVENTS, 0));
}

/// With `times` as its argument, it counts calls of events whose records have times, and nothing else: the compiler makes
/// other code of a function that is called in two places.
fn main() {
    let directory = Path::new("target/instructions");
    let _ = std::fs::remove_dir_all(directory);
    if std::env::args().any(|argument| argument == "times") {
        of_events(directory, Timestamps::On);
    } else {
        plain(directory);
        crash_safe(directory);
        with_times(directory);
        encoded(directory);
        of_events(directory, Timestamps::Off);
    }
    let _ = std::fs::remove_dir_all(directory);
}
