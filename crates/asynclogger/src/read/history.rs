//! The accounts of a whole log: the losses between files, which the files alone cannot show.
//!
//! A session continues from segment to segment. Two counts show how many records the session wrote: the
//! numbers of its shards (the next number less the first one) and the totals of the last note or end. The
//! records that these counts show and that were not found are lost.

use std::collections::{BTreeMap, HashMap};

use super::{
    ledger::{Ledger, sum_known},
    missing::Missing,
    partial::{Copy, Delivered, Partial},
    report::{Declared, Loss, Report, SessionReport},
};
use crate::{
    Dropped,
    format::{BlockInfo, Totals},
};

/// The accounts of all sessions over the segments read so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    sessions: Vec<Session>,
    by_id: HashMap<u64, usize>,
    open: Vec<Range>,
    /// Blocks that may come again with more of their records.
    partial: Partial,
    /// Segments read before this one.
    segments: u64,
}

/// A possible loss that no number and no total shows.
#[derive(Clone, Copy, Debug)]
struct Range {
    /// The session; `None` if the loss can be of more than one session.
    session: Option<u64>,
    more: Option<u64>,
    /// Whether the range is at the end of the segment before. The sequence of the next block can still show
    /// that nothing was lost.
    is_tail: bool,
}

#[derive(Clone, Debug, Default)]
struct Session {
    report: SessionReport,
    next_sequence: Option<u64>,
    missing: Missing,
    shards: BTreeMap<u32, Shard>,
    dropped: Dropped,
    /// The number of written records by the numbers of the shards, summed over the shards.
    written: u64,
    /// The records that were missing at the last note or end: by its totals, and by the numbers of the
    /// shards.
    declared_lost: u64,
    numbered_lost: u64,
    /// Records that the numbers pass over since a repair could not bring them back.
    given_up: u64,
    /// The number of records in segments before the first one that still exists; `None` if it is not known
    /// yet.
    before: Option<u64>,
    /// Whether the totals of the last note or end can be compared with all records that were found.
    is_settled: bool,
    /// The numbers of the segments in which the session was seen first and last.
    first_segment: u64,
    last_segment: u64,
    /// `written` and the next sequence at the beginning of the last segment.
    written_before: u64,
    next_before: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Shard {
    next: u64,
    dropped: Dropped,
}

impl History {
    /// Takes over the ranges that the accounts of a file leave open, and turns to the next file.
    pub(super) fn end_segment(&mut self, ledger: &Ledger, report: &Report) {
        for (index, more, is_tail) in ledger.open_ranges() {
            let session = index.and_then(|index| report.sessions.get(index));
            let session = session.map(|session| session.session);
            self.open_range(Range { session, more, is_tail });
        }
        self.segments += 1;
    }

    pub(super) fn start(&mut self, session: u64, first_sequence: u64) {
        if let Some(session) = self.session(session, first_sequence == 0) {
            self.arrive(session, first_sequence);
        }
    }

    /// Counts a block, unless it was read in an earlier segment. A block is in two segments if its write
    /// failed: the write is repeated in a new segment, and the first one may have reached the old segment
    /// after all, or in part.
    pub(super) fn block(&mut self, id: u64, info: &BlockInfo) -> Copy {
        let Some(index) = self.session(id, info.sequence == 0) else { return Copy::Read };
        let Some(session) = self.sessions.get_mut(index) else { return Copy::Read };
        let is_past = session.next_sequence.is_some_and(|next| info.sequence < next);
        if is_past && !session.missing.remove(info.sequence) {
            return self.partial.take(id, info).map_or(Copy::Read, Copy::Again);
        }
        if is_past {
            session.regain(info.sequence, u64::from(info.records));
        }
        self.arrive(index, info.sequence);
        let Some(session) = self.sessions.get_mut(index) else { return Copy::Read };
        let after = info.sequence.saturating_add(1);
        session.next_sequence = Some(session.next_sequence.unwrap_or(0).max(after));
        let end = info.first_record.saturating_add(u64::from(info.records));
        let first = if session.before == Some(0) { 0 } else { info.first_record };
        let fresh = Shard { next: first, dropped: Dropped::default() };
        let shard = session.shards.entry(info.shard).or_insert(fresh);
        session.written = session.written.saturating_add(end.saturating_sub(shard.next));
        let drops = info.dropped.zip(shard.dropped, u64::saturating_sub);
        session.dropped = session.dropped.zip(drops, u64::saturating_add);
        let dropped = shard.dropped.zip(info.dropped, u64::max);
        *shard = Shard { next: shard.next.max(end), dropped };
        Copy::First
    }

    /// Remembers a block that is not whole, with the records that were found of it so far.
    pub(super) fn keep_partial(
        &mut self,
        session: u64,
        info: &BlockInfo,
        copy: Copy,
        fresh: Delivered,
    ) {
        if let Copy::Again(before) = copy {
            self.partial.insert(session, info, before);
        }
        self.partial.insert(session, info, fresh);
    }

    /// Counts the records of a block that was not selected, of a copy only the new ones; returns their
    /// number and bytes.
    pub(super) fn skip(&mut self, id: u64, info: &BlockInfo, copy: &Copy) -> (u64, u64) {
        let (known, bytes): (u64, u64) = match copy {
            Copy::First => (0, 0),
            Copy::Read => return (0, 0),
            Copy::Again(Delivered { numbers, payload }) => {
                (numbers.iter().map(|numbers| numbers.end - numbers.start).sum(), *payload)
            }
        };
        let records = u64::from(info.records).saturating_sub(known);
        let fresh = (records, info.payload().saturating_sub(bytes));
        let Some(index) = self.session(id, false) else { return fresh };
        if let Some(session) = self.sessions.get_mut(index) {
            if !matches!(copy, Copy::First) {
                session.regain(info.sequence, records);
            }
            let report = &mut session.report;
            report.skipped_records = report.skipped_records.saturating_add(records);
        }
        fresh
    }

    /// Counts the records found in a block, of a copy only the new ones.
    pub(super) fn found(
        &mut self,
        id: u64,
        info: &BlockInfo,
        copy: &Copy,
        records: u64,
        payload: u64,
    ) {
        let Some(index) = self.session(id, false) else { return };
        if let Some(session) = self.sessions.get_mut(index) {
            match copy {
                Copy::First => session.report.blocks += 1,
                _ => session.regain(info.sequence, records),
            }
            let report = &mut session.report;
            report.records = report.records.saturating_add(records);
            report.payload_bytes = report.payload_bytes.saturating_add(payload);
        }
    }

    /// Counts records as not selected that were counted as found.
    pub(super) fn leave_out(&mut self, id: u64, records: u64, payload: u64) {
        let Some(index) = self.session(id, false) else { return };
        if let Some(session) = self.sessions.get_mut(index) {
            session.report.leave_out(records, payload);
        }
    }

    pub(super) fn totals(&mut self, id: u64, totals: &Totals) {
        let begins = totals.first_sequence == 0 && totals.records == totals.segment_records;
        let Some(index) = self.session(id, begins) else { return };
        self.arrive(index, totals.next_sequence);
        let is_first_segment =
            self.sessions.get(index).is_some_and(|session| session.first_segment == self.segments);
        let Some(session) = self.sessions.get_mut(index) else { return };
        // The number of records that were deleted before the first existing segment is known if that segment
        // has an end. Otherwise it is the rest that the numbers leave, and then the totals show no further
        // loss in the segments before this one.
        session.is_settled |= session.before == Some(0) || is_first_segment;
        let here = session.written_before.saturating_add(totals.segment_records);
        let is_repeated = session.next_before.is_some_and(|next| totals.first_sequence < next);
        let there = if is_repeated { session.written } else { session.written.max(here) };
        let deleted = totals.records.saturating_sub(there);
        // Lost records cannot be told from deleted ones if records count in two segments.
        let is_unclear = is_repeated && session.before.is_none();
        let before = *session.before.get_or_insert(deleted);
        let known = before.saturating_add(session.known());
        session.declared_lost = totals.records.saturating_sub(known);
        session.numbered_lost = session.numbered_lost();
        session.report.declared = Some(Declared {
            records: totals.records,
            payload_bytes: totals.payload,
            segment_records: totals.segment_records,
            blocks: totals.next_sequence,
        });
        session.report.closed |= totals.session_over;
        session.report.salvaged = session.report.salvaged.max(totals.salvaged);
        session.report.note_repair(totals.repaired);
        session.given_up = session.given_up.max(totals.repaired.unwrap_or_default().numbers);
        session.dropped = session.dropped.zip(totals.dropped, u64::max);
        if is_unclear {
            self.open_range(Range { session: Some(id), more: None, is_tail: false });
        } else if session.is_settled {
            self.open.retain(|range| range.session != Some(id));
        }
    }

    /// The reports on the sessions, with their losses.
    pub(crate) fn sessions(&self) -> Vec<SessionReport> {
        let session_of = |session: &Session| {
            let id = session.report.session;
            let open = self.open.iter().filter(|range| range.session == Some(id));
            let (lost, more) = session.lost();
            let open = open.map(|range| range.more);
            let lost = Loss::range(lost, sum_known(open.chain([Some(more)])));
            let dropped = session.dropped;
            SessionReport { lost, dropped, ..session.report.clone() }
        };
        self.sessions.iter().map(session_of).collect()
    }

    /// The sum of all losses.
    pub(crate) fn lost(&self) -> Loss {
        let lost = self.sessions.iter().map(|session| session.lost().0);
        let more = self.sessions.iter().map(|session| Some(session.lost().1));
        let open = self.open.iter().map(|range| range.more);
        Loss::range(lost.fold(0, u64::saturating_add), sum_known(more.chain(open)))
    }

    fn session(&mut self, id: u64, begins: bool) -> Option<usize> {
        let (segment, next) = (self.segments, self.sessions.len());
        let index = *self.by_id.entry(id).or_insert(next);
        if index == next {
            let before = begins.then_some(0);
            let report = SessionReport { session: id, ..SessionReport::default() };
            let first_segment = segment;
            let fresh = Session {
                report,
                before,
                first_segment,
                last_segment: segment,
                ..Default::default()
            };
            self.sessions.push(fresh);
        }
        Some(index)
    }

    /// The session's next block has `sequence`. The first such number of a session in a segment shows whether
    /// blocks are missing between the segments.
    fn arrive(&mut self, index: usize, sequence: u64) {
        let segment = self.segments;
        let Some(session) = self.sessions.get_mut(index) else { return };
        let id = session.report.session;
        let expected = session.next_sequence.or(session.before.filter(|before| *before == 0));
        session.next_sequence = Some(expected.unwrap_or(sequence).max(sequence));
        let missing = expected.filter(|expected| *expected < sequence);
        if let Some(expected) = missing {
            session.missing.insert(expected, sequence);
        }
        if session.last_segment == segment {
            return;
        }
        session.last_segment = segment;
        (session.written_before, session.next_before) = (session.written, expected);
        if missing.is_none() {
            self.open.retain(|range| range.session != Some(id) || !range.is_tail);
            return;
        }
        let of_session = self.open.iter_mut().filter(|range| range.session == Some(id));
        of_session.for_each(|range| range.is_tail = false);
        self.open_range(Range { session: Some(id), more: None, is_tail: false });
    }

    /// Adds a range; merges it into one of the same kind if there is one.
    fn open_range(&mut self, range: Range) {
        let is_same =
            |other: &&mut Range| other.session == range.session && other.is_tail == range.is_tail;
        match self.open.iter_mut().find(is_same) {
            Some(other) => other.more = sum_known([other.more, range.more].into_iter()),
            None => self.open.push(range),
        }
    }
}

impl Session {
    /// Counts records of a block that were found after all: the losses declared before no longer include
    /// them.
    fn regain(&mut self, sequence: u64, records: u64) {
        if self.report.declared.is_some_and(|declared| sequence < declared.blocks) {
            self.declared_lost = self.declared_lost.saturating_sub(records);
        }
    }

    /// The number of records that exist, selected or not.
    fn known(&self) -> u64 {
        self.report.records.saturating_add(self.report.skipped_records)
    }

    fn numbered_lost(&self) -> u64 {
        self.written.saturating_sub(self.known()).saturating_sub(self.given_up)
    }

    /// The least number of lost records, and how many more can be lost: a jump of the numbers after a note
    /// can be a loss that the note already declared, or a new one.
    fn lost(&self) -> (u64, u64) {
        let numbered = self.numbered_lost();
        let fresh = numbered.saturating_sub(self.numbered_lost);
        let least = numbered.max(self.declared_lost);
        (least, self.declared_lost.saturating_add(fresh).saturating_sub(least))
    }
}
