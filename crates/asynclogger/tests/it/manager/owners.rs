//! A file name that had another event keeps that one's files, in whichever form they are.

use std::{fs, path::Path};

use asynclogger::{Compression, Config, LoggerManager, Retention, Rotation, read::LogDir};

use crate::support::directory;

fn config(directory: &Path, compression: Compression) -> Config {
    Config::new(directory.join("base.log"))
        .buffer_size(256 << 10)
        .num_shards(1)
        .rotation(Rotation::new().max_size(288 << 10))
        .compression(compression)
}

/// Each record has a segment of its own; the last one's is active.
fn log(config: Config, event: &str, records: std::ops::Range<u32>) {
    let manager = LoggerManager::new(config).expect("a manager");
    let handle = manager.event(event).expect("an event");
    for number in records {
        handle.log(&format!("{event} {number} {}", ".".repeat(200 << 10)));
        manager.flush().expect("flushed");
    }
    manager.close().expect("closed");
}

/// Names and records of every log in the directory.
fn logs(directory: &Path) -> Vec<(Vec<u8>, Vec<String>)> {
    let mut logs = Vec::new();
    for mut log in LogDir::scan(directory).expect("logs") {
        let names: Vec<Vec<u8>> =
            log.segments().iter().map(|segment| segment.name.clone()).collect();
        assert!(names.windows(2).all(|pair| pair[0] == pair[1]), "{names:?}");
        let mut records = Vec::new();
        while let Some(record) = log.next_record().expect("a record") {
            let text = String::from_utf8_lossy(record.bytes());
            records.push(text.trim_end_matches(['.', ' ']).to_owned());
        }
        logs.push((names[0].clone(), records));
    }
    logs.sort();
    logs
}

fn forms() -> Vec<Compression> {
    let mut forms = vec![Compression::Off];
    if cfg!(feature = "zstd") {
        forms.push(Compression::zstd(1));
    }
    forms
}

/// `payment/event` has the file `payment_event.log`; only archived segments are left of it.
#[test]
fn an_event_never_takes_over_the_archived_segments_of_another() {
    for form in forms() {
        let directory = directory();
        let at = directory.path();
        log(config(at, form), "payment/event", 0..3);
        fs::remove_file(at.join("payment_event.log")).expect("shipped away");
        let keep = config(at, form).retention(Retention::new().keep(1));
        log(keep, "payment_event", 0..3);
        let logs = logs(at);
        let (name, records) = logs.iter().find(|(name, _)| name == b"payment/event").expect("kept");
        assert_eq!(*records, (0..2).map(|n| format!("payment/event {n}")).collect::<Vec<_>>());
        assert_eq!(name, b"payment/event");
        assert_eq!(logs.len(), 2, "{form:?}: {logs:?}");
        // The first one has its file back, and goes on behind its last segment.
        log(config(at, form), "payment/event", 3..4);
        let (_, records) =
            self::logs(at).into_iter().find(|(name, _)| name == b"payment/event").expect("it");
        assert_eq!(records.len(), 3);
        assert!(at.join("payment_event.log").exists());
    }
}

/// The active file of an event has the name of another event's segment, or of nobody's: its number is not given again.
#[test]
fn a_number_of_an_event_is_not_given_again_after_its_file_was_moved_to_any_name() {
    for name in ["other_2026-01-01_00-00-00.log", "other.log.1", "notes.txt"] {
        for form in forms() {
            let directory = directory();
            let at = directory.path();
            log(config(at, form), "other", 0..2);
            log(config(at, form), "event", 0..3);
            fs::rename(at.join("event.log"), at.join(name)).expect("renamed");
            log(config(at, form), "event", 3..6);
            let all = |event: &str, count: u32| {
                let records = (0..count).map(|number| format!("{event} {number}"));
                (event.as_bytes().to_vec(), records.collect::<Vec<_>>())
            };
            assert_eq!(logs(at), [all("event", 6), all("other", 2)], "{name}");
        }
    }
}

/// An older file is put back at the path of an event whose last one has the name of another event's segment: the event
/// goes on behind the last one.
#[test]
fn an_event_does_not_go_on_in_an_older_file_that_was_put_back() {
    for name in ["other_2026-01-01_00-00-00.log", "notes.txt"] {
        let directory = directory();
        let at = directory.path().join("logs");
        log(config(&at, Compression::Off), "other", 0..2);
        let manager = LoggerManager::new(config(&at, Compression::Off)).expect("a manager");
        for number in 0..4 {
            if number == 3 {
                fs::rename(at.join("event.log"), directory.path().join("away")).expect("renamed");
            }
            let record = format!("event {number} {}", ".".repeat(200 << 10));
            manager.log_bytes_with_event("event", record.as_bytes());
            manager.flush().expect("flushed");
        }
        manager.close().expect("closed");
        fs::rename(at.join("event.log"), at.join(name)).expect("renamed");
        fs::rename(directory.path().join("away"), at.join("event.log")).expect("put back");
        let manager = LoggerManager::new(config(&at, Compression::Off)).expect("a manager");
        for number in 4..6 {
            // Short enough for the file that was put back.
            manager.log_bytes_with_event("event", format!("event {number}").as_bytes());
        }
        manager.close().expect("closed");
        let (_, found) = logs(&at).into_iter().find(|(name, _)| name == b"event").expect("it");
        let expected: Vec<String> = (0..6).map(|number| format!("event {number}")).collect();
        assert_eq!(found, expected, "{name}");
    }
}
