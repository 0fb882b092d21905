//! Calls against each other, accounted to the record.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use asynclogger::{ErrorKind, LoggerManager, ManagerStats, Overflow, read::verify};
use tempfile::TempDir;

use super::{config, file, logs_in, records};
use crate::{
    matrix::Finally,
    support::{Found, Numbered, assert_balanced, directory, wait_until},
};

fn waiting(directory: &TempDir) -> LoggerManager {
    LoggerManager::new(config(directory).overflow(Overflow::Block)).expect("a manager")
}

/// What was offered was accepted, or dropped for one of the reasons that a race has; and what was accepted is
/// in the files, once.
fn assert_accounted(directory: &TempDir, stats: &ManagerStats, offered: u64, threads: u32) {
    let total = &stats.total;
    assert_balanced(total);
    assert_eq!(total.accepted + total.dropped.closed + stats.unopened, offered, "{stats:?}");
    assert_eq!(total.dropped_logs, total.dropped.closed, "{stats:?}");
    assert_eq!((total.durable, total.lost, total.pending), (total.accepted, 0, 0));
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for name in logs_in(directory) {
        let path = directory.path().join(name);
        let report = verify(&path).expect("a report");
        assert!(report.is_whole(), "{report:?}");
        let found = Found::read(&path, threads as usize);
        assert_eq!(found.count, report.records);
        count += found.count;
        for (thread, numbers) in found.by_thread.iter().enumerate() {
            seen.extend(numbers.iter().map(|number| (thread, *number)));
        }
    }
    assert_eq!((count, seen.len() as u64), (total.accepted, total.accepted));
}

/// Logging by handle and by name while the event is closed and opened again all the time: what was taken is
/// in the file, what was not is counted.
#[test]
fn close_against_log_and_create_loses_nothing() {
    const THREADS: u32 = 4;
    const EACH: u64 = 10_000;
    let directory = directory();
    let manager =
        LoggerManager::new(config(&directory).overflow(Overflow::Block)).expect("a manager");
    let done = AtomicBool::new(false);
    let closed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (manager, closed) = (&manager, &closed);
                scope.spawn(move || {
                    let mut record = Numbered::new();
                    for number in 0..EACH {
                        // Not faster than files are closed: twenty times at least.
                        while number > (closed.load(Ordering::SeqCst) + 1) * (EACH / 20) {
                            std::thread::yield_now();
                        }
                        let bytes = record.make(thread, number, 40);
                        if number % 16 == 0 {
                            manager.event("event").expect("an event").log_bytes(bytes);
                        } else {
                            manager.log_bytes_with_event("event", bytes);
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                match manager.close_event_logger("event") {
                    Ok(_) => closed.fetch_add(1, Ordering::SeqCst),
                    Err(error) if error.kind() == ErrorKind::NotFound => 0,
                    Err(error) => panic!("{error}"),
                };
            }
        });
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        done.store(true, Ordering::SeqCst);
    });
    let stats = manager.close().expect("close");
    assert_balanced(&stats.total);
    assert_eq!(stats.total.total_logs + stats.unopened, u64::from(THREADS) * EACH);
    assert_eq!(stats.total.dropped.total(), stats.total.dropped.closed);
    assert_eq!(stats.unopened, 0);
    assert_eq!(stats.total.durable, stats.total.accepted);
    assert!(closed.load(Ordering::SeqCst) >= 19);
    let path = file(&directory, "event");
    let found = Found::read(&path, THREADS as usize);
    assert_eq!(found.count, stats.total.accepted);
    assert!(verify(&path).expect("a report").is_whole());
}

/// All threads create all events, in orders of their own, by handle and by name.
#[test]
fn create_against_create_makes_one_log_of_each_event() {
    const THREADS: u32 = 8;
    const EVENTS: u64 = 60;
    let directory = directory();
    let manager = waiting(&directory);
    let start = Barrier::new(THREADS as usize);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (manager, start) = (&manager, &start);
            scope.spawn(move || {
                let mut record = Numbered::new();
                start.wait();
                for number in 0..EVENTS {
                    // The same ones at the same time, and others.
                    let shift = u64::from(thread / 2) * 13;
                    let name = format!("event-{}", (number + shift) % EVENTS);
                    let bytes = record.make(thread, number, 40);
                    if thread % 2 == 0 {
                        manager.event(&name).expect("an event").log_bytes(bytes);
                    } else {
                        manager.log_bytes_with_event(&name, bytes);
                    }
                }
            });
        }
    });
    assert_eq!(manager.list_event_loggers().len() as u64, EVENTS);
    let stats = manager.close().expect("close");
    assert_eq!(stats.total.accepted, u64::from(THREADS) * EVENTS);
    assert_accounted(&directory, &stats, u64::from(THREADS) * EVENTS, THREADS);
    assert_eq!(logs_in(&directory).len() as u64, EVENTS);
}

/// Two threads close what others open, log to and list; one log of each event, whatever comes first.
#[test]
fn close_against_close_create_log_and_list() {
    const THREADS: u32 = 4;
    const EACH: u64 = 6_000;
    const EVENTS: u64 = 5;
    let directory = directory();
    let manager = waiting(&directory);
    let names: Vec<String> = (0..EVENTS).map(|event| format!("event-{event}")).collect();
    let (done, closed, taken) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _end = Finally(|| done.store(true, Ordering::SeqCst));
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (manager, names) = (&manager, &names);
                let (closed, taken) = (&closed, &taken);
                scope.spawn(move || {
                    let mut record = Numbered::new();
                    let mut old = None;
                    for number in 0..EACH {
                        // Not faster than files are closed: thirty times at least.
                        while number > (closed.load(Ordering::SeqCst) + 1) * (EACH / 30) {
                            std::thread::yield_now();
                        }
                        let name = &names[((number + u64::from(thread)) % EVENTS) as usize];
                        let bytes = record.make(thread, number, 60);
                        match number % 8 {
                            // A handle that may be closed by now.
                            0 | 1 => {
                                let handle = old
                                    .get_or_insert_with(|| manager.event(name).expect("an event"));
                                let is_taken = handle.try_log_bytes(bytes).is_ok();
                                taken.fetch_add(u64::from(is_taken), Ordering::Relaxed);
                            }
                            2 => {
                                let handle = manager.event(name).expect("an event");
                                let is_taken = handle.try_log_bytes(bytes).is_ok();
                                taken.fetch_add(u64::from(is_taken), Ordering::Relaxed);
                                old = Some(handle);
                            }
                            _ => manager.log_bytes_with_event(name, bytes),
                        }
                    }
                })
            })
            .collect();
        for first in 0..2 {
            let (manager, names) = (&manager, &names);
            let (closed, done) = (&closed, &done);
            scope.spawn(move || {
                for name in names.iter().cycle().skip(first) {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    match manager.close_event_logger(name) {
                        Ok(stats) => {
                            assert_eq!((stats.pending, stats.lost), (0, 0));
                            closed.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let listed = manager.list_event_loggers();
                assert!(listed.is_sorted_by(|a, b| a < b), "{listed:?}");
                assert!(listed.iter().all(|name| names.contains(name)), "{listed:?}");
                assert_balanced(&manager.stats().total);
                for name in &listed {
                    if let Ok(stats) = manager.event_stats(name) {
                        assert_balanced(&stats);
                    }
                }
            }
        });
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        done.store(true, Ordering::SeqCst);
    });
    let stats = manager.close().expect("close");
    assert_accounted(&directory, &stats, u64::from(THREADS) * EACH, THREADS);
    assert_eq!(stats.unopened, 0);
    assert!(closed.load(Ordering::SeqCst) >= 29);
    // What was taken was accepted, or dropped by its close, and counted.
    assert!(taken.load(Ordering::Relaxed) <= stats.total.accepted + stats.total.dropped.closed);
    assert!(logs_in(&directory).len() as u64 <= EVENTS);
}

/// The manager is closed while events are created, logged to, flushed and closed.
#[test]
fn close_of_the_manager_against_everything_loses_nothing() {
    const THREADS: u32 = 4;
    for round in 0..8_u64 {
        let directory = directory();
        let manager = waiting(&directory);
        let (done, offered) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let _end = Finally(|| done.store(true, Ordering::SeqCst));
            for thread in 0..THREADS {
                let (manager, done, offered) = (&manager, &done, &offered);
                scope.spawn(move || {
                    let mut record = Numbered::new();
                    for number in 0.. {
                        if done.load(Ordering::SeqCst) {
                            break;
                        }
                        let name = format!("event-{}", number / 50 % 20);
                        let bytes = record.make(thread, number, 100);
                        offered.fetch_add(1, Ordering::SeqCst);
                        manager.log_bytes_with_event(&name, bytes);
                        if number % 97 == 0 {
                            // Whatever it answers.
                            let _ = manager.close_event_logger(&name);
                        }
                        if number % 1_000 == 0 {
                            let _ = manager.flush();
                        }
                    }
                });
            }
            wait_until("records", || offered.load(Ordering::SeqCst) > 500 * round);
            manager.close().expect("close");
            // And some behind it.
            let behind = offered.load(Ordering::SeqCst) + 200;
            wait_until("more records", || offered.load(Ordering::SeqCst) > behind);
        });
        let stats = manager.close().expect("close");
        assert!(stats.total.dropped.closed > 0);
        assert_accounted(&directory, &stats, offered.load(Ordering::SeqCst), THREADS);
    }
}

/// Threads log by handle while the last `LoggerManager` goes, and their handles after it: the last handle of
/// all closes. Each record that was accepted is in the file, once.
#[test]
fn handles_that_log_while_the_last_manager_goes_lose_nothing() {
    const THREADS: u32 = 16;
    const EACH: u64 = 400;
    for overflow in [Overflow::Drop, Overflow::Block] {
        let directory = directory();
        let config = config(&directory).flush_timeout(Duration::from_millis(1));
        let manager = LoggerManager::new(config.overflow(overflow)).expect("a manager");
        let event = manager.event("event").expect("an event");
        let logged = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (event, logged) = (event.clone(), logged.clone());
                std::thread::spawn(move || {
                    let mut record = Numbered::new();
                    let mut accepted = BTreeSet::new();
                    for number in 0..EACH {
                        let bytes = record.make(thread, number, 3_000);
                        if event.try_log_bytes(bytes).is_ok() {
                            accepted.insert(number);
                        }
                        logged.fetch_add(1, Ordering::SeqCst);
                    }
                    accepted
                })
            })
            .collect();
        drop(event);
        let half = u64::from(THREADS) * EACH / 2;
        wait_until("records", || logged.load(Ordering::SeqCst) > half);
        drop(manager);
        let accepted: Vec<BTreeSet<u64>> =
            writers.into_iter().map(|writer| writer.join().expect("a writer")).collect();
        let path = file(&directory, "event");
        let found = Found::read(&path, THREADS as usize);
        let report = verify(&path).expect("a report");
        assert!(report.is_whole());
        let all = u64::from(THREADS) * EACH;
        let is_short = found.count < all;
        assert_eq!(found.count + report.dropped().total(), all, "{overflow:?}");
        assert!(overflow == Overflow::Drop || !is_short);
        // There are more threads than shards, so a record that spilled can stand before an earlier one. With `Drop` an
        // accepted record can still be dropped, and counted, when the shared buffers are sorted.
        for (found, accepted) in found.by_thread.into_iter().zip(&accepted) {
            let found = BTreeSet::from_iter(found);
            assert!(found.is_subset(accepted), "{overflow:?}");
            assert!(overflow == Overflow::Drop || found == *accepted);
        }
    }
}

/// A call that is under way when the last `LoggerManager` goes: its record is in the file, and so is the next.
#[test]
fn a_call_under_way_while_the_last_manager_goes_is_kept() {
    let directory = directory();
    let manager = self::waiting(&directory);
    let event = manager.event("event").expect("an event");
    let (begun, has_begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        event.log("first");
        let during = event.try_log_with(6, |room| {
            begun.send(()).expect("the test");
            may_go_on.recv().expect("the test");
            assert!(room.write(b"second"));
        });
        (during.is_ok(), event.try_log_bytes(b"third").is_ok())
    });
    has_begun.recv().expect("the writer");
    drop(manager);
    go_on.send(()).expect("the writer");
    assert_eq!(writer.join().expect("the writer"), (true, true));
    let found = records(&file(&directory, "event"));
    assert_eq!(found, [&b"first"[..], b"second", b"third"]);
}
