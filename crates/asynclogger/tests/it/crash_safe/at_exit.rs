//! Loggers and managers in statics, without crash safety: closed at the exit of the process, if that was asked for.

use std::{os::unix::process::ExitStatusExt, sync::OnceLock};

use asynclogger::{Config, Logger, LoggerManager, Opened, Overflow};

use super::dying::{Home, Role, log_some, records};
use crate::support::wait_until;

const CHILD: &str = "crash_safe::at_exit::child_exits";
const EACH: u64 = 3_000;

static LOGGER: OnceLock<Logger> = OnceLock::new();
static MANAGER: OnceLock<LoggerManager> = OnceLock::new();

fn config(path: std::path::PathBuf) -> Config {
    // Nothing is written before the end, unless a buffer is full.
    let config = Config::new(path).buffer_size(2 * (64 << 10)).num_shards(2);
    config.flush_interval(std::time::Duration::from_secs(3600)).overflow(Overflow::Block)
}

/// The child: logs to what is in statics, and exits.
#[test]
fn child_exits() {
    let Some(role) = Role::get() else {
        return;
    };
    let logger = LOGGER
        .get_or_init(|| Logger::new(config(role.home.join("logs/app.log"))).expect("a logger"));
    let manager = MANAGER.get_or_init(|| {
        let config = Config::new(role.home.join("events/base.log"));
        LoggerManager::new(config.overflow(Overflow::Block)).expect("a manager")
    });
    if role.way != "not_asked" {
        logger.close_at_exit().expect("registered");
        manager.close_at_exit().expect("registered");
        // Asked twice, and for a logger that is gone by then.
        logger.close_at_exit().expect("registered");
        let gone = Logger::new(config(role.home.join("gone.log"))).expect("a logger");
        gone.close_at_exit().expect("registered");
    }
    log_some(logger, &role.counts(), 0, EACH);
    for number in 0..100 {
        manager.log_with_event("event", &number.to_string());
    }
    role.ready();
    match &*role.way {
        "returns" | "not_asked" => {}
        "exits" => std::process::exit(7),
        "panics" => panic!("the end of main"),
        "exits_on_a_thread" => {
            let thread = std::thread::spawn(|| std::process::exit(7));
            let _ = thread.join();
        }
        // Others log meanwhile: their records are accepted and in the log, or refused.
        "races" => {
            let counts = role.counts();
            let home = role.home.clone();
            std::thread::spawn(move || {
                let counts = super::counts::Counts::open(&home.join("counts"));
                let mut record = crate::support::Numbered::new();
                for number in 0.. {
                    if logger.try_log_bytes(record.make(1, number, 40)).is_err() {
                        break;
                    }
                    counts.set(1, number + 1);
                }
            });
            wait_until("the other thread logs", || counts.get(1) > 100);
            std::process::exit(7);
        }
        // A child that exits ends nothing of its parent's.
        "forks" => {
            // SAFETY: the child exits, and runs the handlers that it has inherited: that is under test.
            let child = unsafe { libc::fork() };
            if child == 0 {
                std::process::exit(0);
            }
            let mut status = 0;
            // SAFETY: waits for our own child.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0);
            log_some(logger, &role.counts(), 0, EACH);
            std::process::exit(7);
        }
        way => panic!("no way to exit: {way}"),
    }
}

/// What a process has logged that exits in this way is in its files, and they are ended.
#[track_caller]
fn keeps_all(way: &str, code: i32) {
    let home = Home::new();
    let status = home.run(CHILD, way);
    assert_eq!((status.code(), status.signal()), (Some(code), None), "{way}");
    let found = records(&home.log(), 2);
    let counts = home.counts();
    for (thread, found) in found.iter().enumerate() {
        let accepted = counts.get(thread);
        assert!(found.iter().copied().eq(0..accepted), "{way}: {} of {accepted}", found.len());
    }
    assert!(counts.get(0) >= EACH);
    let logger = Logger::new(Config::new(home.log())).expect("a logger");
    assert_eq!(*logger.opened(), Opened::Continued, "{way}: the file was ended");
    logger.close().expect("closed");
    let events = crate::manager::records(&home.path().join("events/event.log"));
    assert_eq!(events.len(), 100, "{way}");
}

#[test]
fn a_return_from_main_closes_what_is_in_statics() {
    keeps_all("returns", 0);
}

#[test]
fn an_exit_closes_what_is_in_statics() {
    keeps_all("exits", 7);
    keeps_all("exits_on_a_thread", 7);
}

/// The harness catches the panic, as a thread's end does; then its `main` exits with an error.
#[test]
fn a_panic_closes_what_is_in_statics() {
    keeps_all("panics", 101);
}

#[test]
fn an_exit_while_others_log_keeps_what_was_accepted() {
    keeps_all("races", 7);
}

#[test]
fn the_exit_of_a_forked_child_closes_nothing_of_its_parents() {
    keeps_all("forks", 7);
}

/// The tail is lost without being asked: that is why one can ask.
#[test]
fn nothing_is_closed_unless_that_was_asked_for() {
    let home = Home::new();
    assert!(home.run(CHILD, "not_asked").success());
    let log = home.log();
    let logger = Logger::new(Config::new(&log)).expect("a logger");
    assert!(matches!(logger.opened(), Opened::SetAside { .. }), "{:?}", logger.opened());
    logger.close().expect("closed");
    assert!((records(&log, 2)[0].len() as u64) < EACH);
}
