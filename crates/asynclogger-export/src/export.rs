//! Logs become files, several logs at a time.

use std::{
    collections::HashSet,
    fmt, io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use asynclogger::read::{LogDir, LogReport};

use crate::{
    Error, ErrorKind,
    batches::BatchBuilder,
    budget::Budget,
    decode::Decode,
    open_files::OpenFiles,
    output::{Begun, Destination, Style},
    partition::Partition,
};

/// The most logs that are exported at a time.
pub const MAX_JOBS: usize = 16;
/// The rows of one log that gather before they are written, in bytes. This decides where row groups end, so it depends on
/// nothing.
const GROUP_BYTES: usize = 32 << 20;
/// The rows of all logs that gather, in bytes. A job needs as much again for pages that do not compress: with 3 jobs on large
/// logs an export stays below 256 MB.
const GATHERED_BYTES: usize = 3 * GROUP_BYTES;
/// How much more room rows can take in memory than in a log, where an empty record has 4 bytes.
const GROWTH: u64 = BatchBuilder::ROW_BYTES as u64 / 4;

/// The format of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Apache Parquet, with zstd: for engines and for long keeping.
    Parquet,
    /// A stream of Arrow's IPC format.
    Arrow,
    /// One object of JSON a line.
    JsonLines,
}

impl Format {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Format::Parquet => "parquet",
            Format::Arrow => "arrows",
            Format::JsonLines => "jsonl",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.extension())
    }
}

/// How logs are exported.
///
/// Each log is read in the order of its segments, so that a block that stands in two of them comes once. Each segment gives
/// one file for each [partition](Partition) in which it has records:
/// `event=NAME/date=YYYY-MM-DD/hour=HH/LOG-SEGMENT.parquet`. The name and the bytes depend on the log and the settings
/// alone, so a repeated export replaces its files by the same ones. Damage is no error: what can be read is exported, and
/// the rest is in the reports and in the facts of the files.
///
/// The memory does not depend on the logs, but for their largest block: up to 32 MiB of rows, twice if they do not compress,
/// for each log that is exported, and for three such logs at a time at most.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../asynclogger/tests/golden/v1.log");
/// # let directory = tempfile::tempdir()?;
/// # let lake = directory.path();
/// use asynclogger::read::LogDir;
/// use asynclogger_export::{Directory, Export, Format};
///
/// let logs = vec![LogDir::open(path)?];
/// let exported = Export::new(Format::Parquet, Directory::new(lake)).run(logs, |_| ());
/// assert_eq!((exported.records(), exported.error.is_none()), (2, true));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Export {
    settings: Settings,
    jobs: usize,
}

/// What all jobs know.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) style: Style,
    pub(crate) partition: Partition,
    pub(crate) decode: Decode,
    pub(crate) keep_payload: bool,
    pub(crate) host: Option<String>,
    output: Output,
    /// The names of files that were begun.
    names: Mutex<HashSet<String>>,
}

#[derive(Debug)]
enum Output {
    Files(Box<dyn Destination>),
    Stream(Mutex<Option<Stream>>),
}

/// A file without a name: standard output.
struct Stream(Box<dyn io::Write + Send>);

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Begun for Stream {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.0.flush()
    }
}

impl Settings {
    /// Whether all logs become one stream.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.output, Output::Stream(_))
    }

    /// Whether the batches have a column for the event. A line of JSON always has its event.
    pub(crate) fn has_event_column(&self) -> bool {
        !self.partition.event || self.style.format == Format::JsonLines
    }

    /// Begins a file.
    pub(crate) fn begin(&self, name: &str) -> Result<Box<dyn Begun>, Error> {
        let destination = match &self.output {
            Output::Files(destination) => destination,
            Output::Stream(stream) => {
                let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
                let gone = || Error::new(ErrorKind::Output, "the stream was written already");
                return stream.map(|stream| Box::new(stream) as _).ok_or_else(gone);
            }
        };
        if !self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned()) {
            let text = format!("{name}: two sources give this file; export them to two places");
            return Err(Error::new(ErrorKind::Settings, text));
        }
        destination.begin(name, self.style.format).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::because(ErrorKind::Exists, name, error),
            _ => Error::output(name, error),
        })
    }
}

/// How far an export is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Records that were read.
    pub records: u64,
    /// Bytes of the blocks that were read.
    pub bytes: u64,
    /// Bytes of all files, before compression.
    pub total_bytes: u64,
}

/// A file that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrittenFile {
    /// The name, with its directories; empty for a stream.
    pub name: String,
    /// The records in the file.
    pub records: u64,
    /// The bytes of these records.
    pub payload_bytes: u64,
}

/// What an export did.
#[derive(Debug, Default)]
#[must_use]
#[non_exhaustive]
pub struct Exported {
    /// The reports of the logs that were read to their ends, in the order in which the logs were given.
    pub reports: Vec<LogReport>,
    /// The files that were written, by their names.
    pub files: Vec<WrittenFile>,
    /// Records that could not be decoded. They kept their payloads.
    pub undecoded: u64,
    /// The errors of logs that could not be read, each after what was exported of its log.
    pub unread: Vec<asynclogger::Error>,
    /// The error that ended the export.
    pub error: Option<Error>,
}

impl Exported {
    /// The records in all files.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.files.iter().map(|file| file.records).sum()
    }
}

impl Export {
    /// Files of a format, in partitions by event, date and hour.
    pub fn new(format: Format, to: impl Destination + 'static) -> Export {
        Export::with(format, Output::Files(Box::new(to)), Partition::new())
    }

    /// One stream of the records of all logs, one log after the other; [`Format::Parquet`] gives one file.
    pub fn stream(format: Format, to: impl io::Write + Send + 'static) -> Export {
        let stream = Mutex::new(Some(Stream(Box::new(to))));
        Export::with(format, Output::Stream(stream), Partition::none())
    }

    fn with(format: Format, output: Output, partition: Partition) -> Export {
        let settings = Settings {
            style: Style { format, level: 1 },
            partition,
            decode: Decode::Raw,
            keep_payload: false,
            host: None,
            output,
            names: Mutex::default(),
        };
        Export { settings, jobs: 1 }
    }

    /// By what the files are divided into directories; a stream is not divided.
    pub fn partition(mut self, partition: Partition) -> Export {
        self.settings.partition = partition;
        self
    }

    /// What becomes of the payload. Default: it stays as it is.
    pub fn decode(mut self, decode: Decode) -> Export {
        self.settings.decode = decode;
        self
    }

    /// Whether the payload stays beside what was decoded of it. Default: false.
    pub fn keep_payload(mut self, keep: bool) -> Export {
        self.settings.keep_payload = keep;
        self
    }

    /// The machine that wrote the logs, for the column `host`. The logs do not say it.
    pub fn host(mut self, host: impl Into<String>) -> Export {
        self.settings.host = Some(host.into());
        self
    }

    /// The level of zstd in Parquet, from 1 to 22. Default: 1.
    pub fn level(mut self, level: i32) -> Export {
        self.settings.style.level = level;
        self
    }

    /// How many logs are exported at a time, up to [`MAX_JOBS`]. Default: 1. A job waits for memory while three logs of
    /// more than 32 MiB of rows, or as much in smaller ones, are exported.
    pub fn jobs(mut self, jobs: usize) -> Export {
        self.jobs = jobs;
        self
    }

    fn check(&self) -> Result<(), Error> {
        let settings = |text: String| Err(Error::new(ErrorKind::Settings, text));
        if !(1..=MAX_JOBS).contains(&self.jobs) {
            return settings(format!("{} jobs: between 1 and {MAX_JOBS} are possible", self.jobs));
        }
        if !(1..=22).contains(&self.settings.style.level) {
            let level = self.settings.style.level;
            return settings(format!("zstd level {level}: between 1 and 22 are possible"));
        }
        if self.settings.is_stream() && self.settings.partition != Partition::none() {
            return settings("a stream has no partitions".into());
        }
        self.settings.partition.check()
    }

    /// Exports logs. `progress` is called after each block, from several threads.
    ///
    /// The first error of the output ends the export; files that are complete stay. A log that cannot be read does not
    /// keep the others from being exported.
    pub fn run(self, logs: Vec<LogDir>, progress: impl Fn(Progress) + Sync) -> Exported {
        if let Err(error) = self.check() {
            return Exported { error: Some(error), ..Exported::default() };
        }
        let jobs = if self.settings.is_stream() { 1 } else { self.jobs };
        let total = logs.iter().flat_map(LogDir::segments).map(|segment| segment.file_bytes);
        let work = Work {
            settings: &self.settings,
            budget: Budget::new(GATHERED_BYTES),
            total_bytes: total.fold(0, u64::saturating_add),
            logs: logs.into_iter().map(|log| Mutex::new(Some(log))).collect(),
            next: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            progress: &progress,
        };
        let done: Vec<Done> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..jobs).map(|_| scope.spawn(|| work.run())).collect();
            let own = work.run();
            let joined = others.into_iter().map(|other| {
                // A job that is gone has exported a part of its logs, and nothing else would say so.
                other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            joined.chain([own]).collect()
        });
        let mut exported = Exported::default();
        let mut reports = Vec::new();
        for done in done {
            reports.extend(done.reports);
            exported.files.extend(done.files);
            exported.unread.extend(done.unread);
            exported.undecoded += done.undecoded;
            exported.error = exported.error.or(done.error);
        }
        reports.sort_by_key(|(index, _)| *index);
        exported.reports = reports.into_iter().map(|(_, report)| report).collect();
        exported.files.sort_by(|a, b| a.name.cmp(&b.name));
        exported
    }
}

/// The logs that are still to be exported, for all jobs.
struct Work<'a, F> {
    settings: &'a Settings,
    budget: Budget,
    total_bytes: u64,
    logs: Vec<Mutex<Option<LogDir>>>,
    next: AtomicUsize,
    /// The output has failed.
    is_over: AtomicBool,
    records: AtomicU64,
    bytes: AtomicU64,
    progress: &'a F,
}

/// The most bytes of rows that gather for a log. A log that grows while it is read can have some more.
fn most_gathered(log: &LogDir) -> usize {
    let bytes = log.segments().iter().map(|segment| segment.file_bytes);
    let rows = bytes.fold(0, u64::saturating_add).saturating_mul(GROWTH);
    usize::try_from(rows).map_or(GROUP_BYTES, |rows| rows.min(GROUP_BYTES))
}

/// What one job did.
#[derive(Default)]
struct Done {
    reports: Vec<(usize, LogReport)>,
    files: Vec<WrittenFile>,
    undecoded: u64,
    unread: Vec<asynclogger::Error>,
    error: Option<Error>,
}

impl<F: Fn(Progress) + Sync> Work<'_, F> {
    fn run(&self) -> Done {
        let mut done = Done::default();
        let mut files = OpenFiles::new(self.settings, GROUP_BYTES);
        loop {
            let index = self.next.fetch_add(1, Relaxed);
            let Some(log) = self.logs.get(index).filter(|_| !self.is_over.load(Relaxed)) else {
                break;
            };
            let log = log.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(mut log) = log else { continue };
            let _share = self.budget.take(most_gathered(&log));
            match self.export(&mut log, &mut files, &mut done.unread) {
                Ok(()) => done.reports.push((index, log.report())),
                Err(error) => done.error = done.error.or(Some(error)),
            }
            self.is_over.fetch_or(done.error.is_some(), Relaxed);
        }
        if done.error.is_none() {
            done.error = files.end_stream().err();
        }
        (done.files, done.undecoded) = (files.written, files.undecoded);
        done
    }

    fn export(
        &self,
        log: &mut LogDir,
        files: &mut OpenFiles<'_>,
        unread: &mut Vec<asynclogger::Error>,
    ) -> Result<(), Error> {
        files.begin_log(log);
        loop {
            let segment = match log.next_block() {
                Ok(Some(block)) => {
                    let records = files.take(&block)?;
                    self.tell(records, block.len());
                    block.segment()
                }
                Ok(None) => break,
                Err(error) => {
                    unread.push(error);
                    break;
                }
            };
            if self.is_over.load(Relaxed) {
                return Ok(());
            }
            files.end_segments(|other| other != segment, log.finished())?;
        }
        files.end_segments(|_| true, &log.report().segments)
    }

    fn tell(&self, records: u64, bytes: u64) {
        let records = self.records.fetch_add(records, Relaxed) + records;
        let bytes = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        (self.progress)(Progress { records, bytes, total_bytes: self.total_bytes });
    }
}
