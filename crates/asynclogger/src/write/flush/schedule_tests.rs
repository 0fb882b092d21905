//! Whole loggers without threads: random schedules of log calls, flushes, rounds of the flusher, failing
//! I/O, stopped writers, closing and reopening, against a `Vec` as oracle.
//!
//! The flusher is stepped by hand, the disk is in memory and fails as told. Nothing depends on time but
//! the backoff, which a flush overrides.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    flusher::Worker,
    intake::Intake,
    log_writer::LogWriter,
    session::Session as LogSession,
    thread::{Round, Rounds, Stop},
};
use crate::{
    Config, Durability, Error, ErrorKind, LogError, Overflow, Rotation,
    format::{LogId, MIN_ALIGN, Prefix, Start},
    io::{
        BlockFile,
        fault::{FaultFile, Mood, SharedDisk},
    },
    mem::AlignedBytes,
    read::tests::read_segments,
    sync::Arc,
    write::{
        archive::Lineage,
        common::{Ending, Local, fault, own_thread},
        segments::{NextSegment, Promoted, Segment, Standing, Zone},
        swap::{Bell, Ingest, IngestParts, Pool},
    },
};

const SHARDS: usize = 3;
const CAPACITY: usize = 300;
const MAX_RECORD: usize = CAPACITY - 12;
/// Some blocks.
const ROTATE_AT: u64 = 60_000;

/// Where the next segment comes from: the disk of the model.
struct FaultFiles {
    disk: SharedDisk,
    session: u64,
}

/// Opens a session in a file, with its start.
fn begin(
    mut file: FaultFile,
    session: u64,
    (segment, offset, first_sequence): (u64, u64, u64),
    align: usize,
) -> Result<Segment, Error> {
    let (log_id, time) = (LogId::default(), 1);
    let prefix = Prefix { align: align as u32, offset, log_id, segment, session, time };
    let mut bytes = AlignedBytes::new(align, align)?;
    let start = Start { previous: segment - 1, first_sequence, name: b"schedule" };
    start.encode(&prefix, &mut bytes);
    file.write_now(&bytes, offset).map_err(|error| Error::io("cannot write", error))?;
    let file = Box::new(file);
    Ok(Segment::new(file, PathBuf::new(), prefix, offset + align as u64, first_sequence))
}

impl NextSegment for FaultFiles {
    fn prepare(&mut self, old: &Segment) -> Result<Segment, Error> {
        let file = self.disk.create().map_err(|error| Error::io("cannot create", error))?;
        let Lineage { segment, .. } = old.lineage();
        begin(file, self.session, (segment + 1, 0, 0), old.align())
    }

    fn promote(
        &mut self,
        old: &mut Segment,
        next: &mut Segment,
        first_sequence: u64,
    ) -> Result<Promoted, Error> {
        next.begin_with(old.lineage().segment, first_sequence, b"schedule")?;
        // A rename that may fail.
        self.disk.rename().map_err(|error| Error::io("cannot rename", error))?;
        Ok(Promoted::default())
    }

    fn has_prepared(&self, _: &Segment) -> bool {
        true
    }

    fn has_elsewhere(&self) -> bool {
        false
    }

    fn elsewhere(&mut self, _: &Segment, _: u64) -> Result<Segment, Error> {
        unreachable!("there is no other place")
    }

    fn home(&mut self, _: &Segment, _: u64) -> Result<Segment, Error> {
        unreachable!("it is never away")
    }

    fn discard(&mut self, _: Segment) {
        self.disk.remove_last();
    }

    fn standing(&self, _: &Segment, _: u64) -> Standing {
        Standing::Here
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A thread whose home is this shard logs a record of this length.
    Log { home: usize, len: usize },
    /// The flusher does a round.
    Round,
    /// A caller requests a flush; the result is checked later.
    Flush,
    /// The next operations fail.
    Fail { mood: Mood, times: usize },
    /// Operations stay in flight until they land, or do not.
    Hold(bool),
    /// One of those in flight lands.
    Land(usize),
    /// The flusher panics at one of its next steps.
    Panic(u64),
    /// All records that are reported durable are durable.
    Look,
    /// A caller requests the next segment.
    Rotate,
    /// A thread stops inside a claim of this shard, or continues.
    Stop { shard: usize },
    /// Close, work until the log is closed, and open a session on the same file.
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // ENOSPC, EFBIG, EIO, EROFS, EAGAIN, EINVAL.
    let errno = prop_oneof![Just(28), Just(27), Just(5), Just(30), Just(11), Just(22)];
    let mood = prop_oneof![
        errno.prop_map(Mood::Refuses),
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
        1 => any::<bool>().prop_map(Step::Hold),
        4 => (0_usize..9).prop_map(Step::Land),
        1 => (0_u64..12).prop_map(Step::Panic),
        1 => Just(Step::Look),
        1 => Just(Step::Rotate),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..120)
}

/// Session, shard and number of a record.
type At = (u64, u32, u64);
type Records = BTreeMap<At, Vec<u8>>;

/// The content of the files, read by the library's own reader from bytes alone.
fn read(images: Vec<Vec<u8>>) -> (Records, Vec<crate::read::Report>, crate::read::Loss) {
    let (records, reports, lost) = read_segments(images);
    let mut found = Records::new();
    for (at, bytes) in records {
        let twice = found.insert((at.session(), at.shard(), at.number()), bytes);
        assert!(twice.is_none(), "{at:?} stands twice");
    }
    (found, reports, lost)
}

/// One session of a logger, stepped by hand.
struct Session {
    ingest: Ingest,
    log: Arc<LogSession>,
    worker: Worker,
    stopped: [bool; SHARDS],
    /// Requested flushes: the ticket, and the records that had been accepted by then.
    flushes: Vec<(u64, Vec<At>)>,
    offered: u64,
    refused: u64,
}

struct World {
    disk: SharedDisk,
    durability: Durability,
    rotates: bool,
    sessions: u64,
    segments: u64,
    accepted: Records,
    now: Session,
}

impl World {
    fn with(durability: Durability, align: usize, rotates: bool) -> World {
        let disk = SharedDisk::new(durability == Durability::Dsync, align);
        let now = World::open(&disk, durability, rotates, (1, 1));
        World { disk, durability, rotates, sessions: 1, segments: 1, accepted: Records::new(), now }
    }

    fn open(
        disk: &SharedDisk,
        durability: Durability,
        rotates: bool,
        (session, segment): (u64, u64),
    ) -> Session {
        let align = disk.lock().align;
        let bell = Arc::new(Bell::new().expect("bell"));
        let ingest = Ingest::new(IngestParts {
            pool: Pool::new(2 * SHARDS, CAPACITY, align).expect("pool"),
            bell: bell.clone(),
            num_shards: SHARDS,
            max_record: MAX_RECORD,
            overflow: Overflow::Drop,
            shares_barriers: false,
            session,
        });
        let ingest = ingest.expect("log");
        let shards = ingest.shards().clone();
        let log = Arc::new(LogSession::new(session, Intake::Shards(shards.clone()), bell));
        let (file, end) = match disk.last() {
            Some(last) => last,
            None => (disk.create().expect("a disk that is well"), 0),
        };
        let segment = begin(file, session, (segment, end, 0), align).expect("a disk that is well");
        let interval = Duration::from_secs(3600);
        let rotation = Rotation::new().max_size(ROTATE_AT);
        let config = Config::new("").flush_interval(interval).durability(durability);
        let config = if rotates { config.rotation(rotation) } else { config };
        let zone = Zone::of(&config.rotation).expect("UTC");
        let files = Box::new(FaultFiles { disk: disk.clone(), session });
        let writer = LogWriter::new(log.clone(), segment, files, &config, zone, None);
        Session {
            ingest,
            log,
            worker: Worker::new(shards, writer, false),
            stopped: [false; SHARDS],
            flushes: Vec::new(),
            offered: 0,
            refused: 0,
        }
    }

    /// A round of the flusher, as its thread does it.
    fn round(&mut self) -> Round {
        let worker = &mut self.now.worker;
        let stop = Stop::asked();
        catch_unwind(AssertUnwindSafe(|| worker.round(&stop))).unwrap_or_else(|panic| {
            worker.panicked(&own_thread::panicked("the flusher", &*panic));
            Round::Busy
        })
    }

    /// All records that are reported durable are in the bytes that a power cut would leave.
    fn look(&self) {
        let (found, ..) = read(self.disk.lock().durable());
        for at in self.accepted.keys().filter(|at| at.0 == self.sessions) {
            let position = crate::Position { session: at.0, shard: at.1, number: at.2 };
            let said = self.now.log.is_durable(&position);
            assert!(!said || found.contains_key(at), "{at:?} is said to be durable");
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Log { home, len } => self.log(home, len),
            Step::Round => {
                self.round();
            }
            Step::Flush | Step::Rotate => {
                let gate = self.now.log.gate();
                let ticket = match step {
                    Step::Rotate => gate.request_rotation(),
                    _ => gate.request(),
                };
                let ours = |at: &&At| at.0 == self.sessions;
                let covered = self.accepted.keys().filter(ours).copied().collect();
                self.now.flushes.push((ticket, covered));
            }
            Step::Fail { mood, times } => {
                let mut disk = self.disk.lock();
                (disk.mood, disk.moody) = (mood, times);
            }
            Step::Hold(holds) => self.disk.lock().holds = holds,
            Step::Land(pick) => self.disk.lock().land(pick),
            Step::Panic(n) => fault::panic_at(n),
            Step::Look => self.look(),
            Step::Stop { shard } => self.stop_or_go_on(shard),
            Step::Reopen => {
                self.close();
                self.sessions += 1;
                let mut disk = self.disk.lock();
                (disk.moody, disk.fails_at) = (0, None);
                drop(disk);
                let ids = (self.sessions, self.segments);
                self.now = World::open(&self.disk, self.durability, self.rotates, ids);
            }
        }
        self.answer_flushes();
    }

    fn log(&mut self, home: usize, len: usize) {
        let (log, number) = (&self.now.ingest, self.now.offered);
        Local::with(|local| local.set_home(log.id(), home));
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
                    LogError::Full => assert_eq!(log.shards().pool().free_count(), 0),
                    LogError::Closed => panic!("it is open"),
                }
            }
        }
    }

    fn stop_or_go_on(&mut self, shard: usize) {
        let stopped = &mut self.now.stopped[shard];
        if *stopped {
            self.now.ingest.shards().release_forgotten(shard);
        } else {
            self.now.ingest.shards().claim_for_ever(shard);
        }
        *stopped = !*stopped;
    }

    /// A flush that succeeds has made all records durable that were accepted before it.
    fn answer_flushes(&mut self) {
        let gate = self.now.log.gate();
        let disk = &self.disk;
        self.now.flushes.retain(|(ticket, covered)| {
            match gate.wait(*ticket, Some(Instant::now())) {
                Err(error) if error.kind() == ErrorKind::Timeout => true,
                // An attempt failed: the records are tried again.
                Err(_) => false,
                Ok(()) => {
                    let (found, ..) = read(disk.lock().durable());
                    assert!(covered.iter().all(|at| found.contains_key(at)), "flush lied");
                    false
                }
            }
        });
    }

    /// Lets all threads continue, closes the log, and works until it is closed.
    fn close(&mut self) {
        for shard in 0..SHARDS {
            if self.now.stopped[shard] {
                self.stop_or_go_on(shard);
            }
        }
        assert_eq!(self.now.ingest.shards().close(Instant::now()), 0);
        self.now.log.gate().set_ending(Ending::Closing);
        // Each failing operation uses one of the disk's bad answers; a request for a flush overrides the backoff.
        for round in 0.. {
            self.now.log.gate().request();
            if self.round() == Round::Over {
                break;
            }
            let mut disk = self.disk.lock();
            while disk.in_flight() > 0 {
                disk.land(round);
            }
            assert!(round < 1_000, "it does not end");
        }
        fault::panic_no_more();
        self.answer_flushes();
        let (log, session) = (&self.now.log, self.sessions);
        let (dropped, accepted) = (log.dropped(), log.accepted());
        assert_eq!(
            (accepted + dropped.total(), dropped.total()),
            (self.now.offered, self.now.refused)
        );
        let counts = log.written();
        assert_eq!((counts.written, counts.lost), (accepted, 0));
        if self.durability != Durability::None {
            assert_eq!(counts.durable, accepted);
        }
        self.look();
        let images = self.disk.lock().live();
        // Files that could not be begun do not exist.
        self.segments = images.iter().filter(|image| !image.is_empty()).count() as u64;
        let (found, reports, lost) = read(images);
        assert!(found == self.accepted, "session {session}: the files and the oracle differ");
        assert!(lost.admits(0), "{lost}");
        if self.segments == 1 {
            assert!(reports[0].is_whole(), "{reports:?}");
        }
        let report = reports.last().expect("a segment");
        let told = report.sessions.last().expect("a session");
        let declared = told.declared.as_ref().unwrap_or_else(|| panic!("an end: {reports:#?}"));
        assert_eq!((declared.records, told.dropped), (accepted, dropped));
        let reserved = self.disk.lock().reserved;
        assert_eq!(reserved, 0, "given back");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn schedules_lose_nothing(
        steps in steps(),
        durability in prop_oneof![
            Just(Durability::Dsync), Just(Durability::OnFlush), Just(Durability::None)
        ],
        align in prop_oneof![Just(MIN_ALIGN), Just(MIN_ALIGN), Just(65536)],
        rotates in any::<bool>(),
    ) {
        let mut world = World::with(durability, align, rotates);
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

/// A fixed schedule that fills, swaps, flushes and closes.
fn fixed_schedule(world: &mut World) {
    for round in 0..6 {
        for home in 0..SHARDS {
            for _ in 0..4 {
                world.take(&Step::Log { home, len: 20 + 30 * home + round });
            }
        }
        world.take(&Step::Flush);
        (0..12).for_each(|_| world.take(&Step::Round));
    }
    if world.rotates {
        world.take(&Step::Rotate);
    }
    world.close();
}

const LEVELS: [Durability; 3] = [Durability::Dsync, Durability::OnFlush, Durability::None];

/// Fails the n-th operation of a fixed schedule, and those after it up to four, for each n, in every way,
/// until no fault is reached.
#[test]
fn the_nth_operation_fails_for_every_n() {
    let moods = [
        Mood::Refuses(28),
        Mood::Refuses(27),
        Mood::Refuses(5),
        Mood::Refuses(30),
        Mood::Refuses(11),
        Mood::Refuses(22),
        Mood::Tears(0),
        Mood::Tears(1),
        Mood::Tears(9),
        Mood::SyncFails,
    ];
    let mut tried = 0;
    for (durability, rotates) in
        LEVELS.into_iter().flat_map(|level| [(level, false), (level, true)])
    {
        for (mood, times) in moods.iter().flat_map(|mood| [1, 2, 4].map(|times| (*mood, times))) {
            // The first two are the file and the start of the session, which it cannot do without.
            for nth in 3.. {
                let mut world = World::with(durability, MIN_ALIGN, rotates);
                {
                    let mut disk = world.disk.lock();
                    (disk.mood, disk.fails_at, disk.fails_for) = (mood, Some(nth), times);
                }
                println!("{durability:?}, {rotates}: {mood:?} x {times} from operation {nth} on");
                fixed_schedule(&mut world);
                if world.disk.lock().operations < nth {
                    break;
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 1_000, "{tried} faults were tried");
}

/// The flusher panics at its n-th step, for each n until none is reached: caught, counted, nothing lost.
#[test]
fn the_flusher_panics_at_every_step() {
    let mut tried = 0;
    for durability in LEVELS {
        for nth in 0.. {
            let mut world = World::with(durability, MIN_ALIGN, true);
            fault::panic_at(nth);
            let log = world.now.log.clone();
            fixed_schedule(&mut world);
            if log.error_counts().panics == 0 {
                break;
            }
            assert_eq!(log.error_counts().panics, 1);
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried} panics were tried");
}
