//! Rotation, compression and retention of events.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use asynclogger::{
    Archived, Compression, LogId, LoggerManager, Overflow, Retention, Rotation,
    read::{LogDir, verify},
};

use super::{config, file, records};
use crate::support::{Numbered, directory};

const COMPRESSED: Compression =
    if cfg!(feature = "zstd") { Compression::zstd(1) } else { Compression::Off };

#[test]
fn events_rotate_each_by_itself() {
    let directory = directory();
    let rotation = Rotation::new().max_size(1 << 20);
    let config = config(&directory).num_shards(16).rotation(rotation).overflow(Overflow::Block);
    let manager = LoggerManager::new(config).expect("a manager");
    let mut record = Numbered::new();
    for number in 0..30_000 {
        manager.log_bytes_with_event("large", record.make(0, number, 200));
        if number % 1_000 == 0 {
            manager.log_bytes_with_event("small", record.make(0, number, 200));
        }
    }
    let stats = manager.close().expect("close");
    assert_eq!(stats.total.durable, 30_030);
    let large = LogDir::open(file(&directory, "large")).expect("a log").verify().expect("a report");
    assert!(large.segments.len() > 3, "{}", large.segments.len());
    assert_eq!(large.segments.iter().map(|segment| segment.records).sum::<u64>(), 30_000);
    assert!(large.segments.iter().all(|segment| segment.name == b"large"));
    assert_eq!(records(&file(&directory, "small")).len(), 30);
}

/// Events that rotate at the same time: each segment is compressed and told of once, with its log's id; and
/// each event's are kept to the limit by themselves.
#[test]
fn events_are_compressed_told_of_and_kept_each_by_itself() {
    const EVENTS: u64 = 6;
    const RECORDS: u64 = 30_000;
    let directory = directory();
    for keep in [None, Some(2)] {
        let told = Arc::new(Mutex::new(Vec::<Archived>::new()));
        let kept = told.clone();
        let config = config(&directory).num_shards(16).overflow(Overflow::Block);
        let config = config.rotation(Rotation::new().max_size(600 << 10)).compression(COMPRESSED);
        let config = match keep {
            Some(count) => config.retention(Retention::new().keep(count)),
            None => config,
        };
        let config = config.on_archived(move |archived| {
            assert!(archived.path.exists(), "{archived:?}");
            kept.lock().expect("unpoisoned").push(archived.clone());
        });
        let manager = LoggerManager::new(config).expect("a manager");
        let mut record = Numbered::new();
        let mut logged = BTreeMap::<u64, u64>::new();
        for number in 0..RECORDS {
            // The first has half of them, the last one none that makes it rotate.
            let event = u64::from(number.trailing_ones()).min(EVENTS - 1);
            *logged.entry(event).or_default() += 1;
            manager.log_bytes_with_event(&format!("{event}"), record.make(0, number, 400));
        }
        let stats = manager.close().expect("close");
        assert_eq!((stats.total.durable, stats.total.dropped_logs), (RECORDS, 0));
        let mut of_log = BTreeMap::<LogId, Vec<Archived>>::new();
        for archived in told.lock().expect("unpoisoned").iter().cloned() {
            assert_eq!(archived.compressed, COMPRESSED != Compression::Off);
            of_log.entry(archived.log_id).or_default().push(archived);
        }
        for (event, logged) in logged {
            let path = file(&directory, &format!("{event}"));
            let active = verify(&path).expect("a report");
            let of_event = of_log.remove(&active.log_id.expect("an id")).unwrap_or_default();
            let numbers: Vec<u64> = of_event.iter().map(|archived| archived.segment).collect();
            let log = LogDir::open(&path).expect("a log");
            assert!(log.missing().is_empty(), "{:?}", log.missing());
            let ids = log.segments().iter().map(|segment| segment.id);
            match keep {
                None => {
                    assert!(numbers.iter().copied().eq(1..active.segment), "{numbers:?}");
                    assert!(ids.eq(1..=active.segment));
                    let archived: u64 = of_event.iter().map(|archived| archived.records).sum();
                    assert_eq!(archived + active.records, logged);
                }
                // Those before are told of already.
                Some(count) => {
                    assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "{numbers:?}");
                    let first = active.segment.saturating_sub(count as u64).max(1);
                    assert!(ids.eq(first..=active.segment), "{event}");
                }
            }
        }
        assert!(of_log.is_empty(), "of no event: {of_log:?}");
    }
}
