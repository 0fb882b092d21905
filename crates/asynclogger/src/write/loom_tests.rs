//! Models of the swap protocol, on the types that run: loom goes through every schedule of two to four
//! threads up to a bound of preemptions, and through the stale values that a weak ordering allows.
//!
//! Run by `scripts/loom`. What each model catches is in `docs/concurrency.md`.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering::Relaxed as StdRelaxed},
    time::{Duration, Instant},
};

use super::{
    flusher::{Orders, Round, Worker},
    gate::Ending,
    home::Local,
    log::{Log, LogParts},
    log_writer::LogWriter,
    pool::Pool,
    segment::Segment,
    shard::SealAttempt,
    wait::{Bell, Sleep, Waited, Waiters},
};
use crate::{
    Config, LogError, Overflow, Position,
    format::{
        MIN_ALIGN,
        metadata::{self, Metadata},
        record::Records,
    },
    io::BlockFile,
    sync::{
        Arc, AtomicBool, AtomicU64, GlobalMutex, Mutex, Ordering, let_time_pass, lock,
        thread::{self, JoinHandle},
    },
};

type Record = [u8; 4];
/// A record and its length.
const RECORD_LEN: usize = 8;
/// An interval that is over as soon as it has begun, and one that never is.
const AT_ONCE: Duration = Duration::ZERO;
const NEVER: Duration = Duration::from_secs(3600);

/// Checks a model at its bound of preemptions, or the higher one of `LOOM_MORE_PREEMPTIONS`.
fn check(name: &str, preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let more = std::env::var("LOOM_MORE_PREEMPTIONS").ok().and_then(|more| more.parse().ok());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions + more.unwrap_or(0));
    builder.max_branches = 20_000;
    let schedules = Arc::new(AtomicUsize::new(0));
    let counted = schedules.clone();
    let begun = Instant::now();
    builder.check(move || {
        counted.fetch_add(1, StdRelaxed);
        model();
    });
    println!(
        "{name}: {} schedules, {} preemptions, {:.1} s",
        schedules.load(StdRelaxed),
        builder.preemption_bound.unwrap_or(0),
        begun.elapsed().as_secs_f64()
    );
}

fn spawn<T: Send + 'static>(thread: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new().spawn(thread).expect("thread")
}

/// What the file got.
#[derive(Clone, Default)]
struct Written(Arc<GlobalMutex<Vec<Block>>>);

#[derive(Clone, Debug)]
struct Block {
    shard: u32,
    generation: u64,
    first_record: u64,
    records: Vec<Record>,
}

impl Written {
    fn blocks(&self) -> Vec<Block> {
        self.0.lock().expect("blocks").clone()
    }

    fn has(&self, record: Record) -> bool {
        self.blocks().iter().any(|block| block.records.contains(&record))
    }

    /// Every accepted record is there once, whole, under its number; and nothing else is. The blocks of
    /// a shard are in the order of their generations.
    fn verify(&self, accepted: &[(Position, Record)]) {
        let blocks = self.blocks();
        let mut found = Vec::new();
        for shard in 0..4 {
            let (mut next, mut generations) = (0, None);
            for block in blocks.iter().filter(|block| block.shard == shard) {
                assert!(generations < Some(block.generation), "generations in order: {blocks:?}");
                generations = Some(block.generation);
                assert_eq!(block.first_record, next, "numbered in order: {blocks:?}");
                for record in &block.records {
                    found.push((shard, next, *record));
                    next += 1;
                }
            }
        }
        let mut expected: Vec<_> = accepted
            .iter()
            .map(|(position, record)| (position.shard(), position.number(), *record))
            .collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "accepted is written, once and in order: {blocks:?}");
    }
}

/// A file in memory that looks at what it is given.
struct MemoryFile {
    written: Written,
    end: u64,
}

impl BlockFile for MemoryFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert_eq!(offset, self.end, "appended");
        self.end += bytes.len() as u64;
        let Ok((_, Metadata::Head(info, _))) = metadata::decode(bytes) else {
            return Ok(());
        };
        let (head_len, data_len) = (info.head_len as usize, info.data_len as usize);
        let (data, tail) = bytes[head_len..].split_at(data_len);
        assert!(matches!(metadata::decode(tail), Ok((_, Metadata::Tail(..)))));
        assert_eq!(data[4..8], info.valid.to_le_bytes(), "the header is the block's");
        let records = Records::new(&data[..RECORD_LEN + info.valid as usize], RECORD_LEN);
        let records: Vec<_> =
            records.map(|(_, record)| record.try_into().expect("a whole record")).collect();
        assert_eq!(records.len() * RECORD_LEN, info.valid as usize, "no bytes but records");
        assert_eq!(records.len(), info.records as usize);
        let (shard, generation, first_record) = (info.shard, info.generation, info.first_record);
        let block = Block { shard, generation, first_record, records };
        self.written.0.lock().expect("blocks").push(block);
        Ok(())
    }

    fn barrier(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log without a thread of its own.
struct Model {
    log: Arc<Log>,
    worker: Worker,
    written: Written,
}

#[derive(Clone, Copy)]
struct Size {
    shards: usize,
    buffers: usize,
    /// That a buffer has room for.
    records: usize,
}

impl Model {
    fn new(size: Size, overflow: Overflow, interval: Duration) -> Model {
        let capacity = 8 + size.records * RECORD_LEN;
        let pool = Arc::new(Pool::new(size.buffers, capacity, MIN_ALIGN).expect("pool"));
        let bell = Arc::new(Bell::new());
        let log = Log::new(LogParts {
            pool: pool.clone(),
            bell: bell.clone(),
            index: 0,
            num_shards: size.shards,
            max_record: 4,
            overflow,
            session: 1,
        });
        let log = Arc::new(log.expect("log"));
        let written = Written::default();
        let file = MemoryFile { written: written.clone(), end: 0 };
        let segment = Segment::in_memory(Box::new(file), MIN_ALIGN).expect("segment");
        let config = Config::new("").flush_interval(interval);
        let orders = Arc::new(Orders::default());
        lock(&orders.new).push(LogWriter::new(log.clone(), segment, &config));
        // It ends when the log is closed.
        orders.stop.store(true, Ordering::Relaxed);
        Model { log, worker: Worker::new(pool, bell, orders, false), written }
    }
}

/// Logs a record on a thread whose home that is.
fn append(log: &Log, home: u32, record: Record) -> Result<Position, LogError> {
    Local::with(|local| local.set_home(log.id(), home));
    log.append(record.len(), |room| room.copy_from_slice(&record))
}

/// Logs `count` records of thread `thread`; returns those that were accepted.
fn append_some(log: &Log, home: u32, thread: u8, count: u8) -> Vec<(Position, Record)> {
    let records = (0..count).map(|number| [thread, number, !thread, !number]);
    records.filter_map(|record| Some((append(log, home, record).ok()?, record))).collect()
}

/// Closes the log as `Logger::close` does, apart from the waiting.
fn close(log: &Log) {
    assert_eq!(log.close_shards(Instant::now() + NEVER), 0);
    log.bell().ring(Sleep::Timed);
    log.pool().wake_writers(log.index());
    log.gate().set_ending(Ending::Closing);
    log.bell().ring(Sleep::Timed);
}

/// Works until there is nothing more to do.
fn finish(worker: &mut Worker) {
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
                second.shards()[0].seal_idle(second.pool(), 0);
                worker.round();
            }
            worker
        });
        let mut accepted = append_some(&log, 0, 2, 2);
        accepted.extend(first.join().expect("writer"));
        let mut worker = flusher.join().expect("flusher");
        log.shards()[0].seal_idle(log.pool(), 0);
        finish(&mut worker);
        assert_eq!(log.accepted(), accepted.len() as u64);
        written.verify(&accepted);
    });
}
