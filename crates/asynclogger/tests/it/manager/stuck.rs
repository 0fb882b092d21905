//! Full disks, and memory that is used up by then: sorting waits, and nobody else for longer than a logger's.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use asynclogger::{Config, Error, ErrorKind, Health, LoggerManager, Overflow, Rotation};

use super::failing::{A_SECOND, EVENTS, log_to_all};
use crate::{
    matrix::{Finally, durabilities, engines},
    mounts::{FileSystem, Mounted, or_skip},
    support::{assert_balanced, wait_until},
};

/// A manager on a file system of its own.
struct Small {
    // In this order: the manager is dropped before the file system is unmounted.
    manager: LoggerManager,
    mounted: Mounted,
}

impl Small {
    /// All events are open, and flushed.
    fn new(more: impl FnOnce(Config) -> Config) -> Option<Small> {
        let mounted = or_skip(FileSystem::Tmpfs.mount_of_size(64))?;
        let config = Config::new(mounted.path().join("logs/base.log")).buffer_size(1 << 20);
        let config = more(config.flush_interval(Duration::from_millis(20)));
        let manager = LoggerManager::new(config).expect("a manager");
        log_to_all(&manager, 0..EVENTS);
        manager.flush().expect("flush");
        Some(Small { manager, mounted })
    }

    /// Logs until the disk is full, and then all memory; and calls `then`, at whose end there is room again.
    /// Those who wait for memory go on logging.
    fn when_full(&self, then: impl FnOnce(&LoggerManager)) {
        let filler = self.mounted.fill_up_to(1 << 20);
        let manager = &self.manager;
        let is_over = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            let make_room = Finally(|| {
                is_over.store(true, Relaxed);
                let _ = fs::remove_file(&filler);
            });
            scope.spawn(move || {
                while !is_over.load(Relaxed) && manager.stats().total.dropped.full < 10_000 {
                    log_to_all(manager, 0..EVENTS);
                }
            });
            let mut last = (0, Instant::now());
            wait_until("the memory is full, too", || {
                let stats = manager.stats().total;
                if stats.accepted != last.0 {
                    last = (stats.accepted, Instant::now());
                }
                stats.errors.space > 0 && last.1.elapsed() > Duration::from_millis(200)
            });
            then(manager);
            drop(make_room);
        });
    }

    /// Nothing that was accepted is lost.
    fn assert_all_well(self) {
        wait_until("all is well", || self.manager.flush_for(A_SECOND).is_ok());
        let stats = self.manager.close().expect("close");
        assert_balanced(&stats.total);
        assert_eq!((stats.total.durable, stats.total.lost), (stats.total.accepted, 0));
    }
}

fn assert_full(flushed: Result<(), Error>) {
    let error = flushed.expect_err("the disk is full");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

#[test]
fn flushes_are_told() {
    for overflow in [Overflow::Drop, Overflow::Block] {
        for durability in durabilities() {
            for engine in engines() {
                let with = |config: Config| {
                    config.overflow(overflow).durability(*durability).engine(*engine)
                };
                let Some(small) = Small::new(with) else { return };
                small.when_full(|manager| {
                    std::thread::scope(|scope| {
                        for _ in 0..3 {
                            scope.spawn(|| {
                                (0..3).for_each(|_| assert_full(manager.flush_for(20 * A_SECOND)));
                            });
                        }
                    });
                    assert_eq!(manager.health(), Health::Failing);
                });
                small.assert_all_well();
            }
        }
    }
}

/// Also when there are not enough descriptors for all that has to be written.
#[test]
fn flushes_are_told_though_few_files_are_open() {
    let Some(small) = Small::new(|config| config.event_files(2)) else { return };
    small.when_full(|manager| {
        (0..3).for_each(|_| assert_full(manager.flush_for(20 * A_SECOND)));
    });
    small.assert_all_well();
}

/// Nor does anything else wait for ever: what can be done is done, what cannot says so.
#[test]
fn other_calls_return() {
    for overflow in [Overflow::Drop, Overflow::Block] {
        let age = Duration::from_secs(1);
        let with =
            |config: Config| config.overflow(overflow).rotation(Rotation::new().max_age(age));
        let Some(small) = Small::new(with) else { return };
        small.when_full(|manager| {
            let begun = Instant::now();
            let stats = manager.event_stats("event-0").expect("it is open");
            assert!(stats.accepted > 0, "{stats:?}");
            // No room for its file; another name is told the same.
            assert!(manager.initialize_event_logger("new").is_err());
            let closed = manager.close_event_logger("event-1").expect_err("not now");
            assert!(matches!(closed.kind(), ErrorKind::Io | ErrorKind::Timeout), "{closed}");
            assert!(!manager.has_event_logger("event-1"));
            manager.close_event_logger("event-1").expect_err("not yet");
            assert_full(manager.flush_for(20 * A_SECOND));
            // Until files are due for a rotation, and then.
            while begun.elapsed() < age {
                assert_full(manager.flush_for(20 * A_SECOND));
            }
            assert_full(manager.flush_for(20 * A_SECOND));
            assert!(begun.elapsed() < 20 * A_SECOND, "{:?}", begun.elapsed());
        });
        wait_until("it is closed", || {
            let closed = small.manager.close_event_logger("event-1");
            closed.is_ok() || closed.is_err_and(|error| error.kind() == ErrorKind::NotFound)
        });
        small.manager.event("event-1").expect("open again").log("again");
        small.assert_all_well();
    }
}

#[test]
fn a_close_fails_and_can_be_repeated() {
    for overflow in [Overflow::Drop, Overflow::Block] {
        let Some(small) = Small::new(|config| config.overflow(overflow)) else { return };
        small.when_full(|manager| {
            for _ in 0..3 {
                let error = manager.close().expect_err("the disk is full");
                assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Timeout), "{error}");
                let is_explained = std::error::Error::source(&error).is_some();
                assert!(is_explained || error.kind() == ErrorKind::Timeout, "{error}");
                assert_full(manager.flush_for(20 * A_SECOND));
            }
        });
        wait_until("close", || small.manager.close().is_ok());
        small.assert_all_well();
    }
}

/// The last handle goes while nothing can be written: that takes a while, and says what is lost.
#[test]
fn the_last_manager_gives_up() {
    let told = Arc::new(AtomicU64::new(0));
    let tells = told.clone();
    let with = |config: Config| {
        config.on_error(move |error| {
            if error.to_string().contains("could not be written") {
                tells.fetch_add(1, Relaxed);
            }
        })
    };
    let Some(small) = Small::new(with) else { return };
    let Small { manager, mounted } = small;
    let filler = mounted.fill_up_to(1 << 20);
    wait_until("the memory is full, too", || {
        log_to_all(&manager, 0..EVENTS);
        manager.stats().total.dropped.full > 1_000
    });
    let accepted = manager.stats().total.accepted;
    assert!(accepted > manager.stats().total.written);
    let begun = Instant::now();
    drop(manager);
    assert!(begun.elapsed() < 10 * A_SECOND, "{:?}", begun.elapsed());
    wait_until("somebody is told", || told.load(Relaxed) > 0);
    // The directory is free for the next one.
    fs::remove_file(filler).expect("the filler");
    let config = Config::new(mounted.path().join("logs/base.log"));
    let next = LoggerManager::new(config).expect("nobody has the directory");
    log_to_all(&next, 0..EVENTS);
    next.close().expect("close");
}

/// A device that does not answer is no error: but who has a time limit is let go.
#[test]
fn a_flush_with_a_limit_ends_though_the_device_hangs() {
    let Some(mounted) = or_skip(FileSystem::Ext4.mount_of_size(128)) else { return };
    let config = Config::new(mounted.path().join("logs/base.log")).buffer_size(1 << 20);
    let manager = LoggerManager::new(config).expect("a manager");
    log_to_all(&manager, 0..EVENTS);
    manager.flush().expect("flush");
    let Some(frozen) = or_skip(mounted.freeze()) else { return };
    wait_until("the memory is full", || {
        log_to_all(&manager, 0..EVENTS);
        manager.stats().total.dropped.full > 1_000
    });
    for _ in 0..3 {
        let error = manager.flush_for(A_SECOND / 5).expect_err("the device hangs");
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    }
    drop(frozen);
    wait_until("all is well", || manager.flush_for(A_SECOND).is_ok());
    let stats = manager.close().expect("close");
    assert_balanced(&stats.total);
    assert_eq!((stats.total.durable, stats.total.lost), (stats.total.accepted, 0));
}
