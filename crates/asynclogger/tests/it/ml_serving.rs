//! The example `ml_serving`, and what it leaves on the disk.

use std::collections::{BTreeMap, BTreeSet};

use asynclogger::read::LogDir;

use crate::support::directory;

#[path = "../../examples/ml_serving.rs"]
mod example;

/// The number of the request, field 1 of every message.
fn request_of(message: &[u8]) -> u64 {
    assert_eq!(message[0], 1 << 3);
    let mut value = 0;
    for (at, byte) in message[1..].iter().enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number without an end");
}

#[test]
fn every_record_that_was_accepted_is_in_the_files_of_its_event() {
    const REQUESTS: u64 = 120_000;
    let directory = directory();
    let mut said = Vec::new();
    let stats = example::run(directory.path(), REQUESTS, &mut said).expect("it serves");
    let said = String::from_utf8(said).expect("text");
    assert_eq!(stats.total.total_logs, 2 * REQUESTS + REQUESTS / 10);
    assert_eq!(stats.total.accepted, stats.total.durable);

    let mut events = BTreeMap::new();
    for mut log in LogDir::scan(directory.path()).expect("logs") {
        let name = String::from_utf8(log.segments()[0].name.clone()).expect("a name");
        let files = log.segments().len() as u64;
        let mut requests = BTreeSet::new();
        while let Some(record) = log.next_record().expect("a record") {
            assert!(requests.insert(request_of(record.bytes())), "twice");
        }
        let report = log.report();
        assert!(report.is_whole(), "{report:?}");
        assert!(said.contains(&format!("{name}: {} records in {files} files", report.records)));
        events.insert(name, (requests, files, report.dropped().total()));
    }
    assert!(events.keys().eq(["features", "feedback", "predictions"]), "{events:?}");
    let offered = [REQUESTS, REQUESTS / 10, REQUESTS];
    for ((requests, _, dropped), offered) in events.values().zip(offered) {
        // A machine that is busy with other things may drop, and then the files say so.
        assert_eq!(requests.len() as u64 + dropped, offered);
        assert!(requests.iter().all(|request| *request < REQUESTS));
    }
    assert!(events["features"].1 > 1, "rotated: {said}");
    assert!(events["feedback"].0.iter().all(|request| request % 10 == 0));
    let accepted: usize = events.values().map(|(requests, ..)| requests.len()).sum();
    assert_eq!(accepted as u64, stats.total.accepted);
    for line in [format!("all: {accepted} accepted"), "asynclogger cat --event".into()] {
        assert!(said.contains(&line), "no {line:?} in {said}");
    }
}
