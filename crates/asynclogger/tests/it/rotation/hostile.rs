//! The directory is cleaned up, moved, deleted or closed under a log that rotates: the log goes on, or says why not.

use std::{
    collections::BTreeSet,
    fs::{self, File, FileTimes},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::SystemTime,
};

use asynclogger::{Config, ErrorKind, Health, Logger, LoggerManager, Rotation, read::LogDir};

use super::{LONG, Told, Whole, files, small};
use crate::{
    matrix::{Finally, log_as},
    support::{Numbered, child_role, directory, in_child, log_path, open, wait_until},
};

/// A log with one record, whose next file is ready.
fn prepared(path: &Path, config: Config) -> (Told, PathBuf) {
    let told = Told::open(config.rotation(Rotation::new().max_age(LONG)));
    let hidden = path.with_file_name(".app.next");
    log_as(&told.logger, 0, 0..1);
    told.logger.flush().expect("flush");
    wait_until("the next file is ready", || hidden.exists());
    (told, hidden)
}

/// All that is read of a log, by number.
pub(super) fn numbers(path: &Path) -> Vec<u64> {
    let mut log = LogDir::open(path).expect("the log");
    let mut numbers = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        numbers.push(Numbered::parse(record.bytes()).expect("ours").1);
    }
    numbers
}

#[test]
fn a_prepared_file_that_a_cleaner_deletes_is_made_again() {
    let directory = directory();
    let path = log_path(&directory);
    let (told, hidden) = prepared(&path, small(&path));
    for number in 1..4 {
        fs::remove_file(&hidden).expect("removed");
        told.logger.rotate().expect("rotate");
        log_as(&told.logger, 0, number..number + 1);
        told.logger.flush().expect("flush");
        wait_until("the next file is ready", || hidden.exists());
    }
    assert!(told.errors.lock().expect("unpoisoned").is_empty());
    assert_eq!(told.logger.health(), Health::Ok);
    told.logger.close().expect("close");
    let whole = Whole::read(&path, 1);
    assert_eq!(whole.segments, 4);
    whole.assert_has(&[4]);
}

#[test]
fn a_prepared_file_that_was_replaced_is_left_alone() {
    let directory = directory();
    let path = log_path(&directory);
    let (told, hidden) = prepared(&path, small(&path));
    fs::remove_file(&hidden).expect("removed");
    fs::write(&hidden, "precious").expect("written");
    told.logger.rotate().expect("rotate");
    log_as(&told.logger, 0, 1..2);
    told.logger.close().expect("close");
    assert_eq!(fs::read(&hidden).expect("it"), b"precious");
    assert_eq!(numbers(&path), [0, 1]);
}

#[test]
fn a_log_goes_on_when_all_files_of_its_directory_are_deleted() {
    let directory = directory();
    let path = log_path(&directory);
    let (told, _) = prepared(&path, small(&path));
    for entry in fs::read_dir(directory.path()).expect("a directory") {
        fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    log_as(&told.logger, 0, 1..3);
    told.logger.flush().expect("flush");
    log_as(&told.logger, 0, 3..4);
    told.logger.rotate().expect("rotate");
    log_as(&told.logger, 0, 4..5);
    told.logger.close().expect("close");
    assert_eq!(numbers(&path), [1, 2, 3, 4], "the world has deleted the first one");
}

/// Files at hidden names that no log of ours has made, before and while it runs.
#[test]
fn a_foreign_file_at_a_hidden_name_stays_as_it_is() {
    let directory = directory();
    let path = log_path(&directory);
    let other = path.with_file_name("other.log");
    open(small(&other)).close().expect("a start of another log");
    let contents = [Vec::new(), b"precious".to_vec(), fs::read(&other).expect("a log")];
    fs::remove_file(&other).expect("removed");
    for (number, content) in contents.iter().enumerate() {
        let hidden = match number {
            0 => path.with_file_name(".app.next"),
            number => path.with_file_name(format!(".app.next.{number}")),
        };
        fs::write(hidden, content).expect("written");
    }
    let logger = open(small(&path).rotation(Rotation::new().max_age(LONG)));
    for number in 0..3 {
        log_as(&logger, 0, number..number + 1);
        logger.rotate().expect("rotate");
    }
    logger.close().expect("close");
    for (number, content) in contents.iter().enumerate() {
        let hidden = match number {
            0 => path.with_file_name(".app.next"),
            number => path.with_file_name(format!(".app.next.{number}")),
        };
        assert_eq!(&fs::read(hidden).expect("it"), content, "{number}");
    }
    assert_eq!(numbers(&path), [0, 1, 2]);
}

pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[test]
fn a_lock_file_that_was_removed_is_made_again_and_touched() {
    let directory = directory();
    let path = log_path(&directory);
    let lock = path.with_file_name(".app.lock");
    let logger = open(small(&path));
    fs::remove_file(&lock).expect("removed");
    let log_and_flush = || {
        log_as(&logger, 0, 0..1);
        logger.flush().expect("flush");
    };
    wait_until("the lock file is there", || {
        log_and_flush();
        lock.exists()
    });
    let made = identity(&lock);
    let long_ago = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
    File::options().write(true).open(&lock).expect("it").set_times(long_ago).expect("set");
    // Closing that file has given up our lock: as POSIX has it. The test wants its time only.
    wait_until("it is touched", || {
        log_and_flush();
        let modified = fs::metadata(&lock).expect("it").modified().expect("a time");
        modified > SystemTime::UNIX_EPOCH
    });
    assert_eq!(identity(&lock), made, "one that is there is kept");
    assert_eq!(logger.health(), Health::Ok);
    assert_eq!(Logger::new(small(&path)).expect_err("in use").kind(), ErrorKind::InUse);
}

/// The lock file is removed, and another process takes the log: the first writer says so, leaves the path to the
/// other, and what it counts as durable is in its file.
#[test]
fn a_second_writer_behind_a_removed_lock_is_noticed() {
    const TEST: &str = "rotation::hostile::a_second_writer_behind_a_removed_lock_is_noticed";
    if let Some(path) = child_role() {
        let path = Path::new(&path);
        let logger = open(small(path));
        log_as(&logger, 1, 0..1);
        logger.flush().expect("flush");
        fs::write(path.with_file_name("ready"), "").expect("told");
        wait_until("the first writer is done", || path.with_file_name("done").exists());
        log_as(&logger, 1, 1..2);
        logger.close().expect("close");
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    let told = Told::open(small(&path).num_shards(1));
    log_as(&told.logger, 0, 0..1);
    told.logger.flush().expect("flush");
    fs::remove_file(path.with_file_name(".app.lock")).expect("removed");
    let child = Command::new(std::env::current_exe().expect("this binary"))
        .args([TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env("CHILD", &path)
        .spawn();
    let mut child = child.expect("a child");
    wait_until("the second writer has the log", || path.with_file_name("ready").exists());
    let mut count = 1;
    wait_until("it is told", || {
        log_as(&told.logger, 0, count..count + 1);
        told.logger.flush().expect("flush");
        count += 1;
        told.errors.lock().expect("it").iter().any(|error| error.kind() == ErrorKind::InUse)
    });
    assert!(told.logger.health() > Health::Ok);
    let second = identity(&path);
    told.logger.rotate().expect_err("the path is another's");
    assert_eq!(identity(&path), second, "the path is left to the other writer");
    told.logger.close().expect("close");
    fs::write(path.with_file_name("done"), "").expect("told");
    assert!(child.wait().expect("the child").success());
    let mut log = LogDir::open(&path).expect("the log");
    let mut of_threads = [Vec::new(), Vec::new()];
    while let Some(record) = log.next_record().expect("a record") {
        let (thread, number) = Numbered::parse(record.bytes()).expect("ours");
        of_threads[thread as usize].push(number);
    }
    assert!(of_threads[0].iter().copied().eq(0..count), "{:?} of {count}", of_threads[0]);
    assert_eq!(of_threads[1], [0, 1]);
}

/// An idle log asks for nothing. Its next flush is answered when the loss of the lock is known: the file of the first
/// writer, which the second one has set aside, has the record, and the path is the second one's.
#[test]
fn the_first_flush_of_an_idle_log_notices_a_second_writer() {
    const TEST: &str = "rotation::hostile::the_first_flush_of_an_idle_log_notices_a_second_writer";
    if let Some(path) = child_role() {
        let path = Path::new(&path);
        let logger = open(small(path));
        fs::write(path.with_file_name("ready"), "").expect("told");
        wait_until("the first writer is done", || path.with_file_name("done").exists());
        logger.close().expect("close");
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    let lock = path.with_file_name(".app.lock");
    let told = Told::open(small(&path).num_shards(1));
    for number in 0..3 {
        fs::remove_file(&lock).expect("removed");
        log_as(&told.logger, 0, number..number + 1);
        told.logger.flush().expect("flush");
        assert!(lock.exists(), "the first flush makes the lock file again");
    }
    fs::remove_file(&lock).expect("removed");
    let child = Command::new(std::env::current_exe().expect("this binary"))
        .args([TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env("CHILD", &path)
        .spawn();
    let mut child = child.expect("a child");
    wait_until("the second writer has the log", || path.with_file_name("ready").exists());
    let second = identity(&path);
    assert_eq!(told.logger.health(), Health::Ok, "nothing polls");
    log_as(&told.logger, 0, 3..4);
    told.logger.flush().expect("flush");
    assert_eq!(told.logger.health(), Health::Degraded);
    wait_until("it is told", || {
        told.errors.lock().expect("it").iter().any(|error| error.kind() == ErrorKind::InUse)
    });
    assert_eq!(identity(&path), second, "the path is left to the other writer");
    told.logger.close().expect("close");
    fs::write(path.with_file_name("done"), "").expect("told");
    assert!(child.wait().expect("the child").success());
    assert_eq!(numbers(&path), [0, 1, 2, 3]);
}

fn flock(file: &File, operation: i32) {
    // SAFETY: the descriptor is open.
    assert_eq!(unsafe { libc::flock(std::os::fd::AsRawFd::as_raw_fd(file), operation) }, 0);
}

/// A program that writes the log has locked the file itself: a logger that could make no lock file, or a foreign one.
#[test]
fn a_log_that_another_program_has_locked_is_not_opened() {
    let directory = directory();
    let path = log_path(&directory);
    open(small(&path)).close().expect("close");
    fs::remove_file(path.with_file_name(".app.lock")).expect("removed");
    let file = File::open(&path).expect("the log");
    flock(&file, libc::LOCK_EX);
    let error = Logger::new(small(&path)).expect_err("in use");
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(!path.with_file_name(".app.lock").exists(), "a refusal leaves nothing behind");
    let manager = LoggerManager::in_dir(directory.path(), Config::default()).expect("a manager");
    assert_eq!(manager.event("app").map(drop).expect_err("in use").kind(), ErrorKind::InUse);
    manager.close().expect("close");
    // A reader may have a lock, and nothing of ours keeps one.
    flock(&file, libc::LOCK_SH);
    let logger = open(small(&path));
    flock(&file, libc::LOCK_EX);
    log_as(&logger, 0, 0..1);
    logger.rotate().expect("rotate");
    assert_eq!(logger.close().expect("close").durable, 1);
    assert_eq!(numbers(&path), [0]);
}

#[test]
fn a_log_stays_in_a_directory_that_is_moved() {
    let directory = directory();
    let (old, moved) = (directory.path().join("logs"), directory.path().join("logs.old"));
    let path = old.join("app.log");
    let (told, _) = prepared(&path, small(&path));
    fs::rename(&old, &moved).expect("moved");
    // The next service begins where the first one was.
    let next = open(small(&path));
    log_as(&next, 0, 100..101);
    for number in 1..4 {
        log_as(&told.logger, 0, number..number + 1);
        told.logger.rotate().expect("rotate");
    }
    assert!(told.errors.lock().expect("unpoisoned").is_empty());
    told.logger.close().expect("close");
    next.close().expect("close");
    assert_eq!(numbers(&moved.join("app.log")), [0, 1, 2, 3]);
    assert_eq!(numbers(&path), [100]);
}

/// `mv logs logs.old`, and the next service begins in a new `logs`: an event that has a file in both.
#[test]
fn a_manager_stays_in_a_directory_that_is_moved() {
    let directory = directory();
    let (old, moved) = (directory.path().join("logs"), directory.path().join("logs.old"));
    let manager = |dir: &Path| {
        let config = Config::new(dir.join("base.log")).buffer_size(8 << 20).num_shards(16);
        let config = config.overflow(asynclogger::Overflow::Block);
        let config = config.rotation(Rotation::new().max_size(1 << 20));
        LoggerManager::new(config).expect("a manager")
    };
    let log = |manager: &LoggerManager, event: &str, numbers: std::ops::Range<u64>| {
        let mut record = Numbered::new();
        for number in numbers {
            manager.log_bytes_with_event(event, record.make(0, number, 200));
        }
    };
    // Both files are there, and of unlike length.
    let first = manager(&old);
    log(&first, "event", 0..500);
    first.close().expect("close");
    let first = manager(&old);
    log(&first, "other", 0..1);
    first.flush().expect("flush");
    fs::rename(&old, &moved).expect("moved");
    let second = manager(&old);
    log(&second, "event", 50_000..50_001);
    second.close().expect("close");
    log(&first, "event", 500..20_000);
    log(&first, "new", 0..10);
    first.flush().expect("flush");
    assert!(files(&moved.join("app.log")).iter().any(|name| name.starts_with("event_")));
    first.close().expect("close");
    assert_eq!(numbers(&moved.join("event.log")), Vec::from_iter(0..20_000));
    assert_eq!(numbers(&moved.join("new.log")), Vec::from_iter(0..10));
    assert_eq!(numbers(&old.join("event.log")), [50_000]);
    assert!(!old.join("new.log").exists());
}

pub(super) const NOBODY: u32 = 65_534;

/// Runs the test again in a process that root's rights are taken from later; whether this is the parent.
fn is_parent_of(test: &str) -> bool {
    if child_role().is_some() {
        return false;
    }
    // SAFETY: no arguments.
    if unsafe { libc::geteuid() } == 0 {
        in_child(&format!("rotation::hostile::{test}"), "nobody");
    } else {
        println!("skipped: only root can become somebody else");
    }
    true
}

pub(super) fn become_nobody() {
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::setgid(NOBODY) }, 0);
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::setuid(NOBODY) }, 0);
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// A directory that everybody reaches: those of tests are their owner's alone.
pub(super) fn reachable() -> tempfile::TempDir {
    let directory = tempfile::tempdir_in("/tmp").expect("a directory");
    set_mode(directory.path(), 0o755);
    directory
}

/// The next file is ready, and then the directory lets nobody make or rename anything.
#[test]
fn a_log_that_cannot_rotate_goes_on_in_its_file_and_rotates_when_it_can() {
    if is_parent_of("a_log_that_cannot_rotate_goes_on_in_its_file_and_rotates_when_it_can") {
        return;
    }
    let directory = reachable();
    let path = directory.path().join("app.log");
    std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).expect("an owner");
    let other = reachable();
    std::os::unix::fs::chown(other.path(), Some(NOBODY), Some(NOBODY)).expect("an owner");
    become_nobody();
    for failover in [None, Some(other.path())] {
        let config = match failover {
            Some(other) => small(&path).failover_dir(other),
            None => small(&path),
        };
        let (told, _) = prepared(&path, config);
        let active = identity(&path);
        set_mode(directory.path(), 0o555);
        for number in 1..5 {
            told.logger.rotate().expect_err("it cannot");
            log_as(&told.logger, 0, number..number + 1);
            told.logger.flush().expect("flush");
            assert_eq!(told.logger.stats().durable, number + 1);
            assert_eq!(identity(&path), active);
        }
        assert_eq!(told.logger.health(), Health::Degraded);
        assert!(!told.errors.lock().expect("unpoisoned").is_empty());
        set_mode(directory.path(), 0o755);
        told.logger.rotate().expect("rotate");
        assert_eq!(told.logger.health(), Health::Ok);
        log_as(&told.logger, 0, 5..6);
        told.logger.close().expect("close");
        let whole = Whole::read(&path, 1);
        assert_eq!(whole.segments, 2);
        whole.assert_has(&[6]);
        assert_eq!(fs::read_dir(other.path()).expect("it").count(), 0, "writing works");
        for name in files(&path) {
            fs::remove_file(path.with_file_name(name)).expect("removed");
        }
    }
}

#[test]
fn a_log_of_which_only_the_file_is_writable_is_written_and_locked() {
    if is_parent_of("a_log_of_which_only_the_file_is_writable_is_written_and_locked") {
        return;
    }
    let directory = reachable();
    let path = directory.path().join("app.log");
    File::create(&path).expect("a file");
    std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).expect("an owner");
    let missing = directory.path().join("missing.log");
    become_nobody();
    let error = Logger::new(small(&missing)).expect_err("it cannot be made");
    assert_eq!(
        error.io_error().map(std::io::Error::kind),
        Some(std::io::ErrorKind::PermissionDenied)
    );
    for number in 0..3 {
        let logger = open(small(&path));
        log_as(&logger, 0, number..number + 1);
        let error = Logger::new(small(&path)).expect_err("in use");
        assert_eq!(error.kind(), ErrorKind::InUse);
        logger.flush().expect("flush");
        logger.close().expect("close");
    }
    assert_eq!(files(&path), BTreeSet::from(["app.log".to_owned()]));
    assert_eq!(numbers(&path), [0, 1, 2]);
}

#[test]
fn a_refused_path_leaves_nothing_behind() {
    let directory = directory();
    let path = log_path(&directory);
    symlink("/dev/null", &path).expect("a link");
    assert_eq!(Logger::new(small(&path)).expect_err("a link").kind(), ErrorKind::NotAFile);
    assert_eq!(fs::read_dir(directory.path()).expect("it").count(), 1, "the link");
    assert_eq!(
        Logger::new(small(Path::new("/dev/null"))).expect_err("a device").kind(),
        ErrorKind::NotAFile
    );
    assert!(!Path::new("/dev/.null.lock").exists());
}

#[test]
fn a_deleted_directory_is_found_again_or_made() {
    let top = directory();
    for (failover, remake) in [(false, false), (false, true), (true, false), (true, true)] {
        let name = format!("logs-{failover}-{remake}");
        let (dir, away) = (top.path().join(&name), top.path().join(format!("{name}-away")));
        let path = dir.join("app.log");
        let config = if failover { small(&path).failover_dir(&away) } else { small(&path) };
        let (told, _) = prepared(&path, config);
        fs::remove_dir_all(&dir).expect("removed");
        if remake {
            fs::create_dir(&dir).expect("made");
        }
        log_as(&told.logger, 0, 1..2);
        told.logger.flush().expect("flush");
        log_as(&told.logger, 0, 2..3);
        told.logger.rotate().expect("rotate");
        log_as(&told.logger, 0, 3..4);
        assert_eq!(told.logger.health(), Health::Ok);
        told.logger.close().expect("close");
        assert_eq!(numbers(&path), [1, 2, 3], "{name}");
        assert!(path.with_file_name(".app.lock").exists());
        assert!(!away.exists());
    }
}

/// The directory is deleted and cannot be made again.
#[test]
fn a_log_without_a_directory_goes_on_in_the_other_one() {
    let top = directory();
    let (dir, away) = (top.path().join("above/logs"), top.path().join("away"));
    let path = dir.join("app.log");
    let (told, _) = prepared(&path, small(&path).failover_dir(&away));
    fs::remove_dir_all(top.path().join("above")).expect("removed");
    fs::write(top.path().join("above"), "no directory").expect("written");
    log_as(&told.logger, 0, 1..3);
    // The attempt that finds the directory missing may be this flush's.
    wait_until("all is durable", || told.logger.flush().is_ok());
    assert_eq!(told.logger.health(), Health::Degraded);
    fs::remove_file(top.path().join("above")).expect("removed");
    wait_until("it is at home again", || {
        let _ = told.logger.flush();
        told.logger.health() == Health::Ok
    });
    log_as(&told.logger, 0, 3..4);
    told.logger.close().expect("close");
    assert_eq!(numbers(&away.join("app.log")), [1, 2]);
    assert_eq!(numbers(&path), [3]);
}

#[test]
fn a_reader_finds_the_log_at_every_moment_of_a_rotation() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(small(&path));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = Finally(|| stop.store(true, Ordering::Relaxed));
        let reader = scope.spawn(|| {
            let mut looks = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                File::open(&path).expect("the log is there");
                looks += 1;
            }
            looks
        });
        // A file with two names for a moment is one segment.
        let whole = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let numbers = numbers(&path);
                assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{numbers:?}");
            }
        });
        for number in 0..200 {
            log_as(&logger, 0, number..number + 1);
            logger.rotate().expect("rotate");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().expect("the reader") > 0);
        whole.join().expect("the other reader");
    });
    logger.close().expect("close");
    let whole = Whole::read(&path, 1);
    assert_eq!(whole.segments, 201);
    whole.assert_has(&[200]);
}
