//! Events whose files cannot be opened or written, beside others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use asynclogger::{
    ErrorKind, Health, LoggerManager, Overflow,
    read::{LogDir, verify},
};

use super::{config, file, manager, records};
use crate::{
    matrix::{Finally, durabilities, engines},
    mounts::{FileSystem, or_skip, skipped},
    support::{Found, Numbered, assert_balanced, directory, wait_until},
};

/// All records of a log, of however many segments, each of which is whole.
fn all_records(path: &Path) -> Vec<Vec<u8>> {
    let mut log = LogDir::open(path).expect("a log");
    let mut found = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        found.push(record.bytes().to_vec());
    }
    found
}

#[test]
fn events_that_cannot_be_opened_are_counted() {
    let directory = directory();
    fs::create_dir(file(&directory, "a")).expect("a directory in the way");
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let config = config(&directory).on_error(move |error| {
        heard.lock().expect("unpoisoned").push(error.kind());
    });
    let manager = LoggerManager::new(config).expect("a manager");
    for _ in 0..10 {
        manager.log_with_event("a", "nowhere to go");
    }
    assert_eq!(manager.event("a").expect_err("not a file").kind(), ErrorKind::NotAFile);
    // Of the calls by name, which cannot say so; not of each, and not of what `event` says.
    wait_until("the callback", || !told.lock().expect("unpoisoned").is_empty());
    let told = told.lock().expect("unpoisoned").clone();
    assert!(!told.is_empty() && told.len() < 10, "{told:?}");
    assert!(told.iter().all(|kind| *kind == ErrorKind::NotAFile), "{told:?}");
    manager.log_with_event("b", "fine");
    let stats = manager.close().expect("close");
    assert_eq!((stats.unopened, stats.total.accepted, stats.total.dropped_logs), (10, 1, 0));
}

/// One event whose file takes nothing does not stop the others, and loses only its own.
#[test]
fn a_noisy_event_does_not_take_the_room_of_others() {
    let directory = directory();
    let quota = 1 << 20;
    let manager = LoggerManager::new(config(&directory).event_quota(quota)).expect("a manager");
    let noisy = manager.event("noisy").expect("opened");
    let quiet = manager.event("quiet").expect("opened");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let record = vec![1; 32 << 10];
            (0..20_000).for_each(|_| noisy.log_bytes(&record));
        });
        let logged = (0..200).filter(|number: &u32| {
            // The caller's own shard has room: nobody else logs at it.
            wait_until("sorted", || manager.stats().total.total_logs > u64::from(*number) * 20);
            quiet.try_log_bytes(b"a quiet record").is_ok()
        });
        // How many are taken is a matter of time; that each is accounted for is not.
        assert!(logged.count() <= 200);
    });
    let stats = manager.close().expect("close");
    assert_balanced(&stats.total);
    let (of_noisy, of_quiet) = (
        manager.event_stats("noisy").expect("stats"),
        manager.event_stats("quiet").expect("stats"),
    );
    assert_eq!(of_noisy.total_logs, 20_000);
    assert_eq!(of_quiet.total_logs, 200);
    assert_eq!(of_quiet.lost + of_noisy.lost, 0);
    let found = records(&file(&directory, "quiet"));
    assert_eq!(found.len() as u64, of_quiet.accepted);
    assert_eq!(records(&file(&directory, "noisy")).len() as u64, of_noisy.accepted);
}

/// What is in the way goes away: the event is opened then, and the others never noticed.
#[test]
fn an_event_is_opened_when_what_is_in_its_way_is_gone() {
    let directory = directory();
    fs::create_dir(file(&directory, "a")).expect("a directory in the way");
    let manager = manager(&directory);
    let mut refused = 0;
    for number in 0..100 {
        manager.log_with_event("a", "in the way");
        manager.log_with_event("b", &format!("{number}"));
        refused += 1;
    }
    assert_eq!(manager.stats().unopened, refused);
    assert!(!manager.has_event_logger("a"));
    fs::remove_dir(file(&directory, "a")).expect("removed");
    // It is not tried again at once.
    wait_until("it is opened", || manager.event("a").is_ok());
    manager.log_with_event("a", "now");
    let stats = manager.close().expect("close");
    assert_eq!((stats.unopened, stats.total.accepted, stats.total.lost), (refused, 101, 0));
    assert_eq!(stats.total.dropped_logs, 0);
    assert_eq!(records(&file(&directory, "a")), [b"now"]);
    assert_eq!(records(&file(&directory, "b")).len(), 100);
}

/// A file that nobody may change, until it is dropped.
struct Immutable(PathBuf);

impl Immutable {
    fn make(path: &Path) -> Result<Immutable, String> {
        change(path, "+i")?;
        Ok(Immutable(path.to_owned()))
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        change(&self.0, "-i").expect("what could be made immutable");
    }
}

fn change(path: &Path, how: &str) -> Result<(), String> {
    let output = Command::new("chattr").arg(how).arg(path).output();
    let output = output.map_err(|error| format!("chattr: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(errors) }
}

/// A file that may not be changed while its event is open: the others go on, and flush; its own records
/// wait for it, and are written when it may be.
#[test]
fn a_file_that_fails_later_costs_the_others_nothing() {
    for engine in engines() {
        let directory = directory();
        let config = config(&directory).engine(*engine).event_quota(1 << 20);
        let config = config.flush_interval(Duration::from_millis(20));
        let manager = LoggerManager::new(config).expect("a manager");
        let event = |name: &str| manager.event(name).expect("opened");
        let (bad, good) = (event("bad"), event("good"));
        bad.log("before");
        good.log("before");
        manager.flush().expect("flush");
        let path = file(&directory, "bad");
        let immutable = match Immutable::make(&path) {
            Ok(immutable) => immutable,
            Err(why) => return skipped(&why),
        };
        bad.log("while it may not be changed");
        wait_until("it fails", || manager.event_health("bad").expect("open") == Health::Failing);
        assert_eq!(manager.health(), Health::Failing);
        let durable = || manager.event_stats("good").expect("open").durable;
        for number in 0..50 {
            good.log(&format!("{number}"));
            let before = durable();
            wait_until("the other one is written", || durable() > before || durable() > number);
        }
        assert_eq!(manager.event_health("good").expect("open"), Health::Ok);
        // It is one of all, and so that is told.
        assert!(manager.flush_for(Duration::from_millis(200)).is_err());
        // Others can be opened and closed meanwhile.
        event("another").log("one");
        assert_eq!(manager.close_event_logger("another").expect("closed").durable, 1);
        let closed = manager.close_event_logger("bad");
        assert!(closed.is_err(), "{closed:?}");
        assert!(manager.close().is_err());
        drop(immutable);
        let mut closed = manager.close();
        wait_until("close", || {
            if closed.is_err() {
                closed = manager.close();
            }
            closed.is_ok()
        });
        let stats = closed.expect("just seen");
        assert_balanced(&stats.total);
        assert_eq!((stats.total.accepted, stats.total.dropped_logs), (54, 0));
        assert_eq!((stats.total.durable, stats.total.lost), (54, 0));
        assert_eq!(all_records(&path), [&b"before"[..], b"while it may not be changed"]);
        assert_eq!(records(&file(&directory, "good")).len(), 51);
    }
}

/// A file that may not be changed when its event is opened.
#[test]
fn a_file_without_permission_is_counted_and_left_alone() {
    let directory = directory();
    let first = manager(&directory);
    first.log_with_event("a", "before");
    first.close().expect("close");
    let path = file(&directory, "a");
    let before = fs::read(&path).expect("the file");
    let immutable = match Immutable::make(&path) {
        Ok(immutable) => immutable,
        Err(why) => return skipped(&why),
    };
    let manager = manager(&directory);
    for _ in 0..10 {
        manager.log_with_event("a", "refused");
        manager.log_with_event("b", "fine");
    }
    let error = manager.event("a").expect_err("no permission");
    assert_eq!(error.path(), Some(&*path), "{error}");
    let stats = manager.close().expect("close");
    assert_eq!((stats.unopened, stats.total.accepted, stats.events), (10, 10, 1));
    drop(immutable);
    assert_eq!(fs::read(&path).expect("the file"), before);
}

pub(super) const EVENTS: u64 = 40;
pub(super) const A_SECOND: Duration = Duration::from_secs(1);
const THREADS: u32 = 3;

/// Records `numbers` of each thread, of all events in turn.
pub(super) fn log_to_all(manager: &LoggerManager, numbers: std::ops::Range<u64>) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let numbers = numbers.clone();
            scope.spawn(move || {
                let mut record = Numbered::new();
                for number in numbers {
                    let name = format!("event-{}", (number + u64::from(thread)) % EVENTS);
                    manager.log_bytes_with_event(&name, record.make(thread, number, 500));
                }
            });
        }
    });
}

/// Each record of all threads is in one file, whole and once.
fn assert_all_there(directory: &Path, each: u64) {
    let mut by_thread = vec![Vec::new(); THREADS as usize];
    for event in 0..EVENTS {
        let path = directory.join(format!("event-{event}.log"));
        assert!(verify(&path).expect("a report").is_whole(), "{event}");
        let found = Found::read(&path, THREADS as usize);
        found.assert_in_order();
        for (all, of_event) in by_thread.iter_mut().zip(found.by_thread) {
            all.extend(of_event);
        }
    }
    for numbers in &mut by_thread {
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..each), "{} of {each}", numbers.len());
    }
}

/// Small file systems of two kinds that get full: nothing of any event is lost, and all go on by themselves
/// when there is room.
#[test]
fn many_events_on_a_full_disk_lose_nothing() {
    /// Of each thread: together about 9 MB, twice what there is room for. With room, there is much of it: small
    /// blocks of many events have more metadata than records.
    const EACH: u64 = 6_000;
    for (file_system, mib) in [(FileSystem::Tmpfs, 160), (FileSystem::Ext4, 160)] {
        for durability in durabilities() {
            for engine in engines() {
                let Some(mounted) = or_skip(file_system.mount_of_size(mib)) else {
                    return;
                };
                let directory = mounted.path().join("logs");
                let config = asynclogger::Config::new(directory.join("base.log"));
                // What does not fit into the memory waits.
                let config = config.buffer_size(4 << 20).overflow(Overflow::Block);
                let config = config.durability(*durability).engine(*engine);
                let config = config.flush_interval(Duration::from_millis(20));
                let manager = LoggerManager::new(config).expect("a manager");
                log_to_all(&manager, 0..EVENTS);
                manager.flush().expect("flush");
                let filler = mounted.fill_up_to(4 << 20);
                std::thread::scope(|scope| {
                    // Lets the writers go if they would wait for ever.
                    let _end = Finally(|| drop(manager.close()));
                    let writers = scope.spawn(|| log_to_all(&manager, EVENTS..EACH));
                    wait_until("the disk is full", || {
                        let stats = manager.stats();
                        stats.total.errors.space > 3 && manager.health() == Health::Failing
                    });
                    assert!(manager.flush_for(Duration::from_millis(50)).is_err());
                    fs::remove_file(&filler).expect("the filler");
                    wait_until("the writers go on", || writers.is_finished());
                    writers.join().expect("the writers");
                    wait_until("all is well", || manager.flush_for(A_SECOND).is_ok());
                    assert_eq!(manager.health(), Health::Ok);
                });
                let stats = manager.close().expect("close");
                assert_balanced(&stats.total);
                assert_eq!(stats.total.accepted, u64::from(THREADS) * EACH);
                assert_eq!((stats.total.dropped_logs, stats.total.lost, stats.unopened), (0, 0, 0));
                assert_all_there(&directory, EACH);
            }
        }
    }
}

/// Who flushes on a full disk is told of it, as by a logger: also when memory is used up by then, and not
/// everything is sorted.
#[test]
fn a_flush_is_told_of_a_full_disk_whatever_is_in_memory() {
    let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(64)) else {
        return;
    };
    let config = asynclogger::Config::new(mounted.path().join("logs/base.log"));
    let config = config.buffer_size(1 << 20).flush_interval(Duration::from_millis(20));
    let manager = LoggerManager::new(config).expect("a manager");
    log_to_all(&manager, 0..EVENTS);
    manager.flush().expect("flush");
    let filler = mounted.fill_up_to(1 << 20);
    // What finds no room is dropped.
    wait_until("the disk is full, and then the memory, too", || {
        let before = manager.stats().total;
        log_to_all(&manager, 0..EVENTS);
        let dropped = manager.stats().total.dropped.full;
        // The flusher can be slow: what is dropped before the disk is full says nothing.
        before.errors.space > 0 && dropped > before.dropped.full + 100
    });
    wait_until("a flush is told", || {
        let flushed = manager.flush_for(A_SECOND);
        flushed.is_err_and(|error| error.kind() == ErrorKind::Io)
    });
    fs::remove_file(&filler).expect("the filler");
    wait_until("all is well", || manager.flush_for(A_SECOND).is_ok());
    let stats = manager.close().expect("close");
    assert_balanced(&stats.total);
    assert_eq!((stats.total.durable, stats.total.lost), (stats.total.accepted, 0));
}

/// Callers that wait because their events have used up their quota are released by a close, also if the disk is full,
/// memory is used up, and the close gives up.
#[test]
fn a_close_that_gives_up_releases_callers_that_the_quota_holds() {
    let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(16)) else {
        return;
    };
    let config = asynclogger::Config::new(mounted.path().join("logs/base.log"));
    let config = config.buffer_size(64 << 10).num_shards(1).overflow(Overflow::Block);
    let config = config.flush_interval(Duration::from_millis(20));
    let manager = LoggerManager::new(config.flush_timeout(A_SECOND / 10)).expect("a manager");
    // The quota of an event is a third of the memory.
    let events: Vec<_> =
        (0..5).map(|of| manager.event(&format!("event{of}")).expect("opened")).collect();
    let _filler = mounted.fill_up_to(1 << 20);
    let log_until_refused = |event: asynclogger::EventLogger| loop {
        if let Err(error) = event.try_log_bytes(&[7; 500]) {
            return error;
        }
    };
    let mut callers = Vec::new();
    for event in events {
        callers.push(std::thread::spawn(move || log_until_refused(event)));
        let mut looks = (0, 0);
        wait_until("the caller waits", || {
            let accepted = manager.stats().total.accepted;
            looks = if looks.0 == accepted { (accepted, looks.1 + 1) } else { (accepted, 0) };
            manager.health() == Health::Failing && looks.1 > 20
        });
    }
    assert!(manager.close().is_err());
    for caller in callers {
        wait_until("a caller goes on", || caller.is_finished());
        assert_eq!(caller.join().expect("a caller"), asynclogger::LogError::Closed);
    }
}
