//! Many events behind one manager.

mod calls;
mod failing;
mod files;
mod handles;
mod killed;
mod opening;
mod owners;
mod races;
mod resources;
mod retention;
mod rotation;
mod seed;
mod stuck;

use std::{
    fs,
    path::{Path, PathBuf},
};

use asynclogger::{Config, LoggerManager, read::Reader};
use tempfile::TempDir;

pub fn config(directory: &TempDir) -> Config {
    Config::new(directory.path().join("base.log")).buffer_size(8 << 20)
}

pub fn manager(directory: &TempDir) -> LoggerManager {
    LoggerManager::new(config(directory)).expect("a manager")
}

pub fn file(directory: &TempDir, base: &str) -> PathBuf {
    directory.path().join(format!("{base}.log"))
}

/// All records of a file, which is whole.
pub fn records(path: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::open(path).expect("a reader");
    let mut found = Vec::new();
    while let Some(record) = reader.next_record().expect("read") {
        found.push(record.bytes().to_vec());
    }
    assert!(reader.report().is_whole(), "{}", path.display());
    found
}

pub fn logs_in(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).expect("the directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    names
}
