//! When a log continues in a new file, and what happens to the old ones.

use std::time::Duration;

use asynclogger::{Boundary, Compression, Config, Retention, Rotation, WhenFull};
use clap::{Args, ValueEnum};

use super::units::parse_size;
use crate::units::parse_duration;

#[derive(Debug, Args)]
#[command(next_help_heading = "Rotation options")]
pub(crate) struct RotationArgs {
    /// The greatest size of a file
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    rotate_size: Option<usize>,
    /// Begin a new file at every full hour, at every midnight, or when a file reaches this age
    ///
    /// hourly and daily are moments of the wall clock, in UTC unless --local-time is given. A duration, such as 10m or
    /// 12h, is the age of a file since its first record; setting the clock does not change it.
    #[arg(long, value_name = "hourly|daily|DURATION", value_parser = parse_every)]
    rotate_every: Option<Every>,
    /// How many old files are kept; the oldest are deleted
    #[arg(long, value_name = "N", value_parser = parse_keep)]
    keep: Option<usize>,
    /// How long an old file is kept after its last record
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    keep_for: Option<Duration>,
    /// The greatest size of all old files together; the newest is always kept
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_total: Option<usize>,
    /// Compress old files: zstd, or zstd=LEVEL from 1 to 22
    #[arg(long, value_name = "zstd[=LEVEL]", value_parser = parse_compression)]
    compress: Option<Compression>,
    /// What happens when the file system is full
    #[arg(long, value_enum, value_name = "ACTION", default_value_t = WhenFullArg::Wait)]
    when_full: WhenFullArg,
    /// Hours and days of the local time zone, not of UTC; names of files stay in UTC
    #[arg(long, requires = "rotate_every")]
    local_time: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum WhenFullArg {
    /// Nothing is deleted; the write is tried again until there is room
    Wait,
    /// The oldest old file is deleted, then one more each time that a write still finds no room; never the newest
    DeleteOldest,
}

/// What `--rotate-every` can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Every {
    Boundary(Boundary),
    Age(Duration),
}

impl RotationArgs {
    /// `config` with what was typed; the rest stays at its defaults.
    pub(crate) fn apply(&self, config: Config) -> Config {
        config
            .rotation(self.rotation())
            .retention(self.retention())
            .compression(self.compress.unwrap_or_default())
    }

    /// Whether old files may be deleted.
    pub(crate) fn deletes(&self) -> bool {
        self.retention() != Retention::new()
    }

    fn rotation(&self) -> Rotation {
        let mut rotation = Rotation::new().local_time(self.local_time);
        if let Some(bytes) = self.rotate_size {
            rotation = rotation.max_size(bytes as u64);
        }
        match self.rotate_every {
            None => rotation,
            Some(Every::Boundary(boundary)) => rotation.every(boundary),
            Some(Every::Age(age)) => rotation.max_age(age),
        }
    }

    fn retention(&self) -> Retention {
        let mut retention = Retention::new();
        if let Some(count) = self.keep {
            retention = retention.keep(count);
        }
        if let Some(age) = self.keep_for {
            retention = retention.max_age(age);
        }
        if let Some(bytes) = self.max_total {
            retention = retention.max_total(bytes as u64);
        }
        match self.when_full {
            WhenFullArg::Wait => retention,
            WhenFullArg::DeleteOldest => retention.when_full(WhenFull::DeleteOldest),
        }
    }
}

fn parse_every(text: &str) -> Result<Every, String> {
    match text {
        "hourly" => Ok(Every::Boundary(Boundary::Hourly)),
        "daily" => Ok(Every::Boundary(Boundary::Daily)),
        // What begins with a digit was meant as a duration: then its own error says more.
        _ if text.starts_with(|c: char| c.is_ascii_digit()) => parse_duration(text).map(Every::Age),
        _ => Err("hourly, daily, or the age of a file, as 10m or 12h".into()),
    }
}

fn parse_keep(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("the newest old file is kept in any case: at least 1".into()),
        Ok(count) if !text.starts_with('+') => Ok(count),
        _ => Err("not a number of files".into()),
    }
}

/// The level of `--compress zstd`, Zstandard's own default.
const ZSTD_LEVEL: i32 = 3;

fn parse_compression(text: &str) -> Result<Compression, String> {
    let level = match text.strip_prefix("zstd") {
        Some("") => Some(ZSTD_LEVEL),
        Some(level) => level.strip_prefix('=').and_then(|level| level.parse().ok()),
        None => None,
    };
    match level {
        Some(level @ 1..=22) => Ok(Compression::zstd(level)),
        _ => Err("a compression is zstd or zstd=LEVEL, with a level from 1 to 22".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        rotation: RotationArgs,
    }

    #[track_caller]
    fn parse(line: &str) -> RotationArgs {
        Line::try_parse_from(format!("write {line}").split_whitespace()).expect(line).rotation
    }

    /// What `Config` shows of itself: its fields are its own.
    fn shown(config: Config) -> String {
        format!("{config:?}")
    }

    #[test]
    fn nothing_typed_is_the_default() {
        let config = Config::new("a.log");
        assert_eq!(shown(parse("").apply(config.clone())), shown(config));
    }

    #[test]
    fn everything_typed_is_in_the_config() {
        let args = parse(
            "--rotate-size 1G --rotate-every daily --local-time --keep 7 --keep-for 30d \
             --max-total 50G --when-full delete-oldest --compress zstd=9",
        );
        let expected = Config::new("a.log")
            .rotation(Rotation::new().max_size(1 << 30).every(Boundary::Daily).local_time(true))
            .retention(
                Retention::new()
                    .keep(7)
                    .max_age(Duration::from_secs(30 * 86_400))
                    .max_total(50 << 30)
                    .when_full(WhenFull::DeleteOldest),
            )
            .compression(Compression::zstd(9));
        assert_eq!(shown(args.apply(Config::new("a.log"))), shown(expected));
        assert!(args.apply(Config::new("a.log")).validate().is_ok());
        assert!(args.deletes());
        for keeps in ["", "--rotate-size 1G --rotate-every 1s --compress zstd --when-full wait"] {
            assert!(!parse(keeps).deletes(), "{keeps}");
        }
        for deletes in ["--keep 1", "--keep-for 1s", "--max-total 1G", "--when-full delete-oldest"]
        {
            assert!(parse(deletes).deletes(), "{deletes}");
        }
    }

    #[test]
    fn a_duration_is_an_age() {
        assert_eq!(
            parse("--rotate-every hourly").rotation(),
            Rotation::new().every(Boundary::Hourly)
        );
        let ten = Duration::from_secs(600);
        assert_eq!(parse("--rotate-every 10m").rotation(), Rotation::new().max_age(ten));
        for bad in ["", "weekly", "Daily", "10", "0s", "-1h", "m"] {
            assert!(parse_every(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn counts_and_levels() {
        assert_eq!(parse_keep("1"), Ok(1));
        for bad in ["", "0", "-1", "+1", "x", "1.5"] {
            assert!(parse_keep(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_compression("zstd"), Ok(Compression::zstd(3)));
        assert_eq!(parse_compression("zstd=22"), Ok(Compression::zstd(22)));
        for bad in ["", "gzip", "zstd=", "zstd=0", "zstd=23", "zstd=-1", "zstd3", "ZSTD"] {
            assert!(parse_compression(bad).is_err(), "{bad:?}");
        }
    }
}
