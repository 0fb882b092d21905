//! The parts that are on their way, in the order of the file: which are due, in flight, written.

use std::{collections::VecDeque, time::Instant};

use crate::{
    format::{BlockInfo, ChunkEntry, Kind, Totals},
    io::Operation,
    mem::{AlignedBytes, Joined, StableBytes},
    sync::Arc,
    write::{
        common::BlockMemory,
        crash::{Before, Entry, Journal, Placed},
        segments::{Segment, Spot},
    },
};

/// The most writes in flight: enough that the device never waits for the checksums of the next one, and few enough
/// that they complete nearly in the order of the file.
const MAX_WRITES: usize = 8;
const MAX_BYTES: u64 = 24 << 20;

/// One part on its way to the medium.
pub(super) struct OnItsWay {
    body: Body,
    spot: Spot,
    /// Records of the session in front of the part, and their bytes.
    before: (u64, u64),
    len: u64,
    stage: Stage,
    submitted: Option<Instant>,
    /// Whether the part was counted as written: it counts once, however often it is written.
    counted: bool,
    /// The number of parts behind this one that are in the same write.
    along: usize,
}

enum Body {
    Block { memory: Arc<dyn BlockMemory>, info: BlockInfo, time: i64, taken: Instant },
    Totals { bytes: Arc<AlignedBytes>, kind: Kind, totals: Totals },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The part has to be written, for the first time or again.
    Due,
    InFlight,
    Written,
}

impl OnItsWay {
    /// Makes a part of a block that was encoded for this place.
    pub(super) fn block(
        memory: Arc<dyn BlockMemory>,
        info: BlockInfo,
        time: i64,
        taken: Instant,
        spot: Spot,
    ) -> OnItsWay {
        let body = Body::Block { memory, info, time, taken };
        OnItsWay::new(body, spot, info.block_len())
    }

    /// Makes a part of a note or an end that was encoded for this place.
    pub(super) fn totals(bytes: AlignedBytes, kind: Kind, totals: Totals, spot: Spot) -> OnItsWay {
        let len = bytes.len() as u64;
        OnItsWay::new(Body::Totals { bytes: Arc::new(bytes), kind, totals }, spot, len)
    }

    fn new(body: Body, spot: Spot, len: u64) -> OnItsWay {
        let (stage, submitted, before) = (Stage::Due, None, (0, 0));
        OnItsWay { body, spot, before, len, stage, submitted, counted: false, along: 0 }
    }

    /// The part as the journal of a crash-safe logger knows it.
    fn entry(&self) -> Entry {
        let Spot { segment, offset, records: segment_records, first_time, last_time } = self.spot;
        let (records, payload) = self.before;
        let placed = match &self.body {
            Body::Block { info, time, .. } => Placed::Block { info: *info, time: *time },
            Body::Totals { kind, totals, .. } => Placed::Totals { kind: *kind, totals: *totals },
        };
        let before = Before { records, payload, segment_records, first_time, last_time };
        Entry { segment, offset, placed, before }
    }

    /// The description of the block; `None` for a note or an end.
    pub(super) fn info(&self) -> Option<&BlockInfo> {
        match &self.body {
            Body::Block { info, .. } => Some(info),
            Body::Totals { .. } => None,
        }
    }

    pub(super) fn offset(&self) -> u64 {
        self.spot.offset
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn submitted(&self) -> Option<Instant> {
        self.submitted
    }

    /// The offset in the file at which the part ends.
    fn end(&self) -> u64 {
        self.offset() + self.len
    }

    fn is_totals(&self) -> bool {
        matches!(self.body, Body::Totals { .. })
    }

    fn bytes(&self) -> Arc<dyn StableBytes> {
        match &self.body {
            Body::Block { memory, .. } => memory.clone(),
            Body::Totals { bytes, .. } => bytes.clone(),
        }
    }

    /// The sequence of the first block from this part on.
    fn sequence(&self) -> u64 {
        match &self.body {
            Body::Block { info, .. } => info.sequence,
            Body::Totals { totals, .. } => totals.next_sequence,
        }
    }

    /// Gives the part the next place in a segment, and encodes it for that place. No operation may be using its bytes.
    fn move_to(&mut self, segment: &mut Segment, table: &mut Vec<ChunkEntry>) {
        let layout = segment.layout_mut();
        (self.stage, self.spot) = (Stage::Due, layout.spot());
        match &mut self.body {
            Body::Block { memory, info, time, .. } => {
                if let Some(memory) = Arc::get_mut(memory) {
                    layout.encode_block(memory, info, *time, table);
                }
                layout.place_block(info, *time);
            }
            Body::Totals { bytes, kind, totals } => {
                if let Some(bytes) = Arc::get_mut(bytes) {
                    layout.encode_totals(*kind, *totals, bytes);
                }
                layout.place_totals();
            }
        }
    }

    /// Frees the memory of a part that is as safe as the durability level asks for. For a block, returns the time at
    /// which
    /// the flusher took its buffer.
    pub(super) fn free(self) -> Option<Instant> {
        let Body::Block { memory, taken, .. } = self.body else {
            return None;
        };
        // The engine has given its reference back with the completion.
        memory.free();
        Some(taken)
    }
}

/// All parts that are here, numbered from the first of the session on.
pub(super) struct Parts {
    queue: VecDeque<OnItsWay>,
    /// The number of the first part that is here; the parts before it have left.
    first: u64,
    /// All parts before this number are written.
    written: u64,
    /// The offset in the file at which the last written part ends.
    written_end: u64,
    /// Sequence that the next block will have.
    next_sequence: u64,
    /// Records, by shard, in the parts before `written`.
    records: Vec<u64>,
    writes: usize,
    bytes: u64,
    /// Records of the session in all parts so far, and their bytes.
    so_far: (u64, u64),
    journal: Journal,
}

impl Parts {
    pub(super) fn new(shards: usize, journal: Journal) -> Parts {
        let (queue, records) = (VecDeque::new(), vec![0; shards]);
        Parts {
            queue,
            first: 0,
            written: 0,
            written_end: 0,
            next_sequence: 0,
            records,
            writes: 0,
            bytes: 0,
            so_far: (0, 0),
            journal,
        }
    }

    pub(super) fn push(&mut self, part: OnItsWay) {
        let part = self.add(part);
        self.journal.push(|| part.entry());
        self.queue.push_back(part);
    }

    fn add(&mut self, mut part: OnItsWay) -> OnItsWay {
        part.before = self.so_far;
        if let Some(info) = part.info() {
            self.next_sequence = info.sequence + 1;
            self.so_far.0 += u64::from(info.records);
            self.so_far.1 += info.payload();
        }
        part
    }

    /// Takes over the parts of a dead process. `before`: the records in front of them, and their bytes.
    pub(super) fn resume(
        &mut self,
        before: (u64, u64),
        next_sequence: u64,
        parts: impl Iterator<Item = OnItsWay>,
    ) {
        (self.so_far, self.next_sequence) = (before, next_sequence);
        for part in parts {
            let part = self.add(part);
            self.queue.push_back(part);
        }
        self.journal.renew(self.queue.iter().map(OnItsWay::entry));
    }

    /// A place between two steps, where a test can kill the process of a crash-safe logger.
    pub(super) fn kill_point(&self, place: &'static str) {
        self.journal.kill_point(place);
    }

    /// Notes the file of the next parts.
    pub(super) fn note_segment(&mut self, segment: &Segment) {
        self.journal.begin_segment(&segment.whereabouts());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Number of the first part that is here.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Number that the next part will have.
    pub(super) fn next(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    /// All parts before this one are written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The offset in the active file at which the written parts end.
    pub(super) fn written_end(&self) -> u64 {
        self.written_end
    }

    /// Notes that another file is the active one.
    pub(super) fn begin_file(&mut self) {
        self.written_end = 0;
    }

    /// Sequence that the next block will have.
    pub(super) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Records, by shard, in the parts before [`written`](Parts::written).
    pub(super) fn records(&self) -> &[u64] {
        &self.records
    }

    pub(super) fn all_written(&self) -> bool {
        self.queue.iter().all(|part| part.stage == Stage::Written)
    }

    /// Whether no write is in flight.
    pub(super) fn is_quiet(&self) -> bool {
        self.writes == 0
    }

    /// Whether one more write of any length can be in flight.
    pub(super) fn has_room(&self) -> bool {
        let has_room = self.writes == 0 || (self.writes < MAX_WRITES && self.bytes < MAX_BYTES);
        has_room && self.journal.has_room()
    }

    /// Whether parts fill the journal of a crash-safe log.
    pub(super) fn lacks_slots(&self) -> bool {
        !self.journal.has_room()
    }

    /// The number of the first part that is due, if one more write can be in flight.
    pub(super) fn next_due(&self) -> Option<u64> {
        let at = self.queue.iter().position(|part| part.stage == Stage::Due)?;
        let fits = self.writes < MAX_WRITES && self.bytes + self.queue[at].len <= MAX_BYTES;
        (self.writes == 0 || fits).then_some(self.first + at as u64)
    }

    /// Makes the operation that writes a part, together with the notes and ends right behind it. They count as in
    /// flight
    /// from now on.
    pub(super) fn launch(&mut self, number: u64, now: Instant) -> Option<Operation> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let mut end = self.queue.get(at)?.end();
        let goes_along = |part: &&OnItsWay| {
            let fits = part.stage == Stage::Due && part.is_totals() && part.offset() == end;
            end = part.end();
            fits
        };
        let along = self.queue.iter().skip(at + 1).take_while(goes_along).count();
        let group = self.queue.range_mut(at..=at + along);
        let mut all = Vec::with_capacity(along + 1);
        for part in group {
            (part.stage, part.submitted, part.along) = (Stage::InFlight, Some(now), 0);
            self.bytes += part.len;
            all.push(part.bytes());
        }
        self.writes += 1;
        let first = self.queue.get_mut(at)?;
        first.along = along;
        let offset = first.offset();
        let bytes = if along == 0 { all.pop()? } else { Arc::new(Joined::new(all)) };
        Some(Operation::Write { bytes, offset })
    }

    /// Ends the flight of a part and of the other parts in the same write: they are written, or due again.
    pub(super) fn land(&mut self, number: u64, is_written: bool) -> Option<&OnItsWay> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let along = self.queue.get(at)?.along;
        for part in self.queue.range_mut(at..=at + along) {
            part.stage = if is_written { Stage::Written } else { Stage::Due };
            self.bytes -= part.len;
        }
        self.writes -= 1;
        self.queue.get(at)
    }

    fn part_mut(&mut self, number: u64) -> Option<&mut OnItsWay> {
        let at = number.checked_sub(self.first)?;
        self.queue.get_mut(usize::try_from(at).ok()?)
    }

    /// Passes over the next written part. Returns the part, and whether it is passed for the first time.
    pub(super) fn pass_written(&mut self) -> Option<(&OnItsWay, bool)> {
        let number = self.written;
        let part = self.part_mut(number).filter(|part| part.stage == Stage::Written)?;
        let is_new = !std::mem::replace(&mut part.counted, true);
        let end = part.end();
        if let Some((shard, records)) = part.info().map(|info| (info.shard, info.records)) {
            self.records[shard as usize] += u64::from(records);
        }
        self.written += 1;
        self.written_end = end;
        self.part_mut(number).map(|part| (&*part, is_new))
    }

    /// Makes all parts that are here due again, as if none of them were written.
    pub(super) fn take_back(&mut self) {
        let passed = usize::try_from(self.written - self.first).unwrap_or(usize::MAX);
        for info in self.queue.iter().take(passed).filter_map(OnItsWay::info) {
            self.records[info.shard as usize] -= u64::from(info.records);
        }
        self.written = self.first;
        for part in &mut self.queue {
            if part.stage == Stage::Written {
                part.stage = Stage::Due;
            }
        }
    }

    /// Takes the first part out.
    pub(super) fn leave(&mut self) -> Option<OnItsWay> {
        let part = self.queue.pop_front()?;
        self.journal.leave();
        self.first += 1;
        Some(part)
    }

    /// Removes the last part if it is an end.
    pub(super) fn withdraw_end(&mut self) {
        let is_end =
            |part: &OnItsWay| matches!(part.body, Body::Totals { kind, .. } if kind == Kind::End);
        if self.queue.back().is_some_and(is_end) {
            self.queue.pop_back();
            self.journal.withdraw_last();
        }
    }

    /// The sequence of the first block that is here, or that will come.
    pub(super) fn first_sequence(&self) -> u64 {
        self.queue.front().map_or(self.next_sequence, OnItsWay::sequence)
    }

    /// Moves all parts to a new segment: the same records and numbers, in other places. No operation may be in flight.
    pub(super) fn move_to(&mut self, segment: &mut Segment, table: &mut Vec<ChunkEntry>) {
        self.take_back();
        self.note_segment(segment);
        for part in &mut self.queue {
            part.move_to(segment, table);
        }
        self.journal.renew(self.queue.iter().map(OnItsWay::entry));
    }

    /// The start of the oldest write that is in flight.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let flying = self.queue.iter().filter(|part| part.stage == Stage::InFlight);
        flying.filter_map(OnItsWay::submitted).min()
    }
}
