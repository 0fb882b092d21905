//! Memory that is allocated part by part, and a file system that has no more of it.

use std::{
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{growth, memory::Form, pool::Pool};
use crate::{
    Config, CrashSafe, Error, ErrorKind, Health, LogError, LogId, Logger, LoggerManager, Overflow,
    io::{Ability, World},
    read::LogDir,
};

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn config(home: &Path) -> Config {
    let config = Config::new(home.join("app.log")).buffer_size(2 << 20).num_shards(2);
    config.crash_safe(CrashSafe::in_dir(home.join("maps")))
}

/// A directory whose file system gives maps no more memory than their openings take.
fn full(home: &Path) -> World {
    let world = World::of(&home.join("maps"));
    world.lacks(&[Ability::Room]);
    world
}

fn names_the_remedy(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::CrashMap, "{error}");
    for word in ["buffer_size", "--shm-size", "CrashSafe::in_dir", "until there is more room"] {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

fn count(path: &Path) -> u64 {
    let mut log = LogDir::open(path).expect("a log");
    while log.next_record().expect("a record").is_some() {}
    assert_eq!(log.report().lost, crate::read::Loss::exact(0), "{:?}", log.report());
    log.report().records
}

/// The memory that the opening found is lost to somebody else: the log says so, goes on with what it has, and takes the
/// rest as soon as there is some.
#[test]
fn a_lack_of_memory_is_told_and_ends() {
    let home = tempfile::tempdir().expect("a directory");
    let world = full(home.path());
    let (tell, told) = mpsc::channel();
    let config = config(home.path()).overflow(Overflow::Block);
    let logger = Logger::new(config.on_error(move |error| drop(tell.send(error.clone()))));
    let logger = logger.expect("the first parts have memory");
    names_the_remedy(&told.recv_timeout(Duration::from_secs(30)).expect("an error"));
    assert_eq!(logger.health(), Health::Degraded);
    names_the_remedy(&logger.last_error().expect("kept"));

    // Many more records than have room at a time: their calls wait.
    for _ in 0..1_000 {
        logger.try_log_bytes(&[1; 1_000]).expect("accepted");
    }
    logger.flush().expect("flushed");
    assert_eq!(logger.stats().durable, 1_000);
    // A record that has room in no buffer waits, too.
    thread::scope(|scope| {
        let long = scope.spawn(|| logger.try_log_bytes(&[2; 300_000]));
        wait_until("it looks for a buffer", || logger.flush_metrics().blocked_swaps > 0);
        world.lacks(&[]);
        long.join().expect("no panic").expect("accepted");
    });
    wait_until("the log is well again", || logger.health() == Health::Ok);
    assert_eq!(told.try_iter().count(), 0, "one report");
    logger.close().expect("closed");
    assert_eq!(count(&home.path().join("app.log")), 1_001);
}

/// Without waiting, records that have no room are refused and counted; the others are accepted.
#[test]
fn without_memory_a_long_record_is_refused_and_a_short_one_is_not() {
    let home = tempfile::tempdir().expect("a directory");
    let world = full(home.path());
    let logger = Logger::new(config(home.path())).expect("a logger");
    assert_eq!(logger.try_log_bytes(&[2; 300_000]), Err(LogError::Full));
    logger.try_log_bytes(&[1; 1_000]).expect("accepted");
    world.lacks(&[]);
    wait_until("the log is well again", || logger.health() == Health::Ok);
    wait_until("a long record has room", || logger.try_log_bytes(&[2; 300_000]).is_ok());
    let stats = logger.close().expect("closed");
    assert_eq!((stats.accepted, stats.lost), (2, 0));
    assert_eq!(count(&home.path().join("app.log")), 2);
}

/// As many records as there is room for, right after the opening, and no call waits: none is refused.
#[test]
fn a_burst_right_after_the_opening_has_the_room_of_all_buffers() {
    let home = tempfile::tempdir().expect("a directory");
    let config = config(home.path()).buffer_size(16 << 20).overflow(Overflow::Drop);
    let logger = Logger::new(config).expect("a logger");
    // 32 MiB in 4 buffers: three of them full.
    for _ in 0..24_000 {
        logger.log_bytes(&[3; 1_000]);
    }
    let stats = logger.close().expect("closed");
    assert_eq!((stats.accepted, stats.dropped_logs), (24_000, 0));
    // Blocks are as long as buffers: a buffer that grows is not sealed for that.
    assert!((3..=4).contains(&stats.flushes), "{} blocks", stats.flushes);
}

/// Buffers that have no memory at all are nobody's, and come back.
#[test]
fn buffers_without_memory_are_set_aside_until_there_is_some() {
    let home = tempfile::tempdir().expect("a directory");
    let world = full(home.path());
    let config = config(home.path()).num_shards(40).buffer_size(40 << 20);
    let config = config.validate().expect("valid");
    let make = || Pool::of_logger(&config, 4096, usize::MAX, LogId::default(), 1);
    let pool = make().expect("the first parts have memory");
    let (count, capacity) = (pool.len(), pool.capacity());
    let some = growth::first_parts(count, Form::new(capacity, 4096)).len();
    assert_eq!((count, some), (80, 64));
    let mut generation = 0;
    let mut take = |needed: usize| {
        generation += 1;
        pool.take(needed).map(|taken| taken.activate(0, generation))
    };
    let taken: Vec<_> = std::iter::from_fn(|| take(1_000)).collect();
    assert_eq!(taken.len(), some);
    assert!(!pool.has_room_for(1_000) && pool.next_free().is_none());
    assert!(pool.is_short(), "those without memory are not free");
    assert!(pool.grow().is_err());
    assert!(pool.next_free().is_none());
    world.lacks(&[]);
    let mut steps = 0;
    while pool.grow().expect("memory") {
        steps += 1;
    }
    // 1 MiB each: the first part, and four others.
    assert_eq!(steps, 64 * 4 + 16 * 5);
    assert!(pool.indices().all(|index| pool.upto(index) == capacity));
    let others: Vec<_> = std::iter::from_fn(|| take(capacity)).collect();
    assert_eq!(others.len(), count - some);
}

#[test]
fn a_manager_without_memory_goes_on_with_what_it_has() {
    let home = tempfile::tempdir().expect("a directory");
    let world = full(home.path());
    let (tell, told) = mpsc::channel();
    let config = Config::default().buffer_size(8 << 20).num_shards(2).overflow(Overflow::Block);
    let config = config.crash_safe(CrashSafe::in_dir(home.path().join("maps")));
    let config = config.on_error(move |error| drop(tell.send(error.clone())));
    let logs = home.path().join("logs");
    let manager = LoggerManager::in_dir(&logs, config).expect("the first parts have memory");
    names_the_remedy(&told.recv_timeout(Duration::from_secs(30)).expect("an error"));
    assert_eq!(manager.health(), Health::Degraded);
    // More than there is memory for, of three events.
    for number in 0..9_000 {
        manager.log_bytes_with_event(["a", "b", "c"][number % 3], &[5; 1_000]);
    }
    manager.flush().expect("flushed");
    world.lacks(&[]);
    wait_until("the manager is well again", || manager.health() == Health::Ok);
    manager.log_bytes_with_event("a", &vec![6; manager.max_record()]);
    let stats = manager.close().expect("closed");
    assert_eq!((stats.total.accepted, stats.total.dropped_logs), (9_001, 0));
    assert_eq!(told.try_iter().count(), 0, "one report");
    assert_eq!(
        ["a", "b", "c"].map(|event| count(&logs.join(event).with_extension("log"))),
        [3_001, 3_000, 3_000]
    );
}

/// An event beyond those that have a place with memory cannot be opened, and the error says why.
#[test]
fn an_event_without_memory_for_its_place_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let world = full(home.path());
    let config = Config::default().buffer_size(1 << 20).num_shards(1);
    let config = config.crash_safe(CrashSafe::in_dir(home.path().join("maps")));
    let manager = LoggerManager::in_dir(home.path().join("logs"), config).expect("a manager");
    let open = |number: u32| manager.initialize_event_logger(&format!("event {number}"));
    for number in 0..64 {
        open(number).expect("a place");
    }
    names_the_remedy(&open(64).expect_err("no memory"));
    world.lacks(&[]);
    for number in 65..200 {
        open(number).expect("a place");
    }
    manager.close().expect("closed");
    assert_eq!(home.path().join("maps").read_dir().expect("maps").count(), 0);
}
