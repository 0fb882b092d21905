//! The command line as values. The commands decide what the values mean.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use asynclogger::{Config, CrashSafe, DirectIo, Durability, Engine, Overflow};
use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{PathBufValueParser, TypedValueParser},
};

use crate::{
    rotation_args::RotationArgs,
    service_args::ServiceArgs,
    units::{parse_duration, parse_seconds, parse_size, parse_time},
};

const EXIT_CODES: &str = "\
Exit codes:
  0  fine
  1  the answer is no: something is damaged, dropped or lost
  2  the command line makes no sense
  3  the system refused something (input, output, files)

Data goes to standard output, everything else to standard error.
Sizes take K, M, G (powers of 1024); durations take ms, s, m, h, d.";

/// Write, read, verify and measure logs of raw records
#[derive(Debug, Parser)]
#[command(name = "asynclogger", version, after_help = EXIT_CODES)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log standard input, one record per line
    ///
    /// A line is logged without its terminator. An empty line is logged as "\n", since a record is never empty: `cat`
    /// gives the same lines back. A line that is too long for a record is reported and counted as dropped. When the
    /// input pauses for half a second, the lines before the pause are written, so that `tail -f` shows them.
    ///
    /// SIGINT and SIGTERM end the input: it is read to its end for at most --grace. A second signal ends the reading at
    /// once; all lines that were read are written. SIGHUP looks for the file again, as logrotate expects, and begins a
    /// new one if the file was renamed or deleted. SIGALRM and SIGUSR1 rotate: the log continues in its next file.
    ///
    /// With --events, a line is the name of an event, a tab, and the record. Each event has its own log in the
    /// directory, called like the event as far as a file can be; all logs share one memory and one writing thread.
    /// Lines that name no event are reported and counted, and so are lines of an event whose log cannot be opened; the
    /// other events continue.
    #[command(after_help = EXIT_CODES)]
    Write(WriteArgs),
    /// Print the records of files, directories or logs
    ///
    /// A record that does not end in a newline gets one. Damage is reported on standard error; every record that
    /// survived is printed. The logs of a directory come one after the other, by the names of their files; in JSON each
    /// record names its event.
    ///
    /// A file has the records of each thread in blocks, so a record can stand far before an earlier one of another
    /// thread. --by-time prints the records of all PATHs in one order by time, equal times as they stand in the files. Where
    /// records have no times of their own, those of their blocks stand for them; records of the Go original come first.
    ///
    /// A TIME is RFC 3339 (2026-07-01T10:00:00Z), how long ago (90s, 15m, 2h, 7d), or in local time a day, or a time of
    /// today, or both (2026-07-01, today, yesterday, 10:00, 2026-07-01 10:00). Records are chosen by the times at
    /// which they were logged. Those of a log that was written without times have none: there
    /// whole blocks are chosen, by the time when they were sealed. A block is sealed at most one flush interval (10s
    /// unless set) after its records were logged: to see all records logged before a moment, make --until later by that
    /// interval. Blocks without a chosen record are neither read nor checked. Files of the Go original have no times: they are printed
    /// whole.
    #[command(after_help = EXIT_CODES)]
    Cat(CatArgs),
    /// Print the last records of a log, and follow it
    ///
    /// PATH is a segment of the log, and the records up to its end are printed; or PATH is a directory with one log; if
    /// it has several, --event chooses one. Earlier segments are read when PATH has too few records. Only the end of
    /// the log is read, and only damage there is found.
    ///
    /// With -f, the log is followed from segment to segment, whatever the files are called, until SIGINT or SIGTERM. A
    /// record is printed when its block has been written, which takes one flush interval of its logger at most. A log
    /// that was begun anew at PATH, since the files were deleted or replaced, is another log: -f says so, and -F
    /// continues with it.
    ///
    /// With --by-time, the last records by time of all logs of a directory, or of all PATHs, are printed in one order.
    /// With -f, a record is then printed when no earlier one is to be expected: when it is as old as --hold-back, or at
    /// once if all logs are closed. A record that comes later still is printed at once, behind later ones. New logs of
    /// the directory are printed, too.
    #[command(after_help = EXIT_CODES)]
    Tail(TailArgs),
    /// Check every byte, and report exactly which parts are damaged or missing
    ///
    /// The files of a directory are checked log by log, by their names.
    ///
    /// A session without an end is told: its writer died, or still writes the log. Neither is damage.
    #[command(after_help = EXIT_CODES)]
    Verify(VerifyArgs),
    /// Summarize files, directories or logs
    ///
    /// For a directory, or with --all, each log is also shown as a whole, with its segments and its times. A directory
    /// with several logs gets only one line for each event; --event shows the files of one event.
    ///
    /// With --watch, the heads of the blocks are read, and then those of new ones: a line with the sums and the rates since
    /// the line before, on a terminal redrawn in place. A record counts when its block is written. Logs that begin later
    /// are not shown.
    #[command(after_help = EXIT_CODES)]
    Stat(StatArgs),
    /// Make a page of HTML that shows what happened to logs
    ///
    /// The page shows records and bytes a second, drops by reason, restarts, rotations, salvages, damage and gaps over time,
    /// and tables of the logs, files, sessions and damaged places. It is one file, without scripts, and loads nothing.
    ///
    /// Only the heads of the blocks are read, so that large logs take no long time. `verify` checks what is inside.
    #[command(after_help = EXIT_CODES)]
    Report(ReportArgs),
    /// Write a whole file with everything that can be read of a damaged one
    ///
    /// The new file has each record that `cat` prints of PATH, in the same order, with its position and its time, and
    /// passes `verify`. It says that it was repaired. PATH is not touched. The new file is a log of its own: keep it
    /// beside the damaged one, or instead of it.
    ///
    /// Prints what was kept and what is lost. Exit code 1 means that records are lost, or may be.
    #[command(after_help = EXIT_CODES)]
    Repair(RepairArgs),
    /// Write the records that dead processes have left in memory (--crash-safe)
    ///
    /// A logger does the same for its own log when it is opened. So this is for logs that nobody opens again, and for
    /// logs that were moved: PATH is a log, and the records go to it, wherever it is now; or PATH is a directory of
    /// logs. Without PATH, each log is looked for at the path at which it was written.
    ///
    /// Prints a line for each session. Memory that cannot be used is left alone and reported, and the exit code is 1. The
    /// memory of live processes is not touched, and named.
    #[command(after_help = EXIT_CODES)]
    Salvage(SalvageArgs),
    /// Measure calls and throughput here, then read every record back
    ///
    /// The latency covers the log call and two clock reads, but not the making of the record. The seconds include the
    /// drain to the medium. Neither includes the reading back.
    ///
    /// All files are read back, so options that delete old files are refused.
    #[command(after_help = EXIT_CODES)]
    Bench(BenchArgs),
    /// Print the completions of a shell
    ///
    /// For example: asynclogger completions bash > /etc/bash_completion.d/asynclogger
    #[command(after_help = EXIT_CODES)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of asynclogger, or of one of its commands
    ///
    /// For example: asynclogger man write | man -l -
    #[command(after_help = EXIT_CODES)]
    Man {
        /// The command whose page is printed
        command: Option<String>,
    },
}

/// How a log is written.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logger options")]
pub(crate) struct LoggerArgs {
    /// What a call does when no buffer is free: drop, block or block-for=DURATION
    #[arg(long, value_parser = parse_policy)]
    policy: Option<Overflow>,
    /// When written records survive a power cut: at once, or not before the end
    #[arg(long, value_enum, default_value_t = DurabilityArg::Dsync)]
    durability: DurabilityArg,
    /// Whether the page cache is bypassed
    #[arg(long, value_enum, default_value_t = DirectArg::Preferred)]
    direct: DirectArg,
    /// The kernel interface that writes the files
    #[arg(long, value_enum, default_value_t = EngineArg::Auto)]
    engine: EngineArg,
    /// Bytes of the buffers of all shards; the same amount again stands ready
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = parse_size)]
    buffer_size: usize,
    /// Threads that never wait for each other
    #[arg(long, value_name = "N", default_value_t = Config::DEFAULT_NUM_SHARDS)]
    shards: usize,
    /// The longest time that a record stays in a buffer that does not fill
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    flush_interval: Duration,
    /// Keep the buffers in memory that outlives this process (in /dev/shm), or in files in DIR
    ///
    /// If this process is killed, the next logger of the log, or `salvage`, writes what was logged and not yet written.
    /// `write` logs a line as soon as it has read it to its end; it reads at most 256 KiB at a time, or a long line. The
    /// lines of such a read that were not yet logged are lost.
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = SHARED_MEMORY, value_parser = place_parser())]
    crash_safe: Option<CrashSafe>,
}

/// The directory of the file systems in memory. As a place for buffers, it means this user's directory there.
const SHARED_MEMORY: &str = "/dev/shm";

fn place_parser() -> impl TypedValueParser<Value = CrashSafe> {
    PathBufValueParser::new().map(|directory| match directory.as_path() == SHARED_MEMORY {
        true => CrashSafe::shared_memory(),
        false => CrashSafe::in_dir(directory),
    })
}

/// How long `close` tries: a program may have to continue without its log, a command has nothing else to do.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

impl LoggerArgs {
    pub(crate) fn policy_or(&self, default: Overflow) -> Overflow {
        self.policy.unwrap_or(default)
    }

    pub(crate) fn durability_name(&self) -> &'static str {
        match self.durability {
            DurabilityArg::Dsync => "dsync",
            DurabilityArg::OnFlush => "on-flush",
            DurabilityArg::None => "none",
        }
    }

    /// The settings for a log at `path`.
    pub(crate) fn config(&self, path: PathBuf, policy: Overflow) -> Config {
        let mut config = Config::new(path);
        if let Some(place) = &self.crash_safe {
            config = config.crash_safe(place.clone());
        }
        config
            .overflow(policy)
            .durability(match self.durability {
                DurabilityArg::Dsync => Durability::Dsync,
                DurabilityArg::OnFlush => Durability::OnFlush,
                DurabilityArg::None => Durability::None,
            })
            .direct_io(match self.direct {
                DirectArg::Required => DirectIo::Required,
                DirectArg::Preferred => DirectIo::Preferred,
                DirectArg::Off => DirectIo::Off,
            })
            .engine(match self.engine {
                EngineArg::Auto => Engine::Auto,
                EngineArg::Uring => Engine::Uring,
                EngineArg::Pwrite => Engine::Pwrite,
            })
            .buffer_size(self.buffer_size)
            .num_shards(self.shards)
            .flush_interval(self.flush_interval)
            .flush_timeout(CLOSE_TIMEOUT)
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DurabilityArg {
    /// Every write is synced
    Dsync,
    /// One sync for many writes: at the interval, and when buffers run short
    OnFlush,
    /// A sync when the input pauses, and at the end; else none
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DirectArg {
    /// Fail where the file system refuses direct I/O
    Required,
    /// Direct where the file system allows it
    Preferred,
    /// Through the page cache
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EngineArg {
    /// io_uring; pwritev2 where the system refuses it
    Auto,
    /// io_uring, several blocks at a time; fail where the system refuses it
    Uring,
    /// pwritev2, one block at a time
    Pwrite,
}

#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// The log; continued if it was closed cleanly, else the old file is set aside
    #[arg(required_unless_present = "events")]
    pub(crate) path: Option<PathBuf>,
    /// A log for each event, in this directory: lines are EVENT, a tab, and the record
    #[arg(long, value_name = "DIR", conflicts_with = "path")]
    pub(crate) events: Option<PathBuf>,
    /// Give lines no time of their own
    #[arg(long)]
    pub(crate) no_timestamps: bool,
    // Last, since their headings are also those of what follows.
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    #[command(flatten)]
    pub(crate) logger: LoggerArgs,
    #[command(flatten)]
    pub(crate) rotation: RotationArgs,
}

/// Where to read.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// Each PATH is the active file of a log: read the whole log, not that file alone
    #[arg(long)]
    pub(crate) all: bool,
    /// In directories, read only the log of this event, by its full name, whatever its files are called
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(crate) event: Option<String>,
    /// Files, or directories for all logs in them
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PrintArgs {
    /// How a record is printed
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    pub(crate) format: Format,
    /// End each record with a NUL byte instead of a newline
    #[arg(short = '0', long = "null")]
    pub(crate) null: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    #[command(flatten)]
    pub(crate) print: PrintArgs,
    /// Leave out records logged before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) since: Option<SystemTime>,
    /// Leave out records logged at this time or later
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) until: Option<SystemTime>,
    /// Layout of files of the Go original; our own files say it themselves
    #[arg(long, value_enum, default_value_t = LayoutArg::Auto)]
    pub(crate) layout: LayoutArg,
    /// All records in one order by time: of all threads, segments, files and logs
    #[arg(long, conflicts_with = "layout")]
    pub(crate) by_time: bool,
    #[command(flatten)]
    pub(crate) input: InputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// How many records
    #[arg(short = 'n', long = "records", value_name = "N", default_value_t = 10)]
    pub(crate) records: u64,
    /// Continue with records as they are written
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Like -f; also wait for a log that does not exist yet, and continue with one that was begun anew at PATH
    #[arg(short = 'F', long)]
    pub(crate) follow_name: bool,
    #[command(flatten)]
    pub(crate) print: PrintArgs,
    /// In the directory PATH, the log of this event, by its full name, whatever its files are called
    #[arg(long, value_name = "NAME")]
    pub(crate) event: Option<String>,
    /// The last records by time, and all records in one order by time: of all threads, and of all logs if PATH is a
    /// directory or there are several
    #[arg(long, conflicts_with = "follow_name")]
    pub(crate) by_time: bool,
    /// With --by-time and -f: print a record when it is this old, since no earlier one is to be expected then; at least
    /// the flush interval of the loggers [default: 11s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "by_time")]
    pub(crate) hold_back: Option<Duration>,
    /// A file of the log, or a directory with one log
    pub(crate) path: PathBuf,
    /// Further logs, with --by-time
    #[arg(value_name = "PATH", requires = "by_time")]
    pub(crate) more: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The bytes; on a terminal control characters are escaped
    Raw,
    /// One object a line; data that is not UTF-8 in base64 (data_b64)
    Json,
    /// Position and bytes, one line a record
    Hex,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LayoutArg {
    /// A shard begins at the sector after the previous shard's records, as documented
    Seed,
    /// A shard begins a full capacity after the previous one, as implemented
    Capacity,
    /// Choose the one that fits
    Auto,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// One JSON object for each file, then one with the totals
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) input: InputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatArgs {
    /// One JSON object for each file, then one with the totals
    #[arg(long)]
    pub(crate) json: bool,
    /// Show what comes in, every second or so many seconds, until SIGINT or SIGTERM; a PATH that is a file means its log
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "1", value_parser = parse_seconds, conflicts_with = "json")]
    pub(crate) watch: Option<Duration>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The page; an earlier page is replaced, any other file is not. - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) input: InputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    /// The new file; it must not exist
    #[arg(short, long, value_name = "NEW")]
    pub(crate) output: PathBuf,
    /// One JSON object that says what was kept and what is lost
    #[arg(long)]
    pub(crate) json: bool,
    /// The damaged file
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SalvageArgs {
    /// Where the memory is: the DIR of --crash-safe
    #[arg(long, value_name = "DIR", default_value = SHARED_MEMORY, value_parser = place_parser())]
    pub(crate) crash_safe_dir: CrashSafe,
    /// Write nothing; print what would be written
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Logs, or directories of logs
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

/// The length below which a bench record cannot say which one it is.
pub(crate) const BENCH_MIN_RECORD: usize = 16;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Logging threads
    #[arg(long, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = clap::builder::RangedU64ValueParser::<u32>::new().range(1..=4096))]
    pub(crate) threads: u32,
    /// Bytes of a record, at least 16
    #[arg(long, default_value = "256", value_parser = parse_bench_record)]
    pub(crate) size: usize,
    /// Records offered by all threads together; the policy is block unless given
    #[arg(long, value_name = "TOTAL", conflicts_with = "seconds")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Seconds to log [default: 5]; the policy is drop unless given
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub(crate) seconds: Option<Duration>,
    /// Records per second and thread, evenly spaced [default: as fast as possible]; short waits spin, and count as
    /// CPU seconds
    #[arg(long, value_name = "PER_THREAD")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) rate: Option<u64>,
    /// Give each record the time of its call
    #[arg(long)]
    pub(crate) timestamps: bool,
    /// One JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// The log to write to; it is kept
    pub(crate) path: PathBuf,
    // Last, since its heading is also that of what follows.
    #[command(flatten)]
    pub(crate) logger: LoggerArgs,
    #[command(flatten)]
    pub(crate) rotation: RotationArgs,
}

fn parse_bench_record(text: &str) -> Result<usize, String> {
    match parse_size(text)? {
        bytes if bytes < BENCH_MIN_RECORD => {
            Err(format!("a record of a bench has at least {BENCH_MIN_RECORD} bytes"))
        }
        bytes => Ok(bytes),
    }
}

fn parse_policy(text: &str) -> Result<Overflow, String> {
    match text {
        "drop" => Ok(Overflow::Drop),
        "block" => Ok(Overflow::Block),
        _ => match text.strip_prefix("block-for=") {
            Some(time) => parse_duration(time).map(Overflow::BlockFor),
            None => Err("a policy is drop, block or block-for=DURATION".into()),
        },
    }
}

/// The policy as it would be typed.
pub(crate) fn policy_name(policy: Overflow) -> String {
    match policy {
        Overflow::Drop => "drop".into(),
        Overflow::Block => "block".into(),
        Overflow::BlockFor(time) => format!("block-for={}ms", time.as_secs_f64() * 1e3),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn policies() {
        assert_eq!(parse_policy("drop"), Ok(Overflow::Drop));
        assert_eq!(parse_policy("block"), Ok(Overflow::Block));
        let policy = parse_policy("block-for=1.5s").unwrap();
        assert_eq!(policy, Overflow::BlockFor(Duration::from_millis(1500)));
        assert_eq!(policy_name(policy), "block-for=1500ms");
        for bad in ["", "Drop", "block-for", "block-for=", "block-for=5", "wait"] {
            assert!(parse_policy(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_texts_of_defaults_are_the_defaults() {
        assert_eq!(parse_size("64M"), Ok(Config::DEFAULT_BUFFER_SIZE));
        assert_eq!(parse_duration("10s"), Ok(Config::DEFAULT_FLUSH_INTERVAL));
    }
}
