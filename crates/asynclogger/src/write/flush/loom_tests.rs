//! Models of the swap protocol, on the types that run: loom goes through every schedule of two to four
//! threads up to a bound of preemptions, and through the stale values that a weak ordering allows.
//!
//! Run by `scripts/loom`. What each model catches is in `docs/concurrency.md`.

mod file;

use std::{
    sync::atomic::Ordering::Relaxed as StdRelaxed,
    time::{Duration, Instant},
};

use self::file::{NoOther, Written};
use super::{
    flusher::Worker,
    intake::Intake,
    log_writer::LogWriter,
    session::Session,
    thread::{self, Round, Rounds, Stop},
};
use crate::{
    Config, Durability, LogError, Overflow, Position, Rotation,
    format::MIN_ALIGN,
    sync::{Arc, AtomicU64, Ordering},
    write::{
        common::{Ending, Local},
        segments::Zone,
        swap::{
            Bell, Ingest, IngestParts, Pool, Shards, Sleep,
            loom_tests::{NEVER, check, spawn},
        },
    },
};

type Record = [u8; 4];
/// A record and its length.
const RECORD_LEN: usize = 8;
/// An interval that is over as soon as it has begun, and one that never is.
const AT_ONCE: Duration = Duration::ZERO;

/// A log without a thread of its own.
struct Model {
    log: Arc<Log>,
    worker: Stepped,
    written: Written,
}

/// A flusher that is stepped by hand. It ends when the log is closed.
struct Stepped {
    worker: Worker,
    stop: Stop,
    bell: Arc<Bell>,
}

/// The part of a log that its handles share.
struct Log {
    ingest: Ingest,
    session: Arc<Session>,
}

#[derive(Clone, Copy)]
struct Size {
    shards: usize,
    buffers: usize,
    /// The number of records for which a buffer has room.
    records: usize,
}

impl Model {
    fn new(size: Size, overflow: Overflow, interval: Duration) -> Model {
        Model::rotating(size, overflow, interval, Rotation::default())
    }

    fn rotating(size: Size, overflow: Overflow, interval: Duration, rotation: Rotation) -> Model {
        let capacity = 8 + size.records * RECORD_LEN;
        let bell = Arc::new(Bell::new().expect("bell"));
        let ingest = Ingest::new(IngestParts {
            pool: Pool::new(size.buffers, capacity, MIN_ALIGN).expect("pool"),
            bell: bell.clone(),
            num_shards: size.shards,
            max_record: 4,
            overflow,
            shares_barriers: false,
            session: 1,
        });
        let ingest = ingest.expect("log");
        let shards = ingest.shards().clone();
        let session = Arc::new(Session::new(1, Intake::Shards(shards.clone()), bell));
        let (segment, written) = file::segment();
        let config = Config::new("").flush_interval(interval).durability(Durability::None);
        let config = config.rotation(rotation);
        let files = Box::new(NoOther);
        let writer = LogWriter::new(session.clone(), segment, files, &config, Zone::Utc, None);
        let bell = shards.bell().clone();
        let worker = Worker::new(shards, writer, false);
        let worker = Stepped { worker, stop: Stop::asked(), bell };
        Model { log: Arc::new(Log { ingest, session }), worker, written }
    }
}

impl Stepped {
    fn round(&mut self) -> Round {
        self.worker.round(&self.stop)
    }

    fn sleep(&mut self) {
        self.worker.sleep(&self.stop);
    }

    fn work(self) {
        thread::run(self.worker, &self.stop, &self.bell);
    }
}

impl Log {
    fn shards(&self) -> &Arc<Shards> {
        self.ingest.shards()
    }

    fn accepted(&self) -> u64 {
        self.shards().accepted()
    }
}

/// Logs a record on a thread with this home.
fn append(log: &Log, home: usize, record: Record) -> Result<Position, LogError> {
    Local::with(|local| local.set_home(log.ingest.id(), home));
    log.ingest.append(record.len(), |room| room.copy_from_slice(&record))
}

/// Logs `count` records of thread `thread`; returns those that were accepted.
fn append_some(log: &Log, home: usize, thread: u8, count: u8) -> Vec<(Position, Record)> {
    let records = (0..count).map(|number| [thread, number, !thread, !number]);
    records.filter_map(|record| Some((append(log, home, record).ok()?, record))).collect()
}

/// Closes the log as `Logger::close` does, apart from the waiting.
fn close(log: &Log) {
    assert_eq!(log.shards().close(Instant::now() + NEVER), 0);
    log.session.gate().set_ending(Ending::Closing);
    log.shards().bell().ring(Sleep::Timed);
}

/// Works and sleeps on the flusher's thread, until the condition holds after a round.
fn work_until(mut worker: Stepped, done: impl Fn() -> bool) -> Stepped {
    while !done() {
        if worker.round() == Round::Idle {
            worker.sleep();
        }
    }
    worker
}

/// Works until there is nothing more to do.
fn finish(worker: &mut Stepped) {
    while worker.round() == Round::Busy {}
}

/// (a) Two writers on one shard, and a flusher that seals it in between.
#[test]
fn loom_two_writers_and_seals() {
    check("two writers and seals", 2, || {
        let size = Size { shards: 1, buffers: 3, records: 2 };
        let Model { log, mut worker, written } = Model::new(size, Overflow::Drop, NEVER);
        let (first, second) = (log.clone(), log.clone());
        let first = spawn(move || append_some(&first, 0, 1, 2));
        let flusher = spawn(move || {
            for _ in 0..2 {
                second.shards().seal_idle(0);
                worker.round();
            }
            worker
        });
        let mut accepted = append_some(&log, 0, 2, 2);
        accepted.extend(first.join().expect("writer"));
        let mut worker = flusher.join().expect("flusher");
        log.shards().seal_idle(0);
        finish(&mut worker);
        assert_eq!(log.accepted(), accepted.len() as u64);
        written.verify(&accepted);
    });
}

/// A thread that shares its home with nobody never spills and is never refused, whatever the flusher
/// seals: a compare-and-swap that failed is not a busy shard.
#[test]
fn loom_a_writer_alone_stays_at_home() {
    check("a writer alone stays at home", 3, || {
        let size = Size { shards: 2, buffers: 4, records: 2 };
        let Model { log, mut worker, written } = Model::new(size, Overflow::Drop, NEVER);
        let sealed = log.clone();
        let flusher = spawn(move || {
            for _ in 0..3 {
                sealed.shards().seal_idle(0);
            }
            worker.round();
            worker
        });
        let accepted = append_some(&log, 0, 1, 3);
        let mut worker = flusher.join().expect("flusher");
        assert_eq!(accepted.len(), 3, "nobody else is there");
        assert!(accepted.iter().all(|(position, _)| position.shard() == 0));
        log.shards().seal_idle(0);
        finish(&mut worker);
        written.verify(&accepted);
    });
}

/// (b) Two writers at one home, with a second shard to spill to, and a flusher that seals both.
#[test]
fn loom_spilling() {
    check("spilling", 2, || {
        let size = Size { shards: 2, buffers: 4, records: 1 };
        let Model { log, mut worker, written } = Model::new(size, Overflow::Drop, NEVER);
        let (first, sealed) = (log.clone(), log.clone());
        let first = spawn(move || append_some(&first, 0, 1, 2));
        let flusher = spawn(move || {
            sealed.shards().seal_idle(0);
            sealed.shards().seal_idle(1);
            worker.round();
            worker
        });
        let mut accepted = append_some(&log, 0, 2, 1);
        accepted.extend(first.join().expect("writer"));
        let mut worker = flusher.join().expect("flusher");
        for shard in 0..2 {
            log.shards().seal_idle(shard);
        }
        finish(&mut worker);
        let dropped = log.shards().dropped();
        assert_eq!(accepted.len() as u64 + dropped.total(), 3);
        written.verify(&accepted);
    });
}

/// (c) Swaps that find the pool empty while the flusher refills it.
#[test]
fn loom_empty_pool_and_refill() {
    check("empty pool and refill", 2, || {
        let size = Size { shards: 1, buffers: 2, records: 1 };
        let Model { log, mut worker, written } = Model::new(size, Overflow::Drop, NEVER);
        let first = log.clone();
        let first = spawn(move || append_some(&first, 0, 1, 3));
        let flusher = spawn(move || {
            worker.round();
            worker.round();
            worker
        });
        let mut accepted = append_some(&log, 0, 2, 1);
        accepted.extend(first.join().expect("writer"));
        let mut worker = flusher.join().expect("flusher");
        log.shards().seal_idle(0);
        finish(&mut worker);
        assert_eq!(accepted.len() as u64 + log.shards().dropped().total(), 4);
        assert_eq!(
            log.shards().dropped().full + log.shards().dropped().busy,
            log.shards().dropped().total()
        );
        written.verify(&accepted);
        // All buffers are back.
        assert_eq!(log.shards().pool().free_count(), 2);
    });
}

/// (d) Records that were accepted before `flush` was called, on any thread, are written when it returns.
#[test]
fn loom_flush_against_a_writer() {
    check("flush against a writer", 2, || {
        let size = Size { shards: 1, buffers: 3, records: 1 };
        let Model { log, worker, written } = Model::new(size, Overflow::Drop, NEVER);
        let done = Arc::new(AtomicU64::new(0));
        let mut accepted = append_some(&log, 0, 2, 1);
        let (other, tell) = (log.clone(), done.clone());
        let writer = spawn(move || {
            let accepted = append_some(&other, 0, 1, 1);
            tell.store(accepted.len() as u64, Ordering::Release);
            accepted
        });
        let seen = written.clone();
        let asked = log.clone();
        let flushed = move || {
            seen.barriers.load(StdRelaxed) > 0 && asked.session.gate().open_request().is_none()
        };
        let flusher = spawn(move || work_until(worker, flushed));
        let told = done.load(Ordering::Acquire);
        let ticket = log.session.gate().request();
        log.shards().bell().ring(Sleep::Timed);
        log.session.gate().wait(ticket, None).expect("flushed");
        assert!(written.has([2, 0, !2, !0]), "accepted before by this thread");
        assert!(told == 0 || written.has([1, 0, !1, !0]), "accepted before by another");
        accepted.extend(writer.join().expect("writer"));
        let mut worker = flusher.join().expect("flusher");
        log.shards().seal_idle(0);
        finish(&mut worker);
        written.verify(&accepted);
    });
}

/// A thread that reads the written count and then the accepted one finds no more written than accepted.
#[test]
fn loom_written_is_not_more_than_accepted() {
    check("written is not more than accepted", 3, || {
        let size = Size { shards: 1, buffers: 2, records: 2 };
        let Model { log, mut worker, .. } = Model::new(size, Overflow::Drop, NEVER);
        let other = log.clone();
        let reader = spawn(move || {
            let written = other.session.written().written;
            assert!(written <= other.accepted());
        });
        // There is a fence in the swap, and none after the second record.
        append_some(&log, 0, 1, 2);
        log.shards().seal_idle(0);
        finish(&mut worker);
        reader.join().expect("reader");
    });
}

/// (e) `close` against writers: every accepted record is written.
#[test]
fn loom_close_against_writers() {
    check("close against writers", 3, || {
        let size = Size { shards: 1, buffers: 3, records: 1 };
        let Model { log, mut worker, written } = Model::new(size, Overflow::Drop, NEVER);
        let (first, second) = (log.clone(), log.clone());
        let first = spawn(move || append_some(&first, 0, 1, 2));
        let second = spawn(move || append_some(&second, 0, 2, 1));
        close(&log);
        while worker.round() != Round::Over {}
        let closed = written.blocks().len();
        let mut accepted = first.join().expect("writer");
        accepted.extend(second.join().expect("writer"));
        assert_eq!(log.session.gate().ending(), Ending::Closed);
        assert_eq!(append(&log, 0, [9; 4]), Err(LogError::Closed));
        assert_eq!(written.blocks().len(), closed);
        assert_eq!(accepted.len() as u64, log.accepted());
        assert_eq!(
            (log.session.written().written, log.session.written().lost),
            (log.accepted(), 0)
        );
        written.verify(&accepted);
    });
}

/// (e) The same with the flusher at work on its own thread, and two shards.
#[test]
fn loom_close_with_the_flusher() {
    check("close with the flusher", 2, || {
        let size = Size { shards: 2, buffers: 3, records: 1 };
        let Model { log, worker, written } = Model::new(size, Overflow::Drop, NEVER);
        let first = log.clone();
        let first = spawn(move || append_some(&first, 1, 1, 2));
        let flusher = spawn(move || worker.work());
        close(&log);
        while !log.session.gate().wait_closed(Instant::now() + NEVER) {}
        let accepted = first.join().expect("writer");
        flusher.join().expect("flusher");
        assert_eq!(
            (log.session.written().written, log.session.written().lost),
            (log.accepted(), 0)
        );
        written.verify(&accepted);
    });
}

/// (f) Writers that wait for the only buffer: all get it in turn, and every record is accepted.
#[test]
fn loom_blocked_writers() {
    check("blocked writers", 1, || {
        let size = Size { shards: 1, buffers: 1, records: 1 };
        let Model { log, worker, written } = Model::new(size, Overflow::Block, NEVER);
        let mut accepted = append_some(&log, 0, 2, 1);
        let other = log.clone();
        let writer = spawn(move || append_some(&other, 0, 1, 1));
        let seen = written.clone();
        let flusher = spawn(move || work_until(worker, || seen.records() == 2));
        accepted.extend(append_some(&log, 0, 3, 1));
        accepted.extend(writer.join().expect("writer"));
        let mut worker = flusher.join().expect("flusher");
        log.shards().seal_idle(0);
        finish(&mut worker);
        assert_eq!(accepted.len(), 3, "Block waits");
        written.verify(&accepted);
    });
}

/// (f) A close while writers wait: each of them returns.
#[test]
fn loom_close_against_blocked_writers() {
    check("close against blocked writers", 2, || {
        let size = Size { shards: 1, buffers: 1, records: 1 };
        let Model { log, mut worker, written } = Model::new(size, Overflow::Block, NEVER);
        let (first, second) = (log.clone(), log.clone());
        let first = spawn(move || append_some(&first, 0, 1, 2));
        let second = spawn(move || append_some(&second, 0, 2, 1));
        close(&log);
        let mut accepted = first.join().expect("writer");
        accepted.extend(second.join().expect("writer"));
        while worker.round() != Round::Over {}
        assert_eq!(
            (log.session.written().written, log.session.written().lost),
            (log.accepted(), 0)
        );
        written.verify(&accepted);
    });
}

/// (g) The first record of an idle log begins the interval, and so comes to the file by itself.
#[test]
fn loom_the_first_buffer_arms_the_interval() {
    check("the first buffer arms the interval", 3, || {
        let size = Size { shards: 1, buffers: 2, records: 2 };
        let Model { log, worker, written } = Model::new(size, Overflow::Drop, AT_ONCE);
        let seen = written.clone();
        let flusher = spawn(move || work_until(worker, || seen.records() == 1));
        let accepted = append_some(&log, 0, 1, 1);
        flusher.join().expect("flusher");
        written.verify(&accepted);
    });
}

/// (g) A flusher that sleeps until a rotation has not begun the interval: the first record has to wake it.
#[test]
fn loom_a_deadline_of_another_kind_is_no_interval() {
    check("a deadline of another kind is no interval", 3, || {
        let size = Size { shards: 1, buffers: 2, records: 2 };
        let rotation = Rotation::new().max_age(NEVER);
        let Model { log, mut worker, written } =
            Model::rotating(size, Overflow::Drop, AT_ONCE, rotation);
        // Only a segment with a record has an age.
        let mut accepted = append_some(&log, 0, 1, 1);
        log.shards().seal_idle(0);
        finish(&mut worker);
        let seen = written.clone();
        let flusher = spawn(move || work_until(worker, || seen.records() == 2));
        accepted.extend(append_some(&log, 0, 2, 1));
        flusher.join().expect("flusher");
        written.verify(&accepted);
    });
}
