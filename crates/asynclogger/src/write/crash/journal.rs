//! The journal: which parts have a place in a file, and are not yet as safe as the durability level asks for.

use super::{
    account::LogAccount,
    words::{self, ENTRY, WHEREABOUTS, checked, wrapped},
};
use crate::{
    format::{BlockInfo, DROP_REASONS, Dropped, Kind, Scale, Totals},
    write::common::fault,
};

/// A part with a place in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::write) struct Entry {
    /// The number of the segment in whose file the part has its place.
    pub(in crate::write) segment: u64,
    pub(in crate::write) offset: u64,
    pub(in crate::write) placed: Placed,
    pub(in crate::write) before: Before,
}

/// The part itself, from which its bytes are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::write) enum Placed {
    /// The block of the buffer with this shard and generation.
    Block {
        info: BlockInfo,
        time: i64,
    },
    Totals {
        kind: Kind,
        totals: Totals,
    },
}

/// The state of the session in front of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::write) struct Before {
    /// Records of the session, and their bytes.
    pub(in crate::write) records: u64,
    pub(in crate::write) payload: u64,
    /// Records of the session in this segment, and the times of its first and last block there.
    pub(in crate::write) segment_records: u64,
    pub(in crate::write) first_time: i64,
    pub(in crate::write) last_time: i64,
}

impl Before {
    /// The state behind a block.
    pub(in crate::write) fn after(self, info: &BlockInfo, time: i64) -> Before {
        let first_time = if self.segment_records == 0 { time } else { self.first_time };
        Before {
            records: self.records + u64::from(info.records),
            payload: self.payload + info.payload(),
            segment_records: self.segment_records + u64::from(info.records),
            first_time,
            last_time: time,
        }
    }
}

/// Where the file of a segment is, and where its session begins in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::write) struct Whereabouts {
    pub(in crate::write) segment: u64,
    /// Device and inode.
    pub(in crate::write) identity: (u64, u64),
    /// Offset of the session's start, and of the first part behind it.
    pub(in crate::write) start: u64,
    pub(in crate::write) begin: u64,
    pub(in crate::write) first_sequence: u64,
    pub(in crate::write) align: u64,
}

const BLOCK: u64 = 1;
const NOTE: u64 = 2;
const END: u64 = 3;
/// A block whose records have times.
const TIMED_BLOCK: u64 = 4;

impl Entry {
    /// The words of the entry with this number.
    fn encode(&self, number: u32) -> [u64; ENTRY] {
        let mut words = [0; ENTRY];
        (words[0], words[1]) = (self.segment, self.offset);
        let dropped = match &self.placed {
            Placed::Block { info, time } => {
                let shard = u64::from(info.shard) << 32 | u64::from(info.records);
                words[2..9].copy_from_slice(&[
                    if info.scale.is_some() { TIMED_BLOCK } else { BLOCK },
                    info.sequence,
                    info.generation,
                    info.first_record,
                    shard,
                    u64::from(info.valid),
                    time.cast_unsigned(),
                ]);
                info.dropped
            }
            Placed::Totals { kind, totals } => {
                let kind = if *kind == Kind::End { END } else { NOTE };
                words[2..8].copy_from_slice(&[
                    kind,
                    totals.next_sequence,
                    totals.records,
                    totals.payload,
                    u64::from(totals.session_over),
                    totals.salvaged,
                ]);
                totals.dropped
            }
        };
        words[9..9 + DROP_REASONS].copy_from_slice(&dropped.to_array());
        let Before { records, payload, segment_records, first_time, last_time } = self.before;
        let before = [
            records,
            payload,
            segment_records,
            first_time.cast_unsigned(),
            last_time.cast_unsigned(),
        ];
        words[14..19].copy_from_slice(&before);
        words[ENTRY - 1] = seal(&words[..ENTRY - 1], number);
        words
    }

    /// The entry with this number, of these words; `None` if the words are damaged, or are those of another entry.
    pub(super) fn decode(words: &[u64], number: u32) -> Option<Entry> {
        let words: &[u64; ENTRY] = words.try_into().ok()?;
        if words[ENTRY - 1] != seal(&words[..ENTRY - 1], number) {
            return None;
        }
        let dropped: [u64; DROP_REASONS] = words[9..9 + DROP_REASONS].try_into().ok()?;
        let dropped = Dropped::from_array(dropped);
        let placed = match words[2] {
            kind @ (BLOCK | TIMED_BLOCK) => {
                let (shard, records) = ((words[6] >> 32) as u32, words[6] as u32);
                let mut info = BlockInfo {
                    sequence: words[3],
                    generation: words[4],
                    first_record: words[5],
                    shard,
                    dropped,
                    // Its length needs no more; its scale is in its buffer.
                    scale: (kind == TIMED_BLOCK).then(Scale::default),
                    ..BlockInfo::default()
                };
                (info.records, info.valid) = (records, u32::try_from(words[7]).ok()?);
                Placed::Block { info, time: words[8].cast_signed() }
            }
            kind @ (NOTE | END) => {
                let totals = Totals {
                    next_sequence: words[3],
                    records: words[4],
                    payload: words[5],
                    dropped,
                    session_over: words[6] != 0,
                    salvaged: words[7],
                    ..Totals::default()
                };
                Placed::Totals { kind: if kind == END { Kind::End } else { Kind::Note }, totals }
            }
            _ => return None,
        };
        let before = Before {
            records: words[14],
            payload: words[15],
            segment_records: words[16],
            first_time: words[17].cast_signed(),
            last_time: words[18].cast_signed(),
        };
        Some(Entry { segment: words[0], offset: words[1], placed, before })
    }
}

impl Whereabouts {
    fn encode(&self) -> [u64; WHEREABOUTS] {
        let Whereabouts { segment, identity, start, begin, first_sequence, align } = *self;
        let mut words =
            [segment, identity.0, identity.1, start, begin, first_sequence, align, 0, 0];
        words[WHEREABOUTS - 1] = checked(&words[..WHEREABOUTS - 1]);
        words
    }

    pub(super) fn decode(words: &[u64]) -> Option<Whereabouts> {
        let [segment, device, inode, start, begin, first_sequence, align, _, check] = *words else {
            return None;
        };
        let identity = (device, inode);
        let is_whole = check == checked(&words[..WHEREABOUTS - 1]);
        is_whole.then_some(Whereabouts { segment, identity, start, begin, first_sequence, align })
    }
}

/// The checksum of an entry, with its number: an older entry in the same slot does not pass.
fn seal(words: &[u64], number: u32) -> u64 {
    checked(words) | u64::from(wrapped(number)) << 32
}

/// The journal of one session, as its flusher writes it; without an account, nothing.
///
/// An entry is complete before the bounds take it in, and never changes while it is in. When all parts move to another
/// file, their new entries are put behind the old ones, and one store of the bounds passes from the old to the new: a
/// process that is killed meanwhile leaves either all parts where they were, or all of them where they go.
pub(in crate::write) struct Journal {
    account: Option<LogAccount>,
    /// The numbers of the first entry that is in, and of the next one; both wrap.
    first: u32,
    next: u32,
    /// The record of whereabouts that is not the current one.
    spare: usize,
}

impl Journal {
    /// Continues the journal of an account; a new account has an empty one.
    pub(in crate::write) fn new(account: Option<LogAccount>) -> Journal {
        let bounds = account.as_ref().and_then(|account| account.bounds().ok());
        let (first, next) = bounds.unwrap_or_default();
        let spare = account.as_ref().map_or(0, |account| Journal::spare(account, first, next));
        Journal { account, first, next, spare }
    }

    /// The record of whereabouts that no entry needs. The entries of a salvager that was killed before it had moved
    /// them can be in the file of the record that is not the current one.
    fn spare(account: &LogAccount, first: u32, next: u32) -> usize {
        let (memory, places) = (account.memory(), account.places());
        let current = account.current().unwrap_or(0);
        let entry = Entry::decode(&words::load(memory, places.entry(first)), first);
        let record = Whereabouts::decode(&words::load(memory, places.whereabouts(current)));
        let names_other = entry.is_some_and(|entry| {
            first != next && record.is_none_or(|record| record.segment != entry.segment)
        });
        if names_other { current } else { 1 - current }
    }

    /// A place between two steps, where a test can kill the process of a crash-safe logger.
    pub(in crate::write) fn kill_point(&self, place: &'static str) {
        if self.account.is_some() {
            fault::kill_point(place);
        }
    }

    /// Whether there is room for one more entry, and for all of them once more.
    pub(in crate::write) fn has_room(&self) -> bool {
        let entries = wrapped(self.next.wrapping_sub(self.first)) as usize;
        self.account.as_ref().is_none_or(|account| (entries + 2) * 2 < account.places().slots())
    }

    /// Notes the file that the next entries name.
    pub(in crate::write) fn begin_segment(&mut self, whereabouts: &Whereabouts) {
        let Some(account) = &self.account else {
            return;
        };
        let (memory, places) = (account.memory(), account.places());
        words::store(memory, places.whereabouts(self.spare), &whereabouts.encode());
        words::store_one(memory, places.current(), words::current_word(self.spare));
        self.spare = 1 - self.spare;
    }

    /// Notes a part that has its place.
    pub(in crate::write) fn push(&mut self, entry: impl FnOnce() -> Entry) {
        if self.account.is_some() {
            self.put(&entry());
            self.show_bounds();
        }
    }

    /// Notes new places of all parts.
    pub(in crate::write) fn renew(&mut self, entries: impl Iterator<Item = Entry>) {
        if self.account.is_some() {
            let first = self.next;
            entries.for_each(|entry| self.put(&entry));
            self.first = first;
            self.show_bounds();
        }
    }

    /// Notes that the first part has left: it is as safe as the durability level asks for.
    pub(in crate::write) fn leave(&mut self) {
        self.first = self.first.wrapping_add(1);
        self.show_bounds();
    }

    /// Notes that the last part was taken back.
    pub(in crate::write) fn withdraw_last(&mut self) {
        self.next = self.next.wrapping_sub(1);
        self.show_bounds();
    }

    fn put(&mut self, entry: &Entry) {
        if let Some(account) = &self.account {
            let words = entry.encode(self.next);
            words::store(account.memory(), account.places().entry(self.next), &words);
            self.next = self.next.wrapping_add(1);
        }
    }

    fn show_bounds(&self) {
        if let Some(account) = &self.account {
            let at = account.places().bounds();
            let bounds = words::bounds_word(self.first, self.next, at);
            words::store_one(account.memory(), at, bounds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> [Entry; 2] {
        let mut info = BlockInfo { sequence: 5, generation: 6, shard: 7, ..BlockInfo::default() };
        (info.first_record, info.records, info.valid) = (8, 9, 200);
        info.dropped = Dropped { full: 3, ..Dropped::default() };
        let before =
            Before { records: 1, payload: 2, segment_records: 3, first_time: -4, last_time: 5 };
        let totals =
            Totals { next_sequence: 9, session_over: true, salvaged: 4, ..Totals::default() };
        [
            Entry { segment: 1, offset: 4096, placed: Placed::Block { info, time: -9 }, before },
            Entry {
                segment: 2,
                offset: 8192,
                placed: Placed::Totals { kind: Kind::End, totals },
                before,
            },
        ]
    }

    #[test]
    fn entries_survive_their_words_and_every_changed_bit_is_found() {
        for entry in entries() {
            let words = entry.encode(7);
            assert_eq!(Entry::decode(&words, 7), Some(entry));
            assert_eq!(Entry::decode(&words, 8), None, "it is another entry");
            for at in 0..ENTRY {
                for bit in 0..64 {
                    let mut changed = words;
                    changed[at] ^= 1 << bit;
                    assert_eq!(Entry::decode(&changed, 7), None, "word {at}, bit {bit}");
                }
            }
        }
        assert_eq!(Entry::decode(&[0; ENTRY], 0), None);
        assert_eq!(Whereabouts::decode(&[0; WHEREABOUTS]), None);
    }
}
