//! Logs to ship, and what a store should have afterwards.
#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod child;
pub(crate) mod proxy;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use asynclogger::{Archive, Compression, Config, Logger};
use asynclogger_store::Store;
use serde_json::Value;

/// A store in memory, of the caller's own.
pub(crate) fn memory(name: &str) -> Store {
    Store::open(&format!("memory://{name}/logs")).unwrap()
}

/// A log with so many archived segments of so many records, and an active one without records.
pub(crate) fn write_log(dir: &Path, name: &str, segments: usize, records: usize) -> PathBuf {
    let path = dir.join(format!("{name}.log"));
    write_more(&path, segments, records);
    path
}

pub(crate) fn write_more(path: &Path, segments: usize, records: usize) {
    let logger = Logger::new(Config::new(path)).unwrap();
    for segment in 0..segments {
        for record in 0..records {
            logger.log_bytes(format!("segment {segment}, record {record}").as_bytes());
        }
        logger.rotate().unwrap();
    }
    logger.close().unwrap();
}

/// One segment more, and all of them compressed.
pub(crate) fn compress_all(path: &Path) {
    let logger = Logger::new(Config::new(path).compression(Compression::zstd(1))).unwrap();
    logger.log_bytes(b"more");
    logger.rotate().unwrap();
    let dir = path.parent().unwrap();
    let is_compressed = || Segments::of(dir).paths().all(|path| path.ends_with(".zst"));
    until("the archivist has compressed all", is_compressed);
    logger.close().unwrap();
}

/// The archived segments of a directory: the bytes by log and number.
pub(crate) struct Segments(BTreeMap<(String, u64), (PathBuf, Vec<u8>)>);

impl Segments {
    pub(crate) fn of(dir: &Path) -> Segments {
        let segments = Archive::open(dir).unwrap().segments().unwrap();
        let read = segments.into_iter().map(|one| {
            let id = (one.log_id().to_string(), one.segment());
            (id, (one.path().to_path_buf(), fs::read(one.path()).unwrap()))
        });
        Segments(read.collect())
    }

    /// These, and those of `more` that are not among them.
    pub(crate) fn and(mut self, more: Segments) -> Segments {
        for (id, one) in more.0 {
            self.0.entry(id).or_insert(one);
        }
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.values().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|(path, _)| path.to_str().unwrap())
    }
}

/// All manifests of a store together.
pub(crate) struct Manifests {
    pub(crate) files: Vec<Value>,
    pub(crate) gaps: Vec<Value>,
}

pub(crate) fn manifests(store: &Store) -> Manifests {
    let mut all = Manifests { files: Vec::new(), gaps: Vec::new() };
    for entry in store.list("_manifest").unwrap() {
        let entry = entry.unwrap();
        let bytes = store.get_range(&entry.key, 0..entry.size).unwrap();
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(manifest["v"], 1);
        all.files.extend(manifest["files"].as_array().unwrap().clone());
        all.gaps.extend(manifest["gaps"].as_array().unwrap().clone());
    }
    all
}

/// The objects but the manifests.
pub(crate) fn objects(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let entries = store.list("").unwrap().map(Result::unwrap);
    let objects = entries.filter(|entry| !entry.key.starts_with("_manifest/"));
    objects
        .map(|one| (one.key.clone(), store.get_range(&one.key, 0..one.size).unwrap().to_vec()))
        .collect()
}

/// The objects are the segments, byte for byte, and the manifests list each once.
pub(crate) fn check_all(store: &Store, segments: &Segments) {
    let objects = objects(store);
    let files = manifests(store).files;
    let mut listed = BTreeMap::new();
    for file in &files {
        let id = (file["log"].as_str().unwrap().to_owned(), file["segment"].as_u64().unwrap());
        let key = file["key"].as_str().unwrap().to_owned();
        let object = &objects[&key];
        assert_eq!(file["bytes"].as_u64().unwrap(), object.len() as u64);
        assert_eq!(file["crc32c"], format!("{:08x}", crc32c::crc32c(object)));
        assert!(listed.insert(id.clone(), key).is_none(), "{id:?} is listed twice");
    }
    for (id, (path, bytes)) in &segments.0 {
        let key = listed.remove(id).unwrap_or_else(|| panic!("{} is not listed", path.display()));
        assert!(&objects[&key] == bytes, "{key} is not {}", path.display());
    }
    assert!(listed.is_empty(), "{listed:?} are no segments");
    assert_eq!(objects.len(), segments.len(), "objects that no manifest lists");
}

pub(crate) fn lose_journal(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "jsonl") {
            fs::remove_file(path).unwrap();
        }
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
