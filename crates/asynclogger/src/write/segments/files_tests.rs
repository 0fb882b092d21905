//! The numbers of segments after the lock was lost.

use std::fs;

use super::{LogFiles, NextSegment};
use crate::{
    Config, Engine,
    format::{MIN_ALIGN, Prefix, Start},
    io::{Alarm, Driver, Kept},
};

/// The start of a segment with this number, as another writer of the log makes one.
fn start(of: Prefix, segment: u64) -> Vec<u8> {
    let prefix = Prefix { segment, offset: 0, align: MIN_ALIGN as u32, ..of };
    let mut bytes = vec![0; MIN_ALIGN];
    Start { previous: segment - 1, first_sequence: 0, name: b"app" }.encode(&prefix, &mut bytes);
    bytes
}

#[test]
fn a_file_that_was_prepared_without_the_lock_hides_no_number() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = Config::new(directory.path().join("app.log"));
    let driver = Driver::new(Engine::Pwrite, &Alarm::new().expect("an alarm")).expect("an engine");
    let (mut files, segment, _) = LogFiles::open(&config, driver, 1).expect("a log");
    let number = |files: &mut LogFiles| {
        let prepared = files.prepare(&segment).expect("prepared");
        let number = prepared.lineage().segment;
        (prepared, number)
    };
    let (prepared, first) = number(&mut files);
    assert_eq!(first, 2);
    // Another writer comes while this one has its prepared file, gives numbers away, and goes.
    let others = directory.path().join("app_2026-01-01_00-00-00.log");
    let prefix = Prefix {
        align: 0,
        offset: 0,
        log_id: segment.lineage().log_id,
        segment: 0,
        session: 2,
        time: 3,
    };
    fs::write(others, start(prefix, 9)).expect("written");
    files.take_over(Ok(Kept::TakenAgain)).expect("kept");
    assert!(!files.has_prepared(&prepared));
    files.discard(prepared);
    assert_eq!(number(&mut files).1, 10);
}
