//! One limit for the archived segments of all events: exactly which files are left.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use asynclogger::{
    Archived, Compression, Config, ErrorKind, Logger, LoggerManager, Overflow, Retention, Rotation,
    read::{LogDir, verify},
};
use tempfile::TempDir;

use super::{config, file, logs_in, manager, records};
use crate::support::{Numbered, directory};

/// Logs one record of an event, in a segment of its own, and gives that the name of an archived one.
fn archive(directory: &TempDir, event: &str, number: u64) {
    let manager = manager(directory);
    manager.log_bytes_with_event(event, &vec![number as u8; 50_000]);
    manager.close().expect("close");
    let archived = format!("{event}_2026-01-01_00-00-{:02}.log", 60 - number);
    fs::rename(file(directory, event), directory.path().join(archived)).expect("renamed");
}

/// And one that stays where it is.
fn activate(directory: &TempDir, events: &[&str]) {
    let manager = manager(directory);
    for event in events {
        manager.log_with_event(event, "active");
    }
    manager.close().expect("close");
}

/// Segments 1 to 3 of `a`, 1 and 2 of `b`, 1 of `c`. They were over in the order a1 b1 a2 a3 b2 c1: each when the
/// next one of its event began. Names tell another order.
fn three_events(directory: &TempDir) {
    for (number, event) in (1..).zip(["a", "b", "a", "c", "b", "a"]) {
        archive(directory, event, number);
    }
    activate(directory, &["a", "b", "c"]);
}

/// Events and numbers of all segments that are not active.
fn archived(directory: &TempDir, events: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for event in events {
        let active = file(directory, event);
        let log = LogDir::open(&active).expect("a log");
        assert!(log.missing().is_empty(), "{event}: {:?}", log.missing());
        let segments = log.segments().iter().filter(|segment| segment.path != active);
        found.extend(segments.map(|segment| format!("{event}{}", segment.id)));
    }
    found
}

fn limited(directory: &TempDir, bytes: u64) -> Config {
    config(directory).retention(Retention::new().directory_total(bytes))
}

/// Opens a manager with a limit, and closes it: what it deletes is deleted then.
fn apply(directory: &TempDir, bytes: u64) {
    let manager = LoggerManager::new(limited(directory, bytes)).expect("a manager");
    manager.close().expect("close");
}

fn size_of_one(directory: &TempDir) -> u64 {
    let path = directory.path().join("c_2026-01-01_00-00-56.log");
    fs::metadata(path).expect("the segment").len()
}

#[test]
fn the_limit_over_the_directory_costs_the_oldest_of_any_event() {
    let events = ["a", "b", "c"];
    let directory = directory();
    three_events(&directory);
    let size = size_of_one(&directory);
    // None of the events is open.
    for (bytes, left) in [
        (6 * size, &["a1", "b1", "a2", "a3", "b2", "c1"][..]),
        (6 * size - 1, &["b1", "a2", "a3", "b2", "c1"]),
        (4 * size, &["a2", "a3", "b2", "c1"]),
        (2 * size, &["b2", "c1"]),
        // Never the newest of all.
        (1, &["c1"]),
    ] {
        apply(&directory, bytes);
        let left: BTreeSet<_> = left.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(archived(&directory, &events), left, "{bytes} bytes");
    }
    assert_eq!(
        logs_in(&directory),
        ["a.log", "b.log", "c.log", "c_2026-01-01_00-00-56.log"],
        "nothing else is there"
    );
    for event in events {
        assert_eq!(records(&file(&directory, event)), [b"active"]);
    }
}

#[test]
fn what_is_not_beyond_doubt_an_events_survives_the_limit() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    three_events(&directory);
    // Not a log; a log of another directory, with the name of an event's segment; a directory.
    fs::write(path("a_2020-01-01_00-00-00.log"), vec![1; 100_000]).expect("a file");
    let other = self::directory();
    archive(&other, "a", 1);
    fs::copy(other.path().join("a_2026-01-01_00-00-59.log"), path("a_2020-01-01_00-00-01.log"))
        .expect("copied");
    fs::create_dir(path("a_2020-01-01_00-00-02.log")).expect("a directory");
    // Segments that were renamed: to no archived name, and to another event's.
    fs::rename(path("a_2026-01-01_00-00-59.log"), path("a-kept.log")).expect("renamed");
    fs::rename(path("b_2026-01-01_00-00-58.log"), path("c_2020-01-01_00-00-00.log"))
        .expect("renamed");
    // An event whose active file is gone.
    archive(&directory, "gone", 9);
    // A plain logger, closed by now.
    let logger_with_a_past = |name: &str| {
        for archived in [Some(path(&format!("{name}_2020-01-01_00-00-00.log"))), None] {
            let logger = Logger::new(Config::new(file(&directory, name))).expect("a logger");
            logger.log("of its own");
            logger.close().expect("close");
            if let Some(to) = archived {
                fs::rename(file(&directory, name), to).expect("renamed");
            }
        }
    };
    logger_with_a_past("own");
    // One whose name no event's file has.
    let long = format!("own~{}", "0".repeat(16));
    logger_with_a_past(&long);
    fs::remove_file(path(&format!(".{long}.lock"))).expect("the lock file");

    let before = logs_in(&directory);
    apply(&directory, 1);
    let mut left = before;
    // Of ours: a2, a3 and b2; c1 is the newest.
    let gone =
        ["a_2026-01-01_00-00-57.log", "a_2026-01-01_00-00-54.log", "b_2026-01-01_00-00-55.log"];
    left.retain(|name| !gone.contains(&name.as_str()));
    assert_eq!(logs_in(&directory), left);
    assert!(path("a_2020-01-01_00-00-02.log").is_dir());
}

/// Events that rotate under load, one of them slowly; others are closed on the way.
#[test]
fn the_limit_over_the_directory_holds_while_events_rotate() {
    const EVENTS: [&str; 4] = ["large", "small", "closed", "slow"];
    let compression = if cfg!(feature = "zstd") { Compression::zstd(1) } else { Compression::Off };
    let limit = 3 << 20;
    let directory = directory();
    let told = Arc::new(Mutex::new(Vec::<Archived>::new()));
    let kept = told.clone();
    let config = limited(&directory, limit).buffer_size(1 << 20).overflow(Overflow::Block);
    let config = config.rotation(Rotation::new().max_size(256 << 10)).compression(compression);
    let config = config.on_archived(move |archived| {
        assert!(archived.path.exists(), "{archived:?}");
        kept.lock().expect("unpoisoned").push(archived.clone());
    });
    let manager = LoggerManager::new(config).expect("a manager");
    let (mut record, mut random) = (Numbered::new(), 1_u64);
    for number in 0..60_000 {
        // What does not become shorter.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(number);
        let mut bytes = record.make(0, number, 12).to_vec();
        let noise = (0..30_u32).map(|turn| random.rotate_left(turn * 7).wrapping_mul(random | 1));
        bytes.extend(noise.flat_map(u64::to_le_bytes));
        let event = match number % 16 {
            0 => "small",
            1 if number < 30_000 => "closed",
            2 if number % 256 == 2 => "slow",
            _ => "large",
        };
        manager.log_bytes_with_event(event, &bytes);
        if number == 30_000 {
            manager.close_event_logger("closed").expect("closed");
        }
    }
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.durable, stats.total.dropped_logs), (60_000, 0));
    let told = told.lock().expect("unpoisoned");
    let mut left = 0;
    for event in EVENTS {
        let active = verify(file(&directory, event)).expect("a report");
        let of_event = told.iter().filter(|archived| Some(archived.log_id) == active.log_id);
        // Each segment was told of once, whatever became of it later.
        let numbers: Vec<u64> = of_event.map(|archived| archived.segment).collect();
        assert!(numbers.iter().copied().eq(1..active.segment), "{event}: {numbers:?}");
        let log = LogDir::open(file(&directory, event)).expect("a log");
        assert!(log.missing().is_empty(), "{event}: {:?}", log.missing());
        let archived = log.segments().iter().filter(|segment| segment.id != active.segment);
        left += archived.map(|segment| len(&segment.path)).sum::<u64>();
    }
    assert!(left <= limit && left > limit / 2, "{left}");
    assert!(told.iter().map(|archived| archived.file_bytes).sum::<u64>() > 2 * limit);
    // It was closed early, and its segments were the oldest.
    assert_eq!(archived(&directory, &["closed"]), BTreeSet::new());
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).expect("the segment").len()
}

#[test]
fn a_logger_refuses_the_limit_over_the_directory() {
    let directory = directory();
    let error = Logger::new(limited(&directory, 1 << 20)).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("directory_total"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).expect("the directory").count(), 0);
}
