//! What a handle to an event says and waits for.

use std::{collections::BTreeSet, thread, time::Duration};

use asynclogger::{ErrorKind, LogError, LoggerManager, Overflow, Position};

use super::{config, file, manager, records};
use crate::support::{Numbered, directory};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_handle_has_what_a_logger_has() {
    let directory = directory();
    let manager = manager(&directory);
    let (event, other) =
        (manager.event("event").expect("opened"), manager.event("other").expect("opened"));
    assert_eq!((event.name(), other.name()), ("event", "other"));
    assert!(event.is_open() && manager.crash_map().is_none());
    let path = directory.path().to_str().expect("a UTF-8 path");
    assert!(format!("{manager:?}").contains(path) && format!("{event:?}").contains("event"));
    assert_eq!(event.max_record(), manager.max_record());
    let too_long = vec![1; event.max_record() + 1];
    assert!(matches!(event.try_log_bytes(&too_long), Err(LogError::TooLarge { .. })));
    let first = event.try_log_bytes(b"first").expect("taken");
    let second = event.try_log_with(64, |room| assert!(room.write(b"second"))).expect("taken");
    assert_eq!((first.shard(), first.number() + 1), (second.shard(), second.number()));
    assert_eq!(event.stats().accepted, 2);
    assert!(!event.is_durable(&first));
    event.flush().expect("flush");
    assert!(event.is_durable(&first) && event.is_durable(&second));
    let third = event.try_log_bytes(b"third").expect("taken");
    assert!(!event.is_durable(&third));
    event.wait_durable(&third, LONG).expect("durable");
    assert!(event.is_durable(&third));
    // Each event has positions of its own.
    assert!(!other.is_durable(&first));
    let error = other.wait_durable(&first, LONG).expect_err("another event's");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    event.flush_for(LONG).expect("flush");
    let stats = event.stats();
    assert_eq!((stats.durable, stats.dropped.too_large, other.stats().accepted), (3, 1, 0));
    // A handle that is left over is harmless, and knows what became of its records.
    let fourth = event.try_log_bytes(b"fourth").expect("taken");
    manager.close().expect("close");
    assert_eq!(event.try_log_bytes(b"late"), Err(LogError::Closed));
    event.flush().expect("there is nothing to do");
    event.wait_durable(&fourth, LONG).expect("durable");
    assert_eq!(event.stats().durable, 4);
    drop((manager, event, other));
    assert_eq!(records(&file(&directory, "event")).len(), 4);
}

#[test]
fn a_flush_of_one_event_is_not_failed_by_another() {
    let directory = directory();
    let manager = manager(&directory);
    let (event, other) =
        (manager.event("event").expect("opened"), manager.event("other").expect("opened"));
    other.log("not asked for");
    let position = event.try_log_bytes(b"asked for").expect("taken");
    event.flush().expect("flush");
    assert!(event.is_durable(&position));
    // Closed meanwhile: what was accepted is durable, and the flush says so at once.
    let position = event.try_log_bytes(b"closed").expect("taken");
    manager.close_event_logger("event").expect("closed");
    event.flush().expect("flush");
    event.wait_durable(&position, LONG).expect("durable");
    drop((event, other, manager));
    assert_eq!(records(&file(&directory, "event")).len(), 2);
}

/// Many threads wait, some records are dropped for the quota: what is said to be durable is in the file.
#[test]
fn what_is_said_to_be_durable_is_in_the_file() {
    const THREADS: u32 = 4;
    let directory = directory();
    let config = config(&directory).buffer_size(1 << 20).event_quota(64 << 10);
    let manager = LoggerManager::new(config.overflow(Overflow::Drop)).expect("a manager");
    let event = manager.event("event").expect("opened");
    let writers: Vec<_> = (0..THREADS)
        .map(|of| {
            let event = event.clone();
            thread::spawn(move || {
                let mut record = Numbered::new();
                let mut taken: Vec<(u64, Position)> = Vec::new();
                for number in 0..4_000 {
                    if let Ok(position) = event.try_log_bytes(record.make(of, number, 900)) {
                        taken.push((number, position));
                    }
                    if number % 500 == 499 {
                        let Some((_, position)) = taken.last() else { continue };
                        match event.wait_durable(position, LONG) {
                            Ok(()) => assert!(event.is_durable(position)),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                        }
                    }
                }
                event.flush().expect("flush");
                let durable = taken.iter().filter(|(_, position)| event.is_durable(position));
                durable.map(|(number, _)| *number).collect::<BTreeSet<u64>>()
            })
        })
        .collect();
    let durable: Vec<_> =
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect();
    drop(event);
    let stats = manager.close().expect("close").total;
    let found = crate::support::Found::read(&file(&directory, "event"), THREADS as usize);
    assert_eq!(found.count, stats.accepted);
    let mut said = 0;
    for (found, durable) in found.by_thread.iter().zip(&durable) {
        let found: BTreeSet<u64> = found.iter().copied().collect();
        assert!(durable.is_subset(&found));
        said += durable.len() as u64;
    }
    // With few holes, nothing that is in the file is said to be lost.
    println!("{said} of {} said to be durable, {} dropped", stats.accepted, stats.dropped_logs);
    assert!(said > 0 && (stats.dropped_logs > 0 || said == stats.accepted));
}
