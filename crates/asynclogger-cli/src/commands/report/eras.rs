//! Times that are years apart: those of a clock that was not set, and all others. One plot over both would show neither.

use asynclogger::Dropped;

use super::columns::{Columns, Mark};

/// Times nearer than this belong together: three years, in nanoseconds. A clock that was not set is in 1970 or 2000.
const GAP: i64 = 3 * 365 * 86_400 * 1_000_000_000;

/// The columns of each era. There are few: the times of 64 bits have room for 200.
#[derive(Debug, Default)]
pub(super) struct Eras(Vec<Era>);

#[derive(Debug)]
struct Era {
    first: i64,
    last: i64,
    records: u64,
    columns: Columns,
}

/// What is not in the columns that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) records: u64,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Eras {
    /// The columns of the era with the most records, and what the other eras have.
    pub(super) fn main(&self) -> Option<(&Columns, Option<LeftOut>)> {
        let Eras(eras) = self;
        let (place, main) = eras.iter().enumerate().max_by_key(|(_, era)| era.records)?;
        let others = eras.iter().enumerate().filter(|(other, _)| *other != place);
        let others = others.map(|(_, era)| LeftOut {
            records: era.records,
            first: era.first,
            last: era.last,
        });
        let left_out = others.reduce(|sum, era| LeftOut {
            records: sum.records.saturating_add(era.records),
            first: sum.first.min(era.first),
            last: sum.last.max(era.last),
        });
        Some((&main.columns, left_out))
    }

    /// Adds records that were logged from `begin` to `end`; if that is longer than an era, at `end`.
    pub(super) fn add_records(&mut self, begin: i64, end: i64, records: u64, bytes: u64) {
        let begin = if end.saturating_sub(begin) < GAP { begin.min(end) } else { end };
        let era = self.around(begin, end);
        era.records = era.records.saturating_add(records);
        era.columns.add_records(begin, end, records, bytes);
    }

    pub(super) fn add_dropped(&mut self, time: i64, dropped: &Dropped) {
        if dropped.total() > 0 {
            self.around(time, time).columns.add_dropped(time, dropped);
        }
    }

    pub(super) fn mark(&mut self, time: i64, mark: Mark, count: u64) {
        self.around(time, time).columns.mark(time, mark, count);
    }

    /// The era of these times. Eras that are near become one with it.
    fn around(&mut self, first: i64, last: i64) -> &mut Era {
        let Eras(eras) = self;
        let is_near = |era: &mut Era| {
            era.first.saturating_sub(last) < GAP && first.saturating_sub(era.last) < GAP
        };
        let mut near = eras.extract_if(.., is_near);
        let new = || Era { first, last, records: 0, columns: Columns::default() };
        let mut era = near.next().unwrap_or_else(new);
        (era.first, era.last) = (era.first.min(first), era.last.max(last));
        for other in near {
            (era.first, era.last) = (era.first.min(other.first), era.last.max(other.last));
            era.records = era.records.saturating_add(other.records);
            era.columns.add_all(other.columns);
        }
        let place = eras.len();
        eras.push(era);
        &mut eras[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const YEAR: i64 = 365 * 86_400 * SECOND;

    #[test]
    fn one_block_of_1970_does_not_squeeze_the_others() {
        for absurd_first in [true, false] {
            let mut eras = Eras::default();
            if absurd_first {
                eras.add_records(5 * SECOND, 6 * SECOND, 3, 30);
            }
            for n in 0..100 {
                eras.add_records(56 * YEAR + n * SECOND, 56 * YEAR + (n + 1) * SECOND, 7, 70);
            }
            if !absurd_first {
                eras.add_records(5 * SECOND, 6 * SECOND, 3, 30);
            }
            let (columns, left_out) = eras.main().expect("times");
            let expected = LeftOut { records: 3, first: 5 * SECOND, last: 6 * SECOND };
            assert_eq!(left_out, Some(expected));
            assert_eq!(columns.width(), i128::from(SECOND / 2));
            let sum: f64 = columns.all().1.iter().map(|column| column.records).sum();
            assert!((sum - 700.0).abs() < 1e-6, "{sum}");
        }
    }

    #[test]
    fn what_is_between_two_eras_makes_them_one() {
        let mut eras = Eras::default();
        eras.add_records(0, SECOND, 5, 50);
        eras.add_records(4 * YEAR, 4 * YEAR + SECOND, 6, 60);
        eras.mark(4 * YEAR, Mark::Rotation, 2);
        assert!(eras.main().is_some_and(|(_, left_out)| left_out.is_some()));
        eras.mark(2 * YEAR, Mark::Restart, 1);
        let (columns, left_out) = eras.main().expect("times");
        assert_eq!(left_out, None);
        let all = columns.all().1;
        let sum: f64 = all.iter().map(|column| column.records).sum();
        assert!((sum - 11.0).abs() < 1e-6, "{sum}");
        assert_eq!(all.iter().map(|column| column.marks[0]).sum::<u64>(), 1);
        assert_eq!(all.iter().map(|column| column.marks[3]).sum::<u64>(), 2);
    }

    #[test]
    fn any_times_fit() {
        let mut eras = Eras::default();
        eras.add_records(i64::MIN, i64::MAX, 1, 1);
        eras.add_records(i64::MAX, i64::MIN, 1, 1);
        eras.add_records(i64::MIN, 0, 1, 1);
        eras.add_records(0, 0, 1, 1);
        let (_, left_out) = eras.main().expect("times");
        assert!(left_out.is_some_and(|left_out| left_out.records > 0), "{left_out:?}");
        assert!(Eras::default().main().is_none());
    }
}
