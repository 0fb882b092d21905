//! Follows a log that another process writes, from segment to segment, whatever the files are called.
//!
//! ```text
//! cargo run --example follow -- PATH [SECONDS]
//! ```
//! With SECONDS, ends when nothing new has come for so long.

use std::{
    error::Error,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use asynclogger::read::ReadOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which log?")?;
    let patience = arguments.next().map(|seconds| seconds.parse().map(Duration::from_secs_f64));
    let patience = patience.transpose()?;
    let mut log = ReadOptions::new().follow(true).open_log(path)?;
    let mut out = std::io::stdout().lock();
    let mut last = Instant::now();
    while patience.is_none_or(|patience| last.elapsed() < patience) {
        while let Some(record) = log.next_record()? {
            out.write_all(record.bytes())?;
            out.write_all(b"\n")?;
            last = Instant::now();
        }
        out.flush()?;
        thread::sleep(Duration::from_millis(50));
        // Finds files that are new, renamed or compressed since.
        log.refresh()?;
    }
    Ok(())
}
