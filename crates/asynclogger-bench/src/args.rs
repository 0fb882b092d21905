//! What is to be measured, from the command line.

use std::{collections::HashMap, path::PathBuf, str::FromStr, time::Duration};

use crate::outcome::Outcome;

/// What goes on below the logger meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    /// A rotation every second.
    Rotate,
    /// The file system takes no writes for two seconds (`FIFREEZE`). Needs root and a file system of its own.
    Freeze,
    /// The file system is full for two seconds. Needs a file system of its own.
    Full,
}

impl Trouble {
    /// Whether the medium takes nothing for a while.
    pub(crate) fn is_outage(self) -> bool {
        matches!(self, Trouble::Freeze | Trouble::Full)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: String,
    pub(crate) subject: String,
    pub(crate) directory: PathBuf,
    pub(crate) threads: usize,
    /// Bytes of a record.
    pub(crate) size: usize,
    /// How long threads log, or how long an idle logger is watched.
    pub(crate) time: Duration,
    /// The most that all threads offer together, in bytes.
    pub(crate) bytes: u64,
    /// Bursts of each of the two kinds, and records in a burst, of all threads together.
    pub(crate) bursts: u64,
    pub(crate) records: u64,
    /// Records a second, of all threads together.
    pub(crate) rate: f64,
    pub(crate) trouble: Trouble,
}

impl Plan {
    pub(crate) fn parse(given: &[String]) -> Outcome<Plan> {
        let [scenario, subject, options @ ..] = given else {
            return Err("usage: asynclogger-bench list | SCENARIO SUBJECT [--OPTION VALUE].. --directory DIR".into());
        };
        let mut values = HashMap::new();
        for pair in options.chunks(2) {
            match pair {
                [name, value] if name.starts_with("--") => {
                    values.insert(&name[2..], value.as_str())
                }
                _ => return Err(format!("an option without a value: {pair:?}").into()),
            };
        }
        let plan = Plan {
            scenario: scenario.clone(),
            subject: subject.clone(),
            directory: values.remove("directory").ok_or("--directory is missing")?.into(),
            threads: number(&mut values, "threads", 1)?,
            size: number(&mut values, "size", 256)?,
            time: Duration::from_secs_f64(number(&mut values, "seconds", 1.0)?),
            bytes: number(&mut values, "bytes", 2_000_000_000)?,
            bursts: number(&mut values, "bursts", 20)?,
            records: number(&mut values, "records", 8_000)?,
            rate: number(&mut values, "rate", 100_000.0)?,
            trouble: match values.remove("trouble") {
                None => Trouble::None,
                Some("rotate") => Trouble::Rotate,
                Some("freeze") => Trouble::Freeze,
                Some("full") => Trouble::Full,
                Some(other) => return Err(format!("no such trouble: {other}").into()),
            },
        };
        if let Some(unknown) = values.keys().next() {
            return Err(format!("no such option: --{unknown}").into());
        }
        if !(1..=999).contains(&plan.threads) || plan.size < crate::record::LEAST {
            return Err("1 to 999 threads, and records of at least 16 bytes".into());
        }
        Ok(plan)
    }
}

fn number<T: FromStr>(values: &mut HashMap<&str, &str>, name: &str, otherwise: T) -> Outcome<T> {
    let Some(text) = values.remove(name) else { return Ok(otherwise) };
    text.parse().map_err(|_| format!("--{name} {text}: not a number").into())
}
