//! Forked children of a process that logs: whatever a child does with what it has inherited, it keeps its memory and
//! ends well, and its parent goes on and loses nothing.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use asynclogger::{
    Config, Engine, Error, ErrorKind, EventLogger, Health, LogError, LoggerManager, RecordWriter,
};

use crate::{
    manager::{self, records},
    matrix::engines,
    support::{assert_balanced, directory, log_path, open, wait_until},
};

/// A forked child.
#[must_use]
struct Child(libc::pid_t);

/// Forks, and asks the child: `true` is what it should say. One that takes a minute waits for what will not come, and
/// is ended.
fn fork(check: impl FnOnce() -> bool) -> Child {
    // SAFETY: the child does what is under test, and leaves without anything of the parent's being run.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: as above; the timer is the child's.
        unsafe { libc::alarm(60) };
        let said = catch_unwind(AssertUnwindSafe(check));
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(!matches!(said, Ok(true)))) };
    }
    Child(child)
}

impl Child {
    /// Waits for its answer.
    #[track_caller]
    fn says_yes(self) {
        let mut status = 0;
        // SAFETY: waits for our own child.
        assert_eq!(unsafe { libc::waitpid(self.0, &raw mut status, 0) }, self.0);
        assert!(!libc::WIFSIGNALED(status), "the child was killed by {}", libc::WTERMSIG(status));
        assert_eq!(libc::WEXITSTATUS(status), 0, "the child said no");
    }
}

/// Memory of the child's own, of a size that has a mapping each: it fills whatever hole there is.
struct Mine(Vec<Vec<u8>>);

impl Mine {
    const LEN: usize = 256 << 10;

    fn new(count: u8) -> Mine {
        Mine((0..count).map(|byte| vec![byte; Mine::LEN]).collect())
    }

    fn is_whole(&self) -> bool {
        let mut all = self.0.iter().zip(0_u8..);
        all.all(|(bytes, byte)| bytes.iter().all(|b| *b == byte))
    }
}

/// What the child maps is there before and after the drop.
fn drop_among_mine<T>(inherited: T) -> bool {
    let before = Mine::new(200);
    drop(inherited);
    let after = Mine::new(200);
    before.is_whole() && after.is_whole()
}

fn is_forked<T>(result: Result<T, Error>) -> bool {
    result.is_err_and(|error| error.kind() == ErrorKind::Forked)
}

/// Small buffers: the child's memory is to fill the holes that they would leave.
fn small(path: &Path, engine: Engine) -> Config {
    Config::new(path).num_shards(2).buffer_size(4 << 20).engine(engine)
}

#[test]
fn a_child_drops_a_logger() {
    for engine in engines() {
        let directory = directory();
        let path = log_path(&directory);
        let mut logger = Some(open(small(&path, *engine)));
        for round in 0..3 {
            let parent = logger.as_ref().expect("a logger");
            parent.log(&format!("written {round}"));
            parent.flush().expect("flushed");
            parent.log(&format!("pending {round}"));
            fork(|| drop_among_mine(logger.take())).says_yes();
        }
        let stats = logger.take().expect("a logger").close().expect("closed");
        assert_eq!((stats.durable, stats.dropped_logs), (6, 0));
        assert_eq!(records(&path).len(), 6);
    }
}

/// As it was closed, too: then no thread of the parent's holds what the child drops.
#[test]
fn a_child_drops_a_closed_logger() {
    for engine in engines() {
        let directory = directory();
        let path = log_path(&directory);
        let mut logger = Some(open(small(&path, *engine)));
        logger.as_ref().expect("a logger").log("one");
        logger.as_ref().expect("a logger").close().expect("closed");
        fork(|| drop_among_mine(logger.take())).says_yes();
        drop(logger);
        assert_eq!(records(&path), [b"one"]);
    }
}

/// With events and without: then nothing but the opener has the ring.
#[test]
fn a_child_drops_a_manager() {
    for engine in engines() {
        for events in [0, 3] {
            let directory = directory();
            let path = directory.path().join("base.log");
            let mut manager = Some(LoggerManager::new(small(&path, *engine)).expect("a manager"));
            let log = |manager: &LoggerManager| {
                (0..events).for_each(|n| manager.log_with_event(&format!("event {n}"), "x"));
            };
            log(manager.as_ref().expect("a manager"));
            fork(|| drop_among_mine(manager.take())).says_yes();
            let parent = manager.take().expect("a manager");
            log(&parent);
            parent.log_with_event("new", "x");
            let stats = parent.close().expect("closed").total;
            assert_balanced(&stats);
            assert_eq!((stats.durable, stats.dropped_logs), (2 * events + 1, 0));
        }
    }
}

/// Together with the manager, before it, and after it is gone.
#[test]
fn a_child_drops_an_event_logger() {
    for engine in engines() {
        let directory = directory();
        let path = directory.path().join("base.log");
        let mut manager = Some(LoggerManager::new(small(&path, *engine)).expect("a manager"));
        let mut event = manager.as_ref().map(|manager| manager.event("a").expect("an event"));
        let log = |event: &Option<EventLogger>| event.as_ref().expect("an event").log("x");
        log(&event);
        fork(|| drop_among_mine(event.take())).says_yes();
        log(&event);
        fork(|| drop_among_mine((manager.take(), event.take()))).says_yes();
        log(&event);
        fork(|| drop_among_mine((event.take(), manager.take()))).says_yes();
        log(&event);
        let stats = manager.as_ref().expect("a manager").close().expect("closed").total;
        assert_eq!((stats.durable, stats.dropped_logs), (4, 0));
        drop(manager);
        fork(|| drop_among_mine(event.take())).says_yes();
        drop(event);
        assert_eq!(records(&manager::file(&directory, "a")).len(), 4);
    }
}

/// An encoder that forks comes back in the child, too: with memory of its own, and a record that is refused, as all
/// that follow are. The parent's is in the file, once.
#[test]
fn an_encoder_may_fork() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(Config::new(&path).num_shards(1).buffer_size(64 << 10));
    let events =
        LoggerManager::new(Config::new(directory.path().join("base.log"))).expect("opened");
    let event = events.event("a").expect("an event");
    // The second one begins a buffer, the third is its second record; a long one ends it.
    for len in [5, 50_000, 7, 40_000] {
        for is_event in [false, true] {
            let mut child = 0;
            let encode = |record: &mut RecordWriter<'_>| {
                record.write(b"1");
                // SAFETY: the child does what is under test, and leaves.
                child = unsafe { libc::fork() };
                assert!(child >= 0);
                if child == 0 {
                    // SAFETY: the timer is the child's.
                    unsafe { libc::alarm(60) };
                    assert_eq!(record.written(), [0]);
                }
                record.clear();
                record.zeroed(len).expect("room").fill(b'x');
            };
            let logged = if is_event {
                event.try_log_with(len, encode)
            } else {
                logger.try_log_with(len, encode)
            };
            if child == 0 {
                let said = catch_unwind(AssertUnwindSafe(|| {
                    let refused = |result| result == Err(LogError::Closed);
                    let next = if is_event {
                        refused(event.try_log_bytes(b"next"))
                    } else {
                        refused(logger.try_log_bytes(b"next"))
                    };
                    let stats = if is_event { events.stats().total } else { logger.stats() };
                    refused(logged) && next && stats.accepted == 0
                }));
                // SAFETY: ends the child without anything of the parent's being run.
                unsafe { libc::_exit(i32::from(!matches!(said, Ok(true)))) };
            }
            logged.expect("the parent's");
            Child(child).says_yes();
        }
    }
    let (stats, of_events) = (logger.close().expect("closed"), events.close().expect("closed"));
    assert_eq!((stats.durable, stats.dropped_logs), (4, 0));
    assert_eq!((of_events.total.durable, of_events.total.dropped_logs), (4, 0));
    for path in [path, manager::file(&directory, "a")] {
        let expected = [5, 50_000, 7, 40_000].map(|len| vec![b'x'; len]);
        assert_eq!(records(&path), expected);
    }
}

/// Nothing that a child asks is answered as if all was well; and nothing that it asks waits.
#[test]
fn a_child_is_told_what_it_is() {
    let directory = directory();
    let logger = open(Config::new(log_path(&directory)));
    let manager =
        LoggerManager::new(Config::new(directory.path().join("base.log"))).expect("opened");
    let event = manager.event("a").expect("an event");
    let position = logger.try_log_bytes(b"one").expect("accepted");
    event.log("one");
    assert_eq!((logger.health(), manager.health()), (Health::Ok, Health::Ok));
    fork(|| {
        let of_logger = logger.health() == Health::Forked
            && logger.last_error().is_some_and(|error| error.kind() == ErrorKind::Forked)
            && is_forked(logger.flush())
            && is_forked(logger.rotate())
            && is_forked(logger.reopen())
            && is_forked(logger.wait_durable(&position, Duration::MAX))
            && is_forked(logger.close())
            && logger.try_log_bytes(b"of the child") == Err(LogError::Closed)
            && logger.stats().dropped.closed == 1;
        manager.log_with_event("a", "of the child");
        manager.log_with_event("new", "of the child");
        let of_manager = manager.health() == Health::Forked
            && manager.event_health("a").is_ok_and(|health| health == Health::Forked)
            && is_forked(manager.flush())
            && is_forked(manager.event("new"))
            && is_forked(manager.initialize_event_logger("new"))
            && is_forked(manager.close_event_logger("a"))
            && is_forked(manager.close())
            && event.try_log_bytes(b"of the child") == Err(LogError::Closed)
            && manager.stats().total.dropped.closed == 3;
        of_logger && of_manager
    })
    .says_yes();
    assert_eq!((logger.health(), manager.health()), (Health::Ok, Health::Ok));
    assert_eq!(logger.close().expect("closed").durable, 1);
    assert_eq!(manager.close().expect("closed").total.durable, 1);
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Forked while other threads of the parent are in the middle of everything: the child waits for none of them.
#[test]
fn a_child_waits_for_no_thread_of_its_parent() {
    let (elsewhere, directory) = (directory(), directory());
    let manager = LoggerManager::new(manager::config(&directory).num_shards(2)).expect("a manager");
    let logger = open(Config::new(directory.path().join("beside.log")).num_shards(2));
    let (over, logged) = (AtomicBool::new(false), AtomicU64::new(0));
    let go_on = || !over.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        // However this ends.
        let _over = SetOnDrop(&over);
        scope.spawn(|| {
            while go_on() {
                let _ = (manager.stats(), logger.flush_metrics(), logger.last_error());
            }
        });
        scope.spawn(|| {
            for n in (0..).take_while(|_| go_on()) {
                let name = format!("event {}", n % 50);
                manager.log_with_event(&name, "of the parent");
                logged.fetch_add(1, Ordering::Relaxed);
                let _ = manager.close_event_logger(&name);
                let beside = Config::new(directory.path().join("again.log")).num_shards(1);
                open(beside.buffer_size(64 << 10)).log("x");
            }
        });
        scope.spawn(|| {
            while go_on() {
                let _ = (logger.flush(), manager.flush());
            }
        });
        let event = manager.event("kept").expect("an event");
        for round in 0..60 {
            fork(|| {
                manager.log_with_event("kept", "of the child");
                manager.log_with_event("of the child", "of the child");
                logger.log("of the child");
                let _ = (manager.event("other"), logger.last_error(), logger.flush_metrics());
                let health = manager.health();
                let stats = manager.stats();
                // The child's own, beside.
                let path = elsewhere.path().join(format!("child {round}.log"));
                let own = open(Config::new(&path).num_shards(1).buffer_size(64 << 10));
                own.log("of the child");
                let own = own.close().is_ok_and(|stats| stats.durable == 1);
                let _ = event.try_log_bytes(b"of the child");
                health == Health::Forked && stats.total.accepted == 0 && own
            })
            .says_yes();
        }
    });
    logger.close().expect("closed");
    let stats = manager.close().expect("closed").total;
    assert_balanced(&stats);
    assert_eq!((stats.durable, stats.dropped_logs), (logged.load(Ordering::Relaxed), 0));
}

/// A lock is of the process that has it. What the child has inherited is closed together with the child, and not
/// before: closing the file would give up the lock that the child has taken since.
#[test]
fn a_childs_lock_outlives_what_it_has_inherited() {
    let directory = directory();
    let of_events = || Config::new(directory.path().join("base.log"));
    let mut manager = Some(LoggerManager::new(of_events()).expect("a manager"));
    let (mut ours, mut theirs) = UnixStream::pair().expect("a pair");
    let tell = |stream: &mut UnixStream| stream.write_all(b"x").expect("told");
    let wait = |stream: &mut UnixStream| stream.read_exact(&mut [0]).expect("told");
    let child = fork(|| {
        let refused = LoggerManager::new(of_events()).map(drop);
        tell(&mut theirs);
        wait(&mut theirs);
        let own = LoggerManager::new(of_events());
        drop(manager.take());
        tell(&mut theirs);
        wait(&mut theirs);
        refused.is_err_and(|error| error.kind() == ErrorKind::InUse) && own.is_ok()
    });
    wait(&mut ours);
    drop(manager.take());
    tell(&mut ours);
    wait(&mut ours);
    let second = LoggerManager::new(of_events()).map(drop);
    tell(&mut ours);
    child.says_yes();
    assert_eq!(second.expect_err("the child has it").kind(), ErrorKind::InUse);
    wait_until("the child's end", || LoggerManager::new(of_events()).is_ok());
}
