//! The accounts of one file: which sequence numbers and record numbers were found, and which are missing
//! where.
//!
//! A *hole* is a region that may have held blocks. The numbering shows what a hole held: the sequence shows
//! how many blocks, the next number of a shard how many of its records, a note or an end how many records of
//! the session. A loss that none of them shows is a range, bounded by the bytes of the region.

use std::collections::{BTreeMap, HashMap};

use super::report::{Damage, DamageKind, Declared, Loss, Report, SessionReport, SessionState};
use crate::{
    Dropped,
    format::{BlockInfo, RECORD_HEADER, Totals},
};

/// The most unsettled holes. Further holes are merged, so that a file full of holes is read in linear time.
const MAX_HOLES: usize = 64;

/// The accounts of the file that is read. Every change is put into the report of the file at once.
///
/// A damaged region does not show what it held, so the number of lost records has to come from its
/// surroundings. The bytes of the region alone give a useless answer: 8 MiB are anything between no record
/// and 1.6 million records. One count, for example from the numbers of a shard, misses the other shards and
/// the end of a file; adding all counts up counts a record twice that both a shard's numbers and a note show
/// as missing. The ledger keeps two accounts instead: each hole has the losses that were found for it and its
/// remaining range, each session has the losses that were proven, and a loss that a note declared is taken
/// off before a later jump in a shard's numbers counts. So a loss is exact as soon as the numbers allow it, a
/// range otherwise, and no lost record is counted twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// The accounts, with the same indices as the sessions of the report.
    accounts: Vec<Account>,
    by_id: HashMap<u64, usize>,
    /// Index of the account of the last valid part.
    current: Option<usize>,
    /// The holes whose losses are not settled.
    holes: Vec<Hole>,
    /// The number of holes so far. The number orders the holes against the blocks of a shard.
    hole_count: u64,
}

/// The account of one session.
#[derive(Clone, Debug, Default)]
struct Account {
    lost: u64,
    /// Sequence of the next block; `None` until a part of the session gives it.
    next_sequence: Option<u64>,
    /// Whether the session began in this file, so that its shards number their records from 0 here.
    from_zero: bool,
    shards: BTreeMap<u32, Shard>,
    /// Drops of all shards, by their last blocks.
    dropped: Dropped,
    /// Records that a note or an end shows as lost and that are not yet missing in the numbers of a shard;
    /// and the last hole in which they can have been lost.
    unascribed: u64,
    unascribed_until: u64,
    /// Records that the numbers pass over since a repair could not bring them back: as declared, and as found so far.
    given_up: u64,
    passed_over: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Shard {
    next: u64,
    dropped: Dropped,
    /// The value of `hole_count` when the last block of the shard was read.
    seen: u64,
}

/// A region that may have held blocks.
#[derive(Clone, Debug)]
struct Hole {
    id: u64,
    damage: Option<usize>,
    /// The sessions on both sides; `after` is `None` until a valid part is found.
    before: Option<usize>,
    after: Option<usize>,
    at_least: u64,
    /// The most records that the bytes of the region can have held; `None` if there is no region, only
    /// numbers that jump.
    at_most: Option<u64>,
    /// The number of missing blocks, if the sequence shows it.
    blocks: Option<u64>,
    /// The number of shards that lost records in the hole. If it equals `blocks`, every loss in the hole is
    /// known.
    jumps: u64,
}

impl Hole {
    /// How many more records the hole may have cost than `at_least`.
    fn more(&self) -> Option<u64> {
        self.at_most.map(|most| most.saturating_sub(self.at_least))
    }

    fn is_within(&self, account: usize) -> bool {
        self.before == Some(account) && self.after == Some(account)
    }

    fn is_in_one_session(&self) -> bool {
        self.before.is_some() && self.before == self.after
    }

    fn touches(&self, account: usize) -> bool {
        self.before == Some(account) || self.after == Some(account)
    }

    /// Whether every loss in the hole is known. The numbering can show every loss only within one session:
    /// between two sessions there may have been a third one.
    fn is_told(&self) -> bool {
        self.is_in_one_session() && self.blocks == Some(self.jumps)
    }
}

/// The most records that `bytes` bytes can have held. The shortest record has one byte.
pub(super) fn most_records(bytes: u64) -> u64 {
    bytes / (RECORD_HEADER as u64 + 1)
}

/// The sum of the parts; `None` if one of them is not known.
pub(super) fn sum_known(mut parts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    parts.try_fold(0u64, |sum, part| Some(sum.saturating_add(part?)))
}

impl Ledger {
    /// Adds a hole for a damaged region that may have held blocks.
    pub(super) fn open_hole(&mut self, report: &mut Report, bytes: u64, damage: Option<usize>) {
        self.push_hole(damage, Some(most_records(bytes)));
        self.publish(report);
    }

    fn push_hole(&mut self, damage: Option<usize>, at_most: Option<u64>) {
        if self.holes.len() >= MAX_HOLES {
            self.merge_oldest();
        }
        self.hole_count += 1;
        self.holes.push(Hole {
            id: self.hole_count,
            damage,
            before: self.current,
            after: None,
            at_least: 0,
            at_most,
            blocks: None,
            jumps: 0,
        });
    }

    /// Merges the two oldest holes into one.
    fn merge_oldest(&mut self) {
        let mut holes = std::mem::take(&mut self.holes).into_iter();
        if let (Some(first), Some(second)) = (holes.next(), holes.next()) {
            let is_one = first.is_in_one_session() && first.before == second.before;
            let both = if is_one && second.is_in_one_session() { first.before } else { None };
            self.holes.push(Hole {
                before: both,
                at_least: first.at_least.saturating_add(second.at_least),
                at_most: sum_known([first.at_most, second.at_most].into_iter()),
                blocks: None,
                ..second
            });
        }
        self.holes.extend(holes);
    }

    /// Whether the reading is past the session's block with this sequence.
    pub(super) fn is_past(&self, session: u64, sequence: u64) -> bool {
        let account = self.by_id.get(&session).and_then(|index| self.accounts.get(*index));
        account.and_then(|account| account.next_sequence).is_some_and(|next| sequence < next)
    }

    /// The current session, and the sequence that its next block should have.
    pub(super) fn expected(&self, report: &Report) -> Option<(u64, u64)> {
        let index = self.current?;
        let next = self.accounts.get(index)?.next_sequence?;
        report.sessions.get(index).map(|session| (session.session, next))
    }

    /// Enters a start: the session's next block has the sequence `first`.
    pub(super) fn start(&mut self, report: &mut Report, session: u64, first: u64, at: u64) {
        let index = self.account(report, session, first == 0);
        self.arrive(report, index, first, at);
        self.publish(report);
    }

    /// Enters a block that stands in its own place; [`Ledger::found`] counts its records. `false` if the
    /// block was read before, here or under other numbers.
    pub(super) fn block(
        &mut self,
        report: &mut Report,
        session: u64,
        info: &BlockInfo,
        at: u64,
    ) -> bool {
        let index = self.account(report, session, info.sequence == 0);
        let Some(account) = self.accounts.get(index) else { return false };
        let shard = account.shards.get(&info.shard).copied();
        let is_repeated = account.next_sequence.is_some_and(|next| info.sequence < next)
            || shard.is_some_and(|shard| info.first_record < shard.next);
        if is_repeated {
            return false;
        }
        self.arrive(report, index, info.sequence, at);
        let Some(account) = self.accounts.get_mut(index) else { return false };
        account.next_sequence = Some(info.sequence.saturating_add(1));
        let next = info.first_record.saturating_add(u64::from(info.records));
        let entry = Shard { next, dropped: info.dropped, seen: self.hole_count };
        account.shards.insert(info.shard, entry);
        let before = shard.map_or(Dropped::default(), |shard| shard.dropped);
        let fresh = info.dropped.zip(before, u64::saturating_sub);
        account.dropped = account.dropped.zip(fresh, u64::saturating_add);
        let dropped = account.dropped;
        if let Some(session) = report.sessions.get_mut(index) {
            session.dropped = session.dropped.zip(dropped, u64::max);
        }
        let expected = shard.map(|shard| shard.next).or(account.from_zero.then_some(0));
        let jump = expected.map_or(0, |expected| info.first_record.saturating_sub(expected));
        if jump > 0 {
            self.jump(report, index, jump, shard.map_or(0, |shard| shard.seen), at);
        }
        self.publish(report);
        true
    }

    /// Counts the records of a block: those found in it, and those lost with its bad chunks.
    pub(super) fn found(
        &mut self,
        report: &mut Report,
        session: u64,
        records: u64,
        payload: u64,
        lost: u64,
    ) {
        let index = self.account(report, session, false);
        if let Some(session) = report.sessions.get_mut(index) {
            session.blocks += 1;
            session.records = session.records.saturating_add(records);
            session.payload_bytes = session.payload_bytes.saturating_add(payload);
        }
        if lost > 0 {
            self.lose(index, lost);
            self.publish(report);
        }
    }

    /// Counts the records of a block that was not selected.
    pub(super) fn skip(&mut self, report: &mut Report, session: u64, records: u64) {
        let index = self.account(report, session, false);
        if let Some(session) = report.sessions.get_mut(index) {
            session.skipped_records = session.skipped_records.saturating_add(records);
        }
    }

    /// Enters a note or an end. The declared totals settle every earlier hole of the session.
    pub(super) fn totals(
        &mut self,
        report: &mut Report,
        session: u64,
        totals: &Totals,
        is_end: bool,
        at: u64,
    ) {
        let begins = totals.first_sequence == 0 && totals.records == totals.segment_records;
        let index = self.account(report, session, begins);
        self.arrive(report, index, totals.next_sequence, at);
        self.settle(report, index, totals, at);
        if let (Some(account), Some(given_up)) = (self.accounts.get_mut(index), totals.repaired) {
            account.given_up = account.given_up.max(given_up.numbers);
        }
        if let Some(session) = report.sessions.get_mut(index) {
            session.declared = Some(Declared {
                records: totals.records,
                payload_bytes: totals.payload,
                segment_records: totals.segment_records,
                blocks: totals.next_sequence,
            });
            session.closed |= totals.session_over;
            session.state = match (session.closed, is_end) {
                (true, _) => SessionState::Closed,
                (false, true) => SessionState::Continued,
                (false, false) => session.state,
            };
            session.salvaged = session.salvaged.max(totals.salvaged);
            session.note_repair(totals.repaired);
            session.dropped = session.dropped.zip(totals.dropped, u64::max);
        }
        self.publish(report);
    }

    /// The ranges of the holes that are still open: the session, if it is only one; how many more records the
    /// hole may have cost; whether no valid part came after it.
    pub(super) fn open_ranges(&self) -> impl Iterator<Item = (Option<usize>, Option<u64>, bool)> {
        self.holes.iter().map(|hole| {
            let is_tail = hole.after.is_none();
            let is_one = is_tail || hole.is_in_one_session();
            (hole.before.filter(|_| is_one), hole.more(), is_tail)
        })
    }

    /// The index of a session's account, which is opened for a new session.
    fn account(&mut self, report: &mut Report, session: u64, begins: bool) -> usize {
        if let Some(index) = self.by_id.get(&session) {
            return *index;
        }
        // A session that is not the first in its file began in that file.
        let from_zero = begins || self.current.is_some();
        let index = self.accounts.len();
        self.accounts.push(Account { from_zero, ..Account::default() });
        self.by_id.insert(session, index);
        report.sessions.push(SessionReport { session, ..SessionReport::default() });
        index
    }

    /// The next block of the session has `sequence`: sets the number of missing blocks in the holes before
    /// this place.
    fn arrive(&mut self, report: &mut Report, index: usize, sequence: u64, at: u64) {
        let Some(account) = self.accounts.get_mut(index) else { return };
        let expected = account.next_sequence.or(account.from_zero.then_some(0));
        let blocks = expected.map(|expected| sequence.saturating_sub(expected));
        account.next_sequence = Some(expected.unwrap_or(sequence).max(sequence));
        let has_hole = self.holes.iter().any(|hole| hole.after.is_none());
        if !has_hole && blocks.is_some_and(|blocks| blocks > 0) {
            // The numbers jump, and there is no damaged region to explain the jump.
            let lost = Loss::range(0, None);
            let kind = DamageKind::Gap;
            let damage = report.add_damage(Damage { offset: at, len: 0, kind, lost });
            self.current = Some(index);
            self.push_hole(damage, None);
        }
        self.current = Some(index);
        for hole in self.holes.iter_mut().filter(|hole| hole.after.is_none()) {
            (hole.after, hole.blocks) = (Some(index), blocks);
        }
        self.close_told(report);
    }

    /// The numbers of a shard jump by `lost`, over the holes that are younger than `seen`.
    fn jump(&mut self, report: &mut Report, index: usize, lost: u64, seen: u64, at: u64) {
        let Some(account) = self.accounts.get_mut(index) else { return };
        let given_up = lost.min(account.given_up.saturating_sub(account.passed_over));
        account.passed_over += given_up;
        let lost = lost - given_up;
        // A shard that was seen since that hole lost none of the declared records.
        let may_be_told = seen < account.unascribed_until;
        let told = if may_be_told { lost.min(account.unascribed) } else { 0 };
        account.unascribed -= told;
        let lost = lost - told;
        if lost == 0 {
            return;
        }
        self.lose(index, lost);
        let mut holes =
            self.holes.iter_mut().filter(|hole| hole.id > seen && hole.after == Some(index));
        match (holes.next(), holes.next()) {
            (Some(hole), other) => {
                hole.at_least = hole.at_least.saturating_add(lost);
                // With two holes it is not known which shard lost which records in which hole. After a
                // declared loss it is not known whether another shard lost those records.
                let is_sure = other.is_none() && told == 0;
                hole.jumps = if is_sure { hole.jumps + 1 } else { 0 };
            }
            (None, _) => {
                let (len, kind, lost) = (0, DamageKind::Gap, Loss::exact(lost));
                report.add_damage(Damage { offset: at, len, kind, lost });
            }
        }
        self.close_told(report);
    }

    /// Counts as lost the declared records of this segment that are not accounted for.
    fn settle(&mut self, report: &mut Report, index: usize, totals: &Totals, at: u64) {
        let read =
            |session: &SessionReport| session.records.saturating_add(session.skipped_records);
        let found = report.sessions.get(index).map_or(0, read);
        let Some(account) = self.accounts.get_mut(index) else { return };
        let known = found.saturating_add(account.lost);
        let lost = totals.segment_records.saturating_sub(known);
        if lost > 0 {
            let within = self.holes.iter().filter(|hole| hole.is_within(index));
            let until = within.map(|hole| hole.id).max().unwrap_or_else(|| {
                self.hole_count += 1;
                self.hole_count
            });
            account.unascribed = account.unascribed.saturating_add(lost);
            account.unascribed_until = until;
        }
        self.lose(index, lost);

        let within = self.holes.iter().filter(|hole| hole.is_within(index)).count();
        for hole in self.holes.iter().filter(|hole| hole.is_within(index)) {
            // For several holes only the sum of their losses is known.
            let most = hole.at_least.saturating_add(lost);
            let at_least = if within == 1 { most } else { hole.at_least };
            set_lost(report, hole.damage, Loss { at_least, at_most: Some(most) });
        }
        self.holes.retain(|hole| !hole.is_within(index));
        if within > 0 || lost == 0 {
            return;
        }
        match self.holes.iter_mut().find(|hole| hole.touches(index)) {
            Some(hole) => hole.at_least = hole.at_least.saturating_add(lost),
            None => {
                let (len, kind, lost) = (0, DamageKind::Gap, Loss::exact(lost));
                report.add_damage(Damage { offset: at, len, kind, lost });
            }
        }
    }

    fn lose(&mut self, index: usize, records: u64) {
        if let Some(account) = self.accounts.get_mut(index) {
            account.lost = account.lost.saturating_add(records);
        }
    }

    /// Closes the holes whose every loss is known from the numbers.
    fn close_told(&mut self, report: &mut Report) {
        for hole in self.holes.iter().filter(|hole| hole.is_told()) {
            set_lost(report, hole.damage, Loss::exact(hole.at_least));
        }
        self.holes.retain(|hole| !hole.is_told());
    }

    /// Puts the losses into the report. Sessions that no hole touches and that are not current already have
    /// theirs there.
    fn publish(&self, report: &mut Report) {
        for hole in &self.holes {
            set_lost(report, hole.damage, Loss::range(hole.at_least, hole.more()));
        }
        let touched = self.holes.iter().flat_map(|hole| [hole.before, hole.after]).flatten();
        for index in touched.chain(self.current) {
            let holes = self.holes.iter().filter(|hole| hole.touches(index)).map(Hole::more);
            let lost = self.accounts.get(index).map_or(0, |account| account.lost);
            let loss = Loss::range(lost, sum_known(holes));
            if let Some(session) = report.sessions.get_mut(index) {
                let fresh = loss.at_least.saturating_sub(session.lost.at_least);
                report.lost.at_least = report.lost.at_least.saturating_add(fresh);
                session.lost = loss;
            }
        }
        let more = sum_known(self.holes.iter().map(Hole::more));
        report.lost = Loss::range(report.lost.at_least, more);
    }
}

fn set_lost(report: &mut Report, damage: Option<usize>, lost: Loss) {
    if let Some(damage) = damage.and_then(|index| report.damage.get_mut(index)) {
        damage.lost = lost;
    }
}
