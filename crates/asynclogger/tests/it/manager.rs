//! Many events behind one manager.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use asynclogger::{
    Config, ErrorKind, Health, LogDir, LogError, Logger, LoggerManager, Opened, Overflow, Reader,
    Rotation, verify,
};
use tempfile::TempDir;

use crate::support::{
    Found, Numbered, assert_balanced, child_role, directory, in_child, wait_until,
};

fn config(directory: &TempDir) -> Config {
    Config::new(directory.path().join("base.log")).buffer_size(8 << 20)
}

fn manager(directory: &TempDir) -> LoggerManager {
    LoggerManager::new(config(directory)).expect("a manager")
}

fn file(directory: &TempDir, base: &str) -> PathBuf {
    directory.path().join(format!("{base}.log"))
}

/// All records of a file, which is whole.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::open(path).expect("a reader");
    let mut found = Vec::new();
    while let Some(record) = reader.next_record().expect("read") {
        found.push(record.bytes().to_vec());
    }
    assert!(reader.report().is_whole(), "{}", path.display());
    found
}

fn logs_in(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).expect("the directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    names
}

#[test]
fn new_logger_manager() {
    let directory = directory();
    let path = directory.path().join("not/yet/there/base.log");
    let manager = LoggerManager::new(Config::new(&path)).expect("a manager");
    assert_eq!(manager.directory(), path.parent().expect("a parent"));
    assert!(manager.directory().is_dir());
    assert!(manager.list_event_loggers().is_empty());
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.total_logs, stats.events), (0, 0));
    // No file of the path's own name.
    assert!(!path.exists());
}

#[test]
fn new_logger_manager_refuses_bad_configs() {
    for config in [Config::new(""), Config::new("x").num_shards(100_000)] {
        let error = LoggerManager::new(config).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}

#[test]
fn logger_manager_log_bytes_with_event() {
    let directory = directory();
    let manager = manager(&directory);
    manager.log_bytes_with_event("payment", b"one");
    manager.log_bytes_with_event("login", b"two");
    manager.log_bytes_with_event("payment", b"three");
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.accepted, stats.total.durable, stats.events), (3, 3, 2));
    assert_eq!(records(&file(&directory, "payment")), [&b"one"[..], b"three"]);
    assert_eq!(records(&file(&directory, "login")), [b"two"]);
}

#[test]
fn logger_manager_log_bytes_with_event_refuses_and_counts() {
    let directory = directory();
    let manager = manager(&directory);
    let longest = vec![1; manager.max_record()];
    manager.log_bytes_with_event("a", &longest);
    manager.log_bytes_with_event("a", &[longest, vec![1]].concat());
    manager.log_bytes_with_event("a", b"");
    manager.log_bytes_with_event("", b"no name");
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.accepted, stats.total.dropped_logs, stats.unopened), (1, 2, 1));
    assert_eq!((stats.total.dropped.too_large, stats.total.dropped.empty), (1, 1));
    let report = verify(file(&directory, "a")).expect("a report");
    assert_eq!((report.records, report.dropped().total()), (1, 2));
}

#[test]
fn logger_manager_log_with_event() {
    let directory = directory();
    let manager = manager(&directory);
    manager.log_with_event("order", "Order created: #12345");
    manager.close().expect("close");
    assert_eq!(records(&file(&directory, "order")), [b"Order created: #12345"]);
}

#[test]
fn logger_manager_initialize_event_logger() {
    let directory = directory();
    let manager = manager(&directory);
    manager.initialize_event_logger("payment").expect("opened");
    manager.initialize_event_logger("payment").expect("it is open");
    assert!(manager.has_event_logger("payment"));
    for bad in [String::new(), "x".repeat(2_000)] {
        let error = manager.initialize_event_logger(&bad).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
    manager.close().expect("close");
    let error = manager.initialize_event_logger("late").expect_err("closed");
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[test]
fn logger_manager_close_event_logger() {
    let directory = directory();
    let manager = manager(&directory);
    let error = manager.close_event_logger("payment").expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let payment = manager.event("payment").expect("opened");
    payment.log("one");
    let stats = manager.close_event_logger("payment").expect("closed");
    assert_eq!((stats.accepted, stats.durable), (1, 1));
    assert!(!manager.has_event_logger("payment"));
    // The old handle is refused, and that is counted; by name it is opened again, and continues the file.
    assert_eq!(payment.try_log_bytes(b"late"), Err(LogError::Closed));
    assert!(!payment.is_open());
    manager.log_with_event("payment", "two");
    assert_eq!(*manager.event("payment").expect("open").opened(), Opened::Continued);
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.accepted, stats.total.dropped.closed), (2, 1));
    assert_eq!(records(&file(&directory, "payment")), [b"one", b"two"]);
}

#[test]
fn logger_manager_has_event_logger() {
    let directory = directory();
    let manager = manager(&directory);
    assert!(!manager.has_event_logger("payment"));
    manager.log_with_event("payment", "one");
    assert!(manager.has_event_logger("payment"));
    assert!(!manager.has_event_logger("Payment"));
}

#[test]
fn logger_manager_list_event_loggers() {
    let directory = directory();
    let manager = manager(&directory);
    assert!(manager.list_event_loggers().is_empty());
    for name in ["payment", "login", "a/b"] {
        manager.log_with_event(name, "x");
    }
    assert_eq!(manager.list_event_loggers(), ["a/b", "login", "payment"]);
    manager.close_event_logger("login").expect("closed");
    assert_eq!(manager.list_event_loggers(), ["a/b", "payment"]);
}

#[test]
fn logger_manager_close() {
    let directory = directory();
    let manager = manager(&directory);
    let handle = manager.event("a").expect("opened");
    handle.log("one");
    let first = manager.close().expect("close");
    // Again is no error, and says the same.
    assert_eq!(manager.close().expect("close"), first);
    handle.log("late");
    manager.log_with_event("a", "late");
    manager.log_with_event("b", "late");
    let stats = manager.stats();
    assert_eq!((stats.total.accepted, stats.total.dropped.closed), (1, 3));
    assert_eq!(logs_in(&directory), ["a.log"]);
    // The directory is free.
    drop(self::manager(&directory));
}

#[test]
fn dropping_the_manager_closes_it() {
    let directory = directory();
    let manager = manager(&directory);
    manager.log_with_event("a", "one");
    let handle = manager.event("a").expect("open");
    drop(manager);
    assert_eq!(handle.try_log_bytes(b"late"), Err(LogError::Closed));
    assert_eq!(records(&file(&directory, "a")), [b"one"]);
}

#[test]
fn logger_manager_get_stats_snapshot() {
    let directory = directory();
    let manager = manager(&directory);
    for number in 0..10 {
        manager.log_with_event(["a", "b"][number % 2], "a record");
    }
    let stats = manager.stats();
    assert_eq!((stats.total.total_logs, stats.total.dropped_logs, stats.events), (10, 0, 2));
    manager.flush().expect("flush");
    let stats = manager.stats();
    assert_balanced(&stats.total);
    assert_eq!((stats.total.durable, stats.total.flushes), (10, 2));
    assert!(stats.total.bytes_written > 0);
    assert_eq!(manager.aggregated_flush_metrics().total_flushes, 2);
    assert_eq!(manager.health(), Health::Ok);
    // A closed event is still counted.
    manager.close_event_logger("a").expect("closed");
    assert_eq!(manager.stats().total.durable, 10);
    assert_eq!(manager.aggregated_flush_metrics().total_flushes, 2);
}

#[test]
fn logger_manager_get_event_stats() {
    let directory = directory();
    let manager = manager(&directory);
    assert_eq!(manager.event_stats("a").expect_err("none").kind(), ErrorKind::NotFound);
    for _ in 0..5 {
        manager.log_with_event("a", "a record");
    }
    manager.log_with_event("b", "a record");
    let stats = manager.event_stats("a").expect("stats");
    assert_eq!((stats.total_logs, stats.pending), (5, 5));
    assert_eq!(manager.event_stats("b").expect("stats").accepted, 1);
    manager.flush().expect("flush");
    assert_eq!(manager.event_stats("a").expect("stats").durable, 5);
    assert_eq!(manager.event_flush_metrics("a").expect("metrics").total_flushes, 1);
    assert_eq!(manager.event_health("a").expect("health"), Health::Ok);
}

/// Threads log numbered records to several events by name and by handle.
#[test]
fn logger_manager_concurrent_access() {
    const THREADS: u32 = 8;
    const EVENTS: usize = 5;
    const EACH: u64 = 20_000;
    let directory = directory();
    let manager =
        LoggerManager::new(config(&directory).overflow(Overflow::Block)).expect("a manager");
    let names: Vec<String> = (0..EVENTS).map(|event| format!("event-{event}")).collect();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (manager, names) = (&manager, &names);
            scope.spawn(move || {
                let mut record = Numbered::new();
                let handles: Vec<_> =
                    names.iter().map(|name| manager.event(name).expect("an event")).collect();
                for number in 0..EACH {
                    let event = (number as usize + thread as usize) % EVENTS;
                    let bytes = record.make(thread, number, 12 + number as usize % 200);
                    if number % 2 == 0 {
                        handles[event].log_bytes(bytes);
                    } else {
                        manager.log_bytes_with_event(&names[event], bytes);
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..50 {
                assert_balanced(&manager.stats().total);
                manager.list_event_loggers();
                manager.flush().expect("flush");
            }
        });
    });
    let stats = manager.close().expect("close");
    assert_eq!(stats.total.accepted, u64::from(THREADS) * EACH);
    assert_eq!((stats.total.dropped_logs, stats.total.durable), (0, stats.total.accepted));
    let mut count = 0;
    for name in &names {
        let found = Found::read(&file(&directory, name), THREADS as usize);
        found.assert_in_order();
        count += found.count;
    }
    assert_eq!(count, stats.total.accepted);
}

#[test]
fn logger_manager_event_name_sanitization_in_file_names() {
    let directory = directory();
    let manager = manager(&directory);
    for name in ["payment/event", "login event", "order*test", "..", "../up", "-x"] {
        manager.log_with_event(name, name);
    }
    manager.close().expect("close");
    let expected =
        ["__.log", "___up.log", "_x.log", "login_event.log", "order_test.log", "payment_event.log"];
    assert_eq!(logs_in(&directory), expected);
    let report = verify(file(&directory, "payment_event")).expect("a report");
    assert_eq!(report.name, b"payment/event");
    let parent = directory.path().parent().expect("a parent");
    assert!(!parent.join("up.log").exists());
}

/// All threads make the same event at the same moment: one log.
#[test]
fn logger_manager_load_or_store_race_condition() {
    let directory = directory();
    let manager = manager(&directory);
    const THREADS: usize = 16;
    for round in 0..20 {
        let name = format!("event-{round}");
        let start = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    manager.log_with_event(&name, "once each");
                });
            }
        });
        assert_eq!(manager.event_stats(&name).expect("stats").accepted, THREADS as u64);
    }
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.accepted, stats.events), (320, 20));
    assert_eq!(logs_in(&directory).len(), 20);
}

/// Names that become the same file name, or differ in case only, have files of their own, the same after
/// every restart and in any order of opening.
#[test]
fn two_names_never_share_a_file() {
    let directory = directory();
    let names = ["a/b", "a b", "a_b", "A_B", "a_B", "a:b"];
    let mut files = HashMap::new();
    for round in 0..3 {
        let manager = manager(&directory);
        let mut order = names;
        order.rotate_left(round * 2);
        for name in order {
            manager.log_with_event(name, name);
        }
        manager.close().expect("close");
        assert_eq!(logs_in(&directory).len(), names.len(), "round {round}");
        for log in logs_in(&directory) {
            let path = directory.path().join(&log);
            let name = verify(&path).expect("a report").name;
            let found = records(&path);
            assert_eq!(found, vec![name.clone(); round + 1]);
            assert_eq!(files.entry(name).or_insert_with(|| log.clone()), &log);
        }
    }
    assert_eq!(files[&b"a/b"[..].to_vec()], "a_b.log", "the first one has the plain name");
}

#[test]
fn events_that_cannot_be_opened_are_counted() {
    let directory = directory();
    fs::create_dir(file(&directory, "a")).expect("a directory in the way");
    let manager = manager(&directory);
    for _ in 0..10 {
        manager.log_with_event("a", "nowhere to go");
    }
    assert_eq!(manager.event("a").expect_err("not a file").kind(), ErrorKind::NotAFile);
    manager.log_with_event("b", "fine");
    let stats = manager.close().expect("close");
    assert_eq!((stats.unopened, stats.total.accepted, stats.total.dropped_logs), (10, 1, 0));
}

#[test]
fn two_managers_and_loggers_do_not_share_files() {
    let directory = directory();
    let first = manager(&directory);
    let second = LoggerManager::new(config(&directory)).expect_err("in use");
    assert_eq!(second.kind(), ErrorKind::InUse);
    first.log_with_event("a", "one");
    // A logger in the same process may have another file, not the same.
    let error = Logger::new(Config::new(file(&directory, "a"))).expect_err("in use");
    assert_eq!(error.kind(), ErrorKind::InUse);
    let logger = Logger::new(Config::new(file(&directory, "own"))).expect("a logger");
    assert_eq!(first.event("own").expect_err("in use").kind(), ErrorKind::InUse);
    logger.close().expect("close");
    first.close().expect("close");
}

#[test]
fn another_process_finds_the_directory_in_use() {
    const TEST: &str = "manager::another_process_finds_the_directory_in_use";
    if let Some(role) = child_role() {
        let (path, kind) = role.split_once('|').expect("a role");
        let path = Path::new(path);
        let error = match kind {
            "manager" => LoggerManager::new(Config::new(path)).expect_err("in use"),
            "logger" => Logger::new(Config::new(path)).expect_err("in use"),
            _ => {
                let manager = LoggerManager::new(Config::new(path)).expect("a manager");
                manager.event("base").expect_err("in use")
            }
        };
        assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
        return;
    }
    let directory = directory();
    let base = file(&directory, "base");
    let manager = manager(&directory);
    in_child(TEST, &format!("{}|manager", base.display()));
    in_child(TEST, &format!("{}|logger", base.display()));
    manager.close().expect("close");
    let logger = Logger::new(Config::new(&base)).expect("a logger");
    in_child(TEST, &format!("{}|event", base.display()));
    logger.close().expect("close");
}

/// Logging by handle and by name while the event is closed and opened again all the time: what was taken is
/// in the file, what was not is counted.
#[test]
fn close_against_log_and_create_loses_nothing() {
    const THREADS: u32 = 4;
    const EACH: u64 = 10_000;
    let directory = directory();
    let manager =
        LoggerManager::new(config(&directory).overflow(Overflow::Block)).expect("a manager");
    let done = AtomicBool::new(false);
    let closed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (manager, closed) = (&manager, &closed);
                scope.spawn(move || {
                    let mut record = Numbered::new();
                    for number in 0..EACH {
                        // Not faster than files are closed: twenty times at least.
                        while number > (closed.load(Ordering::SeqCst) + 1) * (EACH / 20) {
                            std::thread::yield_now();
                        }
                        let bytes = record.make(thread, number, 40);
                        if number % 16 == 0 {
                            manager.event("event").expect("an event").log_bytes(bytes);
                        } else {
                            manager.log_bytes_with_event("event", bytes);
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                match manager.close_event_logger("event") {
                    Ok(_) => closed.fetch_add(1, Ordering::SeqCst),
                    Err(error) if error.kind() == ErrorKind::NotFound => 0,
                    Err(error) => panic!("{error}"),
                };
            }
        });
        writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
        done.store(true, Ordering::SeqCst);
    });
    let stats = manager.close().expect("close");
    assert_balanced(&stats.total);
    assert_eq!(stats.total.total_logs + stats.unopened, u64::from(THREADS) * EACH);
    assert_eq!(stats.total.dropped.total(), stats.total.dropped.closed);
    assert_eq!(stats.unopened, 0);
    assert_eq!(stats.total.durable, stats.total.accepted);
    assert!(closed.load(Ordering::SeqCst) >= 19);
    let path = file(&directory, "event");
    let found = Found::read(&path, THREADS as usize);
    assert_eq!(found.count, stats.total.accepted);
    assert!(verify(&path).expect("a report").is_whole());
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
        assert!(logged.count() > 0);
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

/// More events than files may be open: each continues its file, in this run and in the next.
#[test]
fn idle_events_give_their_files_back() {
    const EVENTS: usize = 40;
    let directory = directory();
    for round in 0..2 {
        let config = config(&directory).event_files(8).rotation(Rotation::new());
        let manager = LoggerManager::new(config).expect("a manager");
        for pass in 0..3 {
            for event in 0..EVENTS {
                manager.log_with_event(&format!("event-{event}"), &format!("{round}/{pass}"));
            }
            manager.flush().expect("flush");
            let stats = manager.stats();
            assert!(stats.open_files <= 8, "{}", stats.open_files);
            assert_eq!((stats.events, stats.total.durable), (EVENTS, (pass + 1) * EVENTS as u64));
        }
        manager.close().expect("close");
    }
    for event in 0..EVENTS {
        let found = records(&file(&directory, &format!("event-{event}")));
        assert_eq!(found, [b"0/0", b"0/1", b"0/2", b"1/0", b"1/1", b"1/2"]);
    }
}

/// While its file was closed somebody moved it: the event goes on in a new one.
#[test]
fn a_file_that_is_moved_while_it_is_closed_is_not_written_to() {
    let directory = directory();
    let manager = LoggerManager::new(config(&directory).event_files(1)).expect("a manager");
    for name in ["a", "b"] {
        manager.log_with_event(name, "first");
        manager.flush().expect("flush");
    }
    let moved = directory.path().join("moved");
    fs::rename(file(&directory, "a"), &moved).expect("renamed");
    manager.log_with_event("a", "second");
    manager.flush().expect("flush");
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.accepted, stats.total.durable), (3, 3));
    assert_eq!(records(&file(&directory, "a")), [b"second"]);
    assert_eq!(fs::metadata(&moved).expect("the file").len() % 4096, 0);
}

/// Events created and closed in turn, under a limit of 256 descriptors: no failure, no leak.
#[test]
fn many_events_in_turn_under_a_limit_of_descriptors() {
    const TEST: &str = "manager::many_events_in_turn_under_a_limit_of_descriptors";
    let count = || std::env::var("MANAGER_EVENTS").ok().and_then(|text| text.parse().ok());
    if child_role().is_none() {
        print!("{}", in_child(TEST, "turn"));
        return;
    }
    let limit = libc::rlimit { rlim_cur: 256, rlim_max: 256 };
    // SAFETY: the structure is complete.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let count = count().unwrap_or(2_000_u64);
    let directory = directory();
    let manager = manager(&directory);
    // 300 stay open, more than there are descriptors.
    for event in 0..300 {
        manager.event(&format!("kept-{event}")).expect("opened").log("kept");
    }
    let descriptors = || fs::read_dir("/proc/self/fd").expect("descriptors").count();
    let begun = std::time::Instant::now();
    let mut before = 0;
    for event in 0..count {
        let name = format!("event-{event}");
        manager.event(&name).expect("opened").log("a record");
        assert_eq!(manager.close_event_logger(&name).expect("closed").durable, 1);
        if event == 10 {
            before = descriptors();
        }
        if count > 10_000 {
            fs::remove_file(file(&directory, &name)).expect("removed");
        }
    }
    let grown = descriptors() as i64 - before as i64;
    println!("{count} events in {:.1} s, {grown} more descriptors", begun.elapsed().as_secs_f64());
    assert!(grown <= 2, "{grown}");
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.durable, stats.total.dropped_logs), (count + 300, 0));
    assert_eq!(stats.unopened, 0);
}

#[test]
fn events_rotate_each_by_itself() {
    let directory = directory();
    let rotation = Rotation::new().max_size(1 << 20);
    let config = config(&directory).num_shards(16).rotation(rotation).overflow(Overflow::Block);
    let manager = LoggerManager::new(config).expect("a manager");
    let mut record = Numbered::new();
    for number in 0..30_000 {
        manager.log_bytes_with_event("large", record.make(0, number, 200));
        if number % 1_000 == 0 {
            manager.log_bytes_with_event("small", record.make(0, number, 200));
        }
    }
    let stats = manager.close().expect("close");
    assert_eq!(stats.total.durable, 30_030);
    let large = LogDir::open(file(&directory, "large")).expect("a log").verify().expect("a report");
    assert!(large.segments.len() > 3, "{}", large.segments.len());
    assert_eq!(large.segments.iter().map(|segment| segment.records).sum::<u64>(), 30_000);
    assert!(large.segments.iter().all(|segment| segment.name == b"large"));
    assert_eq!(records(&file(&directory, "small")).len(), 30);
}

/// The interval writes what is staged of quiet events.
#[test]
fn the_interval_writes_all_events() {
    let directory = directory();
    let config = config(&directory).flush_interval(Duration::from_millis(20));
    let manager = LoggerManager::new(config).expect("a manager");
    for name in ["a", "b", "c"] {
        manager.log_with_event(name, "one");
    }
    wait_until("the interval", || manager.stats().total.durable == 3);
}

#[test]
fn a_forked_child_finds_the_manager_closed() {
    let directory = directory();
    let manager = manager(&directory);
    let handle = manager.event("a").expect("opened");
    handle.log("parent");
    // SAFETY: the child does nothing but what is asked of it here, and leaves.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = handle.try_log_bytes(b"child") == Err(LogError::Closed);
        let forked = manager.flush().is_err_and(|error| error.kind() == ErrorKind::Forked);
        // SAFETY: ends the child without destructors of the parent's.
        unsafe { libc::_exit(i32::from(!(refused && forked))) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(manager.close().expect("close").total.durable, 1);
    assert_eq!(records(&file(&directory, "a")), [b"parent"]);
}
