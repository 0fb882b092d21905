//! `asynclogger write`: standard input becomes records.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use asynclogger::{Logger, Opened, Overflow, Stats};
use rustix::io::Errno;

use crate::{
    args::WriteArgs,
    errors,
    lines::{Line, Lines},
    outcome::{Answer, Failure},
    output::say,
    progress::Progress,
    report::show_dropped,
    stop::{Ready, StopSignal},
    units::{show_count, show_mb, show_number_of, show_seconds},
};

pub(crate) fn run(args: WriteArgs) -> Result<Answer, Failure> {
    let progress = Progress::new();
    let config = args.logger.config(args.path, args.logger.policy_or(Overflow::Block));
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
    let watching = progress.watch(&logger);
    let read = log_input(&logger, &stop, &progress);
    let closed = logger.close();
    drop(watching);

    // What was logged is told whatever went wrong; the first thing that did is the one to report.
    let stats = logger.stats();
    say(summary(&stats, started.elapsed(), &logger, args.logger.durability_name()));
    read?;
    closed?;
    Ok(Answer::fine_if(stats.dropped_logs == 0 && unstored(&stats) == 0))
}

/// Logs lines until the input ends or somebody wants us to.
fn log_input(logger: &Logger, stop: &StopSignal, progress: &Progress) -> Result<(), Failure> {
    let input = io::stdin();
    if input.is_terminal() {
        say("reading records from the terminal, one a line, up to the end of file (^D)");
    }
    // A writer that fills 64 KiB, the default, has to be woken for each of them. A pipe may be at its owner's limit,
    // and a file is no pipe: then it stays as it is.
    let _ = rustix::pipe::fcntl_setpipe_size(&input, 1 << 20);

    let mut lines = Lines::new(logger.max_record());
    let mut log = |line: Line<'_>| match line {
        Line::Whole(b"") => logger.log_bytes(b"\n"),
        Line::Whole(bytes) => logger.log_bytes(bytes),
        Line::TooLong { number, len } => {
            progress.say(format_args!(
                "line {number} has {len} bytes; a record has at most {}: dropped",
                logger.max_record()
            ));
            // The bytes are gone, but the logger shall count it: it refuses by the length alone.
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let _ = logger.try_log_with(len, |_| {});
        }
    };
    loop {
        if stop.wait(&input).map_err(input_failure)? == Ready::Stop {
            let rest = match lines.unfinished() {
                0 => String::new(),
                bytes => format!("; {bytes} bytes of an unfinished line were not logged"),
            };
            progress.say(format_args!("stopped by a signal{rest}"));
            return Ok(());
        }
        match rustix::io::read(&input, lines.room()) {
            Ok(0) => {
                lines.finish(log);
                return Ok(());
            }
            Ok(len) => lines.advance(len, &mut log),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(input_failure(error)),
        }
    }
}

fn input_failure(error: impl Into<io::Error>) -> Failure {
    Failure::io("standard input", error)
}

/// An old file under a new name must not surprise anybody.
pub(crate) fn say_if_set_aside(logger: &Logger) {
    if let Opened::SetAside { to, reason } = logger.opened() {
        let path = logger.path().display();
        say(format_args!("{path}: {reason}; the file was set aside as {}", to.display()));
    }
}

/// Accepted and not in the file. Only after a failed `close` can there be any.
fn unstored(stats: &Stats) -> u64 {
    stats.lost + stats.pending
}

fn summary(stats: &Stats, time: Duration, logger: &Logger, durability: &str) -> String {
    let mut text = format!(
        "{}, {} in {}, {:.1} MB/s, dropped {}",
        show_number_of(stats.accepted, "record"),
        show_mb(stats.payload_bytes),
        show_seconds(time),
        stats.payload_bytes as f64 / 1e6 / time.as_secs_f64().max(1e-9),
        show_dropped(&stats.dropped),
    );
    if unstored(stats) > 0 {
        text += &format!(", lost {}", show_count(unstored(stats)));
    }
    let (engine, mode) = (stats.engine, stats.direct);
    text + &format!("; {}: {engine}, {mode}, {durability}", logger.path().display())
}
