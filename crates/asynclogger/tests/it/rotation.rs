//! A log goes on in a new file: what a rotated log has to be like, and who logs meanwhile. The tests are in
//! the modules.

mod hostile;
mod lookalike;
mod lost_lock;
mod moved;
mod prepared;
mod room;
mod triggers;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use asynclogger::{
    Config, Error, ErrorKind, Health, Logger, Overflow, Stats,
    read::{Ending, LogDir},
};

use crate::{
    matrix::{Finally, log_as},
    support::{Found, Numbered, assert_balanced, open, wait_until},
};

const THREADS: u32 = 4;
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(10);

/// A pool of eight buffers of 64 KiB, so that blocks are many, and nothing that happens by itself.
pub fn small(path: &Path) -> Config {
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
        wait_until("the callback", || !self.errors.lock().expect("unpoisoned").is_empty());
        let errors = self.errors.lock().expect("unpoisoned");
        let [error] = &errors[..] else { panic!("{errors:?}") };
        let last = self.logger.last_error().expect("an error");
        for error in [error, &last] {
            assert_eq!((error.kind(), error.path()), (ErrorKind::Moved, Some(path)), "{error}");
        }
        assert_eq!(self.logger.health(), Health::Ok);
    }
}
