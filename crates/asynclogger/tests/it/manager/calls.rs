//! Calls from where no call is expected, and the last drop.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use asynclogger::{ErrorKind, EventLogger, LogError, LoggerManager, Overflow};

use super::{config, file, logs_in, manager, records};
use crate::support::{assert_balanced, child_role, directory, in_child, wait_until};

#[test]
fn dropping_the_last_handle_of_any_kind_closes_the_manager() {
    let directory = directory();
    for round in 0..2 {
        let manager = self::manager(&directory);
        manager.log_with_event("a", "one");
        let handle = manager.event("a").expect("open");
        if round == 0 {
            drop(manager);
            handle.log("two");
            drop(handle);
        } else {
            drop(handle);
            manager.log_with_event("a", "two");
            drop(manager);
        }
        let expected: Vec<_> =
            (0..=round).flat_map(|_| [b"one".to_vec(), b"two".to_vec()]).collect();
        assert_eq!(records(&file(&directory, "a")), expected);
    }
}

/// All events write into the same buffers, one after the other; an encoder of one must not find, nor log, what is
/// left there of another.
#[test]
fn an_encoder_finds_nothing_of_other_events() {
    let directory = directory();
    let config = config(&directory).buffer_size(1 << 20).num_shards(1).overflow(Overflow::Block);
    let manager = LoggerManager::new(config).expect("a manager");
    let (secret, public) = (manager.event("secret"), manager.event("public"));
    let (secret, public) = (secret.expect("open"), public.expect("open"));
    // All shared buffers are full of that.
    for _ in 0..50_000 {
        secret.log_bytes(b"password=hunter2 password=hunter2");
    }
    manager.flush().expect("flush");
    for number in 0..2_000_usize {
        let logged = public.try_log_with(64, |record| {
            assert!(record.is_empty() && record.written().is_empty());
            let len = number % 64;
            assert!(record.zeroed(len).expect("room").iter().all(|byte| *byte == 0));
            record.write(b"!");
        });
        logged.expect("accepted");
    }
    assert_eq!(public.try_log_with(64, |_| {}), Err(LogError::Empty));
    let too_long = public.try_log_with(4, |record| {
        record.write(b"12345");
    });
    assert!(matches!(too_long, Err(LogError::TooLarge { len: 5, max: 4, .. })), "{too_long:?}");
    let stats = manager.close().expect("close").total;
    assert_balanced(&stats);
    assert_eq!((stats.dropped.empty, stats.dropped.too_large), (1, 1));
    let found = records(&file(&directory, "public"));
    assert_eq!(found.len(), 2_000);
    for (number, record) in found.iter().enumerate() {
        let expected = [&vec![0; number % 64][..], b"!"].concat();
        assert_eq!(*record, expected, "record {number}");
    }
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

/// By name, and an event that is new; and the parent goes on as if nothing had been.
#[test]
fn a_forked_child_writes_nothing_and_its_parent_goes_on() {
    let directory = directory();
    let manager = manager(&directory);
    for name in ["a", "b"] {
        manager.log_with_event(name, "before");
    }
    // SAFETY: the child does nothing but what is under test, and leaves.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let forked = |error: asynclogger::Error| error.kind() == ErrorKind::Forked;
        for name in ["a", "b", "new"] {
            manager.log_with_event(name, "of the child");
        }
        let refused = manager.stats().total.accepted == 0
            && manager.event("new").is_err_and(forked)
            && manager.close_event_logger("a").is_err_and(forked)
            && manager.close().is_err_and(forked);
        drop(manager);
        // SAFETY: ends the child without destructors of the parent's.
        unsafe { libc::_exit(i32::from(!refused)) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    for name in ["a", "b", "c"] {
        manager.log_with_event(name, "after");
    }
    let stats = manager.close().expect("close");
    assert_eq!((stats.total.durable, stats.total.dropped_logs, stats.unopened), (5, 0, 0));
    assert_eq!(logs_in(&directory), ["a.log", "b.log", "c.log"]);
    assert_eq!(records(&file(&directory, "b")), [&b"before"[..], b"after"]);
}

/// What a signal's handler logs to.
struct Handled {
    manager: LoggerManager,
    event: EventLogger,
    calls: AtomicU64,
}

static HANDLED: OnceLock<Handled> = OnceLock::new();

/// Logs through a handle, by the name of an event that is open, and by one that is open at times.
extern "C" fn handler(_: libc::c_int) {
    if let Some(Handled { manager, event, calls }) = HANDLED.get() {
        event.log("from the handler");
        manager.log_with_event("b", "from the handler");
        manager.log_with_event("at times", "from the handler");
        calls.fetch_add(1, Ordering::SeqCst);
    }
}

/// Sends `SIGALRM` to this process every so many microseconds; 0: no more.
fn signal_every(micros: i64) {
    let time = libc::timeval { tv_sec: 0, tv_usec: micros };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: the structure is complete, and no old value is asked for.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(set, 0);
}

/// Whether `SIGALRM` is kept from this thread, and from those that it starts.
fn keep_signal_away(is_kept: bool) {
    let how = if is_kept { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    // SAFETY: the set is made empty first, and only this thread's mask is changed.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGALRM);
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}

/// A timer interrupts a thread that logs and asks for statistics, wherever it is, while another opens and
/// closes one of the events that the handler logs to.
#[test]
fn a_signal_handler_may_log_by_name_and_by_handle() {
    if child_role().is_none() {
        in_child("manager::calls::a_signal_handler_may_log_by_name_and_by_handle", "signals");
        return;
    }
    let directory = directory();
    // Only the thread that is meant is interrupted.
    keep_signal_away(true);
    let config = config(&directory).num_shards(1).buffer_size(256 << 10);
    let manager = LoggerManager::new(config.overflow(Overflow::Block)).expect("a manager");
    let event = manager.event("a").expect("an event");
    manager.initialize_event_logger("b").expect("an event");
    let handled = HANDLED.get_or_init(|| Handled { manager, event, calls: AtomicU64::new(0) });
    // SAFETY: the handler does nothing but what is under test.
    unsafe { libc::signal(libc::SIGALRM, handler as *const () as libc::sighandler_t) };
    let done = AtomicBool::new(false);
    let mut logged = 0_u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                let at_times = handled.manager.event("at times").expect("an event");
                let before = handled.calls.load(Ordering::SeqCst);
                wait_until("some calls", || {
                    done.load(Ordering::SeqCst)
                        || handled.calls.load(Ordering::SeqCst) > before + 20
                });
                drop(at_times);
                handled.manager.close_event_logger("at times").expect("closed");
                let before = handled.calls.load(Ordering::SeqCst);
                wait_until("some calls", || {
                    done.load(Ordering::SeqCst)
                        || handled.calls.load(Ordering::SeqCst) > before + 20
                });
            }
        });
        signal_every(100);
        keep_signal_away(false);
        while handled.calls.load(Ordering::SeqCst) < 2_000 {
            for _ in 0..20 {
                handled.event.log_bytes(&[b'm'; 300]);
                handled.manager.log_bytes_with_event("b", &[b'm'; 300]);
                logged += 2;
            }
            // It takes locks that the handler must not want.
            assert!(handled.manager.stats().total.accepted > 0);
        }
        keep_signal_away(true);
        signal_every(0);
        done.store(true, Ordering::SeqCst);
    });
    let stats = handled.manager.close().expect("close");
    assert_balanced(&stats.total);
    let offered = logged + 3 * handled.calls.load(Ordering::SeqCst);
    assert_eq!(stats.total.total_logs + stats.unopened, offered);
    let found: Vec<_> = ["a", "b", "at times"]
        .into_iter()
        .flat_map(|name| records(&file(&directory, &name.replace(' ', "_"))))
        .collect();
    assert_eq!(found.len() as u64, stats.total.accepted);
    let ours = found.iter().filter(|record| **record == [b'm'; 300]).count() as u64;
    assert_eq!(ours, logged, "the thread's own calls wait, and lose nothing");
    assert!(found.iter().all(|record| record.len() == 300 || record == b"from the handler"));
}
