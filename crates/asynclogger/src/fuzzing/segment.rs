//! A small valid segment that the fuzzer's bytes plan and the encoders make.

use std::{collections::BTreeMap, ops::Range, time::SystemTime};

use super::input::Input;
use crate::{
    Dropped, LogId,
    format::{
        BlockInfo, CHUNK, ChunkEntry, Kind, MIN_ALIGN, Prefix, RECORD_HEADER, Scale, Start, Totals,
        block::{build_table, finish_data},
        column::column_of,
        time::from_nanoseconds,
    },
};

/// The shards of the blocks.
const SHARDS: u8 = 3;
const NAME: &[u8] = b"fuzz";

/// A record as it was written. The segment has its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// Session, shard, number.
    pub(super) position: (u64, u32, u64),
    /// Offset of the record's length.
    pub(super) at: usize,
    /// Offset of the record's end.
    pub(super) end: usize,
    /// Index of the record's block among the parts.
    pub(super) part: usize,
    /// The time of the record, and of its block.
    pub(super) times: [i64; 2],
}

impl Written {
    /// Whether a reader can give this time to the record: its own, or, after damage, that of its block.
    pub(super) fn may_have(&self, time: Option<SystemTime>) -> bool {
        self.times.map(|time| Some(from_nanoseconds(time))).contains(&time)
    }
}

/// The parts of a segment.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) kind: PartKind,
    pub(super) range: Range<usize>,
    pub(super) session: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    Start,
    Note,
    End,
    /// A block, with the places of its data part and its tail.
    Block {
        data: Range<usize>,
        tail: Range<usize>,
    },
}

impl Part {
    pub(super) fn is_block(&self) -> bool {
        matches!(self.kind, PartKind::Block { .. })
    }

    /// The metadata blocks of the part: one or two.
    pub(super) fn metadata(&self) -> impl Iterator<Item = Range<usize>> {
        let (first, second) = match &self.kind {
            PartKind::Block { data, tail } => (self.range.start..data.start, Some(tail.clone())),
            _ => (self.range.clone(), None),
        };
        std::iter::once(first).chain(second)
    }
}

/// A segment and its contents.
#[derive(Debug, Default)]
pub(super) struct Segment {
    pub(super) bytes: Vec<u8>,
    pub(super) parts: Vec<Part>,
    pub(super) written: Vec<Written>,
    pub(super) align: usize,
    /// Drops that the ends, notes and blocks declare, session by session.
    pub(super) dropped: BTreeMap<u64, Dropped>,
    /// The salvaged records that the last note or end of each session declares.
    pub(super) salvaged: BTreeMap<u64, u64>,
    log_id: LogId,
    segment: u64,
    session: u64,
    totals: Totals,
    shards: BTreeMap<u32, Shard>,
    table: Vec<ChunkEntry>,
    clock: i64,
    has_long: bool,
    /// The state before the last part, if the last part is a block.
    before_last: Option<Box<Last>>,
}

#[derive(Debug)]
struct Last {
    totals: Totals,
    shards: BTreeMap<u32, Shard>,
    shard: u32,
    lens: Vec<usize>,
    drops: u64,
    fill: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Shard {
    next: u64,
    generation: u64,
    dropped: Dropped,
}

impl Segment {
    /// Makes the segment that `input` plans.
    pub(super) fn plan(input: &mut Input<'_>, log_id: u8) -> Segment {
        let flags = input.0.first().copied().unwrap_or(0);
        let mut segment = Segment::plan_part(input, log_id);
        if flags & 0x20 == 0 {
            segment.totals(Kind::End, flags & 0x40 == 0);
        }
        segment
    }

    /// The same as [`Segment::plan`], without an end.
    fn plan_part(input: &mut Input<'_>, log_id: u8) -> Segment {
        let [flags, parts] = input.array();
        let mut segment = Segment {
            bytes: Vec::with_capacity(16 * MIN_ALIGN),
            align: if flags & 0x0F == 0x0F { 2 * MIN_ALIGN } else { MIN_ALIGN },
            log_id: LogId([log_id; 16]),
            segment: 1,
            session: 0x5E55_0000,
            clock: 1_700_000_000_000_000_000,
            ..Segment::default()
        };
        if flags & 0x10 != 0 {
            segment.go_on();
        }
        // A block of several chunks costs as much time as ten files.
        segment.has_long = flags & 0x0E != 0x0E;
        segment.start();
        for _ in 0..parts % 7 {
            segment.step(input.array());
        }
        segment
    }

    /// The segments of a log. Each segment but the last is archived, or is given up, so that its last block
    /// is written again into the next one.
    pub(super) fn plan_log(input: &mut Input<'_>) -> Vec<Segment> {
        let [count, ends] = input.array();
        let mut segments: Vec<Segment> = Vec::new();
        let mut segment = Segment::plan_part(input, 7);
        for index in 0..1 + count % 3 {
            let mut next = segment.next();
            if ends >> index & 1 == 0 {
                segment.totals(Kind::End, false);
                next.start();
            } else {
                let repeated = segment.before_last.take().filter(|_| ends >> index & 8 != 0);
                match repeated {
                    Some(last) => next.repeat(*last),
                    None => next.start(),
                }
            }
            for _ in 0..input.u8() % 4 {
                next.step(input.array());
            }
            segments.push(std::mem::replace(&mut segment, next));
        }
        if ends & 0x80 == 0 {
            segment.totals(Kind::End, true);
        }
        segments.push(segment);
        segments
    }

    /// Whether the first session had segments before this one.
    fn go_on(&mut self) {
        self.segment = 3;
        self.totals.next_sequence = 40;
        for shard in 0..u32::from(SHARDS) {
            let next = 1000 * u64::from(shard);
            self.totals.records += next;
            self.totals.payload += 10 * next;
            self.shards.insert(shard, Shard { next, generation: 7, ..Shard::default() });
        }
        self.totals.first_sequence = self.totals.next_sequence;
    }

    /// The next segment, empty, with the accounts of this one.
    fn next(&self) -> Segment {
        Segment {
            align: self.align,
            log_id: self.log_id,
            segment: self.segment + 1,
            session: self.session,
            totals: in_next_segment(self.totals),
            shards: self.shards.clone(),
            clock: self.clock,
            has_long: true,
            ..Segment::default()
        }
    }

    /// Begins with a block that was also written to the segment before.
    fn repeat(&mut self, last: Last) {
        self.totals = in_next_segment(last.totals);
        self.shards = last.shards;
        self.start();
        self.block(last.shard, &last.lens, last.drops, last.fill);
    }

    fn step(&mut self, [what, shard, count, lens]: [u8; 4]) {
        match what % 8 {
            6 => {
                self.totals.dropped.busy += u64::from(count);
                self.totals(Kind::Note, false);
            }
            7 => {
                if what & 0x80 == 0 {
                    self.totals(Kind::End, what & 0x40 == 0);
                }
                self.session += 1;
                (self.totals, self.shards) = (Totals::default(), BTreeMap::new());
                self.start();
            }
            _ => {
                let is_long = what % 8 == 5 && !std::mem::replace(&mut self.has_long, true);
                let count = usize::from(count % 16) + 1;
                let mut lens: Vec<usize> = (0..count).map(|index| len_of(lens, index)).collect();
                if is_long {
                    // Over one boundary of chunks, or over two.
                    let len = CHUNK - 300 + usize::from(what >> 3) * 19 * 128;
                    lens[usize::from(shard >> 4) % count] = len;
                }
                let drops = u64::from(shard >> 2) & 3;
                self.block(u32::from(shard % SHARDS), &lens, drops, what);
            }
        }
    }

    fn prefix(&mut self) -> Prefix {
        self.clock += 1;
        Prefix {
            align: self.align as u32,
            offset: self.bytes.len() as u64,
            log_id: self.log_id,
            segment: self.segment,
            session: self.session,
            time: self.clock,
        }
    }

    /// Makes room for a part and notes the part.
    fn push(&mut self, kind: PartKind, len: usize) -> Range<usize> {
        let range = self.bytes.len()..self.bytes.len() + len;
        self.bytes.resize(range.end, 0);
        self.parts.push(Part { kind, range: range.clone(), session: self.session });
        range
    }

    fn start(&mut self) {
        self.before_last = None;
        let prefix = self.prefix();
        let (previous, first_sequence) = (self.segment - 1, self.totals.next_sequence);
        let range = self.push(PartKind::Start, self.align);
        Start { previous, first_sequence, name: NAME }.encode(&prefix, &mut self.bytes[range]);
        self.dropped.entry(self.session).or_default();
    }

    fn totals(&mut self, kind: Kind, session_over: bool) {
        self.before_last = None;
        let prefix = self.prefix();
        let part = if kind == Kind::End { PartKind::End } else { PartKind::Note };
        let range = self.push(part, self.align);
        let totals = Totals { session_over, salvaged: self.totals.records / 2, ..self.totals };
        totals.encode(kind, &prefix, &mut self.bytes[range]);
        self.dropped.insert(self.session, totals.dropped);
        self.salvaged.insert(self.session, totals.salvaged);
    }

    fn block(&mut self, number: u32, lens: &[usize], drops: u64, fill: u8) {
        let (totals, shards) = (self.totals, self.shards.clone());
        let last = Last { totals, shards, shard: number, lens: lens.to_vec(), drops, fill };
        self.before_last = Some(Box::new(last));
        // Half of all blocks have times: some records of a block have the same time.
        let is_timed = fill & 0x08 != 0;
        let entries: Vec<u32> = (0..lens.len() as u32).map(|index| index * 5 / 3).collect();
        let (base, last) = (self.clock, entries.last().copied().unwrap_or_default());
        self.clock += if is_timed { i64::from(last) } else { 0 };
        let scale = Scale { base, unit: 1 << 32, last, ..Scale::default() };
        let prefix = self.prefix();
        let shard = self.shards.entry(number).or_default();
        shard.dropped.full += drops;
        self.totals.dropped.full += drops;
        let mut info = BlockInfo {
            sequence: self.totals.next_sequence,
            generation: shard.generation,
            first_record: shard.next,
            shard: number,
            records: lens.len() as u32,
            dropped: shard.dropped,
            scale: is_timed.then_some(scale),
            ..BlockInfo::default()
        };
        shard.generation += 1;
        shard.next += lens.len() as u64;
        let valid: usize = lens.iter().map(|len| RECORD_HEADER + len).sum();
        info.set_lengths(valid as u32, self.align);
        let begin = self.bytes.len();
        let data = begin + info.head_len as usize..begin + (info.head_len + info.data_len) as usize;
        let tail = data.end..data.end + info.tail_len as usize;
        self.push(PartKind::Block { data: data.clone(), tail: tail.clone() }, tail.end - begin);
        let times =
            entries.iter().map(|entry| if is_timed { scale.time(*entry) } else { prefix.time });
        let times: Vec<_> = times.map(|time| [time, prefix.time]).collect();
        self.records(&info, lens, &times, data.start + 8, fill);
        finish_data(&mut self.bytes[data.clone()], &info);
        let counted = build_table(&self.bytes[data.clone()], info.valid, &mut self.table);
        assert_eq!(counted, info.records);
        let head = begin..data.start;
        for (kind, part) in [(Kind::Head, &head), (Kind::Tail, &tail)] {
            if let Some(place) = info.column_range(kind) {
                self.bytes[part.clone()][place].copy_from_slice(&column_of(&entries));
            }
        }
        info.encode(Kind::Head, &prefix, &self.table, &mut self.bytes[head]);
        let tail_prefix = Prefix { offset: tail.start as u64, ..prefix };
        info.encode(Kind::Tail, &tail_prefix, &self.table, &mut self.bytes[tail]);
        self.count(&info, prefix.time);
    }

    /// Writes the records, each with its own bytes as far as its length allows.
    fn records(
        &mut self,
        info: &BlockInfo,
        lens: &[usize],
        times: &[[i64; 2]],
        mut at: usize,
        fill: u8,
    ) {
        for (index, len) in lens.iter().enumerate() {
            let end = at + RECORD_HEADER + len;
            let number = info.first_record + index as u64;
            self.bytes[at..at + RECORD_HEADER].copy_from_slice(&(*len as u32).to_le_bytes());
            let own = &mut self.bytes[at + RECORD_HEADER..end];
            own.fill(fill);
            let mark = number as u16 + 1;
            own.iter_mut().zip(mark.to_le_bytes()).for_each(|(byte, mark)| *byte = mark);
            let position = (self.session, info.shard, number);
            let (part, times) = (self.parts.len() - 1, times[index]);
            self.written.push(Written { position, at, end, part, times });
            at = end;
        }
    }

    fn count(&mut self, info: &BlockInfo, time: i64) {
        let totals = &mut self.totals;
        totals.next_sequence += 1;
        totals.records += u64::from(info.records);
        totals.segment_records += u64::from(info.records);
        totals.payload += info.payload();
        if totals.first_time == 0 {
            totals.first_time = time;
        }
        totals.last_time = time;
        self.dropped.insert(self.session, totals.dropped);
    }
}

/// The session's totals where its next segment begins.
fn in_next_segment(totals: Totals) -> Totals {
    let Totals { next_sequence, records, payload, dropped, .. } = totals;
    let first_sequence = next_sequence;
    Totals { next_sequence, records, payload, dropped, first_sequence, ..Totals::default() }
}

/// Short lengths, middle ones, and some that make a block several sectors long.
fn len_of(lens: u8, index: usize) -> usize {
    let lens = usize::from(lens);
    match lens >> 6 {
        0 => 1 + (lens & 3),
        1 => 1 + (lens & 63),
        2 => 1 + (lens * (index + 1)) % 131,
        _ => 1 + (lens & 63) * 13,
    }
}
