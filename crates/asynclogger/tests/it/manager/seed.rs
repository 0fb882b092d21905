//! The tests of the original's manager, by their names.

use std::sync::Barrier;

use asynclogger::{
    Config, ErrorKind, Health, LogError, LoggerManager, Opened, Overflow, read::verify,
};

use super::{config, file, logs_in, manager, records};
use crate::support::{Found, Numbered, assert_balanced, directory};

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
fn a_manager_is_given_its_directory() {
    let directory = directory();
    let place = directory.path().join("not/yet/there");
    let manager = LoggerManager::in_dir(&place, Config::default()).expect("a manager");
    assert_eq!(manager.directory(), place);
    manager.log_with_event("login", "user123");
    manager.close().expect("close");
    assert_eq!(records(&place.join("login.log")), [b"user123"]);
    // Two places are one too many: neither is silently the right one.
    let with_path = Config::new(directory.path().join("other/base.log"));
    let error = LoggerManager::in_dir(&place, with_path).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let error = LoggerManager::new(Config::default()).expect_err("no directory");
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(!directory.path().join("other").exists());
}

#[test]
fn a_manager_refuses_what_it_would_not_do() {
    let directory = directory();
    let place = directory.path().join("events");
    for (config, word) in [
        (Config::default().prefault(true), "prefault"),
        (Config::default().event_files(0), "event_files"),
        (Config::default().event_quota(0), "event_quota"),
        (Config::default().compression_rate(0), "compression_rate"),
    ] {
        let error = LoggerManager::in_dir(&place, config).expect_err(word);
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(!place.exists());
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
                let _ = manager.list_event_loggers();
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
