//! Which records of the events are known to be durable.
//!
//! A caller is told the shared shard that took its record, and the record's number there. The flusher sorts each
//! shard's records in their order, so one number for each shard says how far a flush has come: when it began,
//! all records below these numbers were with their events, and now they are in the files. The answer is no
//! until some flush has succeeded, and for a record that was dropped while it was sorted it stays no.

use crate::{
    Position,
    sync::{Mutex, lock},
    write::common::Counter,
};

/// The most ranges of dropped records that are kept for each shard. Beyond that, the two closest ranges become one,
/// together with the records between them.
const RANGES: usize = 1024;

/// For each shared shard a number; all records below it are durable.
pub(super) struct Marks(Box<[Counter]>);

impl Marks {
    pub(super) fn new(shards: usize) -> Marks {
        Marks((0..shards).map(|_| Counter::new()).collect())
    }

    /// Marks all records below these numbers. Only for the flusher.
    pub(super) fn raise(&self, numbers: &[u64]) {
        for (mark, number) in self.0.iter().zip(numbers) {
            mark.set(mark.get().max(*number));
        }
    }

    pub(super) fn cover(&self, position: &Position) -> bool {
        self.0.get(position.shard as usize).is_some_and(|mark| position.number < mark.get())
    }
}

/// Records that the shared shards took, and that were dropped when they were sorted.
pub(super) struct SortedOut(Box<[Mutex<Ranges>]>);

/// Sorted ranges, from a first number to a last one, both included. Any two have a record between them.
type Ranges = Vec<(u64, u64)>;

impl SortedOut {
    pub(super) fn new(shards: usize) -> SortedOut {
        SortedOut((0..shards).map(|_| Mutex::default()).collect())
    }

    /// Adds a dropped record. The records of a shard come in the order of their numbers. Only for the flusher.
    pub(super) fn add(&self, shard: usize, number: u64) {
        let Some(ranges) = self.0.get(shard) else { return };
        let mut ranges = lock(ranges);
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 >= number => *last = number,
            _ => ranges.push((number, number)),
        }
        if ranges.len() > RANGES {
            let gap = |at: &usize| ranges[at + 1].0 - ranges[*at].1;
            if let Some(at) = (0..ranges.len() - 1).min_by_key(gap) {
                let (_, last) = ranges.remove(at + 1);
                ranges[at].1 = last;
            }
        }
    }

    /// Whether a record was dropped, or is between two ranges that became one.
    pub(super) fn may_have(&self, position: &Position) -> bool {
        self.0.get(position.shard as usize).is_some_and(|ranges| {
            let ranges = lock(ranges);
            let behind = ranges.partition_point(|(_, last)| *last < position.number);
            ranges.get(behind).is_some_and(|(first, _)| *first <= position.number)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(number: u64) -> Position {
        Position { session: 1, shard: 1, number }
    }

    #[test]
    fn marks_never_go_back() {
        let marks = Marks::new(2);
        assert!(!marks.cover(&at(0)));
        marks.raise(&[9, 3]);
        marks.raise(&[0, 2]);
        assert!(marks.cover(&at(2)) && !marks.cover(&at(3)));
        assert!(!marks.cover(&Position { shard: 2, ..at(0) }));
    }

    #[test]
    fn of_too_many_ranges_the_closest_become_one() {
        let out = SortedOut::new(2);
        for number in 0..RANGES as u64 {
            out.add(1, number * 10);
        }
        assert!(!out.may_have(&at(15)));
        // Closer than any two before.
        out.add(1, RANGES as u64 * 10 - 8);
        let joined = RANGES as u64 * 10 - 9;
        assert!(out.may_have(&at(joined)) && !out.may_have(&at(15)));
        assert_eq!(lock(&out.0[1]).len(), RANGES);
        assert!(!out.may_have(&Position { shard: 0, ..at(0) }));
    }

    proptest! {
        /// No record that was dropped is forgotten, however many there are.
        #[test]
        fn none_is_forgotten(steps in prop::collection::vec(1_u64..5, 1..4_000)) {
            let out = SortedOut::new(2);
            let mut all = Vec::new();
            let mut number = 0;
            for step in steps {
                number += step;
                out.add(1, number);
                all.push(number);
            }
            for number in &all {
                prop_assert!(out.may_have(&at(*number)));
            }
            prop_assert!(!out.may_have(&at(all[0] - 1)) && !out.may_have(&at(number + 1)));
            if all.len() <= RANGES {
                let kept = (0..number).filter(|number| out.may_have(&at(*number)));
                prop_assert!(kept.eq(all.iter().copied().filter(|of| *of < number)));
            }
        }
    }
}
