//! What the process has around it: descriptors that are closed, limits that are low.

use std::{fs, path::Path};

use asynclogger::{
    Config, ErrorKind, Health, Logger, LoggerManager, Opened, Overflow, Rotation, read::LogDir,
};

use crate::{
    matrix::engines,
    support::{child_role, directory, in_child, log_path, open},
};

/// The standard descriptors that are open.
fn standard() -> Vec<i32> {
    // SAFETY: asks for the flags of a descriptor, if there is one.
    (0..3).filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0).collect()
}

/// A program without standard input, output and error: nothing of ours takes their places, or what it prints would be
/// written into the log.
#[test]
fn no_descriptor_of_ours_is_a_standard_one() {
    if child_role().is_none() {
        in_child("surroundings::no_descriptor_of_ours_is_a_standard_one", "closes");
        return;
    }
    let directory = directory();
    // SAFETY: nothing of this process writes to them while they are closed.
    let saved = [0, 1, 2].map(|fd| unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 100) });
    // Each alone, and all.
    for closed in [&[0][..], &[1], &[2], &[0, 1, 2]] {
        for (engine, number) in engines().iter().zip(0..) {
            let name = |what: &str| format!("{what} {number} {closed:?}");
            // SAFETY: as above.
            closed.iter().for_each(|fd| assert_eq!(unsafe { libc::close(*fd) }, 0));
            let before = standard();
            let mut found = Vec::new();
            let mut look = |when: &'static str| {
                if standard() != before {
                    found.push(when);
                }
            };
            let path = directory.path().join(name("log")).with_extension("log");
            let rotation = Rotation::new().max_size(1 << 20);
            let config = Config::new(&path).rotation(rotation).engine(*engine);
            let logger = Logger::new(config.num_shards(2).buffer_size(256 << 10));
            look("opened");
            let logger = logger.map(|logger| {
                (0..3).for_each(|_| logger.log("x"));
                let flushed = logger.flush().and_then(|()| logger.rotate());
                look("rotated");
                (flushed, logger.close())
            });
            look("closed");
            let base = directory.path().join(name("events")).join("base.log");
            let manager = LoggerManager::new(Config::new(base).engine(*engine).event_files(2));
            look("a manager");
            let manager = manager.map(|manager| {
                for n in 0..5 {
                    manager.log_with_event(&format!("event {n}"), "x");
                    let _ = manager.flush();
                    look("an event");
                }
                manager.close()
            });
            look("a manager closed");
            for fd in closed {
                // SAFETY: gives the descriptor back what it was.
                assert_eq!(unsafe { libc::dup2(saved[*fd as usize], *fd) }, *fd);
            }
            assert!(found.is_empty(), "{closed:?}, {engine:?}: {found:?}");
            let (flushed, stats) = logger.expect("a logger");
            flushed.expect("flushed and rotated");
            assert_eq!(stats.expect("closed").durable, 3);
            assert_eq!(manager.expect("a manager").expect("closed").total.durable, 5);
        }
    }
}

fn limit_files(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the structure is complete.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
}

/// How `SIGXFSZ` is dealt with, and whether it is blocked on this thread, or waits.
fn limit_signal() -> (usize, bool, bool) {
    // SAFETY: everything is filled by the system before it is read.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGXFSZ, std::ptr::null(), &raw mut action);
        let (mut mask, mut pending): (libc::sigset_t, libc::sigset_t) =
            (std::mem::zeroed(), std::mem::zeroed());
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask);
        libc::sigpending(&raw mut pending);
        let is_in = |set| libc::sigismember(set, libc::SIGXFSZ) == 1;
        (action.sa_sigaction, is_in(&raw const mask), is_in(&raw const pending))
    }
}

/// The limit of the process is below what the log has already: an error, and not the signal that ends a process
/// which has no handler for it.
#[test]
fn a_limit_of_files_below_the_logs_size_is_an_error() {
    if child_role().is_none() {
        in_child("surroundings::a_limit_of_files_below_the_logs_size_is_an_error", "limits");
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path).buffer_size(256 << 10).num_shards(1));
    (0..100).for_each(|_| logger.log_bytes(&[b'x'; 1000]));
    logger.close().expect("closed");
    let before = fs::read(&path).expect("the log");
    for limit in [5000, 0] {
        limit_files(limit);
        for engine in engines() {
            let error = Logger::new(Config::new(&path).engine(*engine)).expect_err("too big");
            assert_eq!(error.kind(), ErrorKind::Io);
            let text = error.to_string();
            assert!(text.contains("RLIMIT_FSIZE") && text.contains("16384"), "{text}");
            let new = directory.path().join("new.log");
            if limit == 0 {
                let error = Logger::new(Config::new(&new).engine(*engine)).expect_err("too big");
                assert_eq!(error.kind(), ErrorKind::Io);
                assert!(!new.exists(), "nothing is left of what could not be begun");
                let events = Config::new(directory.path().join("events/base.log")).engine(*engine);
                let manager = LoggerManager::new(events).expect("a manager");
                assert_eq!(
                    manager.event("a").map(drop).expect_err("too big").kind(),
                    ErrorKind::Io
                );
            }
            assert_eq!(limit_signal(), (libc::SIG_DFL, false, false));
        }
    }
    assert!(fs::read(&path).expect("the log") == before);
    // Room for the next file, and none behind the records of this one.
    limit_files(before.len() as u64);
    for engine in engines() {
        let logger = open(Config::new(&path).engine(*engine));
        let is_new = matches!(logger.opened(), Opened::SetAside { reason, .. } if reason.contains("RLIMIT_FSIZE"));
        assert_eq!(is_new, engine == &engines()[0], "{:?}", logger.opened());
        logger.log("after");
        logger.close().expect("closed");
        assert_eq!(limit_signal(), (libc::SIG_DFL, false, false));
    }
    assert_eq!(count(&path), 100 + engines().len() as u64);
}

fn count(path: &Path) -> u64 {
    let mut log = LogDir::open(path).expect("the log");
    let mut count = 0;
    while log.next_record().expect("a record").is_some() {
        count += 1;
    }
    assert!(log.missing().is_empty());
    count
}

/// A buffer is longer than a file of the process may be: blocks and files are made shorter, and nobody waits for a
/// block that can never be written.
#[test]
fn a_limit_of_files_below_a_block_makes_smaller_files() {
    const LIMIT: u64 = 64 << 10;
    const RECORDS: u64 = 2000;
    if child_role().is_none() {
        in_child("surroundings::a_limit_of_files_below_a_block_makes_smaller_files", "limits");
        return;
    }
    let directory = directory();
    let base = directory.path().join("events/base.log");
    limit_files(LIMIT);
    for (number, engine) in engines().iter().enumerate() {
        let path = directory.path().join(format!("log{number}.log"));
        let config = Config::new(&path).engine(*engine).overflow(Overflow::Block);
        let logger = open(config.clone());
        for _ in 0..2 {
            (0..RECORDS / 2).for_each(|_| logger.log_bytes(&[b'x'; 1000]));
            logger.flush().expect("flush");
        }
        assert_eq!(logger.health(), Health::Ok);
        assert_eq!(logger.close().expect("closed").durable, RECORDS);
        assert_eq!(count(&path), RECORDS);
        // The last file may be full.
        for _ in 0..20 {
            open(config.clone()).close().expect("closed");
        }
        assert_eq!(count(&path), RECORDS);
        let manager = Config::new(&base).engine(*engine).overflow(Overflow::Block);
        let manager = LoggerManager::new(manager).expect("a manager");
        let event = format!("event{number}");
        (0..RECORDS).for_each(|_| manager.log_bytes_with_event(&event, &[b'x'; 1000]));
        manager.close().expect("closed");
        assert_eq!(count(&base.with_file_name(format!("{event}.log"))), RECORDS);
    }
    for place in [directory.path(), base.parent().expect("a directory")] {
        for entry in fs::read_dir(place).expect("a directory") {
            let entry = entry.expect("an entry");
            let metadata = entry.metadata().expect("it");
            assert!(metadata.is_dir() || metadata.len() <= LIMIT, "{entry:?}: {}", metadata.len());
        }
    }
}
