//! A log goes on in a new file: by call, by size, by age, because somebody moved the old one; with
//! threads that log at full speed, on disks that are full, in the other directory.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    os::unix::fs::{FileExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use asynclogger::{
    Config, Durability, Engine, Error, ErrorKind, Health, LogDir, Logger, Opened, Overflow,
    Rotation, Stats, read::Ending, verify,
};

use crate::{
    matrix::{Finally, durabilities, engines, log_as, log_numbered},
    mounts::{FileSystem, or_skip},
    support::{Found, Numbered, assert_balanced, directory, log_path, open, wait_until},
};

const THREADS: u32 = 4;
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(10);

/// A pool of eight buffers of 64 KiB, so that blocks are many, and nothing that happens by itself.
fn small(path: &Path) -> Config {
    Config::new(path)
        .buffer_size(256 << 10)
        .num_shards(THREADS as usize)
        .overflow(Overflow::Block)
        .flush_interval(LONG)
}

/// The least that `max_size` can be with [`small`]: a file with one block of a full shard.
const LEAST_SIZE: u64 = (64 + 4 * 4) << 10;

/// Number of the segment in a file, and of the one before it.
fn numbers_of(path: &Path) -> (u64, u64) {
    let mut bytes = [0; 88];
    File::open(path).expect("a segment").read_exact(&mut bytes).expect("its start");
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    (number(56), number(80))
}

/// Number of the active segment.
fn active_segment(path: &Path) -> u64 {
    numbers_of(path).0
}

/// `app_YYYY-MM-DD_HH-MM-SS[.N].log`.
fn is_archived_name(name: &str) -> bool {
    let Some(middle) = name.strip_prefix("app_").and_then(|rest| rest.strip_suffix(".log")) else {
        return false;
    };
    let (time, number) = match middle.split_once('.') {
        Some((time, number)) => (time, Some(number)),
        None => (middle, None),
    };
    let fits = |(byte, form): (u8, u8)| match form {
        b'd' => byte.is_ascii_digit(),
        form => byte == form,
    };
    let form = "dddd-dd-dd_dd-dd-dd";
    time.len() == form.len()
        && time.bytes().zip(form.bytes()).all(fits)
        && number.is_none_or(|number| {
            !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// What is in the directory of a log, but for its lock, by name.
fn files(path: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(path.parent().expect("a parent")).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("an entry").file_name().into_string().expect("UTF-8")
    };
    entries.map(name).filter(|name| name != ".app.lock").collect()
}

fn archived(path: &Path) -> Vec<PathBuf> {
    let names = files(path).into_iter().filter(|name| is_archived_name(name));
    names.map(|name| path.with_file_name(name)).collect()
}

/// All segments of a closed log, each looked at by itself and together.
struct Whole {
    segments: u64,
    by_thread: Vec<Vec<u64>>,
}

impl Whole {
    /// Everything that holds of a log that was only rotated: files and their names, numbers and links of
    /// the segments, all of them closed; each record once, by the independent reader and by ours.
    fn read(path: &Path, threads: u32) -> Whole {
        for name in files(path) {
            assert!(name == "app.log" || is_archived_name(&name), "{name}");
        }
        let mut log = LogDir::open(path).expect("the log");
        let segments = log.segments().to_vec();
        let paths: BTreeSet<_> = segments.iter().map(|segment| segment.path.clone()).collect();
        let all = archived(path).into_iter().chain([path.to_owned()]).collect();
        assert_eq!(paths, all, "each file is a segment of the log");
        let mut by_thread = vec![Vec::new(); threads as usize];
        for (segment, id) in segments.iter().zip(1..) {
            assert_eq!((segment.id, segment.previous), (id, id - 1), "{segment:?}");
            assert_eq!(segment.name, b"app");
            let found = Found::read(&segment.path, threads as usize);
            for (all, more) in by_thread.iter_mut().zip(found.by_thread) {
                all.extend(more);
            }
            // The active one may be empty; no other is.
            assert!(segment.path == path || found.count > 0, "{segment:?}");
        }
        assert_eq!(segments.last().expect("a segment").path, path);
        let mut ours = vec![Vec::new(); threads as usize];
        while let Some(record) = log.next_record().expect("a record") {
            let (thread, number) = Numbered::parse(record.bytes()).expect("an altered record");
            ours[thread as usize].push(number);
        }
        assert!(ours == by_thread, "both readers find the same");
        let report = log.report();
        assert!(report.is_whole(), "{report:?}");
        assert!(report.segments.iter().all(|segment| segment.ending == Ending::Clean));
        Whole { segments: segments.len() as u64, by_thread }
    }

    /// Each thread's records are 0, 1, 2, ... up to its count.
    fn assert_has(&self, counts: &[u64]) {
        assert_eq!(self.by_thread.len(), counts.len());
        for (thread, (numbers, count)) in self.by_thread.iter().zip(counts).enumerate() {
            let is_exact = numbers.iter().copied().eq(0..*count);
            assert!(is_exact, "thread {thread}: {} of {count}", numbers.len());
        }
    }
}

/// Nothing went wrong and everything is durable.
fn assert_undisturbed(logger: &Logger, stats: &Stats, accepted: u64) {
    assert_balanced(stats);
    assert_eq!((stats.accepted, stats.durable), (accepted, accepted));
    assert_eq!((stats.dropped_logs, stats.flush_errors), (0, 0));
    assert!(logger.last_error().is_none(), "{:?}", logger.last_error());
    assert_eq!(logger.health(), Health::Ok);
}

/// Logs a thread's records until it is told to stop; how many they are. `accepted` says it meanwhile.
fn log_until(logger: &Logger, thread: u32, stop: &AtomicBool, accepted: &AtomicU64) -> u64 {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return number;
        }
        assert_eq!(log_as(logger, thread, number..number + 1), 1);
        accepted.store(number + 1, Ordering::Release);
    }
    unreachable!("the numbers have no end")
}

/// Has all threads log at full speed while `meanwhile` runs; how many records each of them logged.
fn with_writers(logger: &Logger, meanwhile: impl FnOnce(&[AtomicU64])) -> Vec<u64> {
    let (stop, accepted) = (AtomicBool::new(false), Vec::from_iter((0..THREADS).map(|_| 0.into())));
    std::thread::scope(|scope| {
        let (stop, accepted) = (&stop, &accepted);
        let write = |thread| {
            scope.spawn(move || log_until(logger, thread, stop, &accepted[thread as usize]))
        };
        let writers: Vec<_> = (0..THREADS).map(write).collect();
        {
            let _end = Finally(|| stop.store(true, Ordering::Relaxed));
            meanwhile(accepted);
        }
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    })
}

fn rotate_by_call(engine: Engine, durability: Durability, rotations: u64) {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(small(&path).engine(engine).durability(durability));
    let counts = with_writers(&logger, |_| {
        while active_segment(&path) <= rotations {
            logger.rotate().expect("rotate");
        }
    });
    let stats = logger.close().expect("close");
    assert_undisturbed(&logger, &stats, counts.iter().sum());
    let whole = Whole::read(&path, THREADS);
    whole.assert_has(&counts);
    assert_eq!(whole.segments, rotations + 1, "{engine:?} {durability:?}");
}

#[test]
fn a_thousand_rotations_by_call_lose_nothing() {
    rotate_by_call(Engine::Auto, Durability::Dsync, 1_000);
}

#[test]
fn every_engine_and_level_rotates_by_call() {
    for durability in durabilities() {
        for engine in engines() {
            rotate_by_call(*engine, *durability, 40);
        }
    }
}

#[test]
fn two_hundred_rotations_by_size_lose_nothing() {
    const EACH: u64 = 20_000;
    for durability in durabilities() {
        for engine in engines() {
            let directory = directory();
            let path = log_path(&directory);
            let max_size = 2 * LEAST_SIZE;
            let config = small(&path).engine(*engine).durability(*durability);
            let logger = open(config.rotation(Rotation::new().max_size(max_size)));
            assert_eq!(log_numbered(&logger, THREADS, 0..EACH), u64::from(THREADS) * EACH);
            let stats = logger.close().expect("close");
            assert_undisturbed(&logger, &stats, u64::from(THREADS) * EACH);
            let whole = Whole::read(&path, THREADS);
            whole.assert_has(&[EACH; THREADS as usize]);
            assert!(whole.segments > 200, "{} segments", whole.segments);
            for file in archived(&path).into_iter().chain([path]) {
                let len = fs::metadata(&file).expect("a file").len();
                assert!(len <= max_size, "{}: {len}", file.display());
            }
        }
    }
}

/// As many as fit, and not one more: a limit that a block would cross is kept, one that it meets is met.
#[test]
fn a_file_is_filled_up_to_its_limit() {
    let directory = directory();
    let path = log_path(&directory);
    // Start, three blocks of two units and an end.
    let logger = open(small(&path).rotation(Rotation::new().max_size(LEAST_SIZE)));
    let mut record = Numbered::new();
    // One unit of records, with its head; the tail fits in.
    for number in 0..20 {
        logger.log_bytes(record.make(0, number, 3_000));
        logger.flush().expect("flush");
    }
    logger.close().expect("close");
    let whole = Whole::read(&path, 1);
    whole.assert_has(&[20]);
    // 2 units a block, 18 of 20 units for blocks.
    assert_eq!(whole.segments, 3);
    for file in archived(&path) {
        let found = Found::read(&file, 1).count;
        let len = fs::metadata(&file).expect("a file").len();
        assert_eq!((found, len), (9, LEAST_SIZE));
    }
}

#[test]
fn rotation_by_age_and_never_of_an_empty_segment() {
    let (directory, other) = (directory(), directory());
    let (path, idle_path) = (log_path(&directory), log_path(&other));
    let age = Rotation::new().max_age(Duration::from_millis(50));
    let logger = open(small(&path).flush_interval(SHORT).rotation(age.clone()));
    // Of the same age, with one record in the first segment only.
    let idle = open(small(&idle_path).flush_interval(SHORT).rotation(age));
    log_as(&idle, 0, 0..1);
    for number in 0..6 {
        log_as(&logger, 0, number..number + 1);
        // Nobody asks for anything: it is the age alone.
        wait_until("the segment is old", || {
            logger.stats().pending == 0 && {
                archived(&path).len() as u64 == number + 1 && path.exists()
            }
        });
    }
    wait_until("the idle one", || archived(&idle_path).len() == 1 && idle_path.exists());
    assert_eq!(active_segment(&idle_path), 2);
    for (logger, path, count) in [(logger, path, 6), (idle, idle_path, 1)] {
        let stats = logger.close().expect("close");
        assert_undisturbed(&logger, &stats, count);
        let whole = Whole::read(&path, 1);
        whole.assert_has(&[count]);
        assert_eq!(whole.segments, count + 1);
    }
}

#[test]
fn without_records_nothing_is_rotated() {
    let directory = directory();
    let path = log_path(&directory);
    let only_active = BTreeSet::from(["app.log".to_owned()]);
    let logger = open(small(&path));
    logger.rotate().expect("rotate");
    logger.reopen().expect("reopen");
    assert_eq!(files(&path), only_active);
    log_as(&logger, 0, 0..1);
    for _ in 0..3 {
        logger.rotate().expect("rotate");
    }
    assert_eq!((archived(&path).len(), active_segment(&path)), (1, 2));
    logger.close().expect("close");
    // After the close it does nothing, and is no error: all that was accepted is durable.
    logger.rotate().expect("rotate");
    // In an empty segment that is continued, too.
    drop(logger);
    let logger = open(small(&path));
    assert_eq!(*logger.opened(), Opened::Continued);
    logger.rotate().expect("rotate");
    assert_eq!((archived(&path).len(), active_segment(&path)), (1, 2));
    logger.close().expect("close");
    let whole = Whole::read(&path, 1);
    whole.assert_has(&[1]);
    assert_eq!(whole.segments, 2);
}

/// Sessions that logged nothing leave a start and an end each; that is no reason to leave the file.
#[test]
fn sessions_without_records_are_not_rotated() {
    let directory = directory();
    let path = log_path(&directory);
    let age = Rotation::new().max_age(Duration::from_millis(1));
    for session in 0..4 {
        let logger = open(small(&path).flush_interval(SHORT).rotation(age.clone()));
        let opened = if session == 0 { Opened::Created } else { Opened::Continued };
        assert_eq!(*logger.opened(), opened);
        logger.rotate().expect("rotate");
        logger.close().expect("close");
        assert_eq!(files(&path), BTreeSet::from(["app.log".to_owned()]), "session {session}");
    }
    Whole::read(&path, 1).assert_has(&[0]);
}

/// Of whichever session the records are.
#[test]
fn records_of_an_earlier_session_are_rotated() {
    for filled in 0..3 {
        let directory = directory();
        let path = log_path(&directory);
        for session in 0..3 {
            let logger = open(small(&path));
            if session == filled {
                log_as(&logger, 0, 0..1);
            }
            logger.close().expect("close");
        }
        let logger = open(small(&path));
        logger.rotate().expect("rotate");
        logger.close().expect("close");
        let whole = Whole::read(&path, 1);
        whole.assert_has(&[1]);
        assert_eq!((whole.segments, Found::read(&path, 1).count), (2, 0));
    }
}

/// The limit of the length holds for a file that sessions without records have filled, too.
#[test]
fn sessions_without_records_make_no_file_too_long() {
    let directory = directory();
    let path = log_path(&directory);
    let config = || small(&path).rotation(Rotation::new().max_size(LEAST_SIZE));
    for _ in 0..4 {
        open(config()).close().expect("close");
    }
    let logger = open(config());
    log_as(&logger, 0, 0..5_000);
    logger.close().expect("close");
    for file in archived(&path).into_iter().chain([path]) {
        let len = fs::metadata(&file).expect("a file").len();
        assert!(len <= LEAST_SIZE, "{}: {len}", file.display());
    }
}

#[test]
fn several_threads_rotate_at_once() {
    const ROTATORS: u32 = 8;
    const EACH: u64 = 30;
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(small(&path).num_shards(ROTATORS as usize).buffer_size(512 << 10));
    std::thread::scope(|scope| {
        for thread in 0..ROTATORS {
            let logger = &logger;
            scope.spawn(move || {
                for number in 0..EACH {
                    log_as(logger, thread, number..number + 1);
                    logger.rotate().expect("rotate");
                }
            });
        }
    });
    let last = active_segment(&path);
    let stats = logger.close().expect("close");
    assert_undisturbed(&logger, &stats, u64::from(ROTATORS) * EACH);
    assert_eq!(Found::read(&path, ROTATORS as usize).count, 0, "all of it was covered by a call");
    let whole = Whole::read(&path, ROTATORS);
    whole.assert_has(&[EACH; ROTATORS as usize]);
    assert_eq!(whole.segments, last);
    assert!((EACH..=u64::from(ROTATORS) * EACH).contains(&(last - 1)), "{last}");
}

/// What was accepted before the call is in a file that is complete when the call returns.
#[test]
fn rotate_covers_what_was_accepted_before_it() {
    for durability in durabilities() {
        for engine in engines() {
            let directory = directory();
            let path = log_path(&directory);
            let logger = open(small(&path).engine(*engine).durability(*durability));
            let mut known = BTreeSet::new();
            let mut archived_numbers = vec![0; THREADS as usize];
            let counts = with_writers(&logger, |accepted| {
                for _ in 0..8 {
                    wait_until("some more records", || {
                        let more = accepted.iter().zip(&archived_numbers);
                        more.fold(true, |all, (now, then)| {
                            all & (now.load(Ordering::Acquire) > *then)
                        })
                    });
                    let before: Vec<_> =
                        accepted.iter().map(|count| count.load(Ordering::Acquire)).collect();
                    logger.rotate().expect("rotate");
                    for file in archived(&path) {
                        if known.insert(file.clone()) {
                            let report = verify(&file).expect("a report");
                            assert!(report.is_whole() && report.ending == Ending::Clean);
                            let found = Found::read(&file, THREADS as usize);
                            for (all, more) in archived_numbers.iter_mut().zip(found.by_thread) {
                                *all += more.len() as u64;
                            }
                        }
                    }
                    for (archived, before) in archived_numbers.iter().zip(before) {
                        assert!(*archived >= before, "{archived} of {before}");
                    }
                }
            });
            logger.close().expect("close");
            Whole::read(&path, THREADS).assert_has(&counts);
        }
    }
}

#[test]
fn close_against_rotations_loses_nothing() {
    for durability in durabilities() {
        for engine in engines() {
            let directory = directory();
            let path = log_path(&directory);
            let logger = open(small(&path).engine(*engine).durability(*durability));
            let closed = AtomicBool::new(false);
            let accepted = std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        while !closed.load(Ordering::Relaxed) {
                            logger.rotate().expect("rotate");
                        }
                    });
                }
                let write = |thread| {
                    let logger = &logger;
                    scope.spawn(move || {
                        (0..).find(|number| log_as(logger, thread, *number..number + 1) == 0)
                    })
                };
                let writers: Vec<_> = (0..THREADS).map(write).collect();
                let _end = Finally(|| {
                    let _ = logger.close();
                    closed.store(true, Ordering::Relaxed);
                });
                wait_until("rotations", || archived(&path).len() > 5);
                logger.close().expect("close");
                let join = |writer: std::thread::ScopedJoinHandle<'_, Option<u64>>| {
                    writer.join().expect("a writer").expect("it ends")
                };
                writers.into_iter().map(join).collect::<Vec<_>>()
            });
            let stats = logger.stats();
            assert_balanced(&stats);
            assert_eq!((stats.accepted, stats.lost), (accepted.iter().sum(), 0));
            assert_eq!(stats.durable, stats.accepted);
            Whole::read(&path, THREADS).assert_has(&accepted);
        }
    }
}

/// Dropping the last handle is a close, too: nothing is left of what was prepared.
#[test]
fn dropping_leaves_nothing_that_was_prepared() {
    let directory = directory();
    let path = log_path(&directory);
    let hidden = path.with_file_name(".app.next");
    let rotation = Rotation::new().max_age(LONG);
    for end in [|logger: Logger| drop(logger), |logger: Logger| drop(logger.close())] {
        let logger = open(small(&path).rotation(rotation.clone()));
        log_as(&logger, 0, 0..1);
        logger.flush().expect("flush");
        wait_until("the next file is ready", || hidden.exists());
        end(logger);
        assert_eq!(files(&path), BTreeSet::from(["app.log".to_owned()]));
    }
}

#[test]
fn the_numbering_goes_on_after_a_restart() {
    let directory = directory();
    let path = log_path(&directory);
    let mut next = 0;
    for session in 0..4 {
        let logger = open(small(&path));
        let opened = if session == 0 { Opened::Created } else { Opened::Continued };
        assert_eq!(*logger.opened(), opened);
        for _ in 0..3 {
            log_as(&logger, 0, next..next + 10);
            next += 10;
            logger.rotate().expect("rotate");
        }
        log_as(&logger, 0, next..next + 10);
        next += 10;
        logger.close().expect("close");
        assert_eq!(numbers_of(&path), (4 + session * 3, 3 + session * 3));
    }
    let whole = Whole::read(&path, 1);
    whole.assert_has(&[next]);
    assert_eq!(whole.segments, 13);
    // Without its active file it goes on behind the last archived one.
    fs::remove_file(&path).expect("the active file");
    let logger = open(small(&path));
    assert_eq!((logger.opened(), numbers_of(&path)), (&Opened::Created, (13, 12)));
    logger.close().expect("close");
}

/// A file with a start that was prepared and never used, as a killed process leaves it.
fn prepared(path: &Path) -> Vec<u8> {
    let hidden = path.with_file_name(".app.next");
    let logger = open(small(path).rotation(Rotation::new().max_age(LONG)));
    log_as(&logger, 0, 0..1);
    logger.flush().expect("flush");
    wait_until("the next file is ready", || hidden.exists());
    let bytes = fs::read(&hidden).expect("the next file");
    logger.close().expect("close");
    bytes
}

#[test]
fn what_was_prepared_is_removed_at_the_next_start() {
    let directory = directory();
    let path = log_path(&directory);
    let hidden = path.with_file_name(".app.next");
    let start = prepared(&path);
    assert_eq!(start.len(), 4096);
    // Not begun, torn, and whole.
    for len in [0, 1, 512, 4096] {
        fs::write(&hidden, &start[..len]).expect("write");
        let logger = open(small(&path));
        assert_eq!(files(&path), BTreeSet::from(["app.log".to_owned()]), "{len} bytes");
        logger.close().expect("close");
    }
    Whole::read(&path, 1).assert_has(&[1]);
}

#[test]
fn what_else_has_the_hidden_name_is_never_deleted() {
    let directory = directory();
    let path = log_path(&directory);
    let hidden = path.with_file_name(".app.next");
    let start = prepared(&path);
    let more = [&start[..], &[7; 4096]].concat();
    let mut kept = BTreeSet::from(["app.log".to_owned()]);
    for bytes in [&[7; 5000][..], &more] {
        fs::write(&hidden, bytes).expect("write");
        let logger = open(small(&path));
        let new: Vec<_> = files(&path).difference(&kept).cloned().collect();
        let [name] = &new[..] else { panic!("{new:?}") };
        assert!(is_archived_name(name), "{name}");
        assert_eq!(fs::read(path.with_file_name(name)).expect("it"), bytes);
        kept.insert(name.clone());
        logger.close().expect("close");
    }
    // What is no file either, also while the logger runs.
    let logger = open(small(&path));
    fs::create_dir(&hidden).expect("a directory");
    fs::write(hidden.join("precious"), "content").expect("write");
    log_as(&logger, 0, 1..2);
    logger.rotate().expect("rotate");
    log_as(&logger, 0, 2..3);
    logger.close().expect("close");
    let moved: Vec<_> = archived(&path).into_iter().filter(|path| path.is_dir()).collect();
    let [moved] = &moved[..] else { panic!("{moved:?}") };
    assert_eq!(fs::read(moved.join("precious")).expect("it"), b"content");
    let mut log = LogDir::open(&path).expect("the log");
    let mut numbers = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        numbers.push(Numbered::parse(record.bytes()).expect("ours").1);
    }
    assert_eq!(numbers, [0, 1, 2]);
}

/// What somebody does to the active file under the logger.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Rename,
    RenameToDirectoryAbove,
    Delete,
    Truncate,
    LinkToAnother,
    LinkToItself,
    Directory,
    AnotherFile,
}

impl Deed {
    const ALL: [Deed; 8] = [
        Deed::Rename,
        Deed::RenameToDirectoryAbove,
        Deed::Delete,
        Deed::Truncate,
        Deed::LinkToAnother,
        Deed::LinkToItself,
        Deed::Directory,
        Deed::AnotherFile,
    ];

    /// Where the file is then, if it still is a whole one.
    fn moved(self, path: &Path) -> Option<PathBuf> {
        match self {
            Deed::Delete | Deed::Truncate => None,
            Deed::RenameToDirectoryAbove => Some(path.parent()?.parent()?.join("moved.log")),
            _ => Some(path.with_file_name("moved.log")),
        }
    }

    fn victim(path: &Path) -> PathBuf {
        path.parent().expect("a parent").with_file_name("victim")
    }

    fn cut(path: &Path) {
        File::options().write(true).open(path).expect("open").set_len(0).expect("truncate");
    }

    fn done_to(self, path: &Path) {
        if let Some(moved) = self.moved(path) {
            fs::rename(path, moved).expect("rename");
        }
        fs::write(Deed::victim(path), "precious").expect("write");
        match self {
            Deed::Rename | Deed::RenameToDirectoryAbove => {}
            Deed::Delete => fs::remove_file(path).expect("delete"),
            Deed::Truncate => Deed::cut(path),
            Deed::LinkToAnother => symlink(Deed::victim(path), path).expect("link"),
            Deed::LinkToItself => symlink("moved.log", path).expect("link"),
            Deed::Directory => {
                fs::create_dir(path).expect("a directory");
                fs::write(path.join("inside"), "precious").expect("write");
            }
            Deed::AnotherFile => fs::write(path, "precious").expect("write"),
        }
    }

    /// What stood at the path has an archived name now, and is as it was.
    fn assert_set_aside(self, path: &Path) {
        assert_eq!(fs::read(Deed::victim(path)).expect("the victim"), b"precious");
        let aside = archived(path);
        let at = |aside: &[PathBuf]| match aside {
            [one] => one.clone(),
            other => panic!("{self:?}: {other:?}"),
        };
        match self {
            Deed::Rename | Deed::RenameToDirectoryAbove | Deed::Delete => {
                assert_eq!(aside, [] as [PathBuf; 0]);
            }
            Deed::Truncate => assert_eq!(fs::metadata(at(&aside)).expect("it").len(), 0),
            Deed::LinkToAnother => {
                assert_eq!(fs::read_link(at(&aside)).expect("a link"), Deed::victim(path));
            }
            Deed::LinkToItself => {
                assert_eq!(fs::read_link(at(&aside)).expect("a link"), Path::new("moved.log"));
            }
            Deed::Directory => {
                assert_eq!(fs::read(at(&aside).join("inside")).expect("it"), b"precious");
            }
            Deed::AnotherFile => assert_eq!(fs::read(at(&aside)).expect("it"), b"precious"),
        }
    }
}

/// A log, and what its callback was told.
struct Told {
    logger: Logger,
    errors: Arc<Mutex<Vec<Error>>>,
}

impl Told {
    fn open(config: Config) -> Told {
        let errors: Arc<Mutex<Vec<Error>>> = Arc::default();
        let told = errors.clone();
        let keep = move |error: &Error| told.lock().expect("unpoisoned").push(error.clone());
        Told { logger: open(config.on_error(keep)), errors }
    }

    /// It was told once that the file was moved, and of nothing else.
    fn assert_moved(&self, path: &Path) {
        let errors = self.errors.lock().expect("unpoisoned");
        let [error] = &errors[..] else { panic!("{errors:?}") };
        let last = self.logger.last_error().expect("an error");
        for error in [error, &last] {
            assert_eq!((error.kind(), error.path()), (ErrorKind::Moved, Some(path)), "{error}");
        }
        assert_eq!(self.logger.health(), Health::Ok);
    }
}

/// `logs/app.log`, with room beside it.
fn nested_path(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("logs/app.log")
}

#[test]
fn a_file_that_was_moved_is_noticed_within_a_flush() {
    for deed in Deed::ALL {
        for durability in durabilities() {
            for engine in engines() {
                for call in [Logger::flush, Logger::reopen, Logger::rotate] {
                    move_idle(deed, small_at(*engine, *durability), call);
                }
            }
        }
    }
}

fn small_at(engine: Engine, durability: Durability) -> impl Fn(&Path) -> Config {
    move |path| small(path).engine(engine).durability(durability)
}

/// Ten records are durable and ten are in memory when it happens; ten more are logged after it was noticed.
fn move_idle(deed: Deed, config: impl Fn(&Path) -> Config, call: fn(&Logger) -> Result<(), Error>) {
    let directory = directory();
    let path = nested_path(&directory);
    let told = Told::open(config(&path));
    let logger = &told.logger;
    log_as(logger, 0, 0..10);
    logger.flush().expect("flush");
    log_as(logger, 0, 10..20);
    deed.done_to(&path);
    call(logger).expect("all of it is durable");
    told.assert_moved(&path);
    let kind = fs::symlink_metadata(&path).expect("the path").file_type();
    assert!(kind.is_file(), "{deed:?}: {kind:?}");
    assert_eq!(logger.stats().durable, 20);
    log_as(logger, 0, 20..30);
    logger.flush().expect("flush");
    told.assert_moved(&path);
    let stats = logger.close().expect("close");
    assert_balanced(&stats);
    assert_eq!((stats.accepted, stats.durable, stats.lost), (30, 30, 0));
    assert!(!path.with_file_name(".app.next").exists());

    // What was not durable at that moment, and what came after, is in the log at its path.
    let mut log = LogDir::open(&path).expect("the log");
    let id = log.log_id();
    let mut ours = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        ours.push(Numbered::parse(record.bytes()).expect("an altered record").1);
    }
    match deed.moved(&path) {
        Some(moved) => {
            // The old file is whole under its other name.
            let report = verify(&moved).expect("a report");
            assert!(report.is_whole(), "{report:?}");
            assert_eq!((report.records, report.ending, report.segment), (10, Ending::Clean, 1));
            assert_eq!(report.log_id, id);
            assert_eq!(Found::read(&moved, 1).by_thread[0], Vec::from_iter(0..10));
            let beside = moved.parent() == path.parent();
            let expected = if beside { 0..30 } else { 10..30 };
            assert!(ours.into_iter().eq(expected), "{deed:?}");
        }
        None => assert!(ours.into_iter().eq(10..30), "{deed:?}"),
    }
    if numbers_of(&path).0 == 2 {
        deed.assert_set_aside(&path);
    }
    // `rotate` covers what was in memory, in a segment of its own.
    assert_eq!(numbers_of(&path).1, numbers_of(&path).0 - 1);
}

/// Everything that was written and had no barrier yet goes into the next file, though nothing failed.
#[test]
fn what_was_written_and_not_durable_is_written_again() {
    for deed in [Deed::Delete, Deed::Truncate] {
        for engine in engines() {
            let directory = directory();
            let path = nested_path(&directory);
            let config = small(&path).engine(*engine).durability(Durability::OnFlush);
            // So many buffers that none has to be freed.
            let told = Told::open(config.buffer_size(16 << 20).num_shards(256));
            let mut record = Numbered::new();
            let mut log = |numbers: std::ops::Range<u64>| {
                numbers.for_each(|number| told.logger.log_bytes(record.make(0, number, 1_000)));
            };
            log(0..10);
            told.logger.flush().expect("flush");
            // 65 of them are a block: 30 blocks are on the disk, and the rest is in memory.
            log(10..2_000);
            wait_until("it is written", || told.logger.stats().written == 10 + 30 * 65);
            assert_eq!(told.logger.stats().durable, 10);
            deed.done_to(&path);
            // No more than the buffer takes.
            log(2_000..2_020);
            told.logger.flush().expect("flush");
            told.assert_moved(&path);
            let stats = told.logger.close().expect("close");
            assert_eq!((stats.durable, stats.lost), (2_020, 0));
            assert_eq!(Found::read(&path, 1).by_thread[0], Vec::from_iter(10..2_020));
            let report = verify(&path).expect("a report");
            assert_eq!((report.ending, report.segment), (Ending::Clean, 2));
            assert!(report.damage.is_empty(), "{report:?}");
        }
    }
}

/// With threads that log at full speed: whatever is not in the old file is in the new one.
#[test]
fn a_file_moved_under_full_speed_costs_nothing() {
    for deed in [Deed::Rename, Deed::Delete, Deed::LinkToAnother] {
        for durability in durabilities() {
            for engine in engines() {
                if deed != Deed::Rename && *engine != Engine::Auto {
                    continue;
                }
                let directory = directory();
                let path = nested_path(&directory);
                let told = Told::open(small(&path).engine(*engine).durability(*durability));
                let old = File::open(&path).expect("the old file");
                let counts = with_writers(&told.logger, |accepted| {
                    let more_than = |count| {
                        wait_until("records", || {
                            accepted.iter().all(|each| each.load(Ordering::Relaxed) > count)
                        });
                    };
                    more_than(1_000);
                    deed.done_to(&path);
                    // Nobody calls anything: what is written notices it by itself.
                    wait_until("it is noticed", || {
                        path.is_file() && fs::read(Deed::victim(&path)).is_ok() && {
                            told.logger.last_error().is_some_and(|e| e.kind() == ErrorKind::Moved)
                        }
                    });
                    let now = accepted.iter().map(|each| each.load(Ordering::Relaxed)).max();
                    more_than(now.expect("threads") + 100);
                });
                let stats = told.logger.close().expect("close");
                told.assert_moved(&path);
                assert_balanced(&stats);
                assert_eq!(stats.lost, 0);
                assert_eq!(fs::read(Deed::victim(&path)).expect("the victim"), b"precious");
                assert_eq!(numbers_of(&path), (2, 1));
                // The old file, whatever became of its name.
                let copy = directory.path().join("copy.log");
                let mut bytes = vec![0; old.metadata().expect("it").len() as usize];
                old.read_exact_at(&mut bytes, 0).expect("its bytes");
                fs::write(&copy, bytes).expect("a copy");
                let (first, second) =
                    (Found::read(&copy, THREADS as usize), Found::read(&path, THREADS as usize));
                let is_moved = deed.moved(&path).is_some();
                for (thread, count) in counts.iter().enumerate() {
                    let (first, second) = (&first.by_thread[thread], &second.by_thread[thread]);
                    let both: BTreeSet<_> = first.iter().chain(second).copied().collect();
                    assert!(both.into_iter().eq(0..*count), "{deed:?}: thread {thread}");
                    let doubled = first.len() as u64 + second.len() as u64 - count;
                    assert!(!is_moved || doubled == 0, "{deed:?}: {doubled} twice");
                }
                if is_moved {
                    let report = verify(&copy).expect("a report");
                    assert!(report.is_whole() && report.ending == Ending::Clean, "{report:?}");
                }
            }
        }
    }
}

/// Copied and cut, as `logrotate` may do it: what was written behind the cut before that was noticed makes
/// the file as long as it should be, but a hole is where its beginning was.
#[test]
fn a_file_cut_under_full_speed_is_noticed() {
    for durability in durabilities() {
        for engine in engines() {
            let directory = directory();
            let path = log_path(&directory);
            let told = Told::open(small(&path).engine(*engine).durability(*durability));
            let counts = with_writers(&told.logger, |accepted| {
                let more_than = |count| {
                    wait_until("records", || {
                        accepted.iter().all(|each| each.load(Ordering::Relaxed) > count)
                    });
                };
                more_than(2_000);
                Deed::cut(&path);
                wait_until("it is noticed", || told.logger.last_error().is_some());
                let now = accepted.iter().map(|each| each.load(Ordering::Relaxed)).max();
                more_than(now.expect("threads") + 100);
            });
            let stats = told.logger.close().expect("close");
            told.assert_moved(&path);
            assert_balanced(&stats);
            assert_eq!(stats.lost, 0);
            // From there on nothing is missing.
            assert_eq!(numbers_of(&path), (2, 1));
            let report = verify(&path).expect("a report");
            assert_eq!((report.ending, report.damage.len()), (Ending::Clean, 0), "{report:?}");
            let found = Found::read(&path, THREADS as usize);
            for (numbers, count) in found.by_thread.iter().zip(counts) {
                let first = *numbers.first().expect("there were more");
                assert!(numbers.iter().copied().eq(first..count));
            }
        }
    }
}

/// As `logrotate` does it day by day.
#[test]
fn a_file_may_be_moved_again_and_again() {
    let directory = directory();
    let path = log_path(&directory);
    let logger = open(small(&path));
    let counts = with_writers(&logger, |accepted| {
        for turn in 1..20 {
            let now = accepted[0].load(Ordering::Relaxed);
            wait_until("records", || accepted[0].load(Ordering::Relaxed) > now + 10);
            let moved = path.with_file_name(format!("app_2026-01-01_00-00-00.{turn}.log"));
            fs::rename(&path, &moved).expect("rename");
            logger.reopen().expect("reopen");
            assert_eq!(numbers_of(&path), (turn + 1, turn));
            assert_eq!(verify(&moved).expect("a report").ending, Ending::Clean);
        }
    });
    logger.close().expect("close");
    Whole::read(&path, THREADS).assert_has(&counts);
}

/// With no room for the next file the log goes on in the old one, and is rotated when there is room.
#[test]
fn a_full_disk_puts_a_rotation_off() {
    for durability in durabilities() {
        for engine in engines() {
            let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(8)) else {
                return;
            };
            let path = mounted.path().join("logs/app.log");
            let max_size = 2 * LEAST_SIZE;
            let config = small(&path).engine(*engine).durability(*durability).num_shards(64);
            let config = config.buffer_size(8 << 20).rotation(Rotation::new().max_size(max_size));
            let told = Told::open(config.flush_interval(SHORT));
            let logger = &told.logger;
            // One file that is over, so that there is something before it; then no room for anything.
            log_as(logger, 0, 0..300);
            logger.rotate().expect("rotate");
            let filler = mounted.fill_up_to(0);
            let space = |error: &Error| {
                error.io_error().and_then(std::io::Error::raw_os_error) == Some(libc::ENOSPC)
            };
            log_as(logger, 0, 300..310);
            let error = logger.rotate().expect_err("the disk is full");
            assert!(space(&error), "{error}");
            // More than two files take; all of it waits in memory.
            log_as(logger, 0, 310..3_000);
            wait_until("it is told", || {
                let errors = told.errors.lock().expect("unpoisoned");
                errors.len() > 2 && errors.iter().all(space)
            });
            let lens = |path: &Path| {
                let len = |name| fs::metadata(path.with_file_name(name)).expect("a file").len();
                files(path).into_iter().map(len).collect::<Vec<_>>()
            };
            assert!(path.is_file() && lens(&path).iter().all(|len| *len > 0), "{:?}", files(&path));
            assert_eq!((active_segment(&path), logger.stats().lost), (2, 0));
            fs::remove_file(&filler).expect("the filler");
            // By itself, since the file is longer than it may be, or would be.
            wait_until("it is rotated", || {
                logger.stats().pending == 0 && path.exists() && active_segment(&path) > 3
            });
            let stats = logger.close().expect("close");
            assert_balanced(&stats);
            assert_eq!((stats.accepted, stats.durable, stats.dropped_logs), (3_000, 3_000, 0));
            Whole::read(&path, 1).assert_has(&[3_000]);
        }
    }
}

/// In the other directory a log is rotated as in its own, and after it came back, too: what was prepared
/// there is of no use here.
#[test]
fn rotation_works_in_the_other_directory_and_back_again() {
    // The way back is tried every five seconds: all wait for that at the same time.
    std::thread::scope(|scope| {
        for durability in durabilities() {
            for engine in engines() {
                for rotation in [Rotation::new(), Rotation::new().max_size(4 * LEAST_SIZE)] {
                    scope.spawn(move || rotate_elsewhere(*durability, *engine, rotation));
                }
            }
        }
    });
}

fn rotate_elsewhere(durability: Durability, engine: Engine, rotation: Rotation) {
    let Some(mounted) = or_skip(FileSystem::Tmpfs.mount_of_size(8)) else {
        return;
    };
    let other = directory();
    let path = mounted.path().join("app.log");
    let away = other.path().join("app.log");
    let config = small(&path).durability(durability).engine(engine).rotation(rotation);
    let logger = open(config.failover_dir(other.path()));
    let mut logged = 0;
    let mut log = |count: u64| {
        assert_eq!(log_as(&logger, 0, logged..logged + count), count);
        logged += count;
    };
    log(1_000);
    logger.flush().expect("flush");
    let filler = mounted.fill_up_to(0);
    while logger.health() != Health::Degraded {
        log(100);
        let _ = logger.flush();
    }
    let begun = archived(&away).len();
    for rotations in 1..=5 {
        let before = active_segment(&away);
        log(200);
        logger.rotate().expect("rotate");
        assert!(archived(&away).len() >= begun + rotations && active_segment(&away) > before);
    }
    // A file may be ready for the next rotation over there when the way back is found.
    log(600);
    logger.flush().expect("flush");
    fs::remove_file(&filler).expect("the filler");
    wait_until("it is back", || {
        log(1);
        logger.flush().is_ok() && logger.health() == Health::Ok
    });
    let begun = archived(&path).len();
    for rotations in 1..=5 {
        log(200);
        logger.rotate().expect("rotate");
        assert!(archived(&path).len() >= begun + rotations);
    }
    let stats = logger.close().expect("close");
    assert_balanced(&stats);
    assert_eq!((stats.accepted, stats.lost, stats.dropped_logs), (logged, 0, 0));
    assert_eq!(logger.health(), Health::Ok);

    // Gathered in one directory, it is one log without a gap.
    let all = directory();
    for (at, from) in [&path, &away].into_iter().enumerate() {
        for name in files(from).into_iter().filter(|name| name.ends_with(".log")) {
            let to = all.path().join(format!("{at}-{name}"));
            fs::copy(from.with_file_name(name), to).expect("copy");
        }
    }
    let mut logs = LogDir::scan(all.path()).expect("logs");
    assert_eq!(logs.len(), 1, "one log id");
    let log = &mut logs[0];
    for (segment, id) in log.segments().iter().zip(1..) {
        assert_eq!((segment.id, segment.previous), (id, id - 1));
    }
    let mut numbers = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        numbers.push(Numbered::parse(record.bytes()).expect("an altered record").1);
    }
    assert!(numbers.into_iter().eq(0..logged), "each once, and in order");
    assert!(!away.with_file_name(".app.next").exists(), "nothing prepared is left there");
}
