//! The time of a record between the buffer that its caller wrote it to and the block of its event.

use crate::format::{Scale, column::TIME_LEN};

/// The most nanoseconds by which two readings of the clocks can contradict each other. A thread can be stopped within a
/// reading, and a clock can be slewed.
pub(in crate::write) const MOST_ERROR: i64 = 1_000_000;

/// A unit of a grid is two to this power nanoseconds: 64.
const SHIFT: u32 = 6;
/// The units between the base of a grid and the first time: some 17 seconds. The buffers of other shards can have older
/// records.
const EARLY: i64 = 1 << 28;

/// The time of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::write) struct When {
    /// By the wall clock, in nanoseconds since the epoch.
    wall: i64,
    /// The nanoseconds by which the wall clock was ahead of the clock that is never set, when the record's buffer began.
    ahead: i64,
}

impl When {
    /// The time of an entry of a buffer's column.
    #[inline]
    pub(in crate::write) fn of(scale: &Scale, entry: u32) -> When {
        let ahead = scale.base.wrapping_sub(scale.clock.cast_signed());
        When { wall: scale.time(entry), ahead }
    }

    /// By the wall clock, in nanoseconds since the epoch.
    pub(in crate::write) fn wall(&self) -> i64 {
        self.wall
    }
}

/// The times that the column of an event's block can have: multiples of a unit, so that a time has the same place in each
/// grid. Then the times of a thread do not go back from one block to the next.
///
/// The records of a block come from buffers of several shards, each with a scale of its own. So a block cannot take over
/// their entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::write) struct Grid {
    /// A multiple of the unit.
    base: i64,
    ahead: i64,
}

impl Grid {
    /// Bytes of an entry.
    pub(in crate::write) const ENTRY: usize = TIME_LEN;

    /// A grid for this time, and for those around it.
    pub(in crate::write) fn around(first: When) -> Grid {
        // The clock that is never set is not negative.
        let steady = first.wall.saturating_sub(first.ahead) >> SHIFT;
        let early = EARLY.min(steady - 1).max(0);
        let base = (first.wall >> SHIFT).saturating_sub(early).saturating_mul(1 << SHIFT);
        Grid { base, ahead: first.ahead }
    }

    /// The entry for a time. `None` if the grid does not reach that far, or if a clock was set in between.
    #[inline]
    pub(in crate::write) fn entry(&self, when: When) -> Option<u32> {
        if when.ahead.abs_diff(self.ahead) > MOST_ERROR.cast_unsigned() {
            return None;
        }
        u32::try_from((when.wall >> SHIFT) - (self.base >> SHIFT)).ok()
    }

    /// The scale of a column with such entries. The clock that is never set stands for the counter.
    pub(in crate::write) fn scale(&self) -> Scale {
        let clock = self.base.saturating_sub(self.ahead).max(0).cast_unsigned();
        let unit = 1 << (32 + SHIFT);
        Scale { base: self.base, clock, counter: clock, unit, last: 0, shift: SHIFT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000_000;

    fn when(wall: i64) -> When {
        When { wall, ahead: NOW - 5_000_000_000_000 }
    }

    #[test]
    fn a_time_has_the_same_place_in_each_grid() {
        for first in [NOW, NOW + 1, NOW + 63, NOW + 64, NOW + 5_000_000_001] {
            let grid = Grid::around(when(first));
            for wall in [NOW - 63, NOW - 1, NOW, NOW + 7, NOW + 63, NOW + 64, first, NOW * 2] {
                let Some(entry) = grid.entry(when(wall)) else {
                    assert_eq!(wall, NOW * 2, "out of reach");
                    continue;
                };
                let time = grid.scale().time(entry);
                assert_eq!(time, wall >> SHIFT << SHIFT, "{first} {wall}");
            }
        }
    }

    #[test]
    fn a_grid_reaches_back_and_ahead() {
        let grid = Grid::around(when(NOW));
        let second = 1_000_000_000;
        let has = |seconds: i64| grid.entry(when(NOW + seconds * second)).is_some();
        assert_eq!([-18, -17, 0, 257, 258].map(has), [false, true, true, true, false]);
    }

    #[test]
    fn a_clock_that_is_set_needs_another_grid() {
        let grid = Grid::around(when(NOW));
        let set_by = |by: i64| When { wall: NOW + by, ahead: when(NOW).ahead + by };
        let has = |by: i64| grid.entry(set_by(by)).is_some();
        let most = MOST_ERROR;
        assert_eq!(
            [-most - 1, -most, 0, most, most + 1].map(has),
            [false, true, true, true, false]
        );
    }

    #[test]
    fn a_scale_names_the_moment_by_both_clocks() {
        let scale = Grid::around(when(NOW)).scale();
        let early = EARLY << SHIFT;
        assert_eq!((scale.base, scale.shift), (NOW - early, 6));
        assert_eq!([scale.clock, scale.counter], [(5_000_000_000_000 - early) as u64; 2]);
        // Soon after the start of the machine.
        let young = When { wall: NOW, ahead: NOW - 640 };
        let scale = Grid::around(young).scale();
        assert_eq!((scale.base, scale.clock), (NOW - 576, 64));
    }

    #[test]
    fn times_that_no_clock_has_are_no_harm() {
        for wall in [i64::MIN, i64::MAX, 0] {
            for ahead in [i64::MIN, i64::MAX, 0] {
                let grid = Grid::around(When { wall, ahead });
                assert!(grid.entry(When { wall, ahead }).is_some() || wall == i64::MIN);
                let _ = (grid.scale(), grid.entry(When { wall: !wall, ahead: !ahead }));
            }
        }
        let scale = Scale { base: i64::MIN, clock: u64::MAX, ..Scale::default() };
        assert_eq!(When::of(&scale, 7).wall(), i64::MIN);
    }
}
