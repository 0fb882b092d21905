//! Calls against each other, accounted to the record.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use asynclogger::{ErrorKind, LoggerManager, Overflow, verify};

use super::{config, file};
use crate::support::{Found, Numbered, assert_balanced, directory};

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
