//! `asynclogger write`: standard input becomes records.

mod events;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use asynclogger::{Logger, Opened, Overflow, Stats};

use crate::{
    args::WriteArgs,
    errors,
    input::for_each_line,
    lines::Line,
    outcome::{Answer, Failure},
    output::say,
    progress::Progress,
    report::show_dropped,
    stop::StopSignal,
    units::{show_bytes, show_count, show_number_of, show_seconds},
};

pub(crate) fn run(args: WriteArgs) -> Result<Answer, Failure> {
    // One of both is there, says the parser.
    match (args.events.clone(), args.path.clone()) {
        (Some(directory), _) => events::run(&args, &directory),
        (None, path) => write_log(&args, path.unwrap_or_default()),
    }
}

fn write_log(args: &WriteArgs, path: PathBuf) -> Result<Answer, Failure> {
    let progress = Progress::new();
    let config = args.logger.config(path, args.logger.policy_or(Overflow::Block));
    let config = args.rotation.apply(config);
    let logger = Logger::new(config.on_error(errors::reporter(progress.clone())))?;
    say_if_set_aside(&logger);
    let blocked = logger.clone();
    let stop = StopSignal::install(move || {
        // Refuses the record that waits, and those behind it: they are counted as dropped.
        let _ = blocked.close();
    })
    .map_err(|error| Failure::io("cannot catch signals", error))?;

    let started = Instant::now();
    let watched = logger.clone();
    let watching = progress.watch(move || watched.stats());
    let read = log_input(&logger, &stop, &progress);
    let closed = logger.close();
    drop(watching);

    // What was logged is told whatever went wrong; the first thing that did is the one to report.
    let stats = logger.stats();
    let how = how_written(&stats, logger.path(), args.logger.durability_name());
    say(format_args!("{}; {how}", show_records(&stats, started.elapsed())));
    read?;
    closed?;
    Ok(Answer::fine_if(stats.dropped_logs == 0 && unstored(&stats) == 0))
}

/// Logs lines until the input ends or somebody wants us to.
fn log_input(logger: &Logger, stop: &StopSignal, progress: &Progress) -> Result<(), Failure> {
    let max = logger.max_record();
    for_each_line(max, stop, progress, |line| match line {
        Line::Whole(bytes) => logger.log_bytes(record_of(bytes)),
        Line::TooLong { number, len, .. } => {
            progress.say(format_args!(
                "line {number} has {len} bytes; a record has at most {max}: dropped"
            ));
            // The bytes are gone, but the logger shall count it: it refuses by the length alone.
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let _ = logger.try_log_with(len, |_| {});
        }
    })
}

/// A line's record: there are no empty ones.
fn record_of(line: &[u8]) -> &[u8] {
    if line.is_empty() { b"\n" } else { line }
}

/// An old file under a new name must not surprise anybody.
pub(crate) fn say_if_set_aside(logger: &Logger) {
    if let Opened::SetAside { to, reason, .. } = logger.opened() {
        let path = logger.path().display();
        say(format_args!("{path}: {reason}; the file was set aside as {}", to.display()));
    }
}

/// Accepted and not in the file. Only after a failed `close` can there be any.
fn unstored(stats: &Stats) -> u64 {
    stats.lost + stats.pending
}

/// What was logged, and what was not.
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

/// Where, and in which way.
fn how_written(stats: &Stats, path: &Path, durability: &str) -> String {
    let (engine, mode) = (stats.engine, stats.io_mode);
    format!("{}: {engine}, {mode}, {durability}", path.display())
}
