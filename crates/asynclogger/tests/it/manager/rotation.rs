//! Rotation, compression and retention of events.

use asynclogger::{LogDir, LoggerManager, Overflow, Rotation};

use super::{config, file, records};
use crate::support::{Numbered, directory};

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
