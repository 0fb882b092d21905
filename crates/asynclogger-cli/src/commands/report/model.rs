//! What a report shows, before it is a page. Its size does not depend on the size of the logs.

use std::{collections::VecDeque, path::PathBuf, time::SystemTime};

use asynclogger::Dropped;

use super::eras::Eras;
use crate::figures::{LossJson, add_dropped};

/// The most rows of a table.
const MOST_ROWS: usize = 500;

#[derive(Default)]
pub(super) struct Model {
    pub(super) paths: Vec<PathBuf>,
    pub(super) sums: Sums,
    pub(super) columns: Eras,
    pub(super) logs: Rows<LogRow>,
    pub(super) segments: Rows<SegmentRow>,
    pub(super) sessions: Rows<SessionRow>,
    pub(super) damage: Rows<DamageRow>,
    /// What could not be read.
    pub(super) unread: Rows<String>,
    /// Records without times: of files of the original.
    pub(super) timeless: u64,
}

/// The figures of a log, of a segment, or of all logs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) stored: u64,
    pub(super) dropped: Dropped,
    pub(super) salvaged: u64,
    pub(super) lost: LossJson,
    pub(super) damage: u64,
    pub(super) segments: u64,
    pub(super) missing: u64,
    pub(super) sessions: u64,
    pub(super) died: u64,
    pub(super) times: Times,
}

/// The first and the last time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times(pub(super) Option<(SystemTime, SystemTime)>);

impl Times {
    pub(super) fn add(&mut self, time: SystemTime) {
        let (first, last) = self.0.unwrap_or((time, time));
        self.0 = Some((first.min(time), last.max(time)));
    }

    pub(super) fn add_all(&mut self, other: &Times) {
        [other.first(), other.last()].into_iter().flatten().for_each(|time| self.add(time));
    }

    pub(super) fn first(&self) -> Option<SystemTime> {
        self.0.map(|(first, _)| first)
    }

    pub(super) fn last(&self) -> Option<SystemTime> {
        self.0.map(|(_, last)| last)
    }
}

impl Sums {
    pub(super) fn add(&mut self, other: &Sums) {
        self.records = self.records.saturating_add(other.records);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.stored = self.stored.saturating_add(other.stored);
        add_dropped(&mut self.dropped, other.dropped);
        self.salvaged = self.salvaged.saturating_add(other.salvaged);
        self.lost.add(other.lost);
        self.damage += other.damage;
        self.segments += other.segments;
        self.missing = self.missing.saturating_add(other.missing);
        self.sessions += other.sessions;
        self.died += other.died;
        self.times.add_all(&other.times);
    }
}

/// What `now` has more than `before`, and nothing less than 0.
pub(super) fn more_dropped(now: &Dropped, before: &Dropped) -> Dropped {
    let mut more = *now;
    let pairs = [
        (&mut more.full, before.full),
        (&mut more.busy, before.busy),
        (&mut more.too_large, before.too_large),
        (&mut more.empty, before.empty),
        (&mut more.closed, before.closed),
    ];
    pairs.into_iter().for_each(|(more, before)| *more = more.saturating_sub(before));
    more
}

/// A log; with a manager, the log of an event.
pub(super) struct LogRow {
    pub(super) name: Vec<u8>,
    pub(super) path: PathBuf,
    pub(super) sums: Sums,
}

pub(super) struct SegmentRow {
    pub(super) path: PathBuf,
    pub(super) number: u64,
    pub(super) sums: Sums,
    /// How the file ends.
    pub(super) ending: String,
}

pub(super) struct SessionRow {
    pub(super) log: Vec<u8>,
    pub(super) id: u64,
    pub(super) sums: Sums,
    pub(super) state: String,
}

pub(super) struct DamageRow {
    pub(super) path: PathBuf,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) kind: String,
    pub(super) lost: LossJson,
}

/// The last rows of a table, and the number of those before.
pub(super) struct Rows<T> {
    pub(super) rows: VecDeque<T>,
    pub(super) left_out: u64,
}

impl<T> Default for Rows<T> {
    fn default() -> Rows<T> {
        Rows { rows: VecDeque::new(), left_out: 0 }
    }
}

impl<T> Rows<T> {
    pub(super) fn push(&mut self, row: T) {
        if self.rows.len() == MOST_ROWS {
            self.rows.pop_front();
            self.left_out += 1;
        }
        self.rows.push_back(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rows_stay_and_the_others_are_counted() {
        let mut rows = Rows::default();
        (0..MOST_ROWS + 3).for_each(|n| rows.push(n));
        assert_eq!((rows.rows.len(), rows.rows[0], rows.left_out), (MOST_ROWS, 3, 3));
    }
}
