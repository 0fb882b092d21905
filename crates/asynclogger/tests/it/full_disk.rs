//! A full disk: what was accepted waits in memory, the policy decides about what comes, everybody is
//! told, and writing goes on by itself when there is room again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use asynclogger::{Config, Durability, Engine, Error, ErrorKind, Logger, Overflow, read::verify};

use crate::{
    matrix::{Finally, assert_holds_all, durabilities, engines, log_numbered},
    mounts::{FileSystem, Mounted, or_skip},
    support::{Found, Numbered, assert_balanced, open, wait_until},
};

const THREADS: u32 = 3;
/// What is left of the disk: less than a test logs.
const ROOM: u64 = 2 << 20;
/// Records of each thread; all together about 4 MB.
const EACH: u64 = 4_000;
/// Shards of a pool that takes many times what a test logs.
const LARGE: usize = 256;
/// And of one that takes a part of it.
const SMALL: usize = 4;
const BYSTANDER: &[u8] = b"somebody else's";

/// A log on a disk that will be full.
struct Place {
    path: PathBuf,
    filler: PathBuf,
    told: Arc<Mutex<Vec<Error>>>,
}

impl Place {
    /// A logger on a disk with [`ROOM`] left, with a pool of `2 x shards` buffers of 128 KiB.
    fn logger(
        &self,
        shards: usize,
        overflow: Overflow,
        durability: Durability,
        engine: Engine,
    ) -> Logger {
        let told = self.told.clone();
        let config = Config::new(&self.path)
            .buffer_size(shards * (128 << 10))
            .num_shards(shards)
            .flush_interval(Duration::from_millis(20))
            .overflow(overflow)
            .durability(durability)
            .engine(engine)
            .on_error(move |error| told.lock().expect("unpoisoned").push(error.clone()));
        open(config)
    }

    fn is_told_of(&self, error: &Error) {
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        let number = error.io_error().and_then(std::io::Error::raw_os_error);
        assert_eq!(number, Some(libc::ENOSPC), "{error}");
        assert_eq!(error.path(), Some(&*self.path), "{error}");
    }

    /// Waits until the disk is full for the logger, and checks that it says so.
    fn wait_until_full(&self, logger: &Logger) {
        wait_until("some attempts", || logger.stats().flush_errors > 3);
        self.is_told_of(&logger.last_error().expect("an error"));
        wait_until("the callback", || !self.told.lock().expect("unpoisoned").is_empty());
        let told = self.told.lock().expect("unpoisoned");
        self.is_told_of(told.last().expect("the callback was called"));
        let stats = logger.stats();
        assert!(stats.pending > 0 && stats.lost == 0, "{stats:?}");
    }

    fn make_room(&self) {
        fs::remove_file(&self.filler).expect("the filler");
    }

    /// Waits until all that was accepted is written, which nobody asks for.
    fn wait_until_written(&self, logger: &Logger) {
        wait_until("all is written", || logger.stats().pending == 0);
        assert_eq!(logger.stats().lost, 0);
    }
}

/// Runs `test` on small file systems of two kinds, with every level of durability and every engine, each
/// time on a disk with [`ROOM`] left; nothing else on them is changed.
fn on_full_disks(test: impl Fn(&Place, Durability, Engine)) {
    for (file_system, mib) in [(FileSystem::Tmpfs, 8), (FileSystem::Ext4, 16)] {
        for durability in durabilities() {
            for engine in engines() {
                let Some(mounted) = or_skip(file_system.mount_of_size(mib)) else {
                    return;
                };
                let bystander = mounted.path().join("bystander");
                fs::write(&bystander, BYSTANDER).expect("a file");
                let filler = mounted.fill_up_to(ROOM);
                let path = mounted.path().join("logs/app.log");
                test(&Place { path, filler, told: Arc::default() }, *durability, *engine);
                assert_eq!(fs::read(bystander).expect("the file"), BYSTANDER);
                no_file_is_empty(&mounted);
            }
        }
    }
}

fn no_file_is_empty(mounted: &Mounted) {
    for entry in fs::read_dir(mounted.path().join("logs")).expect("list") {
        let entry = entry.expect("an entry");
        let is_lock = entry.file_name() == ".app.lock";
        let len = entry.metadata().expect("metadata").len();
        assert!(is_lock || len > 0, "{:?}", entry.path());
    }
}

/// More than the disk takes, but not more than the memory: the calls notice nothing.
#[test]
fn what_fits_in_memory_is_not_dropped() {
    on_full_disks(|place, durability, engine| {
        let logger = place.logger(LARGE, Overflow::Drop, durability, engine);
        assert_eq!(log_numbered(&logger, THREADS, 0..EACH), u64::from(THREADS) * EACH);
        place.wait_until_full(&logger);
        place.is_told_of(&logger.flush().expect_err("the disk is full"));
        place.make_room();
        place.wait_until_written(&logger);
        // And on as if nothing had been.
        logger.flush().expect("flush");
        log_numbered(&logger, THREADS, EACH..EACH + 100);
        let stats = logger.close().expect("close");
        assert_balanced(&stats);
        assert_eq!(stats.accepted, u64::from(THREADS) * (EACH + 100));
        assert_holds_all(&place.path, THREADS, EACH + 100);
    });
}

#[test]
fn drop_counts_what_finds_no_room() {
    on_full_disks(|place, durability, engine| {
        let logger = place.logger(SMALL, Overflow::Drop, durability, engine);
        let (is_full, has_room) = (AtomicBool::new(false), AtomicBool::new(false));
        let accepted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (logger, accepted) = (&logger, &accepted);
                let (is_full, has_room) = (&is_full, &has_room);
                scope.spawn(move || {
                    let mut record = Numbered::new();
                    let mut numbers = 0..;
                    let mut log = || {
                        let number = numbers.next().expect("a number");
                        let result = logger.try_log_bytes(record.make(thread, number, 500));
                        accepted.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
                        result
                    };
                    while !is_full.load(Ordering::Acquire) {
                        let _ = log();
                    }
                    wait_until("room", || has_room.load(Ordering::Acquire));
                    // All of these: they are less than the memory takes.
                    (0..100).for_each(|_| assert!(log().is_ok()));
                });
            }
            let _end = Finally(|| {
                is_full.store(true, Ordering::Release);
                has_room.store(true, Ordering::Release);
            });
            wait_until("the memory is full, too", || logger.stats().dropped.full > 1_000);
            place.wait_until_full(&logger);
            is_full.store(true, Ordering::Release);
            place.make_room();
            place.wait_until_written(&logger);
            // With `OnFlush` buffers are free only after a barrier.
            logger.flush().expect("flush");
            has_room.store(true, Ordering::Release);
        });
        let accepted = accepted.into_inner();
        let stats = logger.close().expect("close");
        assert_balanced(&stats);
        assert_eq!((stats.accepted, stats.written, stats.lost), (accepted, accepted, 0));
        let found = Found::read(&place.path, THREADS as usize);
        assert_eq!(found.count, accepted);
        found.assert_in_order();
        let report = verify(&place.path).expect("a report");
        assert!(report.is_whole(), "{report:?}");
        assert_eq!((report.records, report.dropped()), (accepted, stats.dropped));
    });
}

#[test]
fn block_waits_for_room() {
    on_full_disks(|place, durability, engine| {
        let logger = place.logger(SMALL, Overflow::Block, durability, engine);
        std::thread::scope(|scope| {
            // Lets the writers go if they would wait for ever.
            let _end = Finally(|| drop(logger.close()));
            let writers = scope.spawn(|| log_numbered(&logger, THREADS, 0..EACH));
            place.wait_until_full(&logger);
            wait_until("the memory is full, too", || logger.flush_metrics().blocked_swaps > 0);
            assert!(!writers.is_finished());
            place.make_room();
            wait_until("the writers go on", || writers.is_finished());
            assert_eq!(writers.join().expect("the writers"), u64::from(THREADS) * EACH);
        });
        let stats = logger.close().expect("close");
        assert_balanced(&stats);
        assert_eq!((stats.dropped_logs, stats.lost), (0, 0));
        assert_holds_all(&place.path, THREADS, EACH);
    });
}

/// `close` says in time that it cannot, keeps everything, and can be called again.
#[test]
fn close_on_a_full_disk_succeeds_when_there_is_room() {
    on_full_disks(|place, durability, engine| {
        let logger = place.logger(LARGE, Overflow::Drop, durability, engine);
        let all = log_numbered(&logger, THREADS, 0..EACH);
        for _ in 0..2 {
            let begun = Instant::now();
            let error = logger.close().expect_err("the disk is full");
            assert!(begun.elapsed() < Duration::from_secs(30));
            assert!(error.to_string().contains("pending"), "{error}");
            assert_eq!(error.path(), Some(&*place.path), "{error}");
        }
        place.wait_until_full(&logger);
        place.make_room();
        let mut closed = logger.close();
        wait_until("room", || {
            if closed.is_err() {
                // What was removed a moment ago may not be free yet.
                closed = logger.close();
            }
            closed.is_ok()
        });
        let stats = closed.expect("close");
        assert_balanced(&stats);
        assert_eq!((stats.accepted, stats.durable, stats.lost), (all, all, 0));
        assert_holds_all(&place.path, THREADS, EACH);
    });
}

/// Opening says what is the matter, and works when there is room.
#[test]
fn opening_on_a_full_disk_is_an_error() {
    on_full_disks(|place, durability, engine| {
        let logs = place.path.parent().expect("a parent");
        fs::create_dir(logs).expect("the directory");
        let rest = fill(logs);
        let config = Config::new(&place.path).durability(durability).engine(engine);
        let error = Logger::new(config.clone()).expect_err("the disk is full");
        place.is_told_of(&error);
        assert!(!fs::exists(&place.path).expect("a look"), "nothing is left behind");
        fs::remove_file(rest).expect("the rest");
        place.make_room();
        let logger = open(config);
        log_numbered(&logger, THREADS, 0..100);
        logger.close().expect("close");
        assert_holds_all(&place.path, THREADS, 100);
    });
}

/// Takes the last byte that the disk has.
fn fill(directory: &Path) -> PathBuf {
    use std::io::Write;
    let path = directory.join("rest");
    let mut file = fs::File::create(&path).expect("a file");
    for piece in [64 << 10, 4096, 512] {
        while file.write_all(&vec![1; piece]).is_ok() && file.sync_data().is_ok() {}
    }
    path
}

/// A failing disk costs no more memory than what is logged: buffers are not used up by the interval.
#[test]
fn a_few_records_on_a_full_disk_are_not_dropped() {
    on_full_disks(|place, durability, engine| {
        // 64 buffers, and one is enough for what comes.
        let logger = place.logger(32, Overflow::Drop, durability, engine);
        let mut full = vec![1; 100 << 10];
        while logger.stats().flush_errors == 0 {
            assert!(logger.try_log_bytes(&full).is_ok(), "there are more buffers than that");
            full[0] = full[0].wrapping_add(1);
            wait_until("it is written, or fails", || {
                logger.stats().pending < 20 || logger.stats().flush_errors > 0
            });
        }
        let logged = logger.stats().accepted;
        let intervals = logger.stats().flush_errors + 3;
        let mut number = 0_u64;
        while logger.stats().flush_errors < intervals || number < 100 {
            assert!(logger.try_log_bytes(&number.to_le_bytes()).is_ok(), "record {number}");
            number += 1;
            let begun = Instant::now();
            wait_until("a part of an interval", || begun.elapsed() > Duration::from_millis(5));
        }
        place.make_room();
        let mut closed = logger.close();
        wait_until("close", || {
            if closed.is_err() {
                closed = logger.close();
            }
            closed.is_ok()
        });
        let stats = closed.expect("just seen");
        assert_eq!((stats.accepted, stats.dropped_logs), (logged + number, 0));
    });
}
