//! Blocks that wait for their turn, and the ones whose records are being delivered.

use std::time::Instant;

use super::window::{Window, changed};
use crate::{
    Error,
    format::{
        ChunkEntry, RECORD_HEADER,
        time::{saturated, to_nanoseconds},
    },
    probe::{Body, Place, Source, look},
    read::{
        block::{BlockMeta, Run},
        loaded::Loaded,
        records::Record,
        times::Times,
    },
};

/// A block that was read and checked. Its records are read again when it is their turn, so that it needs no memory
/// until then.
#[derive(Debug)]
pub(super) struct Waiting {
    meta: BlockMeta,
    runs: Vec<Run>,
    /// The segment of the block, as its log counts.
    segment: u64,
    /// The time of its first record.
    pub(super) first: i64,
    /// When the block was read.
    pub(super) since: Instant,
}

impl Waiting {
    pub(super) fn new(loaded: &mut Loaded, segment: u64) -> Waiting {
        let Loaded { meta, runs, times, .. } = loaded;
        let first = runs.first().map_or(i64::MIN, |run| time_of(meta, times, run.number));
        let (meta, runs) = (*meta, std::mem::take(runs));
        Waiting { meta, runs, segment, first, since: Instant::now() }
    }

    pub(super) fn segment(&self) -> u64 {
        self.segment
    }
}

/// The time by which a record is ordered. Records of the original have none, and come first.
#[inline]
fn time_of(meta: &BlockMeta, times: &Times, number: u64) -> i64 {
    match times.of(number) {
        Some(time) => time,
        None => meta.time.map_or(i64::MIN, |time| saturated(to_nanoseconds(time))),
    }
}

/// A block whose records are delivered now, with its times and a part of its data in memory.
#[derive(Debug)]
pub(super) struct Turn {
    meta: BlockMeta,
    runs: Vec<Run>,
    segment: u64,
    since: Instant,
    times: Times,
    table: Vec<ChunkEntry>,
    /// The length of the data part; `None` if there are no checksums.
    data_len: Option<usize>,
    window: Window,
    /// The current record: from its length to its end, and its number.
    record: (usize, usize),
    number: u64,
    /// The end of the current run, and the index of the next one.
    end: usize,
    next_run: usize,
    /// The time of the current record, or of one before it if that is later.
    pub(super) time: i64,
}

impl Turn {
    /// Reads the times and the checksums of a block, by the same head or tail as before.
    pub(super) fn new(
        waiting: &mut Waiting,
        source: &mut Source,
        buffer: &mut Vec<u8>,
    ) -> Result<Turn, Error> {
        let mut turn = Turn {
            times: Times::default(),
            table: Vec::new(),
            data_len: None,
            window: Window::default(),
            record: (0, 0),
            number: 0,
            end: 0,
            next_run: 0,
            time: i64::MIN,
            segment: waiting.segment,
            since: waiting.since,
            meta: waiting.meta,
            runs: Vec::new(),
        };
        // The file can have grown since it was opened.
        source.refresh()?;
        let meta = &waiting.meta;
        if meta.time.is_some() {
            let place = look(source, meta.part_offset, buffer)?;
            let changed = || changed().at_path(source.path()).at_offset(meta.part_offset);
            let Place::Valid(part) = place else { return Err(changed()) };
            let Body::Block { info, ref table, .. } = part.body else { return Err(changed()) };
            let is_same = (part.prefix.session, info.sequence) == (meta.session, meta.sequence);
            if !is_same {
                return Err(changed());
            }
            turn.times.set(&part, &info);
            turn.table.clone_from(table);
            turn.data_len = Some(info.data_len as usize);
        }
        turn.runs = std::mem::take(&mut waiting.runs);
        Ok(turn)
    }

    pub(super) fn segment(&self) -> u64 {
        self.segment
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Moves to the next record if its bytes are in memory; `Some(false)` at the end of the block.
    #[inline]
    pub(super) fn step(&mut self) -> Option<bool> {
        let at = self.record.1;
        if at >= self.end {
            return self.next_run();
        }
        let prefix = self.window.get(at, at + RECORD_HEADER)?.first_chunk()?;
        let end = (at + RECORD_HEADER).saturating_add(u32::from_le_bytes(*prefix) as usize);
        self.window.get(at, end)?;
        (self.record, self.number) = ((at, end), self.number.wrapping_add(1));
        self.time = self.time.max(time_of(&self.meta, &self.times, self.number));
        Some(true)
    }

    #[cold]
    fn next_run(&mut self) -> Option<bool> {
        let Some(run) = self.runs.get(self.next_run) else { return Some(false) };
        self.next_run += 1;
        self.window.begin((run.start, run.end), self.data_len);
        (self.record, self.number) = ((run.start, run.start), run.number.wrapping_sub(1));
        self.end = run.end;
        None
    }

    /// Reads more of the block.
    #[cold]
    pub(super) fn read_on(&mut self, source: &mut Source) -> Result<(), Error> {
        let data_at = self.meta.data_offset;
        self.window.extend(source, data_at, self.record.1, &self.table)
    }

    /// The current record.
    #[inline]
    pub(super) fn record(&self) -> Option<Record<'_>> {
        let (from, to) = self.record;
        let bytes = self.window.get(from + RECORD_HEADER, to)?;
        let place = (self.number, from as u64);
        Some(Record::of(&self.meta, &self.times, bytes, place))
    }
}
