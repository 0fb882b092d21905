//! Which file an event has, and what becomes of files while they are closed.

use std::{collections::HashMap, fs, path::Path};

use asynclogger::{Config, ErrorKind, Logger, LoggerManager, Rotation, read::verify};

use super::{config, file, logs_in, manager, records};
use crate::support::{child_role, directory, in_child};

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
    const TEST: &str = "manager::files::another_process_finds_the_directory_in_use";
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

/// A hundred events and four files: while an event's is closed, it is renamed, deleted, cut, or replaced by
/// something else. What is written after that is in a new file, what was there before is where it was put,
/// and nothing that is not the event's is written to.
#[test]
fn files_that_change_while_they_are_closed_are_not_written_to() {
    const EVENTS: usize = 100;
    const FOREIGN: &[u8] = b"somebody else's";
    let directory = directory();
    let manager = LoggerManager::new(config(&directory).event_files(4)).expect("a manager");
    let names: Vec<String> = (0..EVENTS).map(|event| format!("event-{event:03}")).collect();
    let log_all = |what: &str| {
        for name in &names {
            manager.log_with_event(name, what);
        }
        manager.flush().expect("flush");
        let stats = manager.stats();
        assert!(stats.open_files <= 4, "{}", stats.open_files);
        assert_eq!(stats.events, EVENTS);
    };
    log_all("first");
    log_all("second");
    // Which of them are open now is not known from outside: so that those are not among the changed.
    for name in &names[EVENTS - 4..] {
        manager.log_with_event(name, "open");
        manager.flush().expect("flush");
    }
    let moved = |name: &str| directory.path().join(format!("{name}.moved"));
    for (at, name) in names.iter().enumerate().take(EVENTS - 4) {
        let path = file(&directory, name);
        match at % 6 {
            0 => {}
            1 => fs::rename(&path, moved(name)).expect("renamed"),
            2 => fs::remove_file(&path).expect("removed"),
            // By another file.
            3 => {
                fs::rename(&path, moved(name)).expect("renamed");
                fs::write(&path, FOREIGN).expect("a file");
            }
            // By a copy of itself, which is not the file that is known.
            4 => {
                fs::rename(&path, moved(name)).expect("renamed");
                fs::copy(moved(name), &path).expect("copied");
            }
            // By a link to where it is now.
            _ => {
                fs::rename(&path, moved(name)).expect("renamed");
                std::os::unix::fs::symlink(moved(name), &path).expect("a link");
            }
        }
    }
    log_all("third");
    log_all("fourth");
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.accepted, stats.total.dropped_logs), (4 * EVENTS as u64 + 4, 0));
    assert_eq!((stats.total.durable, stats.total.lost), (stats.total.accepted, 0));

    let (before, after) = ([&b"first"[..], b"second"], [&b"third"[..], b"fourth"]);
    for (at, name) in names.iter().enumerate().take(EVENTS - 4) {
        let path = file(&directory, name);
        match at % 6 {
            0 => assert_eq!(records(&path), [before, after].concat(), "{name}"),
            _ => assert_eq!(records(&path), after, "{name}"),
        }
        // Nothing was written to what was put away, or set aside.
        if matches!(at % 6, 1 | 3 | 4 | 5) {
            assert_eq!(records(&moved(name)), before, "{name}");
        }
        assert!(fs::symlink_metadata(&path).expect("the file").is_file(), "{name}");
    }
    let foreign = |name: &String| {
        let begin = format!("{name}_");
        let is_archived = |other: &String| other.starts_with(&begin);
        let set_aside = logs_in(&directory).into_iter().find(is_archived);
        set_aside.map(|other| fs::read(directory.path().join(other)).expect("the file"))
    };
    for name in names.iter().take(EVENTS - 4).skip(3).step_by(6) {
        assert_eq!(foreign(name).as_deref(), Some(FOREIGN), "{name}");
    }
}

/// A path without a directory is one in the current directory.
#[test]
fn the_current_directory_has_a_name() {
    if let Some(current) = child_role() {
        std::env::set_current_dir(current).expect("a directory");
        let manager = LoggerManager::new(Config::new("base.log")).expect("a manager");
        assert_eq!(manager.directory(), Path::new("."));
        manager.log_with_event("event", "record");
        manager.close().expect("closed");
        return;
    }
    let directory = directory();
    let path = directory.path().to_str().expect("a UTF-8 path");
    in_child("manager::files::the_current_directory_has_a_name", path);
    assert_eq!(records(&file(&directory, "event")), [b"record"]);
}
