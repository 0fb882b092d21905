//! The same for the records of a manager's events.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{IoSlice, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use asynclogger::{
    Compression, Config, CrashSafe, LoggerManager, Overflow, Rotation, Timestamps,
    read::{ByTime, Format, LogDir, ReadOptions, Reader},
};

use super::{NEAR, check_by_time, nanoseconds, now};
use crate::{
    seed_readers::{self, Step},
    support::{allocations, directory},
};

/// How far a time may be from the wall clock for most records: those whose buffer was begun and taken up by threads that
/// were not stopped in all their readings of the clocks.
const USUAL: u64 = 10_000;
/// The least time between two records of a thread, if their times are to be told apart.
const APART: Duration = Duration::from_micros(50);
const EVENTS: u32 = 5;

fn manager(directory: &Path, config: Config) -> LoggerManager {
    let config = config.timestamps(Timestamps::On).overflow(Overflow::Block);
    LoggerManager::in_dir(directory, config).expect("a manager")
}

fn event(number: u32) -> String {
    format!("event {number}")
}

/// A record of a thread: when it was made, and which one it is.
fn record(thread: u32, number: u32, len: usize) -> Vec<u8> {
    super::record(thread, number, len)
}

/// Logs on some threads, to all events in turn, in all ways that there are.
fn log_some(manager: &LoggerManager, threads: u32, each: u32, (len, pause): (usize, Duration)) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let events = (0..EVENTS).map(|number| manager.event(&event(number)));
                let events: Vec<_> = events.collect::<Result<_, _>>().expect("events");
                for number in 0..each {
                    let begun = Instant::now();
                    let record = record(thread, number, len + number as usize % 50);
                    let of = (number * 7 / 3 + thread) % EVENTS;
                    let to = &events[of as usize];
                    let taken = match number % 4 {
                        0 => to.try_log_bytes(&record),
                        1 => to.try_log_vectored(
                            &[record.split_at(9).0, record.split_at(9).1].map(IoSlice::new),
                        ),
                        2 => to.try_log_with(record.len() + 9, |room| {
                            room.write_all(&record).expect("room");
                        }),
                        _ => {
                            manager.log_bytes_with_event(&event(of), &record);
                            continue;
                        }
                    };
                    taken.expect("accepted");
                    while begun.elapsed() < pause {
                        std::hint::spin_loop();
                    }
                }
            });
        }
    });
}

/// Compares the time of each record of all events with the one in its bytes: the call was after the record was made, and
/// before its thread made the next one, perhaps of another event. Merged by time, the records of each event, and those of all
/// of them, come as a sort would have them. Returns how many records there are, and how many of these were near the wall
/// clock to the microsecond.
fn check(directory: &Path) -> (u64, u64) {
    let mut calls = BTreeMap::new();
    let mut count = 0;
    let path = |number| directory.join(event(number).replace(' ', "_")).with_extension("log");
    let paths: Vec<_> = (0..EVENTS).map(path).collect();
    for path in &paths {
        let before = count;
        let mut log = LogDir::open(path).expect("a log");
        let mut sessions = BTreeSet::new();
        while let Some(record) = log.next_record().expect("a record") {
            let word = |at: usize| {
                u32::from_le_bytes(*record.bytes()[at..].first_chunk().expect("a word"))
            };
            let made = u64::from_le_bytes(*record.bytes().first_chunk().expect("eight bytes"));
            let time = nanoseconds(record.time().expect("a time"));
            sessions.insert(record.position().session());
            // Each event has sessions of its own; the threads of a test count on.
            let is_new = calls.insert((word(8), word(12)), (made, time)).is_none();
            assert!(is_new, "a record is there twice");
            count += 1;
        }
        let report = log.report();
        assert!(report.is_whole(), "{report:#?}");
        assert_eq!(check_by_time(&[path]), count - before);
        let mut reader = Reader::open(path).expect("a log");
        reader.read_to_end().expect("read");
        let Format::Native { version, .. } = reader.report().format else { panic!("not ours") };
        // A process that is killed early, or after a rotation, leaves a file without a block.
        let has_blocks = reader.report().records > 0;
        assert_eq!(version, if has_blocks { 2 } else { 1 }, "{} sessions", sessions.len());
    }
    assert_eq!(check_by_time(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>()), count);
    let mut usual = 0;
    for ((call, (made, time)), (next, (made_next, later))) in calls.iter().zip(calls.iter().skip(1))
    {
        let is_same_thread = call.0 == next.0;
        let until = if is_same_thread { *made_next } else { u64::MAX - NEAR };
        assert!(made - NEAR <= *time && *time <= until + NEAR, "{call:?}: {made} {time} {until}");
        assert!(!is_same_thread || time <= later, "{call:?}: {later} after {time}");
        usual += u64::from(made - USUAL <= *time && *time <= until + USUAL);
    }
    (count, usual)
}

#[test]
fn each_record_of_an_event_has_the_time_of_its_call() {
    let home = directory();
    let manager = manager(home.path(), Config::default().num_shards(4).buffer_size(256 << 10));
    log_some(&manager, 3, 3_000, (16, APART));
    let stats = manager.close().expect("closed");
    assert_eq!((stats.total.accepted, stats.total.written), (9_000, 9_000));
    let (count, usual) = check(home.path());
    assert_eq!(count, 9_000);
    assert!(usual > count * 9 / 10, "{usual} of {count}");
    // Both rules of the original find every record, and nothing else.
    for step in [Step::Valid, Step::Capacity] {
        let path = |number| home.path().join(format!("event_{number}.log"));
        let found = (0..EVENTS).map(|number| seed_readers::records(&path(number), step).len());
        assert_eq!(found.sum::<usize>(), 9_000);
    }
}

#[test]
fn events_without_times_are_of_version_1() {
    let home = directory();
    let manager = LoggerManager::in_dir(home.path(), Config::default()).expect("a manager");
    manager.log_with_event("an event", "a record");
    manager.close().expect("closed");
    let mut reader = Reader::open(home.path().join("an_event.log")).expect("a log");
    let block = reader.next_block().expect("read").expect("a block");
    assert_eq!(block.records().next().expect("a record").time(), block.time());
    let Format::Native { version, .. } = reader.report().format else { panic!("not ours") };
    assert_eq!(version, 1);
}

/// Files are finished, compressed, and closed while their events are idle; memory is short, and so is the quota.
#[test]
fn times_of_events_go_through_rotation_compression_and_suspended_files() {
    let home = directory();
    let max_size = 200 << 10;
    let mut config = Config::default()
        .num_shards(3)
        .buffer_size(300 << 10)
        .event_quota(100 << 10)
        .event_files(2)
        .flush_interval(Duration::from_millis(5))
        .rotation(Rotation::new().max_size(max_size));
    if cfg!(feature = "zstd") {
        config = config.compression(Compression::zstd(1));
    }
    let manager = manager(home.path(), config);
    log_some(&manager, 3, 40_000, (20, Duration::ZERO));
    let stats = manager.close().expect("closed");
    assert_eq!((stats.total.accepted, stats.total.written), (120_000, 120_000));
    let (mut files, mut compressed) = (0, 0);
    for entry in std::fs::read_dir(home.path()).expect("a directory") {
        let entry = entry.expect("an entry");
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            let len = entry.metadata().expect("metadata").len();
            assert!(len <= max_size, "{:?} has {len} bytes", entry.path());
        }
        compressed += usize::from(entry.path().extension().is_some_and(|it| it == "zst"));
        files += 1;
    }
    assert!(files > 20, "{files} files");
    assert_eq!(compressed > 10, cfg!(feature = "zstd"), "{compressed} files are compressed");
    assert_eq!(check(home.path()).0, 120_000);
}

/// The records of an event stand in its file as they were sorted from the shared buffers, and so not in the order of their
/// times. By time they do, also while they are read as they are written.
#[test]
fn events_are_merged_while_they_are_written() {
    let home = directory();
    let config = Config::default().num_shards(3).buffer_size(300 << 10);
    let config = config.flush_interval(Duration::from_millis(50));
    let manager = manager(home.path(), config);
    (0..EVENTS).for_each(|number| manager.initialize_event_logger(&event(number)).expect("open"));
    let open = || ReadOptions::new().follow(true).scan(home.path()).expect("logs").logs;
    // Longer than a record waits, however busy the machine is: else a record could come too late.
    let mut merge = ByTime::new(open()).hold_back(Duration::from_secs(3600));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| log_some(&manager, 3, 10_000, (20, Duration::ZERO)));
        while !writer.is_finished() {
            assert!(merge.next_record().expect("read").is_none(), "all are held back");
            merge.refresh().expect("read");
        }
    });
    manager.close().expect("closed");
    let (mut count, mut last, mut steps) = (0, None, 0);
    while let Some(record) = merge.next_record().expect("read") {
        let time = record.record().time();
        assert!(last <= time, "{last:?} {time:?}");
        (count, last) = (count + 1, time);
    }
    assert_eq!(count, 30_000);
    for mut log in open() {
        let mut last = None;
        while let Some(record) = log.next_record().expect("read") {
            steps += u64::from(record.time() < last);
            last = record.time();
        }
    }
    assert!(steps > 0, "the files have no step back, so nothing was sorted");
    check(home.path());
}

/// Blocks of few records and of many, of short and of long ones, have room for their times.
#[test]
fn records_of_events_of_any_length_have_times() {
    let home = directory();
    let config = Config::default().num_shards(1).buffer_size(1 << 20);
    let manager = manager(home.path(), config.flush_interval(Duration::from_secs(3600)));
    let kinds = [("short", 1, 300_000_u64), ("long", 900_000, 20), ("mixed", 0, 3_000)];
    let begun = now();
    for (name, len, count) in kinds {
        let event = manager.event(name).expect("an event");
        for number in 0..count {
            let len = if len == 0 { 1 + (number * 7919 % 60_000) as usize } else { len };
            event.try_log_bytes(&vec![5; len]).expect("accepted");
        }
    }
    let stats = manager.close().expect("closed");
    assert_eq!((stats.total.accepted, stats.total.written), (303_020, 303_020));
    let mut last = begun - NEAR;
    for (name, _, count) in kinds {
        let mut reader = Reader::open(home.path().join(name).with_extension("log")).expect("ours");
        let mut found = 0;
        while let Some(record) = reader.next_record().expect("a record") {
            let time = nanoseconds(record.time().expect("a time"));
            assert!(last <= time && time <= now() + NEAR, "{name}: {time} after {last}");
            (found, last) = (found + 1, time);
        }
        assert_eq!(found, count);
        assert!(reader.report().is_whole());
    }
}

/// One record a file: the least that a file can have.
#[test]
fn the_shortest_files_of_events_have_times() {
    let home = directory();
    let config = Config::default().rotation(Rotation::new().max_size(16 << 10));
    let manager = manager(home.path(), config);
    for number in 0..20 {
        for of in 0..EVENTS {
            manager.log_bytes_with_event(&event(of), &record(of, number, 16));
        }
        manager.flush().expect("flushed");
    }
    manager.close().expect("closed");
    assert_eq!(check(home.path()).0, 20 * u64::from(EVENTS));
    for entry in std::fs::read_dir(home.path()).expect("a directory") {
        let entry = entry.expect("an entry");
        assert!(entry.metadata().expect("metadata").len() <= 16 << 10, "{entry:?}");
    }
}

#[test]
fn a_time_of_an_event_costs_no_allocation() {
    let home = directory();
    let manager = manager(home.path(), Config::default());
    let event = manager.event("an event").expect("an event");
    event.log("the first one finds its home");
    let before = allocations();
    for _ in 0..500 {
        event.log("a record");
        manager.log_with_event("an event", "a record");
    }
    assert_eq!(allocations(), before);
    manager.close().expect("closed");
}

fn crash_safe(home: &Path) -> Config {
    Config::default()
        .num_shards(3)
        .buffer_size(512 << 10)
        .flush_interval(Duration::from_millis(20))
        .rotation(Rotation::new().max_size(600 << 10))
        .crash_safe(CrashSafe::in_dir(home.join("maps")).events(32))
}

#[test]
fn logs_to_events_until_it_is_killed() {
    let Some(home) = crate::support::child_role().map(PathBuf::from) else { return };
    let manager = manager(&home.join("logs"), crash_safe(&home));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            crate::support::wait_until("a record", || manager.stats().total.accepted > 0);
            std::fs::write(home.join("begun"), "").expect("written");
        });
        log_some(&manager, 3, u32::MAX, (10, Duration::ZERO));
    });
}

/// The times of salvaged records are those of their calls, whether the records were in the shared buffers or with their
/// events.
#[test]
fn times_of_events_survive_their_process() {
    let mut all = 0;
    for life in 0..6 {
        let home = directory();
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["times::events::logs_to_events_until_it_is_killed", "--exact"])
            .arg("--test-threads=1")
            .env("CHILD", home.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("a child");
        crate::support::wait_until("the child has begun", || home.path().join("begun").exists());
        std::thread::sleep(Duration::from_millis(15 + 15 * life));
        child.kill().expect("killed");
        child.wait().expect("waited");
        // Long enough that the times of the salvage would show.
        std::thread::sleep(Duration::from_nanos(2 * NEAR));
        let logs = home.path().join("logs");
        let manager = manager(&logs, crash_safe(home.path()));
        let salvaged = manager.salvage().records();
        assert!(manager.salvage().left_alone.is_empty(), "{:?}", manager.salvage());
        for number in 0..EVENTS {
            manager.initialize_event_logger(&event(number)).expect("an event");
        }
        manager.close().expect("closed");
        let count = check(&logs).0;
        assert!(count > 0 && salvaged <= count, "life {life}: {salvaged} of {count}");
        all += salvaged;
    }
    assert!(all > 0, "no life left anything to salvage");
}
