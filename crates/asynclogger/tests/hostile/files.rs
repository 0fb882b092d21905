//! What is in files, one by one: no listing and no other file has a part in it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use asynclogger::read::{Format, Reader};

use crate::record::Key;

/// A log's id, as text.
pub type Log = String;

/// The records of one file of a log.
#[derive(Clone, Debug)]
pub struct Content {
    pub log_id: Log,
    pub segment: u64,
    /// Whether the file begins as it should.
    pub has_start: bool,
    pub keys: Vec<Key>,
}

impl Content {
    /// As a line of text, which [`of_text`](Content::of_text) takes.
    pub fn to_text(&self) -> String {
        let keys = self.keys.iter().map(|key| format!(" {}:{}", key.lane, key.number));
        format!("{} {}{}", self.log_id, self.segment, keys.collect::<String>())
    }

    pub fn of_text(text: &str) -> Option<Content> {
        let mut words = text.split(' ');
        let (log_id, segment) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let key = |word: &str| {
            let (lane, number) = word.split_once(':')?;
            Some(Key { lane: lane.parse().ok()?, number: number.parse().ok()? })
        };
        Some(Content {
            log_id,
            segment,
            has_start: true,
            keys: words.map(key).collect::<Option<_>>()?,
        })
    }
}

fn content(mut reader: Reader, what: &str) -> Option<Content> {
    if matches!(reader.report().format, Format::Original { .. }) {
        return None;
    }
    let mut keys = Vec::new();
    let mut last = BTreeMap::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                let key = Key::parse(record.bytes());
                let key = key.unwrap_or_else(|| panic!("{what}: an altered record"));
                let before = last.insert(key.lane, key.number);
                let is_in_order = before.is_none_or(|before| before < key.number);
                assert!(is_in_order, "{what}: {key:?} comes after {before:?}");
                keys.push(key);
            }
            Ok(None) => break,
            Err(error) => panic!("{what}: a file that was opened cannot be read: {error:#}"),
        }
    }
    let report = reader.report();
    let has_start = !report.name.is_empty();
    Some(Content { log_id: report.log_id?.to_string(), segment: report.segment, has_start, keys })
}

/// The records of the file at `path`; `None` if the file is no segment of a log.
pub fn read(path: &Path) -> Option<Content> {
    if !fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    content(Reader::open(path).ok()?, &path.display().to_string())
}

/// As [`read`], of a file that may have no name any more.
pub fn read_open(file: &File) -> Option<Content> {
    content(Reader::from_bytes(bytes_of(file)).ok()?, "a file that was deleted")
}

pub fn bytes_of(file: &File) -> Vec<u8> {
    let len = file.metadata().expect("an open file").len() as usize;
    let mut bytes = vec![0; len];
    let mut at = 0;
    while at < len {
        match file.read_at(&mut bytes[at..], at as u64) {
            Ok(0) => break,
            Ok(count) => at += count,
            Err(error) => panic!("a file cannot be read: {error}"),
        }
    }
    bytes.truncate(at);
    bytes
}

pub fn is_compressed(file: &File) -> bool {
    let mut first = [0; 4];
    file.read_at(&mut first, 0).is_ok_and(|count| count == 4) && first == [0x28, 0xB5, 0x2F, 0xFD]
}

/// Device and number: what a file is, whatever its name.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

pub fn identity_of(file: &File) -> (u64, u64) {
    let metadata = file.metadata().expect("an open file");
    (metadata.dev(), metadata.ino())
}

/// Everything below a directory that is no directory itself.
pub fn below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => found.extend(below(&path)),
            Ok(_) => found.push(path),
            Err(_) => {}
        }
    }
    found.sort();
    found
}

/// The names in a directory.
pub fn names(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut found: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    found.sort();
    found
}
