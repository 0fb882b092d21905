//! The facades `log` and `tracing`: what they say becomes records.

mod ends;
mod log;
mod tracing;
mod witness;

use std::path::Path;

use asynclogger::{Config, Logger, LoggerManager, read::LogDir};
use tempfile::TempDir;

use crate::support::{directory, log_path};

/// A logger with one shard, so that the order of its records is that of the calls.
fn logger() -> (TempDir, Logger) {
    let directory = directory();
    let config = Config::new(log_path(&directory)).num_shards(1);
    (directory, Logger::new(config).expect("a logger"))
}

fn manager() -> (TempDir, LoggerManager) {
    let directory = directory();
    let manager = LoggerManager::in_dir(directory.path(), Config::default().num_shards(1));
    (directory, manager.expect("a manager"))
}

/// The records of a log that is closed.
fn records(path: &Path) -> Vec<String> {
    let mut log = LogDir::open(path).expect("a log");
    let mut records = Vec::new();
    while let Some(record) = log.next_record().expect("a record") {
        records.push(String::from_utf8(record.bytes().to_vec()).expect("text"));
    }
    assert!(log.report().is_whole());
    records
}
