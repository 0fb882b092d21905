//! `verify` on a segment with known records and known damage. Section 4 of `docs/format.md` defines exactly
//! which records a reader delivers and what its report can contain.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{
    damage::Damaged,
    input::Input,
    reading::{self, Got},
    segment::{Part, PartKind, Segment, Written},
};
use crate::{
    ErrorKind,
    format::CHUNK,
    read::{Damage, DamageKind, Ending, Format, Loss, SessionReport},
};

/// Makes a segment, damages it, and compares the report with both.
pub fn verify_segment(bytes: &[u8]) {
    let mut input = Input(bytes);
    let other_way = input.u8();
    let plan = input;
    let segment = Segment::plan(&mut input, 7);
    let mut damaged = Damaged::new(segment.bytes.clone());
    damaged.suffer(&mut input, plan);
    let case = Case::new(&segment, &damaged);
    match reading::read(&damaged.bytes, other_way) {
        Ok(got) => case.check(&got),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotALog, "{error}");
            assert!(case.found().next().is_none(), "{error}");
        }
    }
}

/// A segment, its damaged bytes, and the result that reading them must have.
pub(super) struct Case<'a> {
    segment: &'a Segment,
    damaged: &'a Damaged,
    /// For each part, whether it can be found: a block can be found by its head or its tail.
    found: Vec<bool>,
    /// For each part, which of its chunks are whole.
    whole: Vec<Vec<bool>>,
}

impl<'a> Case<'a> {
    pub(super) fn new(segment: &'a Segment, damaged: &'a Damaged) -> Case<'a> {
        let mut case = Case { segment, damaged, found: Vec::new(), whole: Vec::new() };
        for part in &segment.parts {
            case.found.push(part.metadata().any(|range| case.is_same(&range)));
            let data = match &part.kind {
                PartKind::Block { data, .. } => data.clone(),
                _ => 0..0,
            };
            let chunks = data.clone().step_by(CHUNK);
            let is_whole = |begin| case.is_same(&(begin..(begin + CHUNK).min(data.end)));
            case.whole.push(chunks.map(is_whole).collect());
        }
        case
    }

    fn check(&self, got: &Got) {
        let Segment { parts, .. } = self.segment;
        if !matches!(got.report.format, Format::Native { .. }) {
            // No part of the segment is left; the rest looks like a file of the original.
            assert!(self.found().next().is_none(), "{:#?}", got.report);
            return;
        }
        let start = parts.first().map(|part| part.range.clone()).unwrap_or_default();
        if self.damaged.has_foreign && !self.is_same(&start) {
            // Without its start the file can be taken for the other file.
            return;
        }
        self.delivers_what_is_left(got);
        self.tells_the_loss(got);
        self.tells_the_damage(got);
        self.tells_the_ending(got);
    }

    fn is_same(&self, range: &Range<usize>) -> bool {
        let now = self.damaged.bytes.get(range.clone());
        now.is_some() && now == self.segment.bytes.get(range.clone())
    }

    pub(super) fn found(&self) -> impl Iterator<Item = &Part> {
        let found = self.segment.parts.iter().zip(&self.found);
        found.filter_map(|(part, found)| found.then_some(part))
    }

    /// Whether all chunks that the record touches are whole, in a block that can be found.
    pub(super) fn is_left(&self, record: &Written) -> bool {
        let PartKind::Block { data, .. } = &self.segment.parts[record.part].kind else {
            return false;
        };
        let chunk = |at: usize| (at - data.start) / CHUNK;
        let touched = &self.whole[record.part][chunk(record.at)..=chunk(record.end - 1)];
        self.found[record.part] && touched.iter().all(|whole| *whole)
    }

    /// Each record in whole chunks, of a block with a head or a tail, is delivered once, in the order of the
    /// file.
    fn delivers_what_is_left(&self, got: &Got) {
        let left: Vec<_> =
            self.segment.written.iter().filter(|record| self.is_left(record)).collect();
        for (record, written) in got.records.iter().zip(&left) {
            assert_eq!(record.position, written.position, "{:#?}", got.report);
            assert_eq!((record.at, record.end), (written.at, written.end), "{:#?}", got.report);
            assert!(written.may_have(record.time), "{written:?}: {:?}", record.time);
        }
        assert_eq!(got.records.len(), left.len(), "{:#?}", got.report);
        let blocks = self.found().filter(|part| part.is_block()).count();
        assert_eq!(got.report.blocks, blocks as u64, "{:#?}", got.report);
    }

    fn tells_the_loss(&self, got: &Got) {
        let report = &got.report;
        let mut gone: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut all, mut within) = (0, 0);
        for record in self.segment.written.iter().filter(|record| !self.is_left(record)) {
            all += 1;
            within += u64::from(record.at < self.damaged.bytes.len());
            *gone.entry(record.position.0).or_default() += 1;
        }
        assert!(report.lost.at_least <= all, "{all} lost: {report:#?}");
        if !self.damaged.is_shifted {
            // Records that were cut off without a trace cannot be reported.
            let most = report.lost.at_most;
            assert!(most.is_none_or(|most| most >= within), "{within} lost: {report:#?}");
        }
        let mut exact = true;
        for session in &report.sessions {
            let gone = gone.get(&session.session).copied().unwrap_or(0);
            assert!(session.lost.at_least <= gone, "{gone} lost: {session:#?}");
            if !self.is_enclosed(session.session) {
                exact = false;
                continue;
            }
            assert_eq!(session.lost, Loss::exact(gone), "{report:#?}");
            self.tells_the_session(session);
        }
        let sessions =
            self.segment.parts.iter().filter(|part| part.kind == PartKind::Start).count();
        if exact && report.sessions.len() == sessions && !self.damaged.is_shifted {
            assert_eq!(report.lost, Loss::exact(all), "{report:#?}");
        }
    }

    /// Whether the start and the end of the session are whole, and so are their neighbours: then no loss is
    /// open.
    fn is_enclosed(&self, session: u64) -> bool {
        let parts = &self.segment.parts;
        let Some(first) = parts.iter().position(|part| part.session == session) else {
            return false;
        };
        let Some(last) = parts.iter().rposition(|part| part.session == session) else {
            return false;
        };
        let before = first.checked_sub(1).is_none_or(|index| self.found[index]);
        let after = match self.found.get(last + 1) {
            Some(found) => *found,
            None => self.damaged.bytes.len() == parts[last].range.end,
        };
        let has_end = parts[last].kind == PartKind::End;
        before && after && has_end && self.found[first] && self.found[last]
    }

    /// The records that the end of the session declares are found or reported as lost, and the drops are
    /// reported.
    fn tells_the_session(&self, session: &SessionReport) {
        let declared = session.declared.expect("an end");
        assert_eq!(declared.segment_records, session.records + session.lost.at_least);
        assert_eq!(self.segment.dropped.get(&session.session), Some(&session.dropped));
        assert_eq!(self.segment.salvaged.get(&session.session), Some(&session.salvaged));
    }

    /// Every changed byte lies in an entry, and every entry that is not empty has a changed byte.
    fn tells_the_damage(&self, got: &Got) {
        let (now, then) = (&self.damaged.bytes, &self.segment.bytes);
        let is_cut = now.len() < then.len();
        let at_border =
            now.is_empty() || self.segment.parts.iter().any(|p| p.range.end == now.len());
        let is_whole = then.starts_with(now) && at_border;
        assert_eq!(got.report.is_whole(), is_whole, "{:#?}", got.report);
        let mut entries: Vec<&Damage> =
            got.report.damage.iter().filter(|damage| damage.len > 0).collect();
        entries.sort_by_key(|damage| damage.offset);
        // Adjacent entries are one region that the kinds of damage divide.
        let mut regions: Vec<Range<usize>> = Vec::new();
        for entry in &entries {
            let (begin, end) = (entry.offset as usize, (entry.offset + entry.len) as usize);
            match regions.last_mut() {
                Some(last) if last.end >= begin => {
                    assert_eq!(last.end, begin, "they overlap: {:#?}", got.report);
                    last.end = end;
                }
                _ => regions.push(begin..end),
            }
        }
        let mut at = 0;
        for Range { start, end } in regions {
            let is_same = at == start || now.get(at..start) == then.get(at..start);
            assert!(is_same, "{at:#x}..{start:#x}: {:#?}", got.report);
            let is_changed = now.get(start..end) != then.get(start..end);
            assert!(is_changed || is_cut && end == now.len(), "{start:#x} is whole: {entries:?}");
            at = end;
        }
        let is_same = at == now.len() || then.get(at..now.len()) == now.get(at..);
        assert!(is_same, "{at:#x} on: {:#?}", got.report);
        let all = self.segment.parts.iter().all(|part| self.is_same(&part.range));
        assert!(!all || !got.has(DamageKind::Chunk) && !got.has(DamageKind::Gap));
    }

    fn tells_the_ending(&self, got: &Got) {
        let len = self.damaged.bytes.len();
        let last = self.found().find(|part| part.range.end == len);
        let ending = match last {
            Some(part) if part.kind == PartKind::End => Ending::Clean,
            Some(_) => Ending::Open,
            None if len == 0 => Ending::Open,
            None => Ending::Torn,
        };
        assert_eq!(got.report.ending, ending, "{:#?}", got.report);
    }
}
