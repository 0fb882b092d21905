//! Whole loggers without threads: random schedules of log calls, flushes, rounds of the flusher, failing
//! I/O, stopped writers, closing and reopening, against a `Vec` as oracle.
//!
//! The flusher is stepped by hand, the disk is in memory and fails as told. Nothing depends on time but
//! the backoff, which a flush overrides.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    flusher::{Orders, Round, Worker},
    gate::Ending,
    home::Local,
    log::{Log, LogParts},
    log_writer::LogWriter,
    pool::Pool,
    segment::Segment,
    wait::Bell,
};
use crate::{
    Config, Durability, ErrorKind, LogError, Overflow, Reader,
    format::{MIN_ALIGN, SECTOR},
    io::BlockFile,
    sync::{Arc, Mutex, Ordering, lock},
};

const SHARDS: usize = 3;
const CAPACITY: usize = 300;
const MAX_RECORD: usize = CAPACITY - 12;

/// How the disk answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Well,
    /// Writes fail and leave nothing.
    Refuses,
    /// Writes fail after so many sectors.
    Tears(usize),
    /// Barriers fail, writes do not.
    SyncFails,
}

/// The fault engine: two images, of what was written and of what a power cut would leave.
struct Disk {
    live: Vec<u8>,
    durable: Vec<u8>,
    synced_writes: bool,
    mood: Mood,
    /// How many operations are left in this mood.
    moody: usize,
    /// Operations so far, and the one that begins the mood if it is not set by a step.
    operations: usize,
    fails_at: Option<usize>,
    /// What a failed barrier did not write, and the kernel has forgotten: no barrier writes it.
    forgotten: Vec<std::ops::Range<usize>>,
}

impl Disk {
    fn mood(&mut self) -> Mood {
        self.operations += 1;
        if self.fails_at == Some(self.operations) {
            self.moody = 1;
        }
        if self.moody == 0 {
            return Mood::Well;
        }
        self.moody -= 1;
        self.mood
    }

    fn make_durable(&mut self) {
        self.durable = self.live.clone();
        for range in &self.forgotten {
            self.durable[range.clone()].fill(0);
        }
    }

    fn put(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.live.resize(self.live.len().max(end), 0);
        self.live[offset..end].copy_from_slice(bytes);
    }
}

#[derive(Clone)]
struct FaultFile(Arc<Mutex<Disk>>);

impl BlockFile for FaultFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = lock(&self.0);
        let offset = usize::try_from(offset).expect("a small file");
        assert!(offset.is_multiple_of(MIN_ALIGN) && bytes.len().is_multiple_of(MIN_ALIGN));
        assert!(offset <= disk.live.len(), "no holes");
        match disk.mood() {
            Mood::Well | Mood::SyncFails => {
                disk.put(bytes, offset);
                if disk.synced_writes {
                    disk.make_durable();
                }
                Ok(())
            }
            Mood::Refuses => Err(io::Error::from_raw_os_error(28)),
            Mood::Tears(sectors) => {
                disk.put(&bytes[..bytes.len().min(sectors * SECTOR)], offset);
                // What an error leaves is anything, as far as a power cut is concerned, too.
                Err(io::Error::from_raw_os_error(5))
            }
        }
    }

    fn barrier(&mut self) -> io::Result<()> {
        let mut disk = lock(&self.0);
        match disk.mood() {
            Mood::Well => {
                disk.make_durable();
                Ok(())
            }
            _ => {
                let lost = disk.durable.len()..disk.live.len();
                disk.forgotten.push(lost);
                Err(io::Error::from_raw_os_error(5))
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A thread whose home is this shard logs a record of this length.
    Log { home: usize, len: usize },
    /// The flusher does a round.
    Round,
    /// Somebody asks for a flush; it is looked at later.
    Flush,
    /// The next operations go wrong.
    Fail { mood: Mood, times: usize },
    /// A thread stops inside a claim of this shard, or goes on.
    Stop { shard: usize },
    /// Close, go on until it is closed, and open a session on the same file.
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let mood = prop_oneof![
        Just(Mood::Refuses),
        (0_usize..20).prop_map(Mood::Tears),
        Just(Mood::SyncFails)
    ];
    let len = prop_oneof![8 => 9_usize..60, 1 => Just(MAX_RECORD), 1 => Just(MAX_RECORD + 1), 1 => Just(0)];
    let step = prop_oneof![
        12 => (0..SHARDS, len).prop_map(|(home, len)| Step::Log { home, len }),
        6 => Just(Step::Round),
        3 => Just(Step::Flush),
        2 => (mood, 1_usize..4).prop_map(|(mood, times)| Step::Fail { mood, times }),
        1 => (0..SHARDS).prop_map(|shard| Step::Stop { shard }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..120)
}

/// Session, shard and number of a record.
type At = (u64, u32, u64);
type Records = BTreeMap<At, Vec<u8>>;

/// What the file says: read by the library's own reader, from bytes alone.
fn read(bytes: &[u8]) -> (Records, crate::Report) {
    let mut reader = Reader::from_bytes(bytes.to_vec()).expect("a log");
    let mut found = Records::new();
    while let Some(record) = reader.next_record().expect("in memory") {
        let at = record.position();
        let twice = found.insert((at.session(), at.shard(), at.number()), record.bytes().to_vec());
        assert!(twice.is_none(), "{at:?} stands twice");
    }
    let report = reader.report().clone();
    (found, report)
}

/// One session of a logger, stepped by hand.
struct Session {
    log: Arc<Log>,
    worker: Worker,
    stopped: [bool; SHARDS],
    /// Flushes that were asked for: ticket, and what had been accepted by then.
    flushes: Vec<(u64, Vec<At>)>,
    offered: u64,
    refused: u64,
}

struct World {
    disk: Arc<Mutex<Disk>>,
    durability: Durability,
    sessions: u64,
    accepted: Records,
    /// Per session: what its counters said in the end.
    now: Session,
}

impl World {
    fn new(durability: Durability) -> World {
        let disk = Arc::new(Mutex::new(Disk {
            live: Vec::new(),
            durable: Vec::new(),
            synced_writes: durability == Durability::Dsync,
            mood: Mood::Well,
            moody: 0,
            operations: 0,
            fails_at: None,
            forgotten: Vec::new(),
        }));
        let now = World::open(&disk, durability, 1);
        World { disk, durability, sessions: 1, accepted: Records::new(), now }
    }

    fn open(disk: &Arc<Mutex<Disk>>, durability: Durability, session: u64) -> Session {
        let pool = Arc::new(Pool::new(2 * SHARDS, CAPACITY, MIN_ALIGN).expect("pool"));
        let bell = Arc::new(Bell::new());
        let log = Arc::new(
            Log::new(LogParts {
                pool: pool.clone(),
                bell: bell.clone(),
                index: 0,
                num_shards: SHARDS,
                max_record: MAX_RECORD,
                overflow: Overflow::Drop,
                session,
            })
            .expect("log"),
        );
        let mut segment =
            Segment::in_memory(Box::new(FaultFile(disk.clone())), MIN_ALIGN).expect("segment");
        let end = lock(disk).live.len() as u64;
        segment.start_session(session, end).expect("a disk that is well");
        let interval = Duration::from_secs(3600);
        let config = Config::new("").flush_interval(interval).durability(durability);
        let orders = Arc::new(Orders::default());
        lock(&orders.new).push(LogWriter::new(log.clone(), segment, &config));
        orders.stop.store(true, Ordering::Relaxed);
        Session {
            log,
            worker: Worker::new(pool, bell, orders, false),
            stopped: [false; SHARDS],
            flushes: Vec::new(),
            offered: 0,
            refused: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Log { home, len } => self.log(home, len),
            Step::Round => {
                self.now.worker.round();
            }
            Step::Flush => {
                let ticket = self.now.log.gate().request();
                let ours = |at: &&At| at.0 == self.sessions;
                let covered = self.accepted.keys().filter(ours).copied().collect();
                self.now.flushes.push((ticket, covered));
            }
            Step::Fail { mood, times } => {
                let mut disk = lock(&self.disk);
                (disk.mood, disk.moody) = (mood, times);
            }
            Step::Stop { shard } => self.stop_or_go_on(shard),
            Step::Reopen => {
                self.close();
                self.sessions += 1;
                self.now = World::open(&self.disk, self.durability, self.sessions);
            }
        }
        self.answer_flushes();
    }

    fn log(&mut self, home: usize, len: usize) {
        let (log, number) = (&self.now.log, self.now.offered);
        Local::with(|local| local.set_home(log.id(), home as u32));
        let mut record: Vec<u8> = number.to_le_bytes().to_vec();
        record.resize(len, number as u8);
        self.now.offered += 1;
        match log.append(len, |room| room.copy_from_slice(&record)) {
            Ok(at) => {
                let spilled = at.shard() as usize != home;
                assert!(!spilled || self.now.stopped[home], "only a busy home is left");
                let twice = self.accepted.insert((at.session(), at.shard(), at.number()), record);
                assert!(twice.is_none(), "{at:?} was given twice");
            }
            Err(error) => {
                self.now.refused += 1;
                match error {
                    LogError::Empty => assert_eq!(len, 0),
                    LogError::TooLarge { .. } => assert!(len > MAX_RECORD),
                    LogError::Busy => assert!(self.now.stopped.iter().all(|stopped| *stopped)),
                    LogError::Full => assert!(!log.pool().has_free()),
                    LogError::Closed => panic!("it is open"),
                }
            }
        }
    }

    fn stop_or_go_on(&mut self, shard: usize) {
        let stopped = &mut self.now.stopped[shard];
        if *stopped {
            self.now.log.shards()[shard].release_forgotten();
        } else {
            let claim = self.now.log.shards()[shard].claim(self.now.log.pool());
            std::mem::forget(claim.expect("nobody else is at it"));
        }
        *stopped = !*stopped;
    }

    /// A flush that says it is done has made everything durable that was accepted before it.
    fn answer_flushes(&mut self) {
        let gate = self.now.log.gate();
        let disk = &self.disk;
        self.now.flushes.retain(|(ticket, covered)| {
            match gate.wait(*ticket, Some(Instant::now())) {
                Err(error) if error.kind() == ErrorKind::Timeout => true,
                // An attempt failed: the records are tried again.
                Err(_) => false,
                Ok(()) => {
                    let (found, _) = read(&lock(disk).durable);
                    assert!(covered.iter().all(|at| found.contains_key(at)), "flush lied");
                    false
                }
            }
        });
    }

    /// Lets all go on, closes, and works until it is closed.
    fn close(&mut self) {
        for shard in 0..SHARDS {
            if self.now.stopped[shard] {
                self.stop_or_go_on(shard);
            }
        }
        assert_eq!(self.now.log.close_shards(Instant::now()), 0);
        self.now.log.gate().set_ending(Ending::Closing);
        // Each failing operation uses one of the disk's bad answers; who asks for a flush overrides the
        // backoff.
        for round in 0.. {
            self.now.log.gate().request();
            if self.now.worker.round() == Round::Over {
                break;
            }
            assert!(round < 1_000, "it does not end");
        }
        self.answer_flushes();
        let (log, session) = (&self.now.log, self.sessions);
        let (dropped, accepted) = (log.dropped(), log.accepted());
        assert_eq!(
            (accepted + dropped.total(), dropped.total()),
            (self.now.offered, self.now.refused)
        );
        assert_eq!(log.written().written, accepted);
        let (found, report) = read(&lock(&self.disk).live);
        assert!(found == self.accepted, "session {session}: the file and the oracle differ");
        assert!(report.is_whole(), "{report:?}");
        let told = report.sessions.last().expect("a session");
        let declared = told.declared.as_ref().expect("an end");
        assert_eq!((declared.records, told.dropped), (accepted, dropped));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn schedules_lose_nothing(
        steps in steps(),
        durability in prop_oneof![Just(Durability::Dsync), Just(Durability::None)],
    ) {
        let mut world = World::new(durability);
        for step in &steps {
            world.take(step);
        }
        world.close();
    }
}

/// `PROPTEST_CASES` or 400.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(400)
}

/// Fails the n-th operation of a fixed schedule, for each n, in every way, until no fault is reached.
#[test]
fn the_nth_operation_fails_for_every_n() {
    let moods = [Mood::Refuses, Mood::Tears(0), Mood::Tears(1), Mood::Tears(9), Mood::SyncFails];
    let mut tried = 0;
    for durability in [Durability::Dsync, Durability::None] {
        for mood in moods {
            // The first is the start of the session, which a session cannot do without.
            for nth in 2.. {
                let mut world = World::new(durability);
                {
                    let mut disk = lock(&world.disk);
                    (disk.mood, disk.fails_at) = (mood, Some(nth));
                }
                for round in 0..6 {
                    for home in 0..SHARDS {
                        for _ in 0..4 {
                            world.take(&Step::Log { home, len: 20 + 30 * home + round });
                        }
                    }
                    world.take(&Step::Flush);
                    (0..12).for_each(|_| world.take(&Step::Round));
                }
                world.close();
                if lock(&world.disk).operations < nth {
                    break;
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried} faults were tried");
}
