//! Nothing is lost that is not counted: `total = accepted + dropped`, `accepted = records in the file`.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use asynclogger::{Config, LogError, Logger, Overflow};

use crate::support::{
    Found, Numbered, assert_balanced, child_role, directory, in_child, log_path, open, status_bytes,
};

/// `threads` threads log `each` records as fast as they can; returns how many calls said "accepted".
fn saturate(logger: &Logger, threads: u32, each: u64, len: usize) -> u64 {
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut record = Numbered::new();
                    (0..each)
                        .filter(|n| logger.try_log_bytes(record.make(thread, *n, len)).is_ok())
                        .count() as u64
                })
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().expect("a writer")).sum()
    })
}

/// Saturation with the policy `Drop`: the original silently lost 426,000 to 630,000 of 4 million here.
#[test]
fn saturation_loses_nothing_uncounted() {
    for threads in [1, 2, 8, 50, 100] {
        let directory = directory();
        let path = log_path(&directory);
        let logger = open(Config::new(&path).buffer_size(1 << 20));
        let each = 1_000_000 / u64::from(threads);
        let accepted = saturate(&logger, threads, each, 120);
        let stats = logger.close().expect("close");
        assert_balanced(&stats);
        assert_eq!(stats.total_logs, each * u64::from(threads));
        assert_eq!((stats.accepted, stats.lost, stats.pending), (accepted, 0, 0));
        let found = Found::read(&path, threads as usize);
        assert_eq!(found.count, accepted, "{threads} threads");
        if threads <= 8 {
            found.assert_in_order();
            assert_eq!(stats.dropped.busy, 0, "no thread waits for another");
        }
    }
}

/// Up to `num_shards` threads, each thread's records stay in its order, also while the flusher seals
/// idle shards all the time.
#[test]
fn order_holds_while_idle_shards_are_sealed() {
    for threads in [1, 2, 5, 8] {
        let directory = directory();
        let path = log_path(&directory);
        let logger = open(
            Config::new(&path)
                .buffer_size(1 << 20)
                .flush_interval(Duration::from_micros(100))
                .overflow(Overflow::Block),
        );
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    logger.flush().expect("flush");
                }
            });
            let accepted = saturate(&logger, threads, 200_000 / u64::from(threads), 40);
            done.store(true, Ordering::Relaxed);
            assert_eq!(accepted, 200_000 / u64::from(threads) * u64::from(threads));
        });
        let stats = logger.close().expect("close");
        assert_eq!(stats.dropped_logs, 0);
        let found = Found::read(&path, threads as usize);
        assert_eq!(found.count, stats.accepted);
        found.assert_in_order();
    }
}

/// `Block`: 10 million records, nothing dropped, nothing lost, memory within the pool and 16 MB.
#[test]
fn block_takes_ten_million_records_in_bounded_memory() {
    const POOL: u64 = 2 * (16 << 20);
    let name = "accounting::block_takes_ten_million_records_in_bounded_memory";
    if let Some(path) = child_role() {
        let before = status_bytes("VmHWM");
        let config = Config::new(&path).buffer_size(16 << 20).overflow(Overflow::Block);
        let logger = open(config);
        assert_eq!(saturate(&logger, 4, 2_500_000, 24), 10_000_000);
        let stats = logger.close().expect("close");
        assert_eq!((stats.accepted, stats.dropped_logs, stats.lost), (10_000_000, 0, 0));
        let peak = status_bytes("VmHWM") - before;
        assert!(peak <= POOL + (16 << 20), "{} MB", peak >> 20);
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    in_child(name, path.to_str().expect("a UTF-8 path"));
    let found = Found::read(&path, 4);
    assert_eq!(found.count, 10_000_000);
    found.assert_in_order();
}

#[test]
fn block_with_many_threads_strands_nobody() {
    let directory = directory();
    let path = log_path(&directory);
    let config = Config::new(&path).buffer_size(128 << 10).num_shards(2).overflow(Overflow::Block);
    let logger = open(config);
    assert_eq!(saturate(&logger, 64, 4_000, 200), 64 * 4_000);
    let stats = logger.close().expect("close");
    assert_eq!(stats.dropped_logs, 0);
    assert!(logger.flush_metrics().blocked_swaps > 0, "nobody had to wait: the test tests nothing");
    assert_eq!(Found::read(&path, 64).count, 64 * 4_000);
}

#[test]
fn block_for_waits_no_longer_than_allowed_and_counts() {
    let directory = directory();
    let path = log_path(&directory);
    let timeout = Duration::from_micros(200);
    let config = Config::new(&path).buffer_size(64 << 10).num_shards(1);
    let logger = open(config.overflow(Overflow::BlockFor(timeout)));
    let accepted = saturate(&logger, 8, 20_000, 1_000);
    let stats = logger.close().expect("close");
    assert_balanced(&stats);
    assert_eq!((stats.total_logs, stats.accepted), (160_000, accepted));
    assert_eq!(Found::read(&path, 8).count, accepted);
}

#[test]
fn a_full_logger_drops_at_once_and_says_why() {
    let directory = directory();
    // 2 x 8 buffers, of which one thread can use 16; nothing is written before they are full.
    let logger = open(Config::new(log_path(&directory)).buffer_size(1 << 20));
    let mut results = Vec::new();
    for n in 0..200_000_u32 {
        results.push(logger.try_log_bytes(&n.to_le_bytes().repeat(50)));
    }
    let refused = results.iter().filter(|result| result.is_err()).count() as u64;
    assert!(results.iter().all(|result| matches!(result, Ok(_) | Err(LogError::Full))));
    let stats = logger.close().expect("close");
    assert_eq!((stats.dropped.full, stats.dropped_logs), (refused, refused));
}

#[test]
fn records_of_every_length() {
    let directory = directory();
    let path = log_path(&directory);
    let config = Config::new(&path).buffer_size(64 << 10).num_shards(1).overflow(Overflow::Block);
    let logger = open(config);
    let max = logger.max_record();
    assert_eq!(max, (64 << 10) - 12);
    let mut record = Numbered::new();
    let lens: Vec<_> = (12..600).chain((max - 600)..=max).collect();
    for (number, len) in lens.iter().enumerate() {
        logger.try_log_bytes(record.make(0, number as u64, *len)).expect("accepted");
    }
    for len in [1, 2, 3, 4, 5, 11] {
        logger.try_log_bytes(&[9; 11][..len]).expect("accepted");
    }
    let refused = logger.try_log_bytes(&vec![0; max + 1]);
    let Err(LogError::TooLarge { len, max: most, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!((len, most), (max + 1, max));
    assert_eq!(logger.try_log_bytes(&[]), Err(LogError::Empty));
    logger.close().expect("close");
    let mut found = Vec::new();
    crate::seed_readers::read(&path, crate::seed_readers::Step::Capacity, |record| {
        found.push(record.len());
    });
    let expected: Vec<_> = lens.into_iter().chain([1, 2, 3, 4, 5, 11]).collect();
    assert_eq!(found, expected);
}

/// `close` while writers are at it: each record is in the file or counted as refused.
#[test]
fn close_against_writers_loses_nothing() {
    for round in 0..20 {
        let directory = directory();
        let path = log_path(&directory);
        let policy = if round % 2 == 0 { Overflow::Drop } else { Overflow::Block };
        let config = Config::new(&path).buffer_size(256 << 10).num_shards(2).overflow(policy);
        let logger = open(config.flush_timeout(Duration::from_secs(10)));
        let accepted = std::thread::scope(|scope| {
            let writers = scope.spawn(|| saturate(&logger, 4, 20_000, 100));
            crate::support::wait_until("some records", || logger.stats().accepted > 1_000);
            logger.close().expect("close");
            writers.join().expect("writers")
        });
        let stats = logger.stats();
        assert_balanced(&stats);
        assert_eq!((stats.total_logs, stats.accepted, stats.pending), (80_000, accepted, 0));
        assert_eq!(Found::read(&path, 4).count, accepted);
    }
}

/// Many threads ask for barriers at once, and each finds its own record in the file afterwards.
#[test]
fn flush_covers_what_was_accepted_before_it() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path).buffer_size(1 << 20));
    std::thread::scope(|scope| {
        for thread in 0..12_u32 {
            let (logger, path) = (&logger, &path);
            scope.spawn(move || {
                let mut record = Numbered::new();
                for number in 0..30 {
                    while logger.try_log_bytes(record.make(thread, number, 64)).is_err() {}
                    logger.flush_for(Duration::from_secs(60)).expect("flush");
                    let found = Found::read(path, 12);
                    assert!(found.by_thread[thread as usize].contains(&number));
                }
            });
        }
    });
    let stats = logger.close().expect("close");
    assert_eq!((stats.accepted, stats.durable), (360, 360));
}

#[test]
fn flush_for_is_bounded() {
    let directory = directory();
    let logger = open(Config::new(log_path(&directory)));
    logger.log("one");
    let begun = Instant::now();
    // Either way it comes back; no time is too short.
    let _ = logger.flush_for(Duration::ZERO);
    assert!(begun.elapsed() < Duration::from_secs(30));
    logger.flush().expect("flush");
    assert_eq!(logger.stats().durable, 1);
}
