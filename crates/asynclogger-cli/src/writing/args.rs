//! The commands that write, as values: Linux alone has them.

use std::{path::PathBuf, time::Duration};

use asynclogger::{Config, CrashSafe, DirectIo, Durability, Engine, Overflow};
use clap::{
    Args, Subcommand, ValueEnum,
    builder::{PathBufValueParser, TypedValueParser},
};

#[cfg(feature = "ship")]
use super::ship_args::ShipArgs;
use super::{rotation_args::RotationArgs, service_args::ServiceArgs, units::parse_size};
use crate::{
    args::EXIT_CODES,
    units::{parse_duration, parse_seconds},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Writing {
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
    /// Ship archived segments to an object store, each exactly once
    ///
    /// Segments are found by what they contain, whatever their files are called; a file that is written is never shipped.
    /// The store is asked before each upload, so that a run that ended early, or was killed, is continued by the next one. A
    /// manifest under _manifest/ lists the objects of each batch, and segments that were lost before they were shipped.
    ///
    /// While the store cannot be reached, the attempts become rarer, up to one a minute; without --watch the command gives up
    /// after five minutes without an answer. SIGINT and SIGTERM end the shipping; what was shipped by then stays shipped.
    ///
    /// Credentials come from the environment, by the names that the tools of S3, Google Cloud Storage and Azure use, and have no
    /// place in URL. A plain http endpoint needs AWS_ALLOW_HTTP=true, or the same for GOOGLE or AZURE.
    #[cfg(feature = "ship")]
    #[command(after_help = EXIT_CODES)]
    Ship(ShipArgs),
    /// Measure calls and throughput here, then read every record back
    ///
    /// The latency covers the log call and two clock reads, but not the making of the record. The seconds include the
    /// drain to the medium. Neither includes the reading back.
    ///
    /// All files are read back, so options that delete old files are refused.
    #[command(after_help = EXIT_CODES)]
    Bench(BenchArgs),
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
    use super::*;

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
