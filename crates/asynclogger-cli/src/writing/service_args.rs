//! The options of `write` as the log of a service: how it begins, how it ends, and where it continues when
//! its directory fails.

use std::{path::PathBuf, time::Duration};

use asynclogger::Config;
use clap::Args;

use crate::units::parse_duration;

#[derive(Debug, Args)]
#[command(next_help_heading = "Service options")]
pub(crate) struct ServiceArgs {
    /// Longest time to read the input to its end after SIGINT or SIGTERM; 0s: end at once
    ///
    /// A service and its logger often get the signal at the same time, and the service still writes its last
    /// lines. A second signal ends the reading at once. Input from a terminal gets no grace.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_wait)]
    pub(crate) grace: Duration,
    /// Longest time to wait until another process stops writing the log; 0s: do not wait
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_wait)]
    pub(crate) wait_lock: Duration,
    /// Continue in this directory while the log's own directory is full, read-only, gone or failing
    #[arg(long, value_name = "DIR")]
    failover: Option<PathBuf>,
    /// Permissions of new files, in octal [default: 644, less the umask]
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    mode: Option<u32>,
}

impl ServiceArgs {
    /// Adds the typed settings to `config`; the others stay at their defaults.
    pub(crate) fn apply(&self, mut config: Config) -> Config {
        if let Some(directory) = &self.failover {
            config = config.failover_dir(directory);
        }
        if let Some(mode) = self.mode {
            config = config.mode(mode);
        }
        config
    }
}

/// A duration that can be 0.
fn parse_wait(text: &str) -> Result<Duration, String> {
    match text {
        "0" | "0s" => Ok(Duration::ZERO),
        _ => parse_duration(text),
    }
}

fn parse_mode(text: &str) -> Result<u32, String> {
    let is_octal = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| is_octal);
    mode.filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "permissions are an octal number up to 777, for example 640".into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        args: ServiceArgs,
    }

    fn parse(line: &str) -> ServiceArgs {
        Line::try_parse_from(line.split_whitespace()).expect(line).args
    }

    #[test]
    fn nothing_typed_is_the_default() {
        let args = parse("");
        let config = Config::new("a.log");
        assert_eq!(format!("{:?}", args.apply(config.clone())), format!("{config:?}"));
        assert_eq!((args.grace, args.wait_lock), (Duration::from_secs(5), Duration::from_secs(10)));
    }

    #[test]
    fn everything_typed_is_taken() {
        let args = parse("--grace 0s --wait-lock 250ms --failover /spare --mode 0640");
        let expected = Config::new("a.log").failover_dir("/spare").mode(0o640);
        assert_eq!(format!("{:?}", args.apply(Config::new("a.log"))), format!("{expected:?}"));
        assert_eq!((args.grace, args.wait_lock), (Duration::ZERO, Duration::from_millis(250)));
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(
            (parse_mode("600"), parse_mode("0"), parse_mode("0777")),
            (Ok(0o600), Ok(0), Ok(0o777))
        );
        for bad in ["", "+600", "-1", "0o600", "8", "1000", "4755", "rw", "77777777777777777777"] {
            assert!(parse_mode(bad).is_err(), "{bad:?}");
        }
    }
}
