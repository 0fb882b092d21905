//! Flushes that are awaited, without a runtime.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use asynclogger::{Config, Durability, ErrorKind, Flushing, Logger, LoggerManager};

use crate::support::{child_role, directory, in_child, log_path, wait_until};

/// Wakes a thread, and counts.
struct Wakes(Thread, AtomicU64);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.unpark();
    }
}

fn waker() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes(thread::current(), AtomicU64::new(0)));
    (wakes.clone(), wakes.into())
}

fn poll(future: &mut Flushing) -> Poll<Result<(), asynclogger::Error>> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits for a future on this thread. Only its waker ends a wait.
fn block_on<F: Future>(future: F) -> F::Output {
    let (_, waker) = waker();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[test]
fn what_is_awaited_is_durable() {
    for durability in [Durability::Dsync, Durability::OnFlush, Durability::None] {
        let directory = directory();
        let config = Config::new(log_path(&directory)).durability(durability);
        let logger = Logger::new(config).expect("a logger");
        for _ in 0..20 {
            let position = logger.try_log_bytes(b"a record").expect("accepted");
            block_on(logger.wait_durable_async(&position)).expect("durable");
            assert!(logger.is_durable(&position));
            logger.log("another");
            block_on(logger.flush_async()).expect("flushed");
            let stats = logger.stats();
            assert_eq!(stats.durable, stats.accepted);
        }
        // No flush is needed any more: ready at once.
        let position = logger.try_log_bytes(b"the last").expect("accepted");
        logger.flush().expect("flushed");
        assert!(poll(&mut logger.wait_durable_async(&position)).is_ready());
    }
}

#[test]
fn what_is_awaited_of_an_event_is_durable() {
    let directory = directory();
    let manager = LoggerManager::in_dir(directory.path(), Config::default()).expect("a manager");
    let event = manager.event("event").expect("opened");
    for _ in 0..20 {
        let position = event.try_log_bytes(b"a record").expect("accepted");
        block_on(event.wait_durable_async(&position)).expect("durable");
        assert!(event.is_durable(&position));
        event.log("another");
        block_on(event.flush_async()).expect("flushed");
        event.log("one more");
        block_on(manager.flush_async()).expect("flushed");
        let stats = event.stats();
        assert_eq!((stats.durable, stats.pending), (stats.accepted, 0));
    }
    let other = manager.event("other").expect("opened");
    let position = other.try_log_bytes(b"a record").expect("accepted");
    let error = block_on(event.wait_durable_async(&position)).expect_err("not its own");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_position_of_another_log_is_not_found() {
    let (one, two) = (directory(), directory());
    let open = |at| Logger::new(Config::new(log_path(at))).expect("a logger");
    let (one, two) = (open(&one), open(&two));
    let position = one.try_log_bytes(b"a record").expect("accepted");
    let error = block_on(two.wait_durable_async(&position)).expect_err("not its own");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// Tasks that wait at the same time share flushes, and each is woken.
#[test]
fn tasks_share_flushes() {
    const TASKS: usize = 500;
    let directory = directory();
    let config = Config::new(log_path(&directory)).durability(Durability::OnFlush);
    let logger = Logger::new(config).expect("a logger");
    let before = logger.stats().flushes;
    let (wakes, waker) = waker();
    let mut waiting: Vec<Flushing> = (0..TASKS)
        .map(|_| {
            let position = logger.try_log_bytes(b"a record").expect("accepted");
            logger.wait_durable_async(&position)
        })
        .collect();
    while !waiting.is_empty() {
        let mut context = Context::from_waker(&waker);
        waiting.retain_mut(|future| match Pin::new(future).poll(&mut context) {
            Poll::Ready(answer) => {
                answer.expect("durable");
                false
            }
            Poll::Pending => true,
        });
        if !waiting.is_empty() {
            thread::park();
        }
    }
    let stats = logger.stats();
    assert_eq!(stats.durable, TASKS as u64);
    let flushes = stats.flushes - before;
    assert!(flushes < TASKS as u64 / 5, "{flushes} flushes");
    // One waker was kept, however often the tasks were polled.
    assert!(
        wakes.1.load(Ordering::Relaxed) < 2 * TASKS as u64,
        "{}",
        wakes.1.load(Ordering::Relaxed)
    );
}

#[test]
fn a_flush_goes_on_without_its_future() {
    let directory = directory();
    let logger = Logger::new(Config::new(log_path(&directory))).expect("a logger");
    logger.log("a record");
    drop(logger.flush_async());
    wait_until("durable", || logger.stats().durable == 1);
}

/// The last handle goes while a task waits: the close answers.
#[test]
fn a_close_answers_a_task_that_waits() {
    let directory = directory();
    for close in [false, true] {
        let logger = Logger::new(Config::new(log_path(&directory))).expect("a logger");
        logger.log("a record");
        let waits = thread::spawn({
            let flushing = logger.flush_async();
            move || block_on(flushing)
        });
        if close {
            logger.close().expect("closed");
        }
        drop(logger);
        waits.join().expect("a task").expect("durable");
    }
    let logger = Logger::new(Config::new(log_path(&directory))).expect("a logger");
    logger.close().expect("closed");
    assert!(matches!(poll(&mut logger.flush_async()), Poll::Ready(Ok(()))));
}

/// A failed attempt is an answer, and the records stay.
#[test]
fn a_failed_flush_is_told() {
    if child_role().is_none() {
        in_child("asynchronous::a_failed_flush_is_told", "child");
        return;
    }
    let directory = directory();
    let logger = Logger::new(Config::new(log_path(&directory))).expect("a logger");
    crate::support::limit_file_size(8 << 10);
    (0..100).for_each(|_| logger.log_bytes(&[7; 1000]));
    let error = block_on(logger.flush_async()).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::Io);
    crate::support::limit_file_size(1 << 30);
    block_on(async { while logger.flush_async().await.is_err() {} });
    assert_eq!(logger.stats().durable, 100);
}
