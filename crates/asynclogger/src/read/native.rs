//! The walk over the parts of one native file: docs/format.md, section 4.

use super::{
    ahead::Ahead,
    block::{self, Checked},
    loaded::Loaded,
    partial::{Copy, Delivered},
    promise::Promise,
    report::{Damage, DamageKind, Ending, Loss, Report},
    selection::Selection,
    state::{State, Undo},
    step::Step,
    times::Selected,
    verdict::{kind_at, stretch_at, verdict_of},
};
use crate::{
    Error,
    format::{
        BlockInfo, ChunkEntry, Kind, MIN_ALIGN, TIMED_VERSION, VERSION, metadata,
        time::from_nanoseconds,
    },
    probe::{Body, Found, Part, Place, Search, Skipped, Source, later_version, look},
};

/// How many bytes have to be behind a hole until a following reader passes over it. Writes in flight finish
/// in any order, but within the size of a logger's buffers.
const PATIENCE: u64 = 256 << 20;

/// The walk over one native file.
#[derive(Debug)]
pub(super) struct Native {
    pub(super) state: State,
    search: Search,
    undo: Option<Box<Undo>>,
    /// Whether the walk waits at a hole near the end, because a write to the hole may still be in flight.
    pub(super) follow: bool,
    pub(super) selection: Selection,
    /// What the heads say, while only these are read.
    pub(super) ahead: Option<Vec<Ahead>>,
    /// Whether blocks are passed over by their heads.
    pub(super) heads_only: bool,
    /// The part that the last step read; `None` if it read none, or a block that was read before.
    pub(super) seen: Option<Part>,
    /// The records of that block that were not read before, and their bytes.
    pub(super) fresh: (u64, u64),
    /// The same as in [`Undo`], for the block that is read again.
    delivered: Option<(u64, Vec<bool>)>,
}

impl Native {
    pub(super) fn new(report: Report) -> Native {
        let state = State::new(report);
        let (search, selection) = (Search::default(), Selection::default());
        let (undo, ahead, delivered, seen) = (None, None, None, None);
        let (follow, heads_only, fresh) = (false, false, (0, 0));
        Native { state, search, undo, follow, selection, ahead, heads_only, seen, fresh, delivered }
    }

    /// Leaves out the next `records` selected records. A block that is left out completely is not read.
    pub(super) fn pass(&mut self, records: u64) {
        self.state.to_pass = records;
    }

    /// See [`Suspects::settle`].
    pub(super) fn settle(&self, report: &mut Report, promise: Promise) {
        self.state.suspects.settle(report, promise);
    }

    /// Whether another look at the same length of the file can find more than the last look.
    pub(super) fn is_waiting(&self) -> bool {
        self.follow && self.undo.is_some()
    }

    /// Whether a write to the hole before `at` can still be in flight. It cannot if more than [`PATIENCE`]
    /// bytes follow, or if an end or a start follows, because these are written after everything before them.
    fn waits_at(&mut self, source: &mut Source, mut at: u64) -> Result<bool, Error> {
        if !self.follow || source.len().saturating_sub(at) >= PATIENCE {
            return Ok(false);
        }
        while at < source.len() {
            let range = (at, source.len());
            let ids = self.state.ids.as_ref();
            let found = self.search.run(source, range, ids, |_| ())?;
            let Some(part) = found.part else { break };
            if matches!(part.body, Body::Start { .. } | Body::Totals { is_end: true, .. }) {
                return Ok(false);
            }
            at = part.offset.saturating_add(part.claimed_len());
        }
        Ok(true)
    }

    /// Continues after the file has grown: the torn end is read again.
    pub(super) fn grow(&mut self, len: u64) {
        if let Some(undo) = self.undo.take() {
            self.state = undo.state;
            self.delivered = undo.delivered;
        }
        (self.state.report.file_bytes, self.state.report.stored_bytes) = (len, len);
        (self.state.report.ending, self.state.report.is_complete) = (Ending::Open, false);
    }

    /// Reads the next part. A block is loaded into `loaded`.
    pub(super) fn step(&mut self, source: &mut Source, loaded: &mut Loaded) -> Result<Step, Error> {
        let from = self.state.pos;
        self.seen = None;
        if from >= source.len() {
            let ending = if self.undo.is_some() {
                Ending::Torn
            } else if self.state.at_end {
                Ending::Clean
            } else {
                Ending::Open
            };
            self.state.report.ending = ending;
            return Ok(Step::End);
        }
        match look(source, from, &mut self.search.buffer)? {
            Place::Valid(part)
                if part.belongs(self.state.ids.as_ref())
                    && !matches!(part.body, Body::Block { is_tail: true, .. }) =>
            {
                self.take(source, part, None, loaded)
            }
            Place::Later(version) => Err(later_version(source, version, from)),
            _ => self.resync(source, from, loaded),
        }
    }

    /// Searches for the next part behind damage at `from`.
    fn resync(
        &mut self,
        source: &mut Source,
        from: u64,
        loaded: &mut Loaded,
    ) -> Result<Step, Error> {
        let State { ids, ledger, .. } = &self.state;
        let verdict = |part: Option<&Part>| match part {
            Some(part) => verdict_of(part, from, ids.as_ref(), ledger),
            None => DamageKind::Gap,
        };
        let Found { part, skipped, .. } =
            self.search.run(source, (from, source.len()), ids.as_ref(), verdict)?;
        let part = match part {
            Some(part) if self.waits_at(source, part.offset)? => None,
            part => part,
        };
        let Some(part) = part else {
            return self.torn_region(source, from, &skipped);
        };
        let begin = part.begin().unwrap_or(part.offset);
        let align = self.state.ids.map_or(part.prefix.align, |ids| ids.align);
        self.skip(&skipped, from, begin, u64::from(align));
        self.state.pos = begin;
        let is_tail = matches!(part.body, Body::Block { is_tail: true, .. });
        let head_kind = is_tail.then(|| kind_at(&skipped, begin));
        self.take(source, part, head_kind, loaded)
    }

    /// Notes the damaged region `[from, to)`, which a valid part follows.
    fn skip(&mut self, skipped: &[Skipped<DamageKind>], from: u64, to: u64, align: u64) {
        if to <= from {
            return;
        }
        // A block is at least two units long, so a shorter region cannot have held one.
        let held_none = to - from < 2 * align;
        let gap = if held_none { DamageKind::Metadata } else { DamageKind::Gap };
        let first = self.note_region(skipped, from, to, gap);
        if !held_none {
            self.state.ledger.open_hole(&mut self.state.report, to - from, first);
        }
    }

    /// Notes a region without a valid part, from `from` to the end of the file.
    fn torn_region(
        &mut self,
        source: &mut Source,
        from: u64,
        skipped: &[Skipped<DamageKind>],
    ) -> Result<Step, Error> {
        self.keep_undo(None);
        let len = source.len() - from;
        // The region can be a start, note or end of the right size that is damaged inside.
        source.fill(from, MIN_ALIGN, &mut self.search.buffer)?;
        let is_metadata = metadata::peek(&self.search.buffer).is_some_and(|(size, kind)| {
            size as u64 == len && !matches!(kind, Kind::Head | Kind::Tail)
        });
        let kind = if is_metadata { DamageKind::Metadata } else { DamageKind::TornTail };
        let first = self.note_region(skipped, from, source.len(), kind);
        if !is_metadata {
            self.state.ledger.open_hole(&mut self.state.report, len, first);
        }
        self.state.pos = source.len();
        Ok(Step::Other)
    }

    /// Adds the damage of a region; `gap` is the kind for bytes without a valid part. Returns the entry that
    /// stands for the losses of the region. A duplicate stands for them only if there is no other entry,
    /// because it has cost nothing.
    fn note_region(
        &mut self,
        skipped: &[Skipped<DamageKind>],
        from: u64,
        to: u64,
        gap: DamageKind,
    ) -> Option<usize> {
        let mut stands = None;
        let (before, expected) =
            (self.state.report.damage.len(), self.state.ledger.expected(&self.state.report));
        let mut add = |offset: u64, end: u64, kind: DamageKind| {
            let kind = if kind == DamageKind::Gap { gap } else { kind };
            let lost = Loss::exact(0);
            let entry = Damage { offset, len: end.saturating_sub(offset), kind, lost };
            let index = self.state.report.add_damage(entry);
            let is_better = stands.is_none_or(|(_, kind)| kind == DamageKind::Duplicate)
                && kind != DamageKind::Duplicate;
            if stands.is_none() || is_better {
                stands = index.map(|index| (index, kind));
            }
        };
        if skipped.is_empty() {
            add(from, to, DamageKind::Gap);
        }
        let ends = skipped.iter().skip(1).map(|next| next.offset).chain([to]);
        for (region, end) in skipped.iter().zip(ends).filter(|(region, _)| region.offset < to) {
            add(region.offset, end.min(to), region.kind);
        }
        if let Some(expected) = expected {
            self.state.suspects.note(&self.state.report, before, expected);
        }
        stands.map(|(index, _)| index)
    }

    /// Takes a part that stands in its own place. `head_kind` is set if the part is a tail: the kind of
    /// damage in the place of the head.
    fn take(
        &mut self,
        source: &mut Source,
        part: Part,
        head_kind: Option<DamageKind>,
        loaded: &mut Loaded,
    ) -> Result<Step, Error> {
        let ids = *self.state.ids.get_or_insert(part.ids());
        let report = &mut self.state.report;
        (report.log_id, report.segment) = (Some(ids.log_id), ids.segment);
        let (offset, session) = (part.offset, part.prefix.session);
        self.state.at_end = false;
        match &part.body {
            Body::Block { info, table, .. } => {
                let (step, fresh) =
                    self.take_block(source, &part, info, table, head_kind, loaded)?;
                // A block that is waited for is read again when it is complete.
                let is_waited_for = self.follow && self.undo.is_some();
                self.seen = (fresh.is_some() && !is_waited_for).then_some(part);
                self.fresh = fresh.unwrap_or_default();
                return Ok(step);
            }
            Body::Start { previous, first_sequence, name } => {
                let first_sequence = *first_sequence;
                if report.name.is_empty() {
                    (report.previous_segment, report.name) = (*previous, name.clone());
                }
                self.state.ledger.start(report, session, first_sequence, offset);
                if let Some(history) = &mut self.state.history {
                    history.start(session, first_sequence);
                }
            }
            Body::Totals { totals, is_end } => {
                self.state.at_end = *is_end;
                self.state.ledger.totals(report, session, totals, *is_end, offset);
                if let Some(history) = &mut self.state.history {
                    history.totals(session, totals);
                }
            }
        }
        self.state.pos = offset.saturating_add(part.size);
        self.seen = Some(part);
        Ok(Step::Other)
    }

    /// Takes a block. Also returns its records that were not read before, and their bytes; `None` if the block was read
    /// before.
    fn take_block(
        &mut self,
        source: &mut Source,
        part: &Part,
        info: &BlockInfo,
        table: &[ChunkEntry],
        head_kind: Option<DamageKind>,
        loaded: &mut Loaded,
    ) -> Result<(Step, Option<(u64, u64)>), Error> {
        let begin = part.begin().unwrap_or(part.offset);
        let data_at = begin + u64::from(info.head_len);
        let end = begin.saturating_add(info.block_len());
        let selected = Selected::of(&self.selection, part, info);
        if let Some(ahead) = &mut self.ahead {
            ahead.extend(Ahead::of(&self.selection, part, info, (begin, selected.count)));
        }
        let is_read = self.ahead.is_none() && !self.heads_only;
        let is_asked_for = is_read && self.state.to_pass < selected.count;
        if !is_asked_for && end <= source.len() {
            let fresh = self.skip_block(part, info, selected, head_kind, (begin, end));
            return Ok((Step::Other, fresh));
        }
        let good = loaded.fill(source, data_at, info.data_len as usize, table)?;
        let is_torn = end > source.len();
        // Everything is read before anything is counted, so that the step can be repeated after an error.
        let tail_at = data_at + u64::from(info.data_len);
        let has_tail =
            head_kind.is_some() || is_torn || self.has_tail(source, tail_at, part, info)?;
        let is_whole = has_tail && !good.contains(&false);
        let is_waited_for = !is_whole && self.waits_at(source, end)?;
        if is_torn || is_waited_for {
            self.keep_undo(Some((begin, good.clone())));
        }
        if !self.enter_block(part, info, (begin, end.min(source.len()))) {
            self.state.pos = end;
            return Ok((Step::Other, None));
        }
        let before = self.state.report.damage.len();
        let report = &mut self.state.report;
        let mut add = |offset, len, kind, lost| {
            report.add_damage(Damage { offset, len, kind, lost: Loss::exact(lost) });
        };
        if let Some(kind) = head_kind {
            add(begin, u64::from(info.head_len), kind, 0);
        }
        let checked = block::check(&loaded.data, info, table, &good);
        for bad in &checked.bad {
            let (offset, len) = stretch_at(bad, data_at, info, source.len());
            let kind = if bad.torn { DamageKind::TornTail } else { DamageKind::Chunk };
            add(offset, len, kind, bad.lost);
        }
        if is_torn && !checked.bad.last().is_some_and(|bad| bad.torn) {
            add(tail_at, source.len().saturating_sub(tail_at), DamageKind::TornTail, 0);
        }
        if !has_tail {
            add(tail_at, u64::from(info.tail_len), DamageKind::Metadata, 0);
        }
        let own = (part.prefix.session, info.sequence);
        self.state.suspects.note(&self.state.report, before, own);
        self.state.pos = if is_waited_for { source.len() } else { end.min(source.len()) };
        let fresh = self.deliver(part, info, selected, (begin, data_at), checked, loaded);
        if is_asked_for {
            return Ok((if fresh.is_some() { Step::Block } else { Step::Other }, fresh));
        }
        // The block was read only because of its damage.
        loaded.runs.clear();
        Ok((Step::Other, fresh))
    }

    /// Enters a block at `[begin, end)`; `false` if the block was read before.
    fn enter_block(&mut self, part: &Part, info: &BlockInfo, (begin, end): (u64, u64)) -> bool {
        let State { report, ledger, .. } = &mut self.state;
        let is_new = ledger.block(report, part.prefix.session, info, begin);
        if !is_new {
            let (kind, lost) = (DamageKind::Duplicate, Loss::exact(0));
            let len = end.saturating_sub(begin);
            report.add_damage(Damage { offset: begin, len, kind, lost });
        }
        is_new
    }

    /// Passes over a block that is not selected and not cut. Only its head is read, or its tail if the head
    /// is damaged. Returns the records that were not read before, and their bytes; `None` if there are none.
    fn skip_block(
        &mut self,
        part: &Part,
        info: &BlockInfo,
        selected: Selected,
        head_kind: Option<DamageKind>,
        (begin, end): (u64, u64),
    ) -> Option<(u64, u64)> {
        self.state.pos = end;
        if !self.enter_block(part, info, (begin, end)) {
            return None;
        }
        let State { report, ledger, history, to_pass, .. } = &mut self.state;
        if let Some(kind) = head_kind {
            let (len, lost) = (u64::from(info.head_len), Loss::exact(0));
            report.add_damage(Damage { offset: begin, len, kind, lost });
        }
        let (session, records) = (part.prefix.session, u64::from(info.records));
        ledger.skip(report, session, records);
        report.skipped_blocks += 1;
        report.skipped_records = report.skipped_records.saturating_add(records);
        let fresh = match history {
            Some(history) => {
                let copy = history.block(session, info);
                history.skip(session, info, &copy)
            }
            None => (records, info.payload()),
        };
        *to_pass = to_pass.saturating_sub(fresh.0.min(selected.count));
        (fresh.0 > 0 || records == 0).then_some(fresh)
    }

    /// Whether the tail of the current block agrees with its head.
    fn has_tail(
        &mut self,
        source: &mut Source,
        tail_at: u64,
        head: &Part,
        head_info: &BlockInfo,
    ) -> Result<bool, Error> {
        let place = look(source, tail_at, &mut self.search.buffer)?;
        let Place::Valid(tail) = place else { return Ok(false) };
        let is_same = match (&tail.body, &head.body) {
            (
                Body::Block { info, table, times, is_tail: true },
                Body::Block { table: head_table, times: head_times, .. },
            ) => {
                let same_times = times.is_empty() || times == head_times;
                info == head_info && table == head_table && same_times
            }
            _ => false,
        };
        let same_ids = tail.ids() == head.ids() && tail.prefix.session == head.prefix.session;
        Ok(is_same && same_ids && tail.prefix.offset == tail_at)
    }

    /// Counts the block and makes it the loaded block. Returns its records that were not read before, and their bytes;
    /// `None` if the block was read before.
    fn deliver(
        &mut self,
        part: &Part,
        info: &BlockInfo,
        selected: Selected,
        (begin, data_at): (u64, u64),
        checked: Checked,
        loaded: &mut Loaded,
    ) -> Option<(u64, u64)> {
        let (mut records, mut payload) = (checked.records, checked.payload);
        let lost = checked.lost();
        let session = part.prefix.session;
        let State { report, ledger, history, .. } = &mut self.state;
        report.add_block(records, payload, from_nanoseconds(part.prefix.time));
        report.note_version(if info.scale.is_some() { TIMED_VERSION } else { VERSION });
        ledger.found(report, session, records, payload, lost);
        let delivered = self.delivered.take().filter(|(at, _)| *at == begin);
        loaded.set(part, info, begin, data_at, checked.runs);
        let is_cut = !selected.is_all && selected.count > 0;
        if is_cut {
            let (_, out, bytes) = loaded.times.select(&self.selection, &loaded.data, &loaded.runs);
            report.leave_out(session, out, bytes);
        }
        let mut is_new = true;
        if let Some(history) = history {
            let copy = history.block(session, info);
            if let Copy::Again(before) = &copy {
                let left;
                (left, records, payload) =
                    block::without_numbers(&loaded.data, &loaded.runs, &before.numbers);
                loaded.runs = left;
            }
            match copy {
                Copy::Read => is_new = false,
                copy => {
                    history.found(session, info, &copy, records, payload);
                    if lost > 0 {
                        let numbers = block::numbers(&loaded.data, &loaded.runs);
                        let fresh = Delivered { numbers, payload };
                        history.keep_partial(session, info, copy, fresh);
                    }
                }
            }
        }
        if is_cut {
            let (left, out, bytes) =
                loaded.times.select(&self.selection, &loaded.data, &loaded.runs);
            loaded.runs = left;
            if let Some(history) = history.as_mut().filter(|_| is_new) {
                history.leave_out(session, out, bytes);
            }
        }
        if self.state.to_pass > 0 && selected.count > 0 {
            // The other records to leave out are in blocks that were passed over completely.
            let to_pass = &mut self.state.to_pass;
            let reach = match selected.is_all {
                true => *to_pass,
                false => Selected::reach(*to_pass, &self.selection, &loaded.times, info),
            };
            let passed = info.first_record..info.first_record.saturating_add(reach);
            (loaded.runs, ..) = block::without_numbers(&loaded.data, &loaded.runs, &[passed]);
            let is_last = *to_pass < selected.count;
            *to_pass = if is_last { 0 } else { to_pass.saturating_sub(records) };
        }
        if let Some((_, chunks)) = delivered {
            loaded.runs = block::without_delivered(&loaded.data, &loaded.runs, &chunks);
        }
        is_new.then_some((records, payload))
    }

    /// Remembers the state before the torn end, which begins here.
    fn keep_undo(&mut self, delivered: Option<(u64, Vec<bool>)>) {
        // Records of the block that were delivered at the last attempt stay delivered.
        let delivered = match (delivered, self.delivered.take()) {
            (Some((at, mut now)), Some((before_at, before))) if at == before_at => {
                now.iter_mut().zip(&before).for_each(|(now, before)| *now |= before);
                self.delivered = Some((before_at, before));
                Some((at, now))
            }
            (now, before) => now.or(before),
        };
        self.undo = Some(Box::new(Undo { state: self.state.clone(), delivered }));
    }
}
