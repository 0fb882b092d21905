//! What becomes of segments that are over: told of, compressed, deleted when there are too many or the
//! disk is full.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use asynclogger::{
    Archived, Compression, Config, Logger, Overflow, Retention, Rotation, WhenFull, read::LogDir,
};

use crate::{
    matrix::{log_as, log_numbered},
    mounts::{FileSystem, or_skip},
    support::{directory, log_path, open, wait_until},
};

const COMPRESSED: Compression =
    if cfg!(feature = "zstd") { Compression::zstd(3) } else { Compression::Off };

/// Records of a log, counted by its own reader, which has to find nothing wrong.
fn count(path: &Path) -> u64 {
    let mut log = LogDir::open(path).expect("a log");
    let mut count = 0;
    while log.next_record().expect("a record").is_some() {
        count += 1;
    }
    count
}

fn archived_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut found: Vec<_> = paths
        .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("app_2")))
        .collect();
    found.sort();
    found
}

#[test]
fn every_segment_is_told_of_when_it_is_complete() {
    static LOGGER: OnceLock<Logger> = OnceLock::new();
    let directory = directory();
    let path = log_path(&directory);
    let told = Arc::new(Mutex::new(Vec::<Archived>::new()));
    let (kept, caller) = (told.clone(), std::thread::current().id());
    let config = Config::new(&path).overflow(Overflow::Block).compression(COMPRESSED);
    let logger = LOGGER.get_or_init(|| {
        open(config.on_archived(move |archived| {
            assert_ne!(std::thread::current().id(), caller);
            assert!(archived.path.exists(), "{archived:?}");
            kept.lock().expect("unpoisoned").push(archived.clone());
            // It may log and flush, whatever the policy: the flusher does not wait for it.
            if let Some(logger) = LOGGER.get() {
                logger.log("archived");
                logger.flush().expect("flush");
            }
        }))
    });
    let mut logged = 0;
    for round in 1..=5_u64 {
        logged += log_numbered(logger, 2, round * 100..round * 100 + 100);
        logger.rotate().expect("rotate");
        wait_until("it is told", || told.lock().expect("unpoisoned").len() as u64 == round);
    }
    logger.close().expect("close");
    let told = told.lock().expect("unpoisoned");
    for (at, archived) in told.iter().enumerate() {
        assert_eq!(archived.segment, at as u64 + 1);
        assert_eq!(archived.compressed, COMPRESSED != Compression::Off);
        assert_eq!(archived.file_bytes, fs::metadata(&archived.path).expect("there").len());
        assert!(archived.first_time.is_some() && archived.first_time <= archived.last_time);
        assert!(archived.payload_bytes >= archived.records);
    }
    // What the callbacks log never waits: where a shard was claimed in that moment it is counted as dropped.
    let stats = logger.stats();
    assert_eq!(stats.total_logs, logged + told.len() as u64);
    let records: u64 = told.iter().map(|archived| archived.records).sum();
    // The last callback's own record is in the active file.
    assert!(records <= stats.accepted && records + 1 >= stats.accepted, "{records}, {stats:?}");
    assert_eq!(count(&path), stats.accepted);
}

/// Every read of the log is whole, while one segment after the other changes its form.
#[cfg(feature = "zstd")]
#[test]
fn a_log_is_read_whole_while_hundreds_of_segments_are_compressed() {
    use std::sync::atomic::{AtomicU64, Ordering};

    use asynclogger::Durability;

    use crate::support::Numbered;

    const SEGMENTS: u64 = 320;
    /// The callback waits for one more read after so many segments.
    const A_READ: u64 = 20;
    let directory = directory();
    let path = log_path(&directory);
    let plain = || Config::new(&path).buffer_size(64 << 10).num_shards(1).overflow(Overflow::Block);
    let logger = open(plain().durability(Durability::None));
    for number in 0..SEGMENTS {
        log_as(&logger, 0, number * 3..number * 3 + 3);
        logger.rotate().expect("rotate");
    }
    logger.close().expect("close");
    assert_eq!(archived_files(directory.path()).len() as u64, SEGMENTS);

    let (reads, archived) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (counted, told) = (reads.clone(), archived.clone());
    let config = plain().compression(COMPRESSED).on_archived(move |segment| {
        assert!(segment.compressed, "{segment:?}");
        let so_far = told.fetch_add(1, Ordering::Relaxed) + 1;
        wait_until("a read", || counted.load(Ordering::Relaxed) >= so_far / A_READ);
    });
    let logger = open(config);
    let mut while_compressing = 0;
    loop {
        let before = archived.load(Ordering::Relaxed);
        let mut log = LogDir::open(&path).expect("a log");
        let mut expected = 0;
        while let Some(record) = log.next_record().expect("a record") {
            let (_, number) = Numbered::parse(record.bytes()).expect("ours");
            assert_eq!(number, expected, "in read {while_compressing}");
            expected += 1;
        }
        assert_eq!(expected, SEGMENTS * 3, "in read {while_compressing}");
        assert!(log.missing().is_empty() && log.unread().is_empty());
        assert!(log.report().is_whole(), "{:?}", log.report());
        reads.fetch_add(1, Ordering::Relaxed);
        while_compressing += u64::from(archived.load(Ordering::Relaxed) > before);
        if before == SEGMENTS {
            break;
        }
    }
    assert!(while_compressing >= 10, "{while_compressing} reads");
    logger.close().expect("close");
    let is_compressed = |path: &PathBuf| path.extension().is_some_and(|it| it == "zst");
    assert!(archived_files(directory.path()).iter().all(is_compressed));
}

#[test]
fn only_so_many_are_kept() {
    let directory = directory();
    let path = log_path(&directory);
    let foreign = directory.path().join("app_2020-01-01_00-00-00.log");
    fs::write(&foreign, b"somebody else's").expect("a file");
    let retention = Retention::new().keep(3);
    let logger = open(Config::new(&path).retention(retention.clone()).compression(COMPRESSED));
    for round in 0..10 {
        log_as(&logger, 0, round * 10..round * 10 + 10);
        logger.rotate().expect("rotate");
    }
    logger.close().expect("close");
    // Three, and the foreign one.
    assert_eq!(archived_files(directory.path()).len(), 4);
    assert_eq!(fs::read(&foreign).expect("there"), b"somebody else's");
    assert_eq!(count(&path), 30);
    // A restart keeps to it, and to the numbers.
    let logger = open(Config::new(&path).retention(retention.keep(1)));
    logger.log("again");
    logger.close().expect("close");
    assert_eq!(archived_files(directory.path()).len(), 2);
    assert_eq!(count(&path), 11);
}

/// The stated order when the disk is full: the oldest archived segment goes, and the log goes on.
#[test]
fn a_full_disk_costs_the_oldest_segments() {
    let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(8)) else {
        return;
    };
    let path = mounted.path().join("app.log");
    let bystander = mounted.path().join("app_2020-01-01_00-00-00.log");
    fs::write(&bystander, b"somebody else's").expect("a file");
    let retention = Retention::new().when_full(WhenFull::DeleteOldest);
    let config = Config::new(&path).retention(retention).overflow(Overflow::Block);
    // `close` waits as long as that for room.
    let config = config.flush_timeout(Duration::from_secs(20));
    let rotation = Rotation::new().max_size(1 << 20);
    let logger = open(config.rotation(rotation).buffer_size(512 << 10).num_shards(4));
    // Some times what there is room for.
    let all = 80_000;
    assert_eq!(log_as(&logger, 0, 0..all), all);
    let stats = logger.close().expect("close");
    assert_eq!((stats.durable, stats.dropped_logs, stats.lost), (all, 0, 0));
    assert!(stats.errors.space > 0, "{stats:?}");
    assert_eq!(fs::read(&bystander).expect("there"), b"somebody else's");
    let mut log = LogDir::open(&path).expect("a log");
    assert!(log.missing().is_empty(), "no holes: {:?}", log.missing());
    let mut last = None;
    let mut found = 0;
    while let Some(record) = log.next_record().expect("a record") {
        let number = u64::from_le_bytes(record.bytes()[4..12].try_into().expect("8 bytes"));
        assert!(last.is_none_or(|last| number == last + 1), "{last:?}, then {number}");
        last = Some(number);
        found += 1;
    }
    assert_eq!(last, Some(all - 1), "the newest is there");
    assert!(found < all, "the oldest is not");
}
