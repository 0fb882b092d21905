//! A disk that hangs: a frozen file system takes no write and refuses none.

use std::time::{Duration, Instant};

use asynclogger::{Config, Health, Overflow};

use crate::{
    matrix::{assert_holds_all, durabilities, engines},
    mounts::{FileSystem, or_skip},
    support::{Numbered, assert_balanced, open, wait_until},
};

/// Of a millisecond each.
const TICKS: u64 = 5_000;
const PER_TICK: u64 = 10;
const LEN: usize = 200;

/// For as long as the memory suffices no call waits; `close` gives up in time; and when the disk goes on
/// so does the log.
#[test]
fn a_disk_that_hangs_delays_no_call() {
    let Some(mounted) = or_skip(FileSystem::Ext4.mount()) else {
        return;
    };
    // A logger for each engine and level, all in the same freeze.
    let kinds = engines().iter().flat_map(|engine| durabilities().iter().map(move |d| (engine, d)));
    let loggers: Vec<_> = kinds
        .map(|(engine, durability)| {
            let path = mounted.path().join(format!("{engine:?}-{durability:?}.log"));
            let config = Config::new(&path)
                .buffer_size(8 << 20)
                .num_shards(8)
                .flush_interval(Duration::from_millis(20))
                .overflow(Overflow::Drop)
                .durability(*durability)
                .engine(*engine);
            (open(config), path)
        })
        .collect();
    let mut record = Numbered::new();
    for (logger, _) in &loggers {
        logger.log_bytes(record.make(0, 0, LEN));
        logger.flush().expect("flush");
    }

    let Some(frozen) = or_skip(mounted.freeze()) else {
        return;
    };
    let begun = Instant::now();
    let mut longest = Duration::ZERO;
    let mut number = 1;
    for tick in 1..=TICKS as u32 {
        for _ in 0..PER_TICK {
            let bytes = record.make(0, number, LEN);
            for (logger, _) in &loggers {
                let call = Instant::now();
                let result = logger.try_log_bytes(bytes);
                longest = longest.max(call.elapsed());
                assert!(result.is_ok(), "{result:?}");
            }
            number += 1;
        }
        // The pace of the load; nothing waits for it.
        let due = begun + tick * Duration::from_millis(1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    for (logger, _) in &loggers {
        wait_until("a block that hangs", || logger.flush_metrics().flush_queue_depth > 0);
        // It is the write that hangs: nothing went through, and nothing was refused.
        let stats = logger.stats();
        assert_eq!((stats.written, stats.flush_errors), (1, 0), "{stats:?}");
        assert_eq!((stats.pending, stats.dropped_logs), (number - 1, 0), "{stats:?}");
        assert_eq!(logger.health(), Health::Hung);
    }
    // The disk had not answered by then, and would not have.
    assert!(longest < Duration::from_millis(TICKS) / 2, "a call took {longest:?}");

    std::thread::scope(|scope| {
        for (logger, path) in &loggers {
            scope.spawn(move || {
                let begun = Instant::now();
                let error = logger.close().expect_err("the disk hangs");
                assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
                assert_eq!(error.path(), Some(&**path), "{error}");
                assert!(error.to_string().contains("pending"), "{error}");
            });
        }
    });
    drop(frozen);
    for (logger, path) in &loggers {
        let stats = logger.close().expect("close");
        assert_balanced(&stats);
        assert_eq!((stats.accepted, stats.durable, stats.lost), (number, number, 0));
        assert_eq!(logger.health(), Health::Ok);
        assert_holds_all(path, 1, number);
    }
}
