//! What happened when: a limited number of columns of equal width, however long the log is.

use std::collections::BTreeMap;

use asynclogger::Dropped;

/// The most columns. When more are needed, each becomes wider, and the ones before are put together.
pub(super) const MOST: i128 = 240;
const SECOND: i128 = 1_000_000_000;
/// The widths, in nanoseconds, each a multiple of the one before. Behind the last one a width doubles.
const WIDTHS: [i128; 14] = [
    SECOND / 10,
    SECOND / 2,
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
    300 * SECOND,
    600 * SECOND,
    1800 * SECOND,
    3600 * SECOND,
    7200 * SECOND,
    21_600 * SECOND,
    86_400 * SECOND,
];

/// What is marked on the line of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A session began behind another one.
    Restart,
    /// The writer of a session died.
    Death,
    /// Records were written after the death of their process.
    Salvage,
    /// The log went on in a new file.
    Rotation,
    /// A part of a file is damaged.
    Damage,
    /// Segments are missing.
    Missing,
}

pub(super) const MARKS: [(Mark, &str); 6] = [
    (Mark::Restart, "restart"),
    (Mark::Death, "death of a writer"),
    (Mark::Salvage, "salvage"),
    (Mark::Rotation, "rotation"),
    (Mark::Damage, "damaged place"),
    (Mark::Missing, "gap of missing segments"),
];

pub(super) const REASONS: [&str; 5] = ["full", "busy", "too large", "empty", "closed"];

/// One stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Column {
    pub(super) records: f64,
    pub(super) bytes: f64,
    /// By reason, in the order of [`REASONS`].
    pub(super) dropped: [u64; 5],
    /// In the order of [`MARKS`].
    pub(super) marks: [u64; 6],
}

impl Column {
    fn add(&mut self, other: &Column) {
        self.records += other.records;
        self.bytes += other.bytes;
        for (sum, more) in self.dropped.iter_mut().zip(other.dropped) {
            *sum = sum.saturating_add(more);
        }
        for (sum, more) in self.marks.iter_mut().zip(other.marks) {
            *sum = sum.saturating_add(more);
        }
    }
}

/// The columns, by the number of their widths since 1970.
#[derive(Debug)]
pub(super) struct Columns {
    width: i128,
    columns: BTreeMap<i128, Column>,
}

impl Default for Columns {
    fn default() -> Columns {
        Columns { width: WIDTHS[0], columns: BTreeMap::new() }
    }
}

impl Columns {
    /// The width of a column, in nanoseconds.
    pub(super) fn width(&self) -> i128 {
        self.width
    }

    /// The time of the first column, in nanoseconds since 1970, and all columns from the first to the last one, empty ones
    /// between them included.
    pub(super) fn all(&self) -> (i128, Vec<Column>) {
        let first = self.columns.keys().next().copied().unwrap_or_default();
        let last = self.columns.keys().next_back().copied().unwrap_or(first - 1);
        let column = |index| self.columns.get(&index).copied().unwrap_or_default();
        (first * self.width, (first..=last).map(column).collect())
    }

    /// Adds records that were logged from `begin` to `end`.
    pub(super) fn add_records(&mut self, begin: i64, end: i64, records: u64, bytes: u64) {
        let (begin, end) = (i128::from(begin.min(end)), i128::from(end));
        self.cover(begin);
        self.cover(end);
        let (first, last) = (begin.div_euclid(self.width), end.div_euclid(self.width));
        let all = (end - begin) as f64;
        for index in first..=last {
            let from = begin.max(index * self.width);
            let to = end.min((index + 1) * self.width);
            let share = if all > 0.0 { (to - from) as f64 / all } else { 1.0 };
            let column = self.columns.entry(index).or_default();
            column.records += records as f64 * share;
            column.bytes += bytes as f64 * share;
        }
    }

    pub(super) fn add_dropped(&mut self, time: i64, dropped: &Dropped) {
        if dropped.total() > 0 {
            let dropped = by_reason(dropped);
            self.at(time).add(&Column { dropped, ..Column::default() });
        }
    }

    pub(super) fn mark(&mut self, time: i64, mark: Mark, count: u64) {
        if let Some(place) = MARKS.iter().position(|(known, _)| *known == mark) {
            let marks = &mut self.at(time).marks;
            marks[place] = marks[place].saturating_add(count);
        }
    }

    /// Adds all columns of others.
    pub(super) fn add_all(&mut self, mut others: Columns) {
        while self.width < others.width {
            self.widen();
        }
        while others.width < self.width {
            others.widen();
        }
        for (index, column) in others.columns {
            let time = index * others.width;
            self.cover(time);
            self.columns.entry(time.div_euclid(self.width)).or_default().add(&column);
        }
    }

    fn at(&mut self, time: i64) -> &mut Column {
        self.cover(time.into());
        self.columns.entry(i128::from(time).div_euclid(self.width)).or_default()
    }

    /// Makes the columns so wide that one at `time` is not too many.
    fn cover(&mut self, time: i128) {
        while let (Some(first), Some(last)) =
            (self.columns.keys().next(), self.columns.keys().next_back())
        {
            let index = time.div_euclid(self.width);
            if index.max(*last) - index.min(*first) < MOST {
                break;
            }
            self.widen();
        }
        self.columns.entry(time.div_euclid(self.width)).or_default();
    }

    fn widen(&mut self) {
        let wider = WIDTHS.iter().copied().find(|width| *width > self.width);
        let wider = wider.unwrap_or(2 * self.width);
        let factor = wider / self.width;
        for (index, column) in std::mem::take(&mut self.columns) {
            self.columns.entry(index.div_euclid(factor)).or_default().add(&column);
        }
        self.width = wider;
    }
}

/// The drops in the order of [`REASONS`].
pub(super) fn by_reason(dropped: &Dropped) -> [u64; 5] {
    let Dropped { full, busy, too_large, empty, closed, .. } = *dropped;
    [full, busy, too_large, empty, closed]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_width_is_a_multiple_of_the_one_before() {
        assert!(WIDTHS.windows(2).all(|pair| pair[1] % pair[0] == 0));
    }

    #[test]
    fn nothing_is_lost_when_columns_become_wider() {
        let mut columns = Columns::default();
        let second = SECOND as i64;
        for n in 0..10_000 {
            columns.add_records(n * second, n * second + 3 * second / 2, 7, 700);
            columns.mark(n * second, Mark::Rotation, 1);
        }
        let (begin, all) = columns.all();
        assert_eq!((begin, columns.width()), (0, 60 * SECOND));
        assert_eq!(all.len(), 167);
        let sum: f64 = all.iter().map(|column| column.records).sum();
        assert!((sum - 70_000.0).abs() < 0.01, "{sum}");
        assert_eq!(all.iter().map(|column| column.marks[3]).sum::<u64>(), 10_000);
    }

    #[test]
    fn any_times_fit() {
        let mut columns = Columns::default();
        columns.add_records(i64::MIN, i64::MAX, 1, 1);
        columns.add_records(i64::MAX, i64::MIN, 1, 1);
        columns.add_records(0, 0, 1, 1);
        let (_, all) = columns.all();
        assert!(all.len() <= MOST as usize, "{}", all.len());
        let sum: f64 = all.iter().map(|column| column.records).sum();
        assert!((sum - 3.0).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn no_times_are_no_columns() {
        assert_eq!(Columns::default().all().1, []);
    }
}
