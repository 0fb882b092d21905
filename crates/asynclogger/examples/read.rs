//! Reads a log: all of its segments, plain or compressed, and what is missing.
//!
//! ```text
//! cargo run --example read -- PATH [SECONDS]
//! ```
//! PATH is any file of the log. With SECONDS, only the records of the last so many seconds; the blocks of earlier ones
//! are not read.

use std::{
    error::Error,
    io::Write,
    time::{Duration, SystemTime},
};

use asynclogger::read::ReadOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which log?")?;
    let mut options = ReadOptions::new();
    if let Some(seconds) = arguments.next() {
        let past = SystemTime::now().checked_sub(Duration::from_secs(seconds.parse()?));
        options = options.since(past.ok_or("before all times")?);
    }
    let mut log = options.open_log(path)?;
    let mut out = std::io::stdout().lock();
    while let Some(record) = log.next_record()? {
        out.write_all(record.bytes())?;
        out.write_all(b"\n")?;
    }
    // Damage is no error of the reading: the report has it, and counts what is lost by it.
    let report = log.report();
    writeln!(
        out,
        "{} records, {} dropped, whole: {}",
        report.records,
        report.dropped().total(),
        report.is_whole()
    )?;
    Ok(())
}
