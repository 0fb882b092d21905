//! What a journal says, as a value: pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::manifest::{FileEntry, GapEntry};

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "lowercase")]
pub(crate) enum Line {
    /// What is over in a log: shipped and in a manifest, or declared as lost; both ends count.
    Log { log: String, over: Vec<(u64, u64)>, lost: Vec<(u64, u64)> },
    /// The upload of a segment begins, in its plain form.
    Begun { log: String, segment: u64 },
    /// An object is in the store, as a whole.
    Shipped { file: FileEntry },
    /// Segments will never be in the store.
    Gap { gap: GapEntry },
    /// A manifest is to be written, with the first `files` and `gaps` that are in none.
    Batch { key: String, files: usize, gaps: usize },
    /// The manifest is in the store.
    Done { key: String },
}

/// A manifest that may or may not have been written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Batch {
    pub(crate) key: String,
    pub(crate) files: usize,
    pub(crate) gaps: usize,
}

/// All lines of a journal together.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct State {
    logs: BTreeMap<String, Log>,
    begun: BTreeSet<(String, u64)>,
    /// Shipped, and not yet in a manifest.
    pub(crate) files: Vec<FileEntry>,
    pub(crate) gaps: Vec<GapEntry>,
    pub(crate) batch: Option<Batch>,
}

#[derive(Debug, Default, PartialEq)]
struct Log {
    over: Ranges,
    lost: Ranges,
}

impl State {
    pub(crate) fn apply(&mut self, line: Line) {
        match line {
            Line::Log { log, over, lost } => {
                let log = self.logs.entry(log).or_default();
                over.iter().for_each(|range| log.over.add(*range));
                lost.iter().for_each(|range| log.lost.add(*range));
            }
            Line::Begun { log, segment } => {
                self.begun.insert((log, segment));
            }
            Line::Shipped { file } => {
                self.begun.remove(&(file.log.clone(), file.segment));
                let log = self.logs.entry(file.log.clone()).or_default();
                log.over.add((file.segment, file.segment));
                log.lost.remove(file.segment);
                self.files.push(file);
            }
            Line::Gap { gap } => {
                let is_lost = |segment| (gap.from_segment..=gap.to_segment).contains(&segment);
                self.begun.retain(|(log, segment)| *log != gap.log || !is_lost(*segment));
                let log = self.logs.entry(gap.log.clone()).or_default();
                log.over.add((gap.from_segment, gap.to_segment));
                log.lost.add((gap.from_segment, gap.to_segment));
                self.gaps.push(gap);
            }
            Line::Batch { key, files, gaps } => self.batch = Some(Batch { key, files, gaps }),
            Line::Done { key } => {
                if let Some(batch) = self.batch.take_if(|batch| batch.key == key) {
                    self.files.drain(..batch.files.min(self.files.len()));
                    self.gaps.drain(..batch.gaps.min(self.gaps.len()));
                }
            }
        }
    }

    /// The fewest lines that say the same.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let logs = self.logs.iter().map(|(log, state)| Line::Log {
            log: log.clone(),
            over: state.over.0.clone(),
            lost: state.lost.0.clone(),
        });
        let begun = self
            .begun
            .iter()
            .map(|(log, segment)| Line::Begun { log: log.clone(), segment: *segment });
        let files = self.files.iter().map(|file| Line::Shipped { file: file.clone() });
        let gaps = self.gaps.iter().map(|gap| Line::Gap { gap: gap.clone() });
        let batch = self.batch.iter().map(|batch| Line::Batch {
            key: batch.key.clone(),
            files: batch.files,
            gaps: batch.gaps,
        });
        logs.chain(begun).chain(files).chain(gaps).chain(batch).collect()
    }

    /// Whether the segment is in the store, as far as the journal knows.
    pub(crate) fn is_shipped(&self, log: &str, segment: u64) -> bool {
        self.logs
            .get(log)
            .is_some_and(|log| log.over.contains(segment) && !log.lost.contains(segment))
    }

    /// Whether a request of this shipper, or of one that died, may still bring the segment to the store in its plain form.
    pub(crate) fn has_begun(&self, log: &str, segment: u64) -> bool {
        self.begun.contains(&(log.to_owned(), segment))
    }

    /// The numbers up to `newest` that are neither over nor in `here`: segments that went before they were shipped. What
    /// was before the first segment that was ever seen is not asked for.
    pub(crate) fn missing(&self, log: &str, here: &[u64]) -> Vec<(u64, u64)> {
        let (Some(log), Some(newest)) = (self.logs.get(log), here.iter().max()) else {
            return Vec::new();
        };
        let mut known = Ranges(log.over.0.clone());
        here.iter().for_each(|segment| known.add((*segment, *segment)));
        known.between(*newest)
    }
}

/// Numbers as ranges in order, both ends included, with a hole between any two.
#[derive(Debug, Default, PartialEq)]
struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    fn add(&mut self, (mut from, mut to): (u64, u64)) {
        self.0.retain(|&(first, last)| {
            let touches = first <= to.saturating_add(1) && from <= last.saturating_add(1);
            if touches {
                (from, to) = (from.min(first), to.max(last));
            }
            !touches
        });
        let at = self.0.partition_point(|&(first, _)| first < from);
        self.0.insert(at, (from, to));
    }

    fn remove(&mut self, number: u64) {
        let Some(at) = self.0.iter().position(|&(first, last)| (first..=last).contains(&number))
        else {
            return;
        };
        let (first, last) = self.0.remove(at);
        if number < last {
            self.0.insert(at, (number + 1, last));
        }
        if first < number {
            self.0.insert(at, (first, number - 1));
        }
    }

    fn contains(&self, number: u64) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&number))
    }

    /// The holes before `end`.
    fn between(&self, end: u64) -> Vec<(u64, u64)> {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let holes = pairs.map(|(before, behind)| (before.1 + 1, behind.0 - 1));
        holes.filter(|hole| hole.0 <= end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(segment: u64) -> FileEntry {
        FileEntry { log: "l".to_owned(), segment, ..FileEntry::default() }
    }

    fn gap(from_segment: u64, to_segment: u64) -> GapEntry {
        GapEntry { log: "l".to_owned(), from_segment, to_segment, ..GapEntry::default() }
    }

    #[test]
    fn ranges_join_and_split() {
        let mut ranges = Ranges::default();
        for number in [5, 1, 3, 2, 9] {
            ranges.add((number, number));
        }
        assert_eq!(ranges.0, [(1, 3), (5, 5), (9, 9)]);
        assert_eq!(ranges.between(9), [(4, 4), (6, 8)]);
        ranges.add((4, 8));
        assert_eq!(ranges.0, [(1, 9)]);
        ranges.remove(1);
        ranges.remove(5);
        ranges.remove(9);
        assert_eq!(ranges.0, [(2, 4), (6, 8)]);
        ranges.add((0, u64::MAX));
        assert_eq!(ranges.0, [(0, u64::MAX)]);
    }

    #[test]
    fn the_fewest_lines_say_the_same() {
        let mut state = State::default();
        for line in [
            Line::Shipped { file: file(1) },
            Line::Shipped { file: file(2) },
            Line::Batch { key: "m".to_owned(), files: 2, gaps: 0 },
            Line::Done { key: "m".to_owned() },
            Line::Begun { log: "l".to_owned(), segment: 3 },
            Line::Gap { gap: gap(3, 4) },
            Line::Begun { log: "l".to_owned(), segment: 5 },
            Line::Begun { log: "l".to_owned(), segment: 6 },
            Line::Shipped { file: file(5) },
            Line::Batch { key: "n".to_owned(), files: 1, gaps: 1 },
        ] {
            state.apply(line);
        }
        let mut again = State::default();
        state.lines().into_iter().for_each(|line| again.apply(line));
        assert_eq!(state, again);
        assert_eq!((again.files.len(), again.gaps.len()), (1, 1));
        assert_eq!([3, 5, 6].map(|segment| again.has_begun("l", segment)), [false, false, true]);
        assert!(again.is_shipped("l", 2) && !again.is_shipped("l", 3) && !again.is_shipped("x", 2));
    }

    #[test]
    fn only_numbers_between_known_ones_are_missing() {
        let mut state = State::default();
        assert!(state.missing("l", &[7, 9]).is_empty());
        state.apply(Line::Shipped { file: file(4) });
        assert_eq!(state.missing("l", &[7, 9]), [(5, 6), (8, 8)]);
        assert!(state.missing("l", &[]).is_empty());
        state.apply(Line::Gap { gap: gap(5, 6) });
        assert_eq!(state.missing("l", &[7, 9]), [(8, 8)]);
    }
}
