//! The seed's tests of logger, buffers and shards, from outside.

use std::io::IoSlice;

use asynclogger::{Config, CrashSafe, LogError, Logger, Overflow};

use crate::{
    seed_readers::{self, Step},
    support::{
        Found, Numbered, allocations, assert_balanced, directory, log_path, open, wait_until,
    },
};

fn texts(path: &std::path::Path) -> Vec<String> {
    let records = seed_readers::records(path, Step::Valid);
    records.into_iter().map(|record| String::from_utf8(record).expect("text")).collect()
}

#[test]
fn logger_basic_logging() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    assert!(path.exists());
    for n in 0..10 {
        logger.log(&format!("message {n}\n"));
    }
    logger.close().expect("close");
    let expected: Vec<_> = (0..10).map(|n| format!("message {n}\n")).collect();
    assert_eq!(texts(&path), expected);
}

#[test]
fn logger_concurrent_writes() {
    for threads in [8, 50, 100] {
        let directory = directory();
        let path = log_path(&directory);
        let logger = open(Config::new(&path).overflow(Overflow::Block).buffer_size(1 << 20));
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let logger = logger.clone();
                scope.spawn(move || {
                    let mut record = Numbered::new();
                    for number in 0..1_000 {
                        logger.log_bytes(record.make(thread, number, 100));
                    }
                });
            }
        });
        let stats = logger.close().expect("close");
        assert_eq!((stats.accepted, stats.dropped_logs), (threads as u64 * 1_000, 0));
        assert_eq!(Found::read(&path, threads as usize).count, threads as u64 * 1_000);
    }
}

#[test]
fn logger_buffer_filling_and_swapping() {
    let directory = directory();
    let path = log_path(&directory);
    let config = Config::new(&path).buffer_size(64 << 10).num_shards(1).overflow(Overflow::Block);
    let logger = open(config);
    let record = [b'x'; 1_000];
    for _ in 0..1_000 {
        logger.log_bytes(&record);
    }
    let stats = logger.close().expect("close");
    // 65 records of 1,004 bytes in each buffer of 64 KiB.
    assert_eq!(stats.set_swaps, 1_000_u64.div_ceil(65));
    assert_eq!((stats.flushes, stats.accepted), (stats.set_swaps, 1_000));
    assert_eq!(texts(&path).len(), 1_000);
}

#[test]
fn logger_graceful_shutdown() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    let clone = logger.clone();
    logger.log("one");
    drop(logger);
    clone.log("two");
    // The last handle closes.
    drop(clone);
    assert_eq!(texts(&path), ["one", "two"]);
    let again = open(Config::new(&path));
    assert_eq!(*again.opened(), asynclogger::Opened::Continued);
}

#[test]
fn logger_double_close() {
    let directory = directory();
    let logger = open(Config::new(log_path(&directory)));
    logger.log("one");
    let first = logger.close().expect("close");
    let second = logger.close().expect("close again");
    assert_eq!(first, second);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(logger.close().expect("and again"), first));
        }
    });
    assert_eq!(logger.try_log_bytes(b"late"), Err(LogError::Closed));
    logger.flush().expect("nothing to flush");
    let stats = logger.stats();
    assert_eq!((stats.dropped.closed, stats.accepted), (1, 1));
}

#[test]
fn logger_statistics() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path).buffer_size(128 << 10).num_shards(2));
    assert_eq!(logger.stats().total_logs, 0);
    for _ in 0..50 {
        logger.log_bytes(&[1; 100]);
    }
    logger.log_bytes(b"");
    logger.log_bytes(&vec![0; logger.max_record() + 1]);
    let stats = logger.stats();
    assert_balanced(&stats);
    assert_eq!((stats.accepted, stats.pending, stats.written), (50, 50, 0));
    assert_eq!((stats.dropped.empty, stats.dropped.too_large), (1, 1));
    let shards = logger.shard_stats();
    assert_eq!(shards.len(), 2);
    assert_eq!(shards.iter().map(|shard| shard.write_count).sum::<u64>(), 50);
    let busy = shards.iter().find(|shard| shard.write_count > 0).expect("a used shard");
    assert_eq!((busy.bytes_used, busy.capacity), (8 + 50 * 104, 64 << 10));
    assert!(busy.utilization_pct > 7.0 && busy.utilization_pct < 9.0);

    logger.flush().expect("flush");
    let stats = logger.stats();
    assert_balanced(&stats);
    assert_eq!((stats.written, stats.durable, stats.pending), (50, 50, 0));
    assert_eq!((stats.flushes, stats.set_swaps, stats.flush_errors), (1, 1, 0));
    assert_eq!(stats.payload_bytes, 5_000);
    assert_eq!(logger.shard_stats()[busy.shard_id].bytes_used, 0);
    let metrics = logger.flush_metrics();
    assert_eq!((metrics.total_flushes, metrics.flush_queue_depth), (1, 0));
    assert!(metrics.max_flush_duration >= metrics.max_write_duration);
    assert!(metrics.avg_write_duration <= metrics.avg_flush_duration);
    assert!(metrics.write_percent > 0.0 && metrics.write_percent <= 100.0);
    let stats = logger.close().expect("close");
    assert_eq!(stats.bytes_written + 4096, path.metadata().expect("file").len());
}

#[test]
fn logger_message_without_newline() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    for message in ["no newline", "newline\n", "\n", "\0", "two\nlines"] {
        logger.log(message);
    }
    logger.close().expect("close");
    assert_eq!(texts(&path), ["no newline", "newline\n", "\n", "\0", "two\nlines"]);
}

#[test]
fn logger_log_bytes() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    let all: Vec<u8> = (0..=255).collect();
    logger.log_bytes(&all);
    let position = logger.try_log_bytes(&all[..1]).expect("accepted");
    assert_eq!(position.number(), 1);
    let pieces = [IoSlice::new(&all[..3]), IoSlice::new(&[]), IoSlice::new(&all[3..5])];
    logger.try_log_vectored(&pieces).expect("accepted");
    logger.try_log_with(4, |record| assert!(record.write(&all[5..9]))).expect("accepted");
    assert_eq!(logger.try_log_vectored(&[]), Err(LogError::Empty));
    logger.close().expect("close");
    let expected = [&all[..], &all[..1], &all[..5], &all[5..9]];
    assert_eq!(seed_readers::records(&path, Step::Valid), expected);
}

#[test]
fn logger_log_bytes_zero_allocation() {
    let directory = directory();
    let path = log_path(&directory);
    let config = Config::new(&path).buffer_size(256 << 10).num_shards(1);
    log_without_allocation(open(config.clone()));
    log_without_allocation(open(config.crash_safe(CrashSafe::in_dir(directory.path()))));
}

fn log_without_allocation(logger: Logger) {
    let mut buffer = [0; 256];
    // The first call finds the thread's home, for which it allocates once.
    logger.log_bytes(&buffer);
    let before = allocations();
    // Several buffers, so swaps too.
    for n in 0..4_000_u32 {
        buffer[..4].copy_from_slice(&n.to_le_bytes());
        logger.log_bytes(&buffer);
    }
    assert_eq!(allocations(), before);
    assert!(logger.stats().set_swaps > 0);
    assert_balanced(&logger.close().expect("close"));
}

#[test]
fn logger_log_bytes_concurrent_with_reuse() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path).overflow(Overflow::Block).buffer_size(1 << 20));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let logger = &logger;
            scope.spawn(move || {
                let mut record = Numbered::new();
                for number in 0..5_000 {
                    // The same memory is written over as soon as the call returns.
                    logger.log_bytes(record.make(thread, number, 12 + (number % 200) as usize));
                }
            });
        }
    });
    assert_eq!(logger.close().expect("close").accepted, 40_000);
    let found = Found::read(&path, 8);
    assert_eq!(found.count, 40_000);
    found.assert_in_order();
}

#[test]
fn logger_log_string_and_mixed() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    for n in 0..100 {
        match n % 2 {
            0 => logger.log(&format!("string {n}")),
            _ => logger.log_bytes(format!("bytes {n}").as_bytes()),
        }
    }
    logger.close().expect("close");
    let expected: Vec<_> = (0..100)
        .map(|n| if n % 2 == 0 { format!("string {n}") } else { format!("bytes {n}") })
        .collect();
    assert_eq!(texts(&path), expected);
}

#[test]
fn positions_are_ordered_within_a_shard() {
    let directory = directory();
    let logger = open(Config::new(log_path(&directory)).buffer_size(64 << 10).num_shards(1));
    let positions: Vec<_> =
        (0..2_000).filter_map(|_| logger.try_log_bytes(&[0; 100]).ok()).collect();
    assert!(positions.windows(2).all(|pair| pair[0] < pair[1]));
    for (number, position) in positions.iter().enumerate() {
        assert_eq!((position.number(), position.shard()), (number as u64, 0));
    }
}

#[test]
fn the_interval_writes_what_a_quiet_logger_holds() {
    let directory = directory();
    let path = log_path(&directory);
    let interval = std::time::Duration::from_millis(20);
    let logger = open(Config::new(&path).flush_interval(interval));
    for round in 1..=3 {
        logger.log("quiet");
        wait_until("the interval", || logger.stats().written == round);
    }
    assert_eq!(texts(&path), ["quiet"; 3]);
}
