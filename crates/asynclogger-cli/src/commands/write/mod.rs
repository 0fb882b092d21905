//! `asynclogger write`: standard input becomes records.

mod ending;
mod events;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use asynclogger::{Config, Error, ErrorKind, Logger, Opened, Overflow, Salvage, Stats, Timestamps};

use self::ending::Ending;
use crate::{
    commands::salvage::{say_left, show_salvaged},
    outcome::{Answer, Failure},
    output::say,
    report::show_dropped,
    units::{show_bytes, show_count, show_number_of},
    writing::{
        args::WriteArgs,
        input::Input,
        lines::Line,
        progress::Progress,
        reporter::Reporter,
        signals::{Order, Orders, Signals},
        units::show_seconds,
    },
};

/// The time between two attempts to open a log that another process writes: a lock cannot be waited for with
/// a time limit.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The same for a process that was asked to end. It tries more often, so that it comes first among several
/// that wait; otherwise its input would be lost.
const HURRY: Duration = Duration::from_millis(2);

pub(crate) fn run(args: WriteArgs) -> Result<Answer, Failure> {
    // The parser makes sure that one of the two is given.
    match (args.events.clone(), args.path.clone()) {
        (Some(directory), _) => events::run(&args, &directory),
        (None, path) => write_log(&args, path.unwrap_or_default()),
    }
}

fn write_log(args: &WriteArgs, path: PathBuf) -> Result<Answer, Failure> {
    let Service { input, signals, ends, orders, patience, progress } = Service::begin(args)?;
    let reporter = Reporter::default();
    let config = args.logger.config(path, args.logger.policy_or(Overflow::Block));
    let config = configured(args, config).on_error(reporter.callback());
    let logger = patience.open(&signals, || Logger::new(config.clone()))?;
    say_how_opened(&logger);
    let ordered = logger.clone();
    let file = move |order| {
        done(match order {
            Order::Reopen => ordered.reopen(),
            Order::Rotate => ordered.rotate(),
        });
    };
    orders.serve(file).map_err(no_signals)?;
    let ending = Ending::watch(logger.clone(), ends).map_err(no_signals)?;

    let started = Instant::now();
    let watched = logger.clone();
    let watching = progress.watch(move || watched.stats());
    let read = log_input(&logger, &input, &signals);
    let closed = ending.close();
    drop(watching);
    reporter.sum_up();

    // The summary is printed even after a failure; the first failure is the one to report.
    let stats = logger.stats();
    let how = how_written(&stats, logger.path(), args.logger.durability_name());
    say(format_args!("{}; {how}", show_records(&stats, started.elapsed())));
    read?;
    closed?;
    Ok(Answer::fine_if(stats.dropped_logs == 0 && unstored(&stats) == 0))
}

/// A config with the settings that are the same for one log and for many.
fn configured(args: &WriteArgs, config: Config) -> Config {
    let times = if args.no_timestamps { Timestamps::Off } else { Timestamps::On };
    args.service.apply(args.rotation.apply(config)).timestamps(times)
}

/// The surroundings of a log whose records come from standard input.
struct Service {
    input: Input,
    signals: Signals,
    /// The same signals, for the thread that watches over the end.
    ends: Signals,
    orders: Orders,
    patience: Patience,
    progress: Progress,
}

impl Service {
    /// From here on no signal kills the process, and no thread waits for the reader of standard error.
    fn begin(args: &WriteArgs) -> Result<Service, Failure> {
        let progress = Progress::new();
        progress.never_wait();
        let input = Input::open();
        let grace = if input.is_terminal() { Duration::ZERO } else { args.service.grace };
        let ([signals, ends], orders) = Signals::catch(grace).map_err(no_signals)?;
        let patience = Patience::from_now(args.service.wait_lock);
        Ok(Service { input, signals, ends, orders, patience, progress })
    }
}

fn no_signals(error: std::io::Error) -> Failure {
    Failure::io("cannot catch signals", error)
}

/// The wait for a log that another process still writes.
#[derive(Clone, Copy)]
struct Patience {
    begun: Instant,
    limit: Duration,
}

impl Patience {
    fn from_now(limit: Duration) -> Patience {
        Patience { begun: Instant::now(), limit }
    }

    /// Opens a log, if necessary after its last process has left it. The end of the reading ends the waiting.
    ///
    /// # Errors
    /// The error of the last attempt.
    fn open<T>(
        &self,
        signals: &Signals,
        mut open: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            match open() {
                Err(error)
                    if error.kind() == ErrorKind::InUse
                        && self.begun.elapsed() < self.limit
                        && !signals.is_over() =>
                {
                    // Without a wait for signals there is no other wait.
                    let time = if signals.is_ending() { HURRY } else { LOOK_EVERY };
                    if signals.pause(time).is_err() {
                        return Err(error);
                    }
                }
                opened => return opened,
            }
        }
    }
}

/// Reports why an order of a signal could not be done.
fn done(result: Result<(), Error>) {
    match result {
        // The log was closed before the order came.
        Err(error) if error.kind() == ErrorKind::Closed => {}
        Err(error) => say(error),
        Ok(()) => {}
    }
}

/// Logs lines until the input ends or a signal asks for the end.
fn log_input(logger: &Logger, input: &Input, signals: &Signals) -> Result<(), Failure> {
    let max = logger.max_record();
    let each = |line: Line<'_>| match line {
        Line::Whole(bytes) => logger.log_bytes(record_of(bytes)),
        Line::TooLong { number, len, .. } => {
            say(format_args!("line {number} has {len} bytes; a record has at most {max}: dropped"));
            // The bytes of the record were discarded. The logger still counts the record, because it refuses
            // the record by its length alone.
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let _ = logger.try_log_with(len, |_| {});
        }
    };
    input.for_each_line(max, signals, each, || {
        // The flush is requested, and nobody waits for it, so that the next input is read meanwhile. The
        // callback reports errors.
        let _ = logger.flush_for(Duration::ZERO);
    })
}

/// The record of a line. An empty line has none, because the format has no empty records.
fn record_of(line: &[u8]) -> &[u8] {
    if line.is_empty() { b"\n" } else { line }
}

/// Reports the records that dead processes had left.
fn say_salvaged(salvage: &Salvage) {
    for session in &salvage.sessions {
        let (log, file) = (session.log.display(), session.file.display());
        say(format_args!(
            "{log}: {} of a process that died, written to {file} first",
            show_salvaged(session)
        ));
    }
    say_left(salvage);
}

/// Reports what a dead process had left, and a file that was set aside, so that its new name does not surprise anybody.
pub(crate) fn say_how_opened(logger: &Logger) {
    say_salvaged(logger.salvage());
    if let Opened::SetAside { to, reason, .. } = logger.opened() {
        let path = logger.path().display();
        say(format_args!("{path}: {reason}; the file was set aside as {}", to.display()));
    }
}

/// The number of records that were accepted and are not in the file. It can be more than 0 only after a
/// failed `close`.
fn unstored(stats: &Stats) -> u64 {
    stats.lost + stats.pending
}

/// The numbers of logged and dropped records.
fn show_records(stats: &Stats, time: Duration) -> String {
    let mut text = format!(
        "{}, {} in {}, {:.1} MB/s, dropped {}",
        show_number_of(stats.accepted, "record"),
        show_bytes(stats.payload_bytes),
        show_seconds(time),
        stats.payload_bytes as f64 / 1e6 / time.as_secs_f64().max(1e-9),
        show_dropped(&stats.dropped),
    );
    if unstored(stats) > 0 {
        text += &format!(", lost {}", show_count(unstored(stats)));
    }
    text
}

/// The path of the log, and the way in which it was written.
fn how_written(stats: &Stats, path: &Path, durability: &str) -> String {
    let (engine, mode) = (stats.engine, stats.io_mode);
    format!("{}: {engine}, {mode}, {durability}", path.display())
}
