//! A manifest: what a batch has brought to the store, and what it could not.

use std::{collections::BTreeMap, sync::Arc};

use asynclogger_store::{ObjectBytes, Store};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    control::Control,
    facts::{Facts, FromStart, SessionDrops, each_part, show_crc},
    layout::{encode, utc},
};

/// Where the manifests of a destination are.
const PLACE: &str = "_manifest";

/// One object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    pub(crate) key: String,
    /// Length and CRC32C of the object, the latter in hex digits.
    pub(crate) bytes: u64,
    pub(crate) crc32c: String,
    pub(crate) records: u64,
    /// The sum over `sessions`.
    pub(crate) dropped: u64,
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
    pub(crate) start_ns: u64,
    pub(crate) log: String,
    pub(crate) segment: u64,
    pub(crate) event: String,
    /// A session that goes on over several segments counts up: its greatest number is its drops.
    pub(crate) sessions: Vec<SessionDrops>,
}

impl FileEntry {
    /// `bytes` and `crc32c` are those of the object.
    pub(crate) fn new(facts: &Facts, key: String, bytes: u64, crc32c: u32) -> FileEntry {
        FileEntry {
            key,
            bytes,
            crc32c: show_crc(crc32c),
            records: facts.records,
            dropped: facts.dropped(),
            first_ns: facts.first_ns,
            last_ns: facts.last_ns,
            start_ns: facts.start_ns,
            log: facts.log.clone(),
            segment: facts.segment,
            event: encode(&facts.name),
            sessions: facts.sessions.clone(),
        }
    }
}

/// Segments of a log that are in no object; both ends count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GapEntry {
    pub(crate) log: String,
    pub(crate) event: String,
    pub(crate) from_segment: u64,
    pub(crate) to_segment: u64,
    pub(crate) reason: String,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    v: u32,
    files: Vec<FileEntry>,
    gaps: Vec<GapEntry>,
}

/// The bytes of a manifest. The same content gives the same bytes.
pub(crate) fn render(files: &[FileEntry], gaps: &[GapEntry]) -> Result<Vec<u8>, Error> {
    let manifest = Manifest { v: 1, files: files.to_vec(), gaps: gaps.to_vec() };
    serde_json::to_vec(&manifest).map_err(|error| Error::settings(error.to_string()))
}

/// The name of a manifest, from its content: `_manifest/DATE/HOUR/HOST_LOG_SEGMENT_CRC.json`, with date, hour, log and
/// segment of its first file. One without a file has the date of 1970.
pub(crate) fn name(host: &str, files: &[FileEntry], gaps: &[GapEntry], bytes: &[u8]) -> String {
    let first = files.first().map(|file| (file.start_ns, &file.log, file.segment));
    let gap = gaps.first().map(|gap| (0, &gap.log, gap.from_segment));
    let empty = String::new();
    let (start, log, segment) = first.or(gap).unwrap_or((0, &empty, 0));
    let (place, crc) = (utc(start, "%Y-%m-%d/%H"), crc32c::crc32c(bytes));
    format!("{PLACE}/{place}/{}_{log}_{segment:06}_{crc:08x}.json", encode(host.as_bytes()))
}

/// What the manifests of a host list, by log and segment. For a shipper that has lost its journal.
pub(crate) fn listed(
    store: &Store,
    host: &str,
    control: &Control,
) -> Result<BTreeMap<(String, u64), FileEntry>, Error> {
    let prefix = format!("{}_", encode(host.as_bytes()));
    let mut files = BTreeMap::new();
    for entry in store.list(PLACE)? {
        let entry = entry?;
        let name = entry.key.rsplit('/').next().unwrap_or_default();
        if !name.starts_with(&prefix) || !name.ends_with(".json") {
            continue;
        }
        let mut bytes = Vec::new();
        let object = ObjectBytes::listed(store, &entry);
        each_part(FromStart::of(Arc::new(object)), entry.key.as_ref(), control, |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        // What is no manifest of ours lists nothing.
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) else { continue };
        let found = manifest.files.into_iter().map(|file| ((file.log.clone(), file.segment), file));
        files.extend(found);
    }
    Ok(files)
}
