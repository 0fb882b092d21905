//! A disk that takes nothing for a while: nothing in memory is lost, everybody is told.
//!
//! The limit on the size of files makes writes fail (`EFBIG`) in a process of its own; more faults come
//! with the fault engine.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use asynclogger::{Config, ErrorKind, LogError, Logger, Overflow};

use crate::{
    seed_readers::{self, Step},
    support::{
        assert_balanced, child_role, directory, in_child, limit_file_size, log_path, open,
        wait_until,
    },
};

const FULL: u64 = 16 << 10;

fn small(path: &std::path::Path) -> Config {
    Config::new(path).buffer_size(64 << 10).num_shards(1)
}

#[test]
fn a_failing_disk_loses_nothing_and_is_retried() {
    if child_role().is_none() {
        in_child("failing_disk::a_failing_disk_loses_nothing_and_is_retried", "");
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    let told = Arc::new(AtomicU64::new(0));
    let count = told.clone();
    let logger = open(small(&path).on_error(move |error| {
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Io, Some(4096)));
        count.fetch_add(1, Ordering::SeqCst);
    }));
    limit_file_size(FULL);
    let mut record = 0_u32;
    let mut accepted = 0;
    let mut log = |expected: &[Result<(), LogError>]| {
        record += 1;
        let result = logger.try_log_bytes(&record.to_le_bytes().repeat(250)).map(|_| ());
        assert!(expected.contains(&result), "{result:?}");
        accepted += u64::from(result.is_ok());
        result.is_ok()
    };
    // Both buffers fill, and then calls are refused at once.
    while log(&[Ok(()), Err(LogError::Full)]) {}
    let error = logger.flush().expect_err("the device takes nothing");
    assert_eq!(error.io_error().and_then(std::io::Error::raw_os_error), Some(libc::EFBIG));
    assert!(error.path().is_some_and(|at| at == path), "{error}");
    wait_until("some retries", || logger.stats().flush_errors > 5);
    wait_until("the callback", || told.load(Ordering::SeqCst) > 0);
    assert!(logger.last_error().is_some());
    let begun = Instant::now();
    let error = logger.close().expect_err("the device takes nothing");
    assert!(error.to_string().contains("pending"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));

    limit_file_size(libc::RLIM_INFINITY);
    wait_until("it is closed", || logger.close().is_ok());
    let stats = logger.stats();
    assert_balanced(&stats);
    assert_eq!((stats.accepted, stats.durable, stats.lost), (accepted, accepted, 0));
    let records = seed_readers::records(&path, Step::Valid);
    assert_eq!(records.len() as u64, accepted);
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record[..4], (number as u32 + 1).to_le_bytes());
    }
}

#[test]
fn writing_resumes_by_itself() {
    if child_role().is_none() {
        in_child("failing_disk::writing_resumes_by_itself", "");
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(small(&path).overflow(Overflow::Block));
    limit_file_size(FULL);
    std::thread::scope(|scope| {
        // Waits for a buffer in the meantime, and goes on by itself.
        let writer = scope.spawn(|| (0..1_000).for_each(|_| logger.log_bytes(&[5; 1_000])));
        wait_until("some retries", || logger.stats().flush_errors > 3);
        assert!(!writer.is_finished());
        limit_file_size(libc::RLIM_INFINITY);
    });
    let stats = logger.close().expect("close");
    assert_eq!((stats.accepted, stats.dropped_logs, stats.lost), (1_000, 0, 0));
    assert_eq!(seed_readers::records(&path, Step::Valid).len(), 1_000);
}

#[test]
fn the_last_handle_gives_up_and_counts() {
    if child_role().is_none() {
        in_child("failing_disk::the_last_handle_gives_up_and_counts", "");
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    let errors = Arc::new(Mutex::new(Vec::new()));
    let kept = errors.clone();
    let logger = open(small(&path).on_error(move |error| {
        kept.lock().expect("unpoisoned").push(error.to_string());
    }));
    limit_file_size(FULL);
    for _ in 0..30 {
        logger.log_bytes(&[5; 1_000]);
    }
    drop(logger);
    let errors = errors.lock().expect("unpoisoned");
    let last = errors.last().expect("an error");
    assert!(last.contains("30 records could not be written"), "{errors:?}");
}

#[test]
fn the_error_callback_may_log() {
    static LOGGER: OnceLock<Logger> = OnceLock::new();
    static CALLS: AtomicU64 = AtomicU64::new(0);
    if child_role().is_none() {
        in_child("failing_disk::the_error_callback_may_log", "");
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    let config = small(&path).overflow(Overflow::Block).on_error(|_| {
        if let Some(logger) = LOGGER.get() {
            // Never waits, whatever the policy; and panics are its own.
            logger.log_bytes(&[6; 20_000]);
            assert!(logger.flush().is_err(), "it would wait for itself");
            assert!(logger.close().is_err(), "it would wait for itself");
            CALLS.fetch_add(1, Ordering::SeqCst);
            panic!("the callback's");
        }
    });
    let logger = LOGGER.get_or_init(|| open(config));
    limit_file_size(FULL);
    logger.log_bytes(&[5; 20_000]);
    assert!(logger.flush().is_err());
    wait_until("calls for which there is no room", || {
        CALLS.load(Ordering::SeqCst) > 8 && logger.stats().dropped.full > 0
    });
    limit_file_size(libc::RLIM_INFINITY);
    // An attempt that began before may fail yet.
    wait_until("it is closed", || logger.close().is_ok());
    let stats = logger.stats();
    assert_balanced(&stats);
    assert_eq!(seed_readers::records(&path, Step::Valid).len() as u64, stats.accepted);
}
