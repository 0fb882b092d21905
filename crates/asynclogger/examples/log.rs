//! A program that logs through the facade `log`, and reads what it has logged.
//!
//! ```text
//! cargo run --example log --features log -- DIRECTORY
//! ```
//! Filters by module, as in `RUST_LOG`, are the business of the crate `env_filter`, whose `FilteredLog` goes around a
//! `Facade`.

use std::{error::Error, path::PathBuf};

use asynclogger::{Config, Logger, Timestamps, log::Facade, log::Format, read::LogDir};
use log::LevelFilter;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let path = directory.join("app.log");
    {
        let logger = Logger::new(Config::new(&path).timestamps(Timestamps::On))?;
        let facade = Facade::new(logger).format(Format::Json).level(LevelFilter::Info);
        // Flushes at the end of this block, and if a panic unwinds it.
        let _guard = facade.install()?;
        log::info!(user = 4711, from = "10.0.0.7"; "logged in");
        log::debug!("not logged");
        log::warn!("nearly full");
    }
    let mut log = LogDir::open(&path)?;
    while let Some(record) = log.next_record()? {
        println!("{}", String::from_utf8_lossy(record.bytes()));
    }
    Ok(())
}
