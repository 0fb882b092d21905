//! Calls from where no call is expected, and the last drop.

use std::time::Duration;

use asynclogger::{ErrorKind, LogError, LoggerManager};

use super::{config, file, manager, records};
use crate::support::{directory, wait_until};

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
