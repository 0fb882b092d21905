//! The command line as values. The commands decide what the values mean.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anstream::ColorChoice;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::units::{parse_duration, parse_seconds, parse_time};
#[cfg(target_os = "linux")]
use crate::writing::args::Writing;

pub(crate) const EXIT_CODES: &str = "\
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
    /// Whether the words for people are coloured; auto: on a terminal, unless NO_COLOR is set, or with CLICOLOR_FORCE
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = ColorArg::Auto)]
    pub(crate) color: ColorArg,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ColorArg {
    Auto,
    Always,
    Never,
}

impl From<ColorArg> for ColorChoice {
    fn from(arg: ColorArg) -> ColorChoice {
        match arg {
            ColorArg::Auto => ColorChoice::Auto,
            ColorArg::Always => ColorChoice::Always,
            ColorArg::Never => ColorChoice::Never,
        }
    }
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one value for each process")]
pub(crate) enum Command {
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    Writing(Writing),
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
    /// List the files of logs, with what they hold
    ///
    /// Files are found by what they contain, and only the heads of their blocks are read. Under a URL, no object is read
    /// at all: `ship` has written beside each object what the object holds; of other objects only names and lengths are
    /// shown.
    #[command(after_help = EXIT_CODES)]
    Ls(LsArgs),
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
    /// passes `verify`. NEW says that it was repaired. PATH is not touched. The new file is a log of its own: keep it
    /// beside the damaged one, or instead of it.
    ///
    /// Prints what was kept and what is lost. Exit code 1 means that records are lost, or may be.
    #[command(after_help = EXIT_CODES)]
    Repair(RepairArgs),
    /// Write logs as Parquet, Arrow or JSON Lines, in directories by event, date and hour
    ///
    /// A file of a directory or log gives one file for each hour in which it has records:
    /// OUTPUT/event=NAME/date=YYYY-MM-DD/hour=HH/LOG-SEGMENT.parquet, in UTC. The names and the bytes depend on the logs and
    /// the options alone, so an export that was killed or is repeated replaces its own files by the same ones. Other files
    /// are never replaced.
    ///
    /// Every record that can be read is exported. Damage is reported on standard error, and each file of Parquet says what
    /// is missing of its log: keys `asynclogger.lost`, `.dropped` and others.
    ///
    /// A TIME is as for `cat`; to be repeatable, let the chosen time begin and end with an hour.
    #[cfg(feature = "export")]
    #[command(after_help = EXIT_CODES)]
    Export(ExportArgs),
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

/// Where to read.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// Each PATH is the active file of a log: read the whole log, not that file alone
    #[arg(long)]
    pub(crate) all: bool,
    /// In directories, read only the log of this event, by its full name, whatever its files are called
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(crate) event: Option<String>,
    /// Files, or directories for all logs in them; for cat, stat, verify and report also URLs of places in object stores
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
pub(crate) struct LsArgs {
    /// Only the files of this event, by its full name
    #[arg(long, value_name = "NAME")]
    pub(crate) event: Option<String>,
    /// Only files with records of this time or later
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) since: Option<SystemTime>,
    /// Only files with records before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) until: Option<SystemTime>,
    /// One JSON object for each file
    #[arg(long)]
    pub(crate) json: bool,
    /// Files, directories, or URLs of places in object stores
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
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

#[cfg(feature = "export")]
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The format
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) to: ExportFormat,
    /// A directory, which is made if it is not there, or the URL of a place in an object store; - is standard output: one
    /// stream of all records, for arrow and jsonl
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// What becomes of the payload: raw leaves it as it is; utf8, json and proto:FILE#pkg.Message add a column `text`,
    /// `json` or `message`, and leave the payload of records that cannot be decoded. FILE is a set of descriptors:
    /// protoc --include_imports --descriptor_set_out=FILE
    #[arg(long, value_name = "HOW", default_value = "raw")]
    pub(crate) decode: String,
    /// Keep the payload beside what was decoded of it
    #[arg(long)]
    pub(crate) keep_payload: bool,
    /// By what the output is divided into directories: some of event, date, hour, or none
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "BY",
        default_value = "event,date,hour"
    )]
    pub(crate) partition: Vec<PartitionArg>,
    /// How many logs are exported at a time [default: one for each processor, at most 2]
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Level of zstd in Parquet, 1 to 22
    #[arg(long, value_name = "LEVEL", default_value_t = 1)]
    pub(crate) level: i32,
    /// The machine that wrote the logs, for the column host
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// Leave out records logged before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) since: Option<SystemTime>,
    /// Leave out records logged at this time or later
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) until: Option<SystemTime>,
    #[command(flatten)]
    pub(crate) input: InputArgs,
}

#[cfg(feature = "export")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Apache Parquet, compressed with zstd
    Parquet,
    /// A stream of Arrow's IPC format
    Arrow,
    /// JSON Lines: one object a line; data that is not UTF-8 in base64 (data_b64)
    Jsonl,
}

#[cfg(feature = "export")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartitionArg {
    Event,
    Date,
    Hour,
    None,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
