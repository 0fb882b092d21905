//! A program that logs through `tracing`: the events of each crate to a log of their own, filtered by `RUST_LOG`.
//!
//! ```text
//! RUST_LOG=info,tracing::db=debug cargo run --example tracing --features tracing -- DIRECTORY
//! ```

use std::{error::Error, path::PathBuf};

use asynclogger::{Config, Destination, LoggerManager, read::LogDir, tracing::JsonLayer};
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt, util::SubscriberInitExt};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let manager = LoggerManager::in_dir(&directory, Config::default())?;
    // `main` closes the manager; a `return` before that, or a call of `exit`, does it, too.
    manager.close_at_exit()?;
    let by_module = Destination::by_target(manager.clone(), |target| {
        target.rsplit("::").next().unwrap_or(target)
    });
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    Registry::default().with(JsonLayer::new(by_module)).with(filter).init();

    tracing::info!("started");
    db::query(3);
    manager.close()?;

    for event in ["tracing", "db"] {
        let mut log = LogDir::open(directory.join(format!("{event}.log")))?;
        while let Some(record) = log.next_record()? {
            println!("{event}: {}", String::from_utf8_lossy(record.bytes()));
        }
    }
    Ok(())
}

mod db {
    pub(super) fn query(rows: u32) {
        let _query = tracing::info_span!("query", rows).entered();
        tracing::info!("done");
        tracing::debug!("only if RUST_LOG says so");
    }
}
