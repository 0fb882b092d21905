//! Divides logs into partitions, by the heads of their blocks alone, for readers on many processors or machines.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ffi::OsString,
    path::PathBuf,
    time::SystemTime,
};

use asynclogger::{
    Error, ErrorKind,
    read::{Head, HeadKind, LogDir, ReadOptions, Reader},
};
use pyo3::prelude::*;

use crate::{
    error::Failure,
    part::{Names, Part, Range},
    reader::options,
    sources::{Sources, files_alone, find},
    times::from_ns,
};

/// How often a segment is looked for that was renamed between the listing and the opening.
const LOOKS: usize = 10;

/// A stretch of the blocks of one log, in one segment or in several that follow each other. Python gets a dictionary of
/// the fields, makes an object of them that can be pickled, and gives that object back.
#[derive(Debug, IntoPyObject, FromPyObject)]
pub(crate) struct Stretch {
    /// The name of the log.
    event: String,
    /// The id of the log; `None` for a file of the original logger.
    log_id: Option<String>,
    /// The number of each segment, and its file.
    segments: Vec<(u64, PathBuf)>,
    /// The offset of the block before the first one, in the first segment.
    after: Option<u64>,
    /// The segment and the offset of the last block.
    last: (u64, u64),
    /// Blocks, those included that are passed over since they are not selected or in two segments.
    blocks: u64,
    /// Bytes of the records, as the heads of the blocks say.
    payload_bytes: u64,
}

/// Divides the logs at `paths` into partitions of about `partition_bytes` bytes of records. A partition is a list of
/// stretches.
#[pyfunction]
#[pyo3(signature = (paths, *, event, since, until, partition_bytes))]
pub(crate) fn plan(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    event: Option<OsString>,
    since: Option<i64>,
    until: Option<i64>,
    partition_bytes: u64,
) -> PyResult<Vec<Vec<Stretch>>> {
    if partition_bytes == 0 {
        return Err(Failure::Usage("partition_bytes is at least 1".into()).into());
    }
    let chosen = Chosen { since: since.map(from_ns), until: until.map(from_ns) };
    let Sources { mut logs, .. } =
        py.detach(|| find(&paths, event.as_deref(), options(since, until)))?;
    let mut packing = Packing { partition_bytes, full: Vec::new(), open: Vec::new(), bytes: 0 };
    for log in &mut logs {
        py.check_signals()?;
        let stretches = py.detach(|| stretches(log, &chosen, partition_bytes))?;
        stretches.into_iter().for_each(|stretch| packing.push(stretch));
    }
    Ok(packing.end())
}

/// Opens the files of stretches.
pub(crate) fn parts_of(stretches: &[Stretch], options: ReadOptions) -> Result<Vec<Part>, Failure> {
    stretches.iter().map(|stretch| part_of(stretch, options)).collect()
}

fn part_of(stretch: &Stretch, options: ReadOptions) -> Result<Part, Failure> {
    let first = stretch.segments.first().map_or(0, |(id, _)| *id);
    let after = stretch.after.map(|offset| (first, offset));
    let range = Range { after, last: stretch.last };
    let log = match at_their_paths(stretch, options) {
        Some(log) => log,
        None => under_other_names(stretch, options)?,
    };
    Ok(Part::new(log, Some(range)))
}

/// The log of the stretch, if its files are where the plan has found them.
fn at_their_paths(stretch: &Stretch, options: ReadOptions) -> Option<LogDir> {
    let paths: Vec<&PathBuf> = stretch.segments.iter().map(|(_, path)| path).collect();
    let found = files_alone(&paths, options).ok()?;
    let mut logs = found.logs.into_iter();
    logs.next().filter(|log| is_whole(log, stretch)).filter(|_| logs.next().is_none())
}

/// The log of the stretch, whose files were renamed or compressed after the plan was made.
fn under_other_names(stretch: &Stretch, options: ReadOptions) -> Result<LogDir, Failure> {
    let paths = || stretch.segments.iter().map(|(_, path)| path);
    if let Some(directory) = paths().find_map(|path| path.parent()) {
        for mut log in options.scan(directory)? {
            log.retain(|segment| stretch.segments.iter().any(|(id, _)| *id == segment.id));
            if stretch.log_id.is_some() && is_whole(&log, stretch) {
                return Ok(log);
            }
        }
    }
    let paths: Vec<&PathBuf> = paths().collect();
    files_alone(&paths, options)?;
    let file = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
    Err(Failure::NoLog(format!("{file}: another log is there since the partitions were made")))
}

/// Whether these are the segments of the stretch, and no others.
fn is_whole(log: &LogDir, stretch: &Stretch) -> bool {
    log.log_id().map(|id| id.to_string()) == stretch.log_id
        && log.segments().iter().map(|it| it.id).eq(stretch.segments.iter().map(|(id, _)| *id))
}

/// The times that are asked for.
struct Chosen {
    since: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl Chosen {
    /// Whether a block with records of the times from `first` to `last` can have a record that is asked for.
    fn admits(&self, first: SystemTime, last: SystemTime) -> bool {
        self.since.is_none_or(|since| since <= last) && self.until.is_none_or(|until| first < until)
    }
}

/// A block, as its head shows it.
struct BlockHead {
    segment: usize,
    offset: u64,
    payload_bytes: u64,
    /// Whether a record of the block can be asked for.
    is_chosen: bool,
    /// Whether no stretch can end before this block: it, or a block behind it, is a copy of one before it.
    is_bound: bool,
}

/// Divides one log.
fn stretches(
    log: &mut LogDir,
    chosen: &Chosen,
    partition_bytes: u64,
) -> Result<Vec<Stretch>, Failure> {
    let (files, blocks) = heads(log, chosen)?;
    let event = Names::of(log).event;
    let log_id = log.log_id().map(|id| id.to_string());
    let mut stretches = Vec::new();
    let mut begin = 0;
    while begin < blocks.len() {
        let mut bytes = 0u64;
        let mut end = begin;
        while let Some(block) = blocks.get(end) {
            let more = if block.is_chosen { block.payload_bytes } else { 0 };
            let is_enough = end > begin && bytes.saturating_add(more) > partition_bytes;
            if is_enough && !block.is_bound {
                break;
            }
            bytes = bytes.saturating_add(more);
            end += 1;
        }
        let range = blocks.get(begin..end).unwrap_or_default();
        let before = begin.checked_sub(1).and_then(|before| blocks.get(before));
        if let Some(stretch) = stretch(range, before, &files) {
            stretches.push(Stretch {
                event: event.clone(),
                log_id: log_id.clone(),
                payload_bytes: bytes,
                ..stretch
            });
        }
        begin = end;
    }
    Ok(stretches)
}

/// The stretch of these blocks; `None` if none of them can have a record that is asked for.
fn stretch(
    range: &[BlockHead],
    before: Option<&BlockHead>,
    files: &[(u64, PathBuf)],
) -> Option<Stretch> {
    range.iter().find(|block| block.is_chosen)?;
    let (first, last) = (range.first()?, range.last()?);
    let segments = files.get(first.segment..=last.segment)?.to_vec();
    let after = before.filter(|before| before.segment == first.segment).map(|it| it.offset);
    let last_segment = segments.last()?.0;
    Some(Stretch {
        event: String::new(),
        log_id: None,
        segments,
        after,
        last: (last_segment, last.offset),
        blocks: range.len() as u64,
        payload_bytes: 0,
    })
}

/// The segments of a log that exist, and the heads of all their blocks.
type Heads = (Vec<(u64, PathBuf)>, Vec<BlockHead>);

fn heads(log: &mut LogDir, chosen: &Chosen) -> Result<Heads, Failure> {
    let ids: Vec<u64> = log.segments().iter().map(|segment| segment.id).collect();
    let (mut files, mut blocks) = (Vec::new(), Vec::<BlockHead>::new());
    let mut known: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    for id in ids {
        let Some((path, mut reader)) = open_segment(log, id)? else { continue };
        while let Some(Head { offset, session, time, kind, .. }) = reader.next_head()? {
            let HeadKind::Block { sequence, begin, latest, payload_bytes, .. } = kind else {
                continue;
            };
            let is_chosen = match (begin, latest, time) {
                (Some(first), Some(latest), _) => chosen.admits(first, latest),
                (_, _, Some(time)) => chosen.admits(time, time),
                _ => true,
            };
            let index = blocks.len();
            let segment = files.len();
            blocks.push(BlockHead { segment, offset, payload_bytes, is_chosen, is_bound: false });
            // The files of the original have no numbers.
            if log.log_id().is_none() {
                continue;
            }
            match known.entry((session, sequence)) {
                Entry::Vacant(free) => {
                    free.insert(index);
                }
                // A reader of both delivers the block once, so one reader has to read both.
                Entry::Occupied(first) => {
                    let between = blocks.get_mut(first.get() + 1..).unwrap_or_default();
                    between.iter_mut().for_each(|block| block.is_bound = true);
                }
            }
        }
        files.push((id, path));
    }
    Ok((files, blocks))
}

/// Opens a segment for its heads; `None` if it was deleted.
fn open_segment(log: &mut LogDir, id: u64) -> Result<Option<(PathBuf, Reader)>, Failure> {
    let mut failed: Option<Error> = None;
    for _ in 0..LOOKS {
        let segment = log.segments().iter().find(|segment| segment.id == id);
        let Some(path) = segment.map(|segment| segment.path.clone()) else { return Ok(None) };
        match ReadOptions::new().open(&path) {
            Ok(reader) => return Ok(Some((path, reader))),
            Err(error) if is_gone(&error) => failed = Some(error),
            Err(error) => return Err(error.into()),
        }
        log.refresh()?;
    }
    failed.map_or(Ok(None), |error| Err(error.into()))
}

fn is_gone(error: &Error) -> bool {
    let is_missing = |it: &std::io::Error| it.kind() == std::io::ErrorKind::NotFound;
    error.kind() == ErrorKind::Io && error.io_error().is_some_and(is_missing)
}

/// Puts small stretches together into partitions.
struct Packing {
    partition_bytes: u64,
    full: Vec<Vec<Stretch>>,
    open: Vec<Stretch>,
    bytes: u64,
}

impl Packing {
    fn push(&mut self, stretch: Stretch) {
        let bytes = self.bytes.saturating_add(stretch.payload_bytes);
        if bytes > self.partition_bytes && !self.open.is_empty() {
            self.full.push(std::mem::take(&mut self.open));
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(stretch.payload_bytes);
        self.open.push(stretch);
    }

    fn end(mut self) -> Vec<Vec<Stretch>> {
        if !self.open.is_empty() {
            self.full.push(self.open);
        }
        self.full
    }
}
