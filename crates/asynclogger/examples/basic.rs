//! The first program: several threads log, the logger is closed, and the records are read back.
//!
//! ```text
//! cargo run --example basic -- DIRECTORY
//! ```

use std::{error::Error, path::PathBuf};

use asynclogger::{Config, Logger, Overflow, read::LogDir};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let path = directory.join("basic.log");
    // By default a call that finds no room drops its record and counts that; this program waits instead.
    let logger = Logger::new(Config::new(&path).overflow(Overflow::Block))?;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            // A handle is cheap, and every thread can have one.
            let logger = logger.clone();
            scope.spawn(move || {
                for number in 0..1000 {
                    logger.log(&format!("thread {thread}, record {number}"));
                }
            });
        }
    });
    // Everything that was accepted is on the medium when this returns, and every record has an account.
    let stats = logger.close()?;
    println!(
        "{} accepted, {} dropped, {} durable",
        stats.accepted, stats.dropped_logs, stats.durable
    );

    let (mut log, mut found) = (LogDir::open(&path)?, 0);
    while let Some(record) = log.next_record()? {
        found += usize::from(record.bytes().starts_with(b"thread "));
    }
    println!("{found} read");
    Ok(())
}
