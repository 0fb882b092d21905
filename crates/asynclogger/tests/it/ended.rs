//! A session without an end: its writer lives, or died, or nobody can say which.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use asynclogger::{
    Config, CrashSafe, ErrorKind, LoggerManager, Rotation, Salvage, Salvager,
    read::{Ending, LogDir, Reader, Report, SessionState, verify},
};

use crate::support::{child_role, directory, log_path, open, wait_until};

/// The states of the sessions of a report.
fn states(report: &Report) -> Vec<SessionState> {
    report.sessions.iter().map(|session| session.state).collect()
}

fn states_at(path: impl AsRef<Path>) -> Vec<SessionState> {
    states(&verify(path).expect("a log"))
}

fn states_of_log(path: impl AsRef<Path>) -> Vec<SessionState> {
    let report = LogDir::open(path).expect("a log").verify().expect("read");
    assert!(report.is_whole(), "neither a live log nor one that died is damaged: {report:#?}");
    report.sessions.iter().map(|session| session.state).collect()
}

#[test]
fn writes_until_killed() {
    let Some(role) = child_role() else { return };
    let logger = open(Config::new(role));
    logger.log("a record");
    logger.flush().expect("flushed");
    println!("ready");
    loop {
        std::thread::park();
    }
}

#[test]
fn events_until_killed() {
    let Some(role) = child_role() else { return };
    let manager = LoggerManager::in_dir(role, Config::default()).expect("a manager");
    manager.log_with_event("a", "a record");
    manager.log_with_event("x/y", "a record");
    manager.flush().expect("flushed");
    loop {
        std::thread::park();
    }
}

/// A process that has written a record to the log, and goes on living.
fn writer(test: &str, role: &Path, log: &Path) -> Child {
    let child = Command::new(std::env::current_exe().expect("this binary"))
        .args([&format!("ended::{test}"), "--exact", "--nocapture", "--test-threads=1"])
        .env("CHILD", role)
        .stdout(Stdio::null())
        .spawn()
        .expect("a child");
    wait_until("its record", || verify(log).is_ok_and(|report| report.records > 0));
    child
}

fn kill(mut child: Child) {
    child.kill().expect("killed");
    child.wait().expect("its end");
}

#[test]
fn a_writer_lives_then_died_then_is_followed_by_another() {
    let directory = directory();
    let path = log_path(&directory);
    let child = writer("writes_until_killed", &path, &path);
    assert_eq!(states_at(&path), [SessionState::Live]);
    assert_eq!(states_of_log(&path), [SessionState::Live]);
    kill(child);
    for _ in 0..2 {
        let report = verify(&path).expect("a log");
        assert_eq!((states(&report), report.ending), (vec![SessionState::Died], Ending::Open));
        assert!(report.is_whole() && !report.sessions[0].closed);
    }
    assert_eq!(states_of_log(&path), [SessionState::Died]);
    // The look at the lock makes no file and keeps none.
    let logger = open(Config::new(&path));
    logger.log("the next");
    logger.flush().expect("flushed");
    let set_aside = archived(&path);
    // Live is the session of this process, although the lock of the dead one's log is held.
    assert_eq!(states_at(&path), [SessionState::Live]);
    assert_eq!(states_of_log(&path), [SessionState::Died, SessionState::Live]);
    assert_eq!(states_at(&set_aside), [SessionState::Died]);
    logger.close().expect("closed");
    assert_eq!(states_at(&path), [SessionState::Closed]);
    assert_eq!(states_at(&set_aside), [SessionState::Died]);
    assert_eq!(states_of_log(&path), [SessionState::Died, SessionState::Closed]);
}

/// The one archived file beside the log.
fn archived(path: &Path) -> PathBuf {
    let entries = fs::read_dir(path.parent().expect("a directory")).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let found: Vec<_> =
        paths.filter(|found| found != path && found.extension() == path.extension()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

/// Any close of a lock file by its own process would give up the lock.
#[test]
fn a_look_at_the_log_of_this_process_keeps_its_lock() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    logger.log("a record");
    logger.flush().expect("flushed");
    for _ in 0..3 {
        assert_eq!(states_at(&path), [SessionState::Live]);
        assert_eq!(states_of_log(&path), [SessionState::Live]);
    }
    let refused = crate::support::in_child("ended::is_refused", path.to_str().expect("text"));
    assert!(refused.contains("refused as in use"), "{refused}");
    logger.close().expect("closed");
}

#[test]
fn is_refused() {
    let Some(role) = child_role() else { return };
    let error = asynclogger::Logger::new(Config::new(role)).expect_err("in use");
    assert_eq!(error.kind(), asynclogger::ErrorKind::InUse);
    println!("refused as in use");
}

/// Whoever lists a directory, or is given a path, opens no lock of this process: not a log's, not a manager's, and not
/// the memory of a crash-safe logger.
#[test]
fn reading_a_directory_keeps_the_locks_of_this_process() {
    let directory = directory();
    let (path, events) = (log_path(&directory), directory.path().join("events"));
    let place = CrashSafe::in_dir(directory.path());
    let logger = open(Config::new(&path).buffer_size(64 << 10).num_shards(1).crash_safe(place));
    let manager = LoggerManager::in_dir(&events, Config::default()).expect("a manager");
    manager.log_with_event("a", "a record");
    manager.flush().expect("flushed");
    for place in [directory.path(), &events] {
        let scan = LogDir::scan(place).expect("a directory");
        assert_eq!((scan.logs.len(), scan.unreadable.len()), (1, 0));
    }
    let map = logger.crash_map().expect("a map");
    for lock in [&directory.path().join(".app.lock"), &events.join(".asynclogger-events"), &map] {
        assert!(lock.exists(), "{}", lock.display());
        assert_eq!(Reader::open(lock).expect_err("no log").kind(), ErrorKind::NotALog);
        LogDir::open(lock).expect_err("no log");
    }
    let found = Salvager::new(CrashSafe::in_dir(directory.path())).directory(directory.path());
    assert_eq!(found.run().expect("read"), Salvage::default());
    for log in [&path, &events.join("a.log")] {
        let refused = crate::support::in_child("ended::is_refused", log.to_str().expect("text"));
        assert!(refused.contains("refused as in use"), "{refused}");
    }
    let role = directory.path().to_str().expect("text");
    let found = crate::support::in_child("ended::finds_a_map_in_use", role);
    assert!(found.contains("found in use"), "{found}");
    logger.close().expect("closed");
    manager.close().expect("closed");
}

#[test]
fn finds_a_map_in_use() {
    let Some(role) = child_role() else { return };
    let found = asynclogger::salvage(&CrashSafe::in_dir(&role)).expect("read");
    assert!(found.sessions.is_empty() && found.left_alone.is_empty(), "{found:?}");
    let logs: Vec<_> = found.in_use.iter().map(|map| map.log.clone()).collect();
    assert_eq!(logs, [PathBuf::from(role).join("app.log")]);
    println!("found in use");
}

#[test]
fn a_session_in_several_segments_is_one_session() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    logger.log("first");
    logger.rotate().expect("rotated");
    logger.log("second");
    logger.flush().expect("flushed");
    assert_eq!(states_at(archived(&path)), [SessionState::Continued]);
    assert_eq!(states_of_log(&path), [SessionState::Live]);
    logger.close().expect("closed");
    assert_eq!(states_of_log(&path), [SessionState::Closed]);
    assert_eq!(states_at(archived(&path)), [SessionState::Continued]);
}

/// A file that another program renamed is perhaps still written; a copy, or a file without its lock, shows nothing.
#[test]
fn nothing_is_said_where_nothing_is_known() {
    // Also beside a file that is prepared for the next segment.
    for rotation in [Rotation::new(), Rotation::new().max_size(1 << 30)] {
        let directory = directory();
        let path = log_path(&directory);
        let logger = open(Config::new(&path).rotation(rotation.clone()));
        logger.log("a record");
        logger.flush().expect("flushed");
        if rotation != Rotation::new() {
            let next = directory.path().join(".app.next");
            wait_until("the next file", || fs::metadata(&next).is_ok_and(|next| next.len() > 0));
        }
        let elsewhere = directory.path().join("copies");
        fs::create_dir(&elsewhere).expect("a directory");
        fs::copy(&path, elsewhere.join("app.log")).expect("copied");
        assert_eq!(states_at(elsewhere.join("app.log")), [SessionState::Open]);
        let renamed = directory.path().join("app.log.1");
        fs::rename(&path, &renamed).expect("renamed");
        assert_eq!(states_at(&renamed), [SessionState::Open]);
        logger.close().expect("closed");
        assert_eq!(states_at(&renamed), [SessionState::Closed]);
    }
}

#[test]
fn a_reader_that_goes_on_tells_the_present() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    logger.log("a record");
    logger.flush().expect("flushed");
    let mut reader = Reader::open(&path).expect("a log");
    assert_eq!(states(reader.read_to_end().expect("read")), [SessionState::Live]);
    logger.log("another");
    logger.close().expect("closed");
    assert_eq!(states(reader.read_to_end().expect("read")), [SessionState::Closed]);
    // Read to its end before the logger closed it: that it has no end proves nothing about the writer.
    let logger = open(Config::new(&path));
    logger.log("a third");
    logger.flush().expect("flushed");
    let mut reader = Reader::open(&path).expect("a log");
    while reader.report().records < 3 {
        assert!(reader.next_record().expect("read").is_some());
    }
    logger.close().expect("closed");
    while reader.next_record().expect("read").is_some() {}
    let last = states(reader.report())[2 - 1];
    assert!(matches!(last, SessionState::Open | SessionState::Closed), "{last:?}");
}

#[test]
fn a_cut_end_is_no_proof_and_a_damaged_one_neither() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path));
    logger.log("a record");
    logger.close().expect("closed");
    let whole = fs::read(&path).expect("a file");
    let mut damaged = whole.clone();
    let at = damaged.len() - 1;
    damaged[at] ^= 1;
    fs::write(&path, &damaged).expect("written");
    let report = verify(&path).expect("a log");
    assert_eq!((states(&report), report.damage_count()), (vec![SessionState::Open], 1));
    // Without its end the file is that of a writer that died at this point.
    fs::write(&path, &whole[..whole.len() - 4096]).expect("written");
    assert_eq!(states_at(&path), [SessionState::Died]);
}

#[test]
fn the_logs_of_a_manager_have_its_lock() {
    let directory = directory();
    let log = directory.path().join("a.log");
    let child = writer("events_until_killed", directory.path(), &log);
    let other = directory.path().join("x_y.log");
    wait_until("its record", || verify(&other).is_ok_and(|report| report.records > 0));
    assert_eq!([states_at(&log), states_at(&other)], [[SessionState::Live]; 2]);
    kill(child);
    assert_eq!([states_at(&log), states_at(&other)], [[SessionState::Died]; 2]);
    let manager = LoggerManager::in_dir(directory.path(), Config::default()).expect("a manager");
    manager.log_with_event("b", "a record");
    manager.log_with_event("c/d", "a record");
    manager.flush().expect("flushed");
    assert_eq!(states_at(directory.path().join("c_d.log")), [SessionState::Live]);
    // In this process the registry knows which logs are open: `a` is not.
    assert_eq!(states_at(&log), [SessionState::Died]);
    assert_eq!(states_at(directory.path().join("b.log")), [SessionState::Live]);
    manager.close().expect("closed");
    assert_eq!(states_at(directory.path().join("b.log")), [SessionState::Closed]);
}
