//! Calls from where no call is expected: they return, accepted or counted.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Barrier, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use asynclogger::{
    Config, Error, ErrorKind, LogError, Logger, LoggerManager, Overflow, RecordWriter,
};

use crate::{
    seed_readers::{self, Step},
    support::{assert_balanced, child_role, directory, in_child, log_path, open},
};

#[test]
fn an_encoder_that_panics_logs_nothing_and_blocks_nobody() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path).num_shards(1).overflow(Overflow::Block));
    for round in 0..3 {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            logger.try_log_with(10, |record| {
                record.write(b"in part");
                panic!("the encoder's");
            })
        }));
        assert!(panicked.is_err());
        if round > 0 {
            logger.log("whole");
        }
        logger.flush().expect("flush");
    }
    let stats = logger.close().expect("close");
    assert_eq!(stats.accepted, 2);
    assert_eq!(seed_readers::records(&path, Step::Valid), [b"whole", b"whole"]);
}

/// The flusher waits for the claim that the encoder is under: what waits for the flusher would never return.
#[test]
fn an_encoder_that_would_wait_for_itself_gets_an_error_at_once() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path).num_shards(1));
    let other = open(Config::new(directory.path().join("other.log")));
    let before = logger.try_log_bytes(b"before").expect("accepted");
    logger
        .try_log_with(6, |record| {
            let long = std::time::Duration::from_secs(3600);
            let refused = [
                logger.flush(),
                logger.flush_for(long),
                logger.rotate(),
                logger.reopen(),
                logger.wait_durable(&before, long),
                logger.close().map(|_| ()),
                // It might wait, too: who knows what that one's flusher waits for.
                other.flush(),
            ];
            for result in refused {
                let error = result.expect_err("within an encoder");
                assert_eq!(error.kind(), ErrorKind::WouldDeadlock, "{error}");
            }
            record.write(b"outer");
        })
        .expect("accepted");
    other.flush().expect("outside");
    logger.flush().expect("outside");
    assert_eq!(logger.close().expect("close").durable, 2);
    assert_eq!(seed_readers::records(&path, Step::Valid), [&b"before"[..], b"outer"]);
}

#[test]
fn an_encoder_that_logs_never_waits() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path).num_shards(1).overflow(Overflow::Block));
    let position = logger.try_log_with(5, |record| {
        // The only shard is held by the outer call.
        assert_eq!(logger.try_log_bytes(b"inner"), Err(LogError::Busy));
        record.write(b"outer");
    });
    assert!(position.is_ok());
    let stats = logger.close().expect("close");
    assert_balanced(&stats);
    assert_eq!((stats.accepted, stats.dropped.busy), (1, 1));

    let path = directory.path().join("two.log");
    let logger = open(Config::new(&path).num_shards(2).overflow(Overflow::Block));
    logger
        .try_log_with(5, |record| {
            logger.try_log_bytes(b"inner").expect("the other shard is free");
            record.write(b"outer");
        })
        .expect("accepted");
    logger.close().expect("close");
    assert_eq!(seed_readers::records(&path, Step::Valid).len(), 2);
}

/// What waits for the flusher, and so for the claim of the log call that it is made in, fails at once.
#[test]
fn an_encoder_that_waits_gets_an_error() {
    const LONG: Duration = Duration::from_secs(60);
    fn refused<T>(what: &str, result: Result<T, Error>) {
        let error = result.err().unwrap_or_else(|| panic!("{what} waited for itself"));
        assert_eq!(error.kind(), ErrorKind::WouldDeadlock, "{what}: {error}");
    }
    let directory = directory();
    let logger = open(Config::new(log_path(&directory)));
    let other = open(Config::new(directory.path().join("other.log")));
    let events = directory.path().join("events");
    let manager = LoggerManager::new(Config::new(events.join("base.log"))).expect("a manager");
    let event = manager.event("event").expect("opened");
    let before = logger.try_log_bytes(b"before").expect("accepted");
    let of_event = event.try_log_bytes(b"before").expect("accepted");
    let all = || {
        for logger in [&logger, &other] {
            refused("flush", logger.flush());
            refused("flush_for", logger.flush_for(LONG));
            refused("rotate", logger.rotate());
            refused("reopen", logger.reopen());
            refused("close", logger.close());
        }
        refused("wait_durable", logger.wait_durable(&before, LONG));
        refused("the manager's flush", manager.flush());
        refused("the manager's flush_for", manager.flush_for(LONG));
        refused("the manager's close", manager.close());
        refused("close_event_logger", manager.close_event_logger("event"));
        refused("event", manager.event("not opened yet"));
        refused("the event's flush", event.flush());
        refused("the event's flush_for", event.flush_for(LONG));
        refused("the event's wait_durable", event.wait_durable(&of_event, LONG));
        // These tell what is known.
        assert_eq!(logger.stats().accepted, 1);
        assert_eq!(manager.event_stats("event").expect("stats").dropped_logs, 0);
    };
    logger
        .try_log_with(6, |record| {
            all();
            assert!(record.write(b"around"));
        })
        .expect("accepted");
    other.try_log_bytes(b"one").expect("accepted");
    event
        .try_log_with(6, |room| {
            refused("the manager's flush", manager.flush());
            refused("flush", other.flush());
            assert!(room.write(b"around"));
        })
        .expect("accepted");
    // Outside all goes on.
    for logger in [&logger, &other] {
        logger.flush().expect("flush");
        logger.close().expect("close");
    }
    event.flush().expect("flush");
    assert_eq!(manager.close().expect("close").total.durable, 2);
    assert_eq!((logger.stats().durable, other.stats().durable), (2, 1));
}

/// Under `Block` a call in an encoder of another logger waits, if that was opened before; else it is refused, and
/// counted. Both at once, the two threads would otherwise wait for each other.
#[test]
fn an_encoder_waits_for_a_logger_that_was_opened_later() {
    let directory = directory();
    let one_shard = |name: &str| {
        let config = Config::new(directory.path().join(name)).num_shards(1);
        open(config.overflow(Overflow::Block))
    };
    let (first, second) = (one_shard("first.log"), one_shard("second.log"));
    let manager = LoggerManager::new(
        Config::new(directory.path().join("events/base.log"))
            .num_shards(1)
            .overflow(Overflow::Block),
    );
    let manager = manager.expect("a manager");
    let event = manager.event("event").expect("opened");
    let log = |to: &dyn Fn() -> Result<(), LogError>| to();
    let (to_first, to_second, to_event) = (
        || first.try_log_bytes(b"inner").map(|_| ()),
        || second.try_log_bytes(b"inner").map(|_| ()),
        || event.try_log_bytes(b"inner").map(|_| ()),
    );
    // In the encoder of the one and of the other, until both are there.
    let meet = Barrier::new(2);
    let cross = |outer: &dyn Fn(&mut dyn FnMut()), inner: &dyn Fn() -> Result<(), LogError>| {
        let mut answer = None;
        outer(&mut || {
            meet.wait();
            answer = Some(log(inner));
        });
        answer.expect("the encoder was called")
    };
    let in_first = |body: &mut dyn FnMut()| {
        let encode = |record: &mut RecordWriter<'_>| {
            body();
            assert!(record.write(b"outer"));
        };
        first.try_log_with(5, encode).expect("accepted");
    };
    let in_second = |body: &mut dyn FnMut()| {
        let encode = |record: &mut RecordWriter<'_>| {
            body();
            assert!(record.write(b"outer"));
        };
        second.try_log_with(5, encode).expect("accepted");
    };
    let in_event = |body: &mut dyn FnMut()| {
        let encode = |record: &mut RecordWriter<'_>| {
            body();
            assert!(record.write(b"outer"));
        };
        event.try_log_with(5, encode).expect("accepted");
    };
    thread::scope(|scope| {
        let waits = scope.spawn(|| cross(&in_first, &to_second));
        assert_eq!(cross(&in_second, &to_first), Err(LogError::Busy));
        assert_eq!(waits.join().expect("no panic"), Ok(()));
    });
    thread::scope(|scope| {
        let waits = scope.spawn(|| cross(&in_second, &to_event));
        assert_eq!(cross(&in_event, &to_second), Err(LogError::Busy));
        assert_eq!(waits.join().expect("no panic"), Ok(()));
    });
    let (first, second) = (first.close().expect("close"), second.close().expect("close"));
    assert_eq!((first.durable, first.dropped.busy), (1, 1));
    assert_eq!((second.durable, second.dropped.busy), (3, 1));
    let events = manager.close().expect("close").total;
    assert_eq!((events.durable, events.dropped_logs), (2, 0));
}

#[test]
fn a_thread_local_destructor_may_log() {
    static LOGGER: OnceLock<Logger> = OnceLock::new();
    struct LogsOnDrop;
    impl Drop for LogsOnDrop {
        fn drop(&mut self) {
            if let Some(logger) = LOGGER.get() {
                logger.log("from a destructor");
            }
        }
    }
    thread_local! {
        static EARLY: LogsOnDrop = const { LogsOnDrop };
        static LATE: LogsOnDrop = const { LogsOnDrop };
    }
    let directory = directory();
    let path = log_path(&directory);
    let logger = LOGGER.get_or_init(|| open(Config::new(&path)));
    // Before and after the logger's own thread-local is made, so that it goes between.
    std::thread::spawn(|| {
        EARLY.with(|_| {});
        LOGGER.get().expect("set").log("from a thread");
        LATE.with(|_| {});
    })
    .join()
    .expect("thread");
    let stats = logger.close().expect("close");
    assert_eq!((stats.accepted, stats.dropped_logs), (3, 0));
    assert_eq!(seed_readers::records(&path, Step::Valid).len(), 3);
}

#[test]
fn threads_that_come_and_go_give_their_homes_back() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path).num_shards(8));
    for _ in 0..50 {
        let logger = logger.clone();
        // Joined, not scoped: a scope ends before its threads' destructors have run.
        std::thread::spawn(move || logger.log("short-lived")).join().expect("thread");
    }
    let used = logger.shard_stats().iter().filter(|shard| shard.write_count > 0).count();
    assert_eq!(used, 1, "one thread at a time needs one shard");
    assert_eq!(logger.close().expect("close").accepted, 50);
}

/// An allocator that logs each allocation: also those of the logger itself, within its calls.
#[test]
fn an_allocator_may_log() {
    static LOGGER: OnceLock<Logger> = OnceLock::new();
    static CALLS: AtomicU64 = AtomicU64::new(0);
    fn hook() {
        LOGGER.get().expect("set").log("an allocation");
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
    let directory = directory();
    let path = log_path(&directory);
    // Small buffers, so that calls wait, for which they allocate.
    let config = Config::new(&path).num_shards(1).buffer_size(64 << 10).overflow(Overflow::Block);
    let logger = LOGGER.get_or_init(|| open(config));
    let ours = std::thread::spawn(move || {
        crate::support::on_allocation(Some(hook));
        let mut ours = 0_u64;
        while CALLS.load(Ordering::Relaxed) < 1_000 {
            logger.log_bytes(&[b'm'; 3_000]);
            ours += 1;
            drop(std::hint::black_box(vec![0; 100]));
        }
        crate::support::on_allocation(None);
        ours
    });
    let ours = ours.join().expect("the thread");
    let stats = logger.close().expect("close");
    assert_balanced(&stats);
    assert_eq!(stats.total_logs, ours + CALLS.load(Ordering::Relaxed));
    let records = seed_readers::records(&path, Step::Valid);
    assert_eq!(records.len() as u64, stats.accepted);
    assert_eq!(records.iter().filter(|record| record.len() == 3_000).count() as u64, ours);
}

#[test]
fn a_panic_hook_may_log() {
    static LOGGER: OnceLock<Logger> = OnceLock::new();
    if child_role().is_none() {
        in_child("reentrancy::a_panic_hook_may_log", "panics");
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    let config = Config::new(&path).num_shards(1).overflow(Overflow::Block);
    let logger = LOGGER.get_or_init(|| open(config));
    std::panic::set_hook(Box::new(|info| {
        LOGGER.get().expect("set").log(&format!("panicked: {info}"));
    }));
    let outside = catch_unwind(|| panic!("outside of a call"));
    // The only shard is held by the encoder that panics: counted, not waited for.
    let inside =
        catch_unwind(AssertUnwindSafe(|| logger.try_log_with(4, |_| panic!("in an encoder"))));
    let _ = std::panic::take_hook();
    assert!(outside.is_err() && inside.is_err());
    let stats = logger.close().expect("close");
    assert_eq!((stats.accepted, stats.dropped.busy), (1, 1));
    let records = seed_readers::records(&path, Step::Valid);
    assert!(String::from_utf8_lossy(&records[0]).contains("outside of a call"));
}

/// Sends `SIGALRM` to this process every so many microseconds; 0: no more.
fn signal_every(micros: i64) {
    let time = libc::timeval { tv_sec: 0, tv_usec: micros };
    let timer = libc::itimerval { it_interval: time, it_value: time };
    // SAFETY: the structure is complete, and no old value is asked for.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(set, 0);
}

/// A timer interrupts the only logging thread wherever it is, and its handler logs.
#[test]
fn a_signal_handler_may_log() {
    static LOGGER: OnceLock<Logger> = OnceLock::new();
    static HANDLED: AtomicU64 = AtomicU64::new(0);
    extern "C" fn handler(_: libc::c_int) {
        if let Some(logger) = LOGGER.get() {
            logger.log("from the handler");
            HANDLED.fetch_add(1, Ordering::Relaxed);
        }
    }
    if child_role().is_none() {
        in_child("reentrancy::a_signal_handler_may_log", "signals");
        return;
    }
    let directory = directory();
    let path = log_path(&directory);
    // One shard and small buffers: every call interrupted is at the same shard, or waits, or wakes.
    let config = Config::new(&path).num_shards(1).buffer_size(64 << 10).overflow(Overflow::Block);
    let logger = LOGGER.get_or_init(|| open(config));
    // SAFETY: the handler does nothing but what is under test.
    unsafe { libc::signal(libc::SIGALRM, handler as *const () as libc::sighandler_t) };
    signal_every(100);
    let mut logged = 0_u64;
    while HANDLED.load(Ordering::Relaxed) < 2_000 {
        for _ in 0..100 {
            logger.log_bytes(&[b'm'; 300]);
            logged += 1;
        }
    }
    signal_every(0);
    let stats = logger.close().expect("close");
    assert_balanced(&stats);
    let handled = HANDLED.load(Ordering::Relaxed);
    assert_eq!(stats.total_logs, logged + handled);
    let records = seed_readers::records(&path, Step::Valid);
    assert_eq!(records.len() as u64, stats.accepted);
    let ours = records.iter().filter(|record| **record == [b'm'; 300]).count() as u64;
    assert_eq!(ours, logged, "the thread's own calls wait, and lose nothing");
    let theirs = records.iter().filter(|record| **record == b"from the handler").count() as u64;
    assert_eq!(theirs + stats.dropped_logs, handled);
}

/// The child finds the logger closed; the parent is untouched.
#[test]
fn a_forked_child_finds_the_logger_closed() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path).overflow(Overflow::Block));
    logger.log("before");
    // SAFETY: the child calls only what is under test, and `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let refused = logger.try_log_bytes(b"child") == Err(LogError::Closed);
        let counted = logger.stats().dropped.closed == 1;
        let forked = |result: Result<(), asynclogger::Error>| {
            result.is_err_and(|error| error.kind() == asynclogger::ErrorKind::Forked)
        };
        let told = forked(logger.flush()) && forked(logger.close().map(|_| ()));
        drop(logger);
        // SAFETY: ends the child without running anything of the test's.
        unsafe { libc::_exit(i32::from(!(refused && counted && told))) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (child, true, 0));
    logger.log("after");
    let stats = logger.close().expect("close");
    assert_eq!((stats.accepted, stats.dropped_logs), (2, 0));
    assert_eq!(seed_readers::records(&path, Step::Valid), [&b"before"[..], b"after"]);
}
