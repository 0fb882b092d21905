//! Each record has the time of its log call: in one file and in many, compressed, and salvaged after a kill.

mod events;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use asynclogger::{
    Compression, Config, CrashSafe, Logger, Overflow, Rotation, Timestamps,
    read::{ByTime, Format, LogDir, ReadOptions, Reader},
};

use crate::{
    seed_readers::{self, Step},
    support::{allocations, directory, log_path, open},
};

/// How far a time may be from the wall clock here, which a test on a busy machine compares with: a logger can be stopped
/// between its readings of two clocks. (Usually it is a microsecond.)
const NEAR: u64 = 5_000_000;

fn now() -> u64 {
    nanoseconds(SystemTime::now())
}

fn nanoseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64
}

/// A record that says which one of which thread it is, and when it was made.
fn record(thread: u32, number: u32, len: usize) -> Vec<u8> {
    let mut bytes = now().to_le_bytes().to_vec();
    bytes.extend_from_slice(&thread.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.resize(len.max(bytes.len()), 7);
    bytes
}

fn config(path: &Path) -> Config {
    Config::new(path).timestamps(Timestamps::On).overflow(Overflow::Block)
}

/// Logs on some threads; the threads of a shard take turns.
fn log_some(logger: &Logger, threads: u32, each: u32, len: usize) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for number in 0..each {
                    let record = record(thread, number, len + number as usize % 50);
                    logger.try_log_bytes(&record).expect("accepted");
                }
            });
        }
    });
}

/// Reads a log, and compares the time of each record with the one in its bytes: the call was after the record was made,
/// and before its thread made the next one. Within a shard and session no time is before the one before. Returns how many
/// records there are.
fn check(path: &Path) -> u64 {
    let mut log = LogDir::open(path).expect("a log");
    let (mut count, mut last, mut calls) = (0, HashMap::new(), BTreeMap::new());
    while let Some(record) = log.next_record().expect("a record") {
        let word =
            |at: usize| u32::from_le_bytes(*record.bytes()[at..].first_chunk().expect("a word"));
        let made = u64::from_le_bytes(*record.bytes().first_chunk().expect("eight bytes"));
        let time = nanoseconds(record.time().expect("a time"));
        let position = record.position();
        let before = last.insert((position.session(), position.shard()), time).unwrap_or(0);
        assert!(before <= time, "{position:?}: {time} after {before}");
        calls.insert((position.session(), word(8), word(12)), (made, time));
        count += 1;
    }
    for ((call, (made, time)), (next, (made_next, _))) in calls.iter().zip(calls.iter().skip(1)) {
        let is_same_thread = (call.0, call.1) == (next.0, next.1);
        let most = if is_same_thread { made_next + NEAR } else { u64::MAX };
        assert!(made - NEAR <= *time && *time <= most, "{call:?}: {made} {time} {made_next}");
    }
    let report = log.report();
    assert!(report.is_whole(), "{report:#?}");
    assert_eq!(calls.len() as u64, count);
    assert_eq!(check_by_time(&[path]), count);
    count
}

/// Compares the merge by time of some logs with a stable sort of all their records. Returns how many there are.
fn check_by_time(paths: &[&Path]) -> u64 {
    let open = || paths.iter().map(|path| LogDir::open(path).expect("a log"));
    let mut sorted = Vec::new();
    for (index, mut log) in open().enumerate() {
        while let Some(record) = log.next_record().expect("a record") {
            sorted.push((index, record.into_owned()));
        }
    }
    sorted.sort_by_key(|(_, record)| record.time);
    let mut merge = ByTime::new(open().collect());
    for (index, record) in &sorted {
        let merged = merge.next_record().expect("read").expect("a record");
        assert_eq!((merged.log(), merged.record().into_owned()), (*index, record.clone()));
    }
    assert!(merge.next_record().expect("read").is_none());
    assert!(merge.logs().all(|log| log.report().is_whole()));
    sorted.len() as u64
}

#[test]
fn many_threads_and_logs_are_merged_as_a_sort_would() {
    let directory = directory();
    let paths = ["one.log", "two.log", "three.log"].map(|name| directory.path().join(name));
    let loggers = paths.each_ref().map(|path| {
        let rotation = Rotation::new().max_size(2 << 20);
        let config = config(path).num_shards(8).buffer_size(1 << 20).rotation(rotation);
        let is_packed = cfg!(feature = "zstd");
        open(if is_packed { config.compression(Compression::zstd(3)) } else { config })
    });
    std::thread::scope(|scope| {
        for logger in &loggers {
            scope.spawn(|| log_some(logger, 8, 4_000, 100));
        }
    });
    for logger in loggers {
        logger.close().expect("closed");
    }
    paths.iter().for_each(|path| assert_eq!(check(path), 32_000));
    assert_eq!(check_by_time(&paths.each_ref().map(PathBuf::as_path)), 96_000);
}

#[test]
fn each_record_has_the_time_of_its_call() {
    let directory = directory();
    let path = log_path(&directory);
    for session in 1..=3 {
        let logger = open(config(&path).num_shards(2).buffer_size(256 << 10));
        log_some(&logger, 4, 5_000, 16);
        logger.close().expect("closed");
        assert_eq!(check(&path), session * 20_000);
    }
    let mut reader = Reader::open(&path).expect("a log");
    reader.read_to_end().expect("read");
    let Format::Native { version, .. } = reader.report().format else { panic!("a log of ours") };
    assert_eq!(version, 2);
    // Both rules of the original find every record, and nothing else.
    for step in [Step::Valid, Step::Capacity] {
        assert_eq!(seed_readers::records(&path, step).len(), 60_000);
    }
}

#[test]
fn a_log_without_times_is_one_of_version_1() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    logger.log("a record");
    logger.close().expect("closed");
    let mut reader = Reader::open(&path).expect("a log");
    let block = reader.next_block().expect("read").expect("a block");
    assert_eq!(block.records().next().expect("a record").time(), block.time());
    let Format::Native { version, .. } = reader.report().format else { panic!("a log of ours") };
    assert_eq!(version, 1);
}

#[test]
fn times_go_through_rotation_and_compression() {
    let directory = directory();
    let path = log_path(&directory);
    let max_size = 1 << 20;
    let mut config = config(&path).num_shards(4).buffer_size(512 << 10);
    config = config.rotation(Rotation::new().max_size(max_size));
    let logger = open(config.clone());
    log_some(&logger, 4, 20_000, 20);
    logger.close().expect("closed");
    let mut files = 0;
    for entry in std::fs::read_dir(directory.path()).expect("a directory") {
        let entry = entry.expect("an entry");
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            let len = entry.metadata().expect("metadata").len();
            assert!(len <= max_size, "{:?} has {len} bytes", entry.path());
            files += 1;
        }
    }
    assert!(files > 3, "{files} files");
    assert_eq!(check(&path), 80_000);
    if cfg!(feature = "zstd") {
        let logger = open(config.compression(Compression::zstd(3)));
        log_some(&logger, 4, 1_000, 20);
        logger.close().expect("closed");
        assert_eq!(check(&path), 84_000);
        let mut compressed = std::fs::read_dir(directory.path()).expect("a directory");
        let is_compressed = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("an entry").path().extension().is_some_and(|it| it == "zst")
        };
        assert!(compressed.any(is_compressed), "nothing is compressed");
    }
}

/// Short records fill the column before they fill the buffer; long ones the buffer.
#[test]
fn records_of_any_length_have_times() {
    let directory = directory();
    for (name, len, count) in [("short", 1, 50_000_u64), ("long", 60_000, 40), ("mixed", 0, 5_000)]
    {
        let path = directory.path().join(name).with_extension("log");
        let logger = open(config(&path).num_shards(1).buffer_size(64 << 10));
        let begun = now();
        for number in 0..count {
            let len = if len == 0 { 1 + (number * 7919 % 60_000) as usize } else { len };
            logger.try_log_bytes(&vec![5; len]).expect("accepted");
        }
        let stats = logger.close().expect("closed");
        let ended = now();
        assert_eq!((stats.accepted, stats.written), (count, count));
        let mut reader = Reader::open(&path).expect("a log");
        let (mut found, mut last) = (0, begun - NEAR);
        while let Some(record) = reader.next_record().expect("a record") {
            let time = nanoseconds(record.time().expect("a time"));
            assert!(last <= time && time <= ended + NEAR, "{name}: {time} after {last}");
            (found, last) = (found + 1, time);
        }
        assert_eq!(found, count);
        assert!(reader.report().is_whole());
    }
}

/// The column of a buffer grows with the buffer. So a block of short records is as long as the column of a whole buffer
/// allows: one record for 32 bytes.
#[test]
fn blocks_of_short_records_are_long() {
    let home = directory();
    for is_safe in [false, true] {
        let path = home.path().join(format!("{is_safe}.log"));
        let mut config = config(&path).num_shards(1).buffer_size(1 << 20);
        config = config.flush_interval(Duration::from_secs(3600));
        if is_safe {
            config = config.crash_safe(CrashSafe::in_dir(home.path().join("maps")));
        }
        let logger = open(config);
        for _ in 0..3 * 32_768 + 100 {
            logger.try_log_bytes(b"x").expect("accepted");
        }
        let stats = logger.close().expect("closed");
        assert_eq!((stats.accepted, stats.flushes), (3 * 32_768 + 100, 4));
        let mut reader = Reader::open(&path).expect("a log");
        let block = reader.next_block().expect("read").expect("a block");
        assert_eq!(block.record_count(), 32_768);
    }
}

#[test]
fn a_selection_takes_records_by_their_own_times() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(config(&path).num_shards(1));
    logger.log("before");
    std::thread::sleep(Duration::from_millis(3));
    let between = SystemTime::now();
    std::thread::sleep(Duration::from_millis(3));
    logger.log("after");
    logger.close().expect("closed");
    let read = |options: ReadOptions| {
        let mut reader = options.open(&path).expect("a log");
        let mut found = Vec::new();
        while let Some(record) = reader.next_record().expect("a record") {
            found.push(String::from_utf8(record.bytes().to_vec()).expect("text"));
        }
        found
    };
    // Both are in one block.
    assert_eq!(read(ReadOptions::new().since(between)), ["after"]);
    assert_eq!(read(ReadOptions::new().until(between)), ["before"]);
    assert_eq!(read(ReadOptions::new()), ["before", "after"]);
}

#[test]
fn a_time_costs_no_allocation() {
    let directory = directory();
    let logger = open(config(&log_path(&directory)));
    logger.log("the first one finds its home");
    let before = allocations();
    for _ in 0..1_000 {
        logger.log("a record");
    }
    assert_eq!(allocations(), before);
    logger.close().expect("closed");
}

#[test]
fn what_a_record_costs_in_the_file() {
    let directory = directory();
    let size = |name: &str, timestamps: Timestamps| {
        let path = directory.path().join(name);
        let logger = open(Config::new(&path).num_shards(1).timestamps(timestamps));
        for _ in 0..100_000 {
            logger.try_log_bytes(&[7; 100]).expect("accepted");
        }
        logger.close().expect("closed");
        std::fs::metadata(&path).expect("metadata").len()
    };
    let more = size("with.log", Timestamps::On) - size("without.log", Timestamps::Off);
    assert!(more <= 425_000, "{more} bytes more for 100,000 records");
}

fn crash_safe(home: &Path) -> Config {
    let config = config(&home.join("app.log")).num_shards(2).buffer_size(512 << 10);
    config
        .flush_interval(Duration::from_millis(20))
        .rotation(Rotation::new().max_size(600 << 10))
        .crash_safe(CrashSafe::in_dir(home.join("maps")))
}

#[test]
fn logs_until_it_is_killed() {
    let Some(home) = crate::support::child_role().map(PathBuf::from) else { return };
    let logger = open(crash_safe(&home));
    std::fs::write(home.join("begun"), "").expect("written");
    log_some(&logger, 3, u32::MAX, 10);
}

/// The times of salvaged records are those of their calls, not that of the salvage.
#[test]
fn times_survive_their_process() {
    for life in 0..4 {
        let home = directory();
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["times::logs_until_it_is_killed", "--exact", "--test-threads=1"])
            .env("CHILD", home.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("a child");
        crate::support::wait_until("the child has begun", || home.path().join("begun").exists());
        std::thread::sleep(Duration::from_millis(15 + 20 * life));
        child.kill().expect("killed");
        child.wait().expect("waited");
        // Long enough that the times of the salvage would show.
        std::thread::sleep(Duration::from_nanos(2 * NEAR));
        let logger = open(crash_safe(home.path()));
        let salvaged = logger.salvage().records();
        logger.close().expect("closed");
        let count = check(&home.path().join("app.log"));
        assert!(salvaged > 0 && salvaged <= count, "life {life}: {salvaged} of {count}");
    }
}

/// One record a file: the least that a file can have.
#[test]
fn the_shortest_files_have_times() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(config(&path).rotation(Rotation::new().max_size(16 << 10)));
    for number in 0..20 {
        logger.try_log_bytes(&record(0, number, 16)).expect("accepted");
        logger.flush().expect("flushed");
    }
    logger.close().expect("closed");
    assert_eq!(check(&path), 20);
}
