//! The parts of a repaired file.

use std::{collections::HashMap, io::Write};

use super::{Out, before::Before};
use crate::{
    Error, LogId,
    format::{
        BlockInfo, ChunkEntry, GivenUp, Kind, Prefix, RECORD_HEADER, SHARD_HEADER, Start, Totals,
        block::{self, build_table},
        column::column_of,
        record::Records,
        round_up,
    },
    probe::{Body, Part},
    read::{block::Run, loaded::Loaded, report::Report},
};

/// A start has at least this many bytes beside the name.
const START_LEN: usize = 100;
/// The greatest sequence of a first block: the others behind it have to be numbers, too.
const MAX_FIRST: u64 = u64::MAX / 2;

/// Writes the parts of the damaged file again, one behind the other. Blocks get new sequences: damage in the middle of a
/// block makes two of it, and damage to a whole one leaves none.
pub(super) struct Parts {
    log_id: LogId,
    name: Vec<u8>,
    before: Before,
    sessions: HashMap<u64, Session>,
    /// The last part that was taken.
    last: Option<Prefix>,
    /// The session of the last part, and whether it has its end.
    current: Option<(u64, bool)>,
    data: Vec<u8>,
    table: Vec<ChunkEntry>,
    metadata: Vec<u8>,
}

/// The account of one session in the repaired file.
#[derive(Default)]
struct Session {
    /// The sequences of its first block and of its next one.
    first: u64,
    next: u64,
    /// Whether its shards number their records from 0 in this file.
    from_zero: bool,
    /// The next number of each shard.
    shards: HashMap<u32, u64>,
    given_up: u64,
    /// The totals so far; those of the damaged file where the repaired one has no other.
    totals: Totals,
    /// Records, and their bytes, in the segments before.
    before: (u64, u64),
}

impl Parts {
    pub(super) fn new(log_id: LogId, name: Vec<u8>, before: Before) -> Parts {
        Parts {
            log_id,
            name,
            before,
            sessions: HashMap::new(),
            last: None,
            current: None,
            data: Vec::new(),
            table: Vec::new(),
            metadata: Vec::new(),
        }
    }

    /// Writes a part that was read. `loaded` has the records of a block.
    pub(super) fn take<W: Write>(
        &mut self,
        part: &Part,
        loaded: Option<&Loaded>,
        report: &Report,
        out: &mut Out<W>,
    ) -> Result<(), Error> {
        let prefix = part.prefix;
        match &part.body {
            Body::Start { first_sequence, .. } => {
                self.enter(&prefix, *first_sequence, report, out)?;
            }
            Body::Block { info, .. } => {
                self.enter(&prefix, info.sequence, report, out)?;
                for run in loaded.map_or(&[][..], |loaded| &loaded.runs) {
                    if let Some(loaded) = loaded {
                        self.block(&prefix, info, loaded, run, report, out)?;
                    }
                }
            }
            Body::Totals { totals, is_end } => {
                self.enter(&prefix, totals.next_sequence, report, out)?;
                if let Some(session) = self.sessions.get_mut(&prefix.session) {
                    session.totals.dropped = totals.dropped;
                    session.totals.salvaged = totals.salvaged;
                    session.totals.session_over = totals.session_over;
                }
                let kind = if *is_end { Kind::End } else { Kind::Note };
                self.totals(&prefix, kind, report, out)?;
                self.current = Some((prefix.session, *is_end));
            }
        }
        self.last = Some(prefix);
        Ok(())
    }

    /// Writes the last part: the account of a session without an end.
    pub(super) fn finish<W: Write>(
        &mut self,
        report: &Report,
        out: &mut Out<W>,
    ) -> Result<(), Error> {
        match (self.current, self.last) {
            (Some((_, false)), Some(prefix)) => self.totals(&prefix, Kind::Note, report, out),
            _ => Ok(()),
        }
    }

    /// Turns to a session, whose next block had this sequence. A session that has no start gets one.
    fn enter<W: Write>(
        &mut self,
        prefix: &Prefix,
        sequence: u64,
        report: &Report,
        out: &mut Out<W>,
    ) -> Result<(), Error> {
        if self.current.is_some_and(|(session, is_over)| session == prefix.session && !is_over) {
            return Ok(());
        }
        self.finish(report, out)?;
        let is_first = self.sessions.is_empty();
        let session = self.sessions.entry(prefix.session).or_insert_with(|| {
            // Every session but the first begins in its file, for a reader.
            let begins = !is_first || sequence == 0 || self.before.is_none(prefix.session);
            let first = if begins { 0 } else { sequence.min(MAX_FIRST) };
            let before = if begins { (0, 0) } else { self.before.of(prefix.session) };
            Session { first, next: first, from_zero: begins, before, ..Session::default() }
        });
        let start = Start { previous: 0, first_sequence: session.next, name: &self.name };
        self.metadata.resize(round_up(START_LEN + self.name.len(), prefix.align as usize), 0);
        start.encode(&placed(self.log_id, prefix, out.written), &mut self.metadata);
        self.current = Some((prefix.session, false));
        out.write(&self.metadata)
    }

    /// Writes a note or an end of the session of `prefix`.
    fn totals<W: Write>(
        &mut self,
        prefix: &Prefix,
        kind: Kind,
        report: &Report,
        out: &mut Out<W>,
    ) -> Result<(), Error> {
        let Some(session) = self.sessions.get_mut(&prefix.session) else { return Ok(()) };
        let of_source = report.sessions.iter().find(|of| of.session == prefix.session);
        let lost = of_source.map_or(0, |of| of.lost.at_least.saturating_add(of.given_up));
        let found = session.totals;
        let totals = Totals {
            next_sequence: session.next,
            records: session.before.0.saturating_add(found.segment_records),
            payload: session.before.1.saturating_add(found.payload),
            dropped: of_source.map_or(found.dropped, |of| of.dropped),
            salvaged: of_source.map_or(found.salvaged, |of| of.salvaged),
            first_sequence: if found.segment_records > 0 { session.first } else { session.next },
            session_over: kind == Kind::End && found.session_over,
            repaired: Some(GivenUp {
                numbers: session.given_up,
                records: lost.max(session.given_up),
            }),
            ..found
        };
        self.metadata.resize(prefix.align as usize, 0);
        let place = placed(self.log_id, prefix, out.written);
        totals.encode(kind, &place, &mut self.metadata);
        out.write(&self.metadata)
    }

    /// Writes the records of a run as a block of their own.
    fn block<W: Write>(
        &mut self,
        prefix: &Prefix,
        info: &BlockInfo,
        loaded: &Loaded,
        run: &Run,
        report: &Report,
        out: &mut Out<W>,
    ) -> Result<(), Error> {
        let Some(session) = self.sessions.get_mut(&prefix.session) else { return Ok(()) };
        let known = session.shards.get(&info.shard).copied();
        let expected = known.or(session.from_zero.then_some(0)).unwrap_or(run.number);
        let passed_over = run.number.saturating_sub(expected);
        if passed_over > 0 {
            session.given_up = session.given_up.saturating_add(passed_over);
            // Before the numbers pass over anything the file says that they do.
            self.totals(prefix, Kind::Note, report, out)?;
        }
        self.data.clear();
        self.data.resize(SHARD_HEADER, 0);
        self.data.extend_from_slice(loaded.data.get(run.start..run.end).unwrap_or_default());
        let valid = self.data.len() - SHARD_HEADER;
        self.data.resize(block::data_len(valid), 0);
        let records = Records::new(&self.data, SHARD_HEADER).count() as u64;
        let times = times_of(info, loaded, run.number, records);
        let Some(session) = self.sessions.get_mut(&prefix.session) else { return Ok(()) };
        let mut info = BlockInfo {
            sequence: session.next,
            first_record: run.number,
            records: records as u32,
            scale: info.scale.filter(|_| !times.is_empty()),
            ..*info
        };
        if let Some(scale) = &mut info.scale {
            scale.last = times.iter().copied().max().unwrap_or(0);
        }
        info.set_lengths(valid as u32, prefix.align as usize);
        block::finish_data(&mut self.data, &info);
        info.records = build_table(&self.data, info.valid, &mut self.table);
        session.shards.insert(info.shard, run.number.saturating_add(records));
        session.next = session.next.saturating_add(1);
        let totals = &mut session.totals;
        totals.segment_records = totals.segment_records.saturating_add(records);
        totals.payload =
            totals.payload.saturating_add(valid as u64 - RECORD_HEADER as u64 * records);
        if totals.first_time == 0 {
            totals.first_time = prefix.time;
        }
        totals.last_time = prefix.time;

        let column = column_of(&times);
        self.head_or_tail(prefix, Kind::Head, &info, &column, out)?;
        out.write(&self.data)?;
        self.head_or_tail(prefix, Kind::Tail, &info, &column, out)
    }

    fn head_or_tail<W: Write>(
        &mut self,
        prefix: &Prefix,
        kind: Kind,
        info: &BlockInfo,
        column: &[u8],
        out: &mut Out<W>,
    ) -> Result<(), Error> {
        let len = if kind == Kind::Head { info.head_len } else { info.tail_len };
        self.metadata.clear();
        self.metadata.resize(len as usize, 0);
        let place = info.column_range(kind).and_then(|range| self.metadata.get_mut(range));
        if let Some(place) = place.filter(|place| place.len() == column.len()) {
            place.copy_from_slice(column);
        }
        let place = placed(self.log_id, prefix, out.written);
        info.encode(kind, &place, &self.table, &mut self.metadata);
        out.write(&self.metadata)
    }
}

/// The entries of these records in the column of their block; none if the block has none, or they are damaged.
fn times_of(info: &BlockInfo, loaded: &Loaded, number: u64, records: u64) -> Vec<u32> {
    let first = number.saturating_sub(info.first_record) as usize;
    let entries = loaded.times.entries().get(first..first.saturating_add(records as usize));
    entries.unwrap_or_default().to_vec()
}

/// The prefix of a part at `offset` in the repaired file, which is a log of its own. Each segment of a log becomes
/// another one.
fn placed(log_id: LogId, prefix: &Prefix, offset: u64) -> Prefix {
    let number = |half: &[u8]| half.iter().rev().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
    let (a, b) = log_id.0.split_at(8);
    // Odd constants, so that no two damaged files get the same id.
    let a = number(a).wrapping_add(prefix.segment.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let b = number(b).wrapping_add(0x6a09_e667_f3bc_c909);
    let mut id = [0; 16];
    id.iter_mut()
        .zip(a.to_le_bytes().into_iter().chain(b.to_le_bytes()))
        .for_each(|(to, from)| *to = from);
    Prefix { log_id: LogId(id), offset, ..*prefix }
}
