//! What a logger's surroundings may do: callbacks that do not return, files smaller than a buffer, permissions.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use asynclogger::{Config, Error, ErrorKind, LoggerManager, Overflow, Rotation, read::LogDir};

use crate::support::{directory, log_path, open, wait_until};

/// All files of a directory that are no locks, the hidden ones too, by name.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| !path.to_string_lossy().ends_with(".lock") && path.is_file());
    files.retain(|path| !path.to_string_lossy().contains(".asynclogger-events"));
    files.sort();
    files
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut files = files(directory);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    files.retain(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'));
    files
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
}

/// The errors that a callback was given.
type Told = Arc<Mutex<Vec<Error>>>;

/// A callback that says that it was called, and then waits for the end of the receiver's other side.
fn stuck(hold: Receiver<()>) -> (impl Fn(&Error) + Send + Sync + 'static, Receiver<()>, Told) {
    let (entered, enters) = mpsc::channel();
    let hold = Mutex::new(hold);
    let told = Arc::new(Mutex::new(Vec::new()));
    let keep = told.clone();
    let callback = move |error: &Error| {
        let _ = entered.send(());
        let _ = hold.lock().expect("one thread").recv();
        keep.lock().expect("unpoisoned").push(error.clone());
    };
    (callback, enters, told)
}

#[test]
fn a_callback_that_does_not_return_holds_nothing_up() {
    const ERRORS: usize = 100;
    let directory = directory();
    let path = log_path(&directory);
    let (release, hold) = mpsc::channel();
    let (callback, entered, told) = stuck(hold);
    let config = Config::new(&path).buffer_size(1 << 20).num_shards(2);
    let logger = open(config.overflow(Overflow::Block).on_error(callback));
    for n in 0..ERRORS {
        fs::remove_file(&path).expect("the active file");
        logger.log("a record");
        // Each time the log begins a new file, and says so.
        logger.flush().expect("durable");
        assert!(path.exists());
        if n == 0 {
            entered.recv().expect("called");
        }
    }
    let stats = logger.close().expect("closed, though nobody listens");
    assert_eq!((stats.durable, stats.lost), (ERRORS as u64, 0));
    assert!(told.lock().unwrap().is_empty());
    drop(release);
    // One was being told, 64 waited, and the rest was counted.
    wait_until("all to be told", || told.lock().unwrap().len() == 66);
    let told = told.lock().unwrap();
    let moved = told.iter().filter(|error| error.kind() == ErrorKind::Moved).count();
    assert_eq!(moved, 65);
    assert_eq!(told[65].kind(), ErrorKind::Untold);
    assert!(told[65].to_string().contains("35 more errors"), "{}", told[65]);
}

#[test]
fn a_callback_of_a_manager_that_does_not_return_holds_nothing_up() {
    let directory = directory();
    let (release, hold) = mpsc::channel();
    let (callback, entered, told) = stuck(hold);
    let config = Config::new(log_path(&directory)).overflow(Overflow::Block).on_error(callback);
    let manager = LoggerManager::new(config).expect("a manager");
    for n in 0..10 {
        let file = directory.path().join("event.log");
        if n > 0 {
            fs::remove_file(&file).expect("the active file");
        }
        manager.log_with_event("event", "a record");
        manager.flush().expect("durable");
        assert!(file.exists());
        if n == 1 {
            entered.recv().expect("called");
        }
    }
    let stats = manager.close().expect("closed, though nobody listens");
    assert_eq!((stats.total.durable, stats.total.lost), (10, 0));
    drop(release);
    wait_until("all to be told", || told.lock().unwrap().len() == 9);
}

#[test]
fn all_is_told_when_close_returns() {
    let directory = directory();
    let path = log_path(&directory);
    let told = Arc::new(Mutex::new(0));
    let count = told.clone();
    let logger = open(Config::new(&path).buffer_size(1 << 20).num_shards(2).on_error(move |_| {
        std::thread::yield_now();
        *count.lock().unwrap() += 1;
    }));
    for _ in 0..20 {
        fs::remove_file(&path).expect("the active file");
        logger.log("a record");
        logger.flush().expect("durable");
    }
    logger.close().expect("closed");
    assert_eq!(*told.lock().unwrap(), 20);
}

/// Every record of the log, and that all of it is whole.
fn read_back(path: &Path) -> Vec<Vec<u8>> {
    let mut log = LogDir::open(path).expect("a log");
    let mut records = Vec::new();
    while let Some(record) = log.next_record().expect("readable") {
        records.push(record.bytes().to_vec());
    }
    assert!(log.report().is_whole(), "{:?}", log.report());
    records
}

#[test]
fn a_file_may_be_smaller_than_a_buffer() {
    // The memory that is given, or not; the most of a file; bytes of a record; records.
    let cases: [(usize, usize, u64, usize, usize); 4] = [
        (0, 0, 1 << 20, 1000, 5000),
        (0, 0, 4 << 20, 100_000, 120),
        (64 << 10, 1, 16 << 10, 300, 1000),
        (1 << 20, 2, 96 << 10, 5000, 200),
    ];
    for (buffer_size, shards, max, len, count) in cases {
        let directory = directory();
        let path = log_path(&directory);
        let config = Config::new(&path).buffer_size(buffer_size).num_shards(shards);
        let config = config.overflow(Overflow::Block).rotation(Rotation::new().max_size(max));
        let max_record = config.max_record();
        let logger = open(config);
        assert_eq!(logger.max_record(), max_record, "a record may be as long as ever");
        let record = |n: usize| vec![n as u8; len];
        (0..count).for_each(|n| logger.log_bytes(&record(n)));
        logger.close().expect("closed");
        let segments = segments(directory.path());
        for file in &segments {
            let len = fs::metadata(file).unwrap().len();
            assert!(len <= max, "{}: {len} bytes, {max} at most", file.display());
        }
        // And they are filled: not a file for each little block.
        let least = (count * len) as u64 / (max - (12 << 10)) + 1;
        assert!((segments.len() as u64) <= 2 * least + 2, "{} of {max}", segments.len());
        let records = read_back(&path);
        assert_eq!(records.len(), count);
        assert!(records.iter().enumerate().all(|(n, bytes)| *bytes == record(n)));
    }
}

#[test]
fn a_record_longer_than_a_file_has_one_of_its_own() {
    let directory = directory();
    let path = log_path(&directory);
    let config = Config::new(&path).overflow(Overflow::Block);
    let logger = open(config.rotation(Rotation::new().max_size(1 << 20)));
    let records: Vec<Vec<u8>> =
        (0..40).map(|n| vec![n as u8; if n % 8 == 7 { 3 << 20 } else { 1000 }]).collect();
    records.iter().for_each(|record| logger.log_bytes(record));
    let stats = logger.close().expect("closed");
    assert_eq!(stats.dropped_logs, 0);
    let lens: Vec<u64> =
        segments(directory.path()).iter().map(|file| fs::metadata(file).unwrap().len()).collect();
    let long = lens.iter().filter(|len| **len > 1 << 20).count();
    assert_eq!(long, 5, "{lens:?}");
    assert!(lens.iter().all(|len| *len < (3 << 20) + (1 << 16)), "{lens:?}");
    assert_eq!(read_back(&path), records);
}

#[test]
fn the_files_of_a_manager_may_be_smaller_than_a_block() {
    for max in [16_u64 << 10, 64 << 10, 1 << 20] {
        let directory = directory();
        let config = Config::new(log_path(&directory)).overflow(Overflow::Block);
        let config = config.rotation(Rotation::new().max_size(max));
        let manager = LoggerManager::new(config).expect("a manager");
        for n in 0..4000_u32 {
            manager.log_bytes_with_event("event", &[n as u8; 700]);
        }
        manager.close().expect("closed");
        for file in segments(directory.path()) {
            let len = fs::metadata(&file).unwrap().len();
            assert!(len <= max, "{}: {len} bytes, {max} at most", file.display());
        }
        assert_eq!(read_back(&directory.path().join("event.log")).len(), 4000);
    }
}

#[test]
fn new_files_have_the_mode_that_is_set_and_later_ones_that_of_the_one_before() {
    let directory = directory();
    let path = log_path(&directory);
    let rotation = Rotation::new().max_size(1 << 30);
    let config = Config::new(&path).buffer_size(1 << 20).num_shards(2).rotation(rotation);
    // The next file is prepared when nothing else is to be done.
    let config = config.flush_interval(Duration::from_millis(10));
    let logger = open(config.clone().mode(0o666));
    assert_eq!(mode_of(&path), 0o666, "whatever the mask is");
    logger.log("one");
    logger.flush().expect("durable");
    // The next file is there already, under its hidden name.
    wait_until("the next file", || directory.path().join(".app.next").exists());
    set_mode(&path, 0o600);
    logger.rotate().expect("rotated");
    assert_eq!(mode_of(&path), 0o600, "an administrator's mode stays");
    logger.log("two");
    logger.close().expect("closed");
    // It stays over a new start, too.
    let logger = open(config.mode(0o666));
    assert_eq!(mode_of(&path), 0o600);
    logger.log("three");
    logger.rotate().expect("rotated");
    assert_eq!(mode_of(&path), 0o600);
    logger.close().expect("closed");
    assert_eq!(segments(directory.path()).len(), 3);
}

#[test]
fn the_mode_is_kept_in_the_other_directory_and_by_events() {
    let directory = directory();
    let config = Config::new(log_path(&directory)).buffer_size(1 << 20).num_shards(2).mode(0o640);
    let manager = LoggerManager::new(config).expect("a manager");
    manager.log_with_event("event", "a record");
    manager.flush().expect("durable");
    let path = directory.path().join("event.log");
    assert_eq!(mode_of(&path), 0o640);
    set_mode(&path, 0o600);
    manager.rotate().expect("rotated");
    assert_eq!(mode_of(&path), 0o600);
    manager.close().expect("closed");
}

#[test]
fn a_mode_leaves_the_owner_the_file() {
    for bad in [0o1000, 0o4644, 0o044, 0o400, 0] {
        let error = Config::new("a.log").mode(bad).validate().expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("the mode is"), "{error}");
    }
    for good in [0o600, 0o777, 0o644] {
        let _ = Config::new("a.log").mode(good).validate().expect("valid");
    }
}

#[test]
fn a_manager_rotates_every_event_with_records() {
    let directory = directory();
    let config = Config::new(log_path(&directory)).buffer_size(1 << 20).num_shards(2);
    let manager = LoggerManager::new(config.event_files(2)).expect("a manager");
    // More than may be open at a time: some are closed when they are to be rotated.
    for event in ["a", "b", "c", "d", "e"] {
        manager.log_with_event(event, "a record");
    }
    let empty = manager.event("empty").expect("opened");
    manager.rotate().expect("rotated");
    assert_eq!(segments(directory.path()).len(), 5 * 2 + 1);
    // Nothing came since then.
    manager.rotate().expect("rotated");
    assert_eq!(segments(directory.path()).len(), 5 * 2 + 1);
    empty.log("a record");
    manager.log_with_event("a", "a record");
    manager.rotate().expect("rotated");
    assert_eq!(segments(directory.path()).len(), 5 * 2 + 1 + 2);
    let stats = manager.close().expect("closed");
    assert_eq!((stats.total.durable, stats.total.lost), (7, 0));
}
