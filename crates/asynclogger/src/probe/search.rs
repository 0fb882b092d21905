//! The search for the next valid part behind damage, sector by sector.

use super::{
    place::{Ids, Part, Place, look},
    source::Source,
};
use crate::{
    Error,
    format::{
        SECTOR,
        metadata::{self, MAX_METADATA, PEEK_LEN},
    },
};

/// How many bytes of a file with a damaged start are searched for another sign of its log.
const SIGN_WITHIN: u64 = 1 << 20;
/// How many bytes of the file are searched at a time.
const WINDOW: usize = 256 * 1024;
/// How many bytes of candidates the search reads, per byte searched and in advance. Without this limit a file
/// with false sizes would take time in the square of its length.
const COST_PER_BYTE: u64 = 16;
const COST_IN_ADVANCE: u64 = 4 * MAX_METADATA as u64;

/// The buffers of the search; `buffer` also serves for looking at single places.
#[derive(Debug, Default)]
pub(crate) struct Search {
    window: Vec<u8>,
    pub(crate) buffer: Vec<u8>,
    cost: Cost,
}

/// Bytes searched, and bytes of candidates read, in all searches.
#[derive(Debug, Default)]
struct Cost {
    searched: u64,
    looked_at: u64,
}

/// A stretch of the skipped region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skipped<K> {
    pub(crate) offset: u64,
    pub(crate) kind: K,
}

/// The result of a search.
#[derive(Debug)]
pub(crate) struct Found<K> {
    /// The first valid part that stands in its own place; `None` if there is none up to the end.
    pub(crate) part: Option<Part>,
    /// The skipped region, with one entry for each change of kind. The first entry is at the place where the
    /// search began.
    pub(crate) skipped: Vec<Skipped<K>>,
    /// The version of a valid part of a later version, if the search met one.
    pub(crate) later: Option<u32>,
}

impl Search {
    /// Searches `[from, to)` for a valid part that belongs to the file with these `ids`. `verdict` gives the
    /// kind of a valid part that does not belong there, and of bytes without a valid part.
    pub(crate) fn run<K: PartialEq>(
        &mut self,
        source: &mut Source,
        (from, to): (u64, u64),
        ids: Option<&Ids>,
        verdict: impl Fn(Option<&Part>) -> K,
    ) -> Result<Found<K>, Error> {
        let mut found = Found { part: None, skipped: Vec::new(), later: None };
        // Where the next part would begin if the parts that do not belong here were a file of their own.
        let mut expected = from;
        let mut window_at = from;
        while window_at < to {
            source.fill(window_at, WINDOW, &mut self.window)?;
            if self.window.is_empty() {
                break;
            }
            for (index, sector) in self.window.chunks(SECTOR).enumerate() {
                let offset = window_at + (index * SECTOR) as u64;
                if offset >= to {
                    break;
                }
                self.cost.searched = self.cost.searched.saturating_add(SECTOR as u64);
                let place = match sector.get(..PEEK_LEN).and_then(metadata::peek) {
                    Some((size, _)) if self.cost.afford(size as u64) => {
                        look(source, offset, &mut self.buffer)?
                    }
                    _ => Place::Nothing,
                };
                let kind = match place {
                    Place::Valid(part) if is_usable(&part, from, ids) => {
                        found.part = Some(part);
                        return Ok(found);
                    }
                    Place::Valid(part) if offset == expected => {
                        expected = offset.saturating_add(part.claimed_len());
                        verdict(Some(&part))
                    }
                    Place::Valid(_) => continue,
                    Place::Later(version) => {
                        found.later = found.later.or(Some(version));
                        continue;
                    }
                    Place::Nothing if offset == expected => verdict(None),
                    Place::Nothing => continue,
                };
                if found.skipped.last().is_none_or(|last| last.kind != kind) {
                    found.skipped.push(Skipped { offset, kind });
                }
            }
            window_at = window_at.saturating_add(WINDOW as u64);
        }
        Ok(found)
    }
}

impl Search {
    /// The first part that stands in its own place near the beginning of the file: behind a damaged start that part
    /// tells the log and the number.
    ///
    /// Text is not searched: a directory of logs can be full of text, and in a log each record has the zeros of its
    /// length.
    pub(crate) fn sign(&mut self, source: &mut Source) -> Result<Option<Part>, Error> {
        source.fill(0, WINDOW, &mut self.window)?;
        if !self.window.contains(&0) {
            return Ok(None);
        }
        // Each file has its own budget: one with false sizes hides nothing in the next.
        self.cost = Cost::default();
        let near = (0, SIGN_WITHIN.min(source.len()));
        Ok(self.run(source, near, None, |_| ())?.part)
    }
}

impl Cost {
    /// Whether the search may still read a candidate of this size.
    fn afford(&mut self, size: u64) -> bool {
        let allowed = self.searched.saturating_mul(COST_PER_BYTE).saturating_add(COST_IN_ADVANCE);
        let looked_at = self.looked_at.saturating_add(size);
        let can = looked_at <= allowed;
        if can {
            self.looked_at = looked_at;
        }
        can
    }
}

/// Whether the search can end at this part. A tail is of use only if its block begins in the searched region:
/// the bytes before were read already.
fn is_usable(part: &Part, from: u64, ids: Option<&Ids>) -> bool {
    part.belongs(ids) && part.begin().is_some_and(|begin| begin >= from)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::format::{Kind, LogId, MIN_ALIGN, Prefix, Totals};

    /// Sectors that each say that they are metadata up to the end.
    fn liar(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for at in (0..len).step_by(SECTOR) {
            let size = (len - at) as u32;
            bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&(size - 8).to_le_bytes());
            bytes[at + 16..at + 24].copy_from_slice(b"ALOGHEAD");
        }
        bytes
    }

    /// A file with a damaged start and an end of `size` bytes behind it.
    fn damaged(size: usize) -> Vec<u8> {
        let prefix = Prefix {
            align: MIN_ALIGN as u32,
            offset: MIN_ALIGN as u64,
            log_id: LogId([1; 16]),
            segment: 7,
            session: 2,
            time: 3,
        };
        let mut bytes = vec![0x5A; MIN_ALIGN + size];
        Totals::default().encode(Kind::End, &prefix, &mut bytes[MIN_ALIGN..]);
        bytes
    }

    #[test]
    fn a_part_behind_a_damaged_start_tells_the_number_whatever_was_searched_before() {
        let mut search = Search::default();
        let mut number = |bytes| {
            let sign = search.sign(&mut Source::from_bytes(bytes)).expect("memory");
            sign.map(|part| part.prefix.segment)
        };
        for _ in 0..3 {
            assert_eq!(number(liar(1 << 20)), None);
        }
        // So long that only an untouched budget affords a look.
        assert_eq!(number(damaged(MAX_METADATA)), Some(7));
        assert_eq!(number(vec![0x5A; 4 * MIN_ALIGN]), None);
        // The part of another place.
        let mut moved = vec![0; MIN_ALIGN];
        moved.extend(damaged(MIN_ALIGN));
        assert_eq!(number(moved), None);
    }

    #[test]
    fn text_is_not_searched() {
        let mut search = Search::default();
        let mut source = Source::from_bytes(b"ALOGHEAD is a word\n".repeat(100_000));
        assert!(search.sign(&mut source).expect("memory").is_none());
        assert_eq!(search.cost.searched, 0);
    }

    #[test]
    fn lying_sizes_do_not_cost_the_square() -> Result<(), Error> {
        let len = 8 << 20;
        let mut source = Source::from_bytes(liar(len));
        let mut search = Search::default();
        let mut most = COST_IN_ADVANCE;
        for _ in 0..3 {
            let found = search.run(&mut source, (0, len as u64), None, |_| ())?;
            assert!(found.part.is_none());
            most += COST_PER_BYTE * len as u64;
            assert!(search.cost.looked_at <= most, "{}", search.cost.looked_at);
        }
        Ok(())
    }
}
