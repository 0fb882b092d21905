//! The times of the records in a shard's active buffer: one entry of the block's column for each record.

use crate::{
    format::{
        Scale,
        column::{BYTES_A_TIME, times_upto},
    },
    mem::{Counter, Moment},
    write::common::MOST_ERROR,
};

/// A unit of the column is two to this power counts of the counter: 128, some fifty nanoseconds.
pub(super) const SHIFT: u32 = 7;
/// The greatest entry: some 100 seconds. An older buffer is sealed. (With one bit more the comparison is longer.)
const MOST: i64 = i32::MAX as i64;

/// What is known of the times of records when a function is compiled: then it is no question in the function.
pub(in crate::write) type Source = u8;
/// Records have no times.
pub(in crate::write) const NOTHING: Source = 0;
/// They are taken from [`Counter::Stamps`].
pub(in crate::write) const STAMPS: Source = 1;
/// The pool knows.
pub(super) const ANY: Source = 2;

/// The times of a shard's active buffer. Only the holder of the claim uses them.
#[derive(Debug)]
pub(super) struct Times {
    /// The counter's value at entry 0.
    base: u64,
    /// The greatest entry so far.
    last: i64,
    /// The number of the first record of the buffer, and of the first one for which the column has no room.
    first: u64,
    end: u64,
}

impl Times {
    /// No times: for a shard without them, and for one without a buffer.
    pub(super) const NONE: Times = Times { base: 0, last: 0, first: 0, end: 0 };

    /// The entry for a record of this moment. `None` if the buffer is too old.
    #[inline(always)]
    pub(super) fn entry(&mut self, counter: Counter) -> Option<u32> {
        // Two processors can differ by some counts, and a processor can read the counter early. A time that would be
        // before the last one is the last one.
        let entry = (counter.now().wrapping_sub(self.base).cast_signed() >> SHIFT).max(self.last);
        if entry > MOST {
            return None;
        }
        self.last = entry;
        Some(entry as u32)
    }

    /// The place in the column of the entry of a record, by its number; and whether this is the last place.
    #[inline(always)]
    pub(super) fn place(&self, number: u64) -> (usize, bool) {
        ((number - self.first) as usize, number + 1 == self.end)
    }

    /// Begins the column of a new buffer. `number` is that of its first record.
    pub(super) fn begin(&mut self, moment: &Moment, number: u64) {
        // No time is before the last one of the buffer before.
        let reached = self.base.wrapping_add(self.last.cast_unsigned() << SHIFT);
        let ahead = reached.wrapping_sub(moment.counter).cast_signed().max(0);
        let last = ahead.cast_unsigned().div_ceil(1 << SHIFT).cast_signed();
        *self = Times { base: moment.counter, last, first: number, end: number };
    }

    /// Bytes of header and records of a buffer whose column has room for the record with this number.
    pub(super) fn least_limit(&self, number: u64) -> usize {
        ((number - self.first) as usize + 1) * BYTES_A_TIME
    }

    /// Sets how much room the buffer has: bytes of header and records. Returns whether the column has room for the record
    /// with this number.
    pub(super) fn set_limit(&mut self, limit: usize, number: u64) -> bool {
        self.end = self.first + times_upto(limit) as u64;
        number < self.end
    }
}

/// The scale of a column that has begun, and is not sealed yet.
pub(super) fn begun(moment: &Moment) -> Scale {
    let Moment { wall, clock, counter } = *moment;
    Scale { base: wall, clock, counter, unit: 0, last: 0, shift: SHIFT }
}

/// A scale, moved so that its times are not before `reached`, the last one of the shard's buffer before. The wall clock is
/// read once for each buffer, and each reading has an error. A clock that was set back is no such error.
pub(super) fn not_before(scale: Scale, reached: i64) -> Scale {
    let is_error = scale.base < reached && reached.saturating_sub(scale.base) <= MOST_ERROR;
    Scale { base: if is_error { reached } else { scale.base }, ..scale }
}

/// The scale of a column that [has begun](begun), and was sealed before this moment. Its unit is not 0.
pub(super) fn scale(began: &Scale, now: &Moment) -> Scale {
    let nanoseconds = u128::from(now.clock.saturating_sub(began.clock));
    let counts = u128::from(now.counter.saturating_sub(began.counter)).max(1);
    let unit = (nanoseconds << (32 + SHIFT)) / counts;
    let unit = u64::try_from(unit).unwrap_or(u64::MAX).clamp(1, Scale::MAX_UNIT - 1);
    Scale { unit, last: 0, shift: SHIFT, ..*began }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use super::*;

    fn times(base: u64) -> Times {
        let mut times = Times::NONE;
        times.begin(&Moment { counter: base, ..Moment::default() }, 10);
        assert!(times.set_limit(64 << 10, 10));
        times
    }

    #[test]
    fn a_time_never_goes_back() {
        let mut times = times(Counter::Clock.now());
        let entries: Vec<_> =
            (0..1000).map(|_| times.entry(Counter::Clock).expect("young")).collect();
        assert!(entries.is_sorted());
        // The counter of another processor is behind, or the next buffer's base is.
        let last = times.last;
        times.base += 1 << 40;
        assert_eq!(times.entry(Counter::Clock), Some(last as u32));
        let reached = times.base + (last.cast_unsigned() << SHIFT);
        let mut begin = |counter| {
            times.begin(&Moment { counter, ..Moment::default() }, 1001);
            times.last
        };
        assert_eq!(begin(reached - 200), 2, "200 counts are two units at most");
        assert_eq!(begin(reached + (2 << SHIFT)), 0);
    }

    #[test]
    fn an_old_buffer_takes_no_time() {
        let age = |counts: u64| times(Counter::Clock.now() - counts).entry(Counter::Clock);
        assert!(age(1 << 37).is_some());
        assert_eq!(age(1 << 38), None);
    }

    #[test]
    fn a_column_has_an_end() {
        let mut times = times(0);
        let end = 10 + times_upto(64 << 10) as u64;
        assert_eq!(
            (times.place(10), times.place(end - 1)),
            ((0, false), (end as usize - 11, true))
        );
        assert!(times.set_limit(64 << 10, end - 1) && !times.set_limit(64 << 10, end));
        assert_eq!((times.least_limit(10), times.least_limit(end)), (32, (64 << 10) + 32));
        assert!(times.set_limit((64 << 10) + 32, end), "the buffer has grown");
    }

    #[test]
    fn a_scale_is_the_line_through_two_moments() {
        let moment = Moment { wall: 1_000, clock: 5_000, counter: 7_000 };
        let began = begun(&moment);
        // 2.5 counts a nanosecond.
        let now = Moment { wall: -9, clock: 5_000 + 1_000_000, counter: 7_000 + 2_500_000 };
        let scale = scale(&began, &now);
        assert_eq!((scale.base, scale.clock, scale.counter), (1_000, 5_000, 7_000));
        // 19,531 units of 51.2 nanoseconds.
        assert_eq!(scale.time(2_500_000 >> SHIFT), 1_000 + 999_987);
        let none = super::scale(&began, &moment);
        assert_eq!((none.unit, none.time(3)), (1, 1_000));
    }

    /// Two readings of the wall clock can contradict each other a little. A clock that is set does so by more, and is
    /// followed, back as well as ahead.
    #[test]
    fn a_shard_goes_back_only_with_the_clock() {
        const HOUR: i64 = 3_600_000_000_000;
        let begin =
            |base: i64, reached: i64| not_before(Scale { base, ..Scale::default() }, reached).base;
        assert_eq!(begin(i64::MIN, i64::MIN), i64::MIN, "the first block");
        let reached = HOUR + 500;
        for (base, moved) in [
            (reached, reached),
            (reached - 1, reached),
            (reached - MOST_ERROR, reached),
            (reached - MOST_ERROR - 1, reached - MOST_ERROR - 1),
            (0, 0),
            (2 * HOUR, 2 * HOUR),
        ] {
            assert_eq!(begin(base, reached), moved);
        }
    }

    /// 2.5 counts a nanosecond, and so many nanoseconds of the clock that is never set, and of the wall clock.
    fn later(moment: &Moment, counts: u64, steady: u64, wall: i64) -> Moment {
        let Moment { wall: before, clock, counter } = *moment;
        Moment { wall: before + wall, clock: clock + steady, counter: counter + counts }
    }

    /// A leap second that is smeared over a day slows both clocks by 11.6 ppm, and not the counter.
    #[test]
    fn a_smeared_leap_second_shows_nowhere() {
        const TEN_SECONDS: u64 = 10_000_000_000;
        let slow = |nanoseconds: u64| nanoseconds - nanoseconds * 116 / 10_000_000;
        let counts = |nanoseconds: u64| nanoseconds * 5 / 2;
        let mut moment = Moment { wall: 1_000, clock: 5_000, counter: 7_000 };
        let mut reached = i64::MIN;
        // The smear begins within the second buffer, and ends within the fourth.
        for [usual, smeared] in [[10, 0], [5, 5], [0, 10], [5, 5], [10, 0]] {
            let steady = usual * TEN_SECONDS / 10 + slow(smeared * TEN_SECONDS / 10);
            let end = later(&moment, counts(TEN_SECONDS), steady, steady.cast_signed());
            let scale = scale(&begun(&moment), &end);
            assert!(scale.base >= reached, "a block that goes back would be moved");
            let last = scale.time((counts(TEN_SECONDS) >> SHIFT) as u32);
            assert!((end.wall - 100..=end.wall).contains(&last), "{last} {}", end.wall);
            // In the middle of a buffer within which the rate changes: 5 s by 11.6 ppm, halved.
            let middle = scale.time((counts(TEN_SECONDS / 2) >> SHIFT) as u32);
            let wall = moment.wall + usual.min(5).cast_signed() * 1_000_000_000;
            let wall = wall + slow((5 - usual.min(5)) * 1_000_000_000).cast_signed();
            assert!(middle.abs_diff(wall) < 30_000, "{middle} {wall}");
            (moment, reached) = (end, last);
        }
    }

    /// While the machine sleeps, the wall clock goes on alone. The records of the buffer that began before are early by the
    /// sleep, also those logged later; the next buffer has the right time.
    #[test]
    fn a_sleep_of_the_machine_shows_in_the_next_buffer() {
        const HOUR: i64 = 3_600_000_000_000;
        let begin = Moment { wall: 1_000, clock: 5_000, counter: 7_000 };
        // A second, an hour of sleep, and a second.
        let end = later(&begin, 5_000_000_000, 2_000_000_000, 2_000_000_000 + HOUR);
        let scale = scale(&begun(&begin), &end);
        let last = scale.time((5_000_000_000_u64 >> SHIFT) as u32);
        assert!((end.wall - HOUR - 100..=end.wall - HOUR).contains(&last), "{last}");
        let after = later(&end, 2_500_000_000, 1_000_000_000, 1_000_000_000);
        let next = super::scale(&begun(&end), &after);
        assert_eq!((next.base, next.time(0)), (end.wall, end.wall));
    }
}
