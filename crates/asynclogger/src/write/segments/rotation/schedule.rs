//! Decides when a segment is over. Pure: the caller passes the time and the length of the file.
//!
//! Sizes are counted in bytes, ages by the monotonic clock, boundaries by the wall clock. The wall clock can be set at
//! any time, so the only conclusion drawn from it is "the next boundary is past"; see `boundary_passed`.

use std::time::{Duration, Instant};

use super::calendar::{Calendar, Zone};
use crate::Rotation;

/// The longest sleep to a boundary: the wall clock can be set meanwhile, and the system does not report that.
const LOOK: Duration = Duration::from_secs(60);

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Nanoseconds since the epoch.
    pub(crate) wall: i64,
    pub(crate) monotonic: Instant,
}

/// The reason why a segment is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// The next block would make the segment too long.
    Size,
    /// The segment has reached its greatest age.
    Age,
    /// A boundary of the wall clock is past.
    Boundary,
}

/// The triggers of one log, and the data on its active segment that they need.
#[derive(Debug)]
pub(crate) struct Schedule {
    max_size: Option<u64>,
    max_age: Option<Duration>,
    calendar: Option<Calendar>,
    /// The wall time at the last look.
    seen: i64,
    /// The latest wall time ever seen: boundaries up to this time are past.
    latest: i64,
    /// `None` while the segment has no records: such a segment is never over.
    filled: Option<Filled>,
}

/// A segment with records.
#[derive(Clone, Copy, Debug)]
struct Filled {
    /// The time at which this process learned of the segment's records.
    since: Instant,
    /// The segment's age at that time.
    before: Duration,
    /// The next boundary, in nanoseconds since the epoch.
    boundary: i64,
}

impl Filled {
    fn age(&self, now: Now) -> Duration {
        self.before.saturating_add(now.monotonic.saturating_duration_since(self.since))
    }
}

impl Schedule {
    /// The schedule of a log, before its first segment. `zone` is [`Zone::of`] the same rotation.
    pub(crate) fn new(rotation: &Rotation, zone: Zone) -> Schedule {
        Schedule {
            max_size: rotation.max_size,
            max_age: rotation.max_age,
            calendar: rotation.boundary.map(|boundary| Calendar::new(boundary, zone)),
            seen: i64::MIN,
            latest: i64::MIN,
            filled: None,
        }
    }

    /// Makes a segment the active one. `first` is the wall time of the first record of a file that is continued: its
    /// age continues, and the segment is over if a boundary lies between then and now.
    ///
    /// (Only this age is taken from the wall clock: no other clock continues from process to process.)
    pub(crate) fn begin(&mut self, first: Option<i64>, now: Now) {
        // A time in the future comes from a clock that was wrong.
        let first = first.map(|first| first.min(now.wall));
        self.filled = first.map(|first| Filled {
            since: now.monotonic,
            before: Duration::from_nanos(now.wall.abs_diff(first)),
            boundary: self.next_after(first),
        });
        self.latest = self.latest.max(first.unwrap_or(now.wall));
        self.seen = now.wall;
    }

    /// Reports that a block with records was written to the active segment.
    pub(crate) fn written(&mut self, now: Now) {
        if self.filled.is_none() {
            let boundary = self.next_after(now.wall);
            let filled = Filled { since: now.monotonic, before: Duration::ZERO, boundary };
            self.filled = Some(filled);
            self.look(now);
        }
    }

    /// Whether the active segment of `size` bytes is over, before `next` more bytes are written: the next block and the
    /// end of the file, or 0 if there is no block. The answer stays the same until the next segment begins.
    pub(crate) fn due(&mut self, size: u64, next: u64, now: Now) -> Option<Trigger> {
        let filled = self.filled?;
        if self.max_size.is_some_and(|max| size.saturating_add(next) > max) {
            return Some(Trigger::Size);
        }
        if self.max_age.is_some_and(|max| filled.age(now) >= max) {
            return Some(Trigger::Age);
        }
        if self.boundary_passed(filled, now) {
            return Some(Trigger::Boundary);
        }
        self.look(now);
        None
    }

    /// The time at which [`due`](Schedule::due), asked just now, has to be asked again although no block comes; `None`
    /// while the segment has no records, or if only its size counts.
    pub(crate) fn wake_at(&self, now: Now) -> Option<Instant> {
        let filled = self.filled?;
        let age = self.max_age.map(|max| max.saturating_sub(filled.age(now)));
        let boundary = self.calendar.as_ref().map(|_| {
            let left = filled.boundary.saturating_sub(now.wall).max(0);
            Duration::from_nanos(left.unsigned_abs()).min(LOOK)
        });
        let left = age.into_iter().chain(boundary).min()?;
        now.monotonic.checked_add(left)
    }

    /// Whether the clock has passed a boundary at which the segment is over.
    ///
    /// A clock that was set back comes to boundaries again that it has passed before. After a correction by seconds
    /// these boundaries must not count twice; after a correction by a day they are the right ones. The age of the
    /// segment decides, by the clock that cannot be set: at a repeated boundary a segment is over if it is at least
    /// half an interval old. However the clock jumps, no other rotations occur than these, and one for each jump over a
    /// boundary that was never passed before.
    fn boundary_passed(&mut self, filled: Filled, now: Now) -> bool {
        let Some(calendar) = &self.calendar else {
            return false;
        };
        let mut boundary = filled.boundary;
        if now.wall < self.seen {
            boundary = calendar.next_after(now.wall);
        }
        if boundary <= now.wall {
            let half = Duration::from_secs(calendar.interval()) / 2;
            if calendar.next_after(self.latest) <= now.wall || filled.age(now) >= half {
                return true;
            }
            boundary = calendar.next_after(now.wall);
        }
        self.filled = Some(Filled { boundary, ..filled });
        false
    }

    /// Remembers the wall time. Not called while the segment is over: its boundary would look like a repeated one at
    /// the next look.
    fn look(&mut self, now: Now) {
        self.seen = now.wall;
        self.latest = self.latest.max(now.wall);
    }

    fn next_after(&self, wall: i64) -> i64 {
        self.calendar.as_ref().map_or(i64::MAX, |calendar| calendar.next_after(wall))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Boundary;

    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3600 * SECOND;
    const DAY: i64 = 24 * HOUR;
    /// A midnight.
    const MIDNIGHT: i64 = 20_000 * DAY;

    /// Both clocks, controlled by the test.
    #[derive(Clone, Copy)]
    struct Clock {
        start: Instant,
        ran: Duration,
        wall: i64,
    }

    impl Clock {
        fn at(wall: i64) -> Clock {
            Clock { start: Instant::now(), ran: Duration::ZERO, wall }
        }

        fn now(&self) -> Now {
            Now { wall: self.wall, monotonic: self.start + self.ran }
        }

        /// Time passes.
        fn run(&mut self, nanos: i64) -> Now {
            self.ran += Duration::from_nanos(nanos.unsigned_abs());
            self.wall += nanos;
            self.now()
        }

        /// Somebody sets the wall clock.
        fn set(&mut self, wall: i64) -> Now {
            self.wall = wall;
            self.now()
        }
    }

    /// A schedule with a new segment that has records.
    fn filled(rotation: &Rotation, now: Now) -> Schedule {
        let mut schedule = Schedule::new(rotation, Zone::Utc);
        schedule.begin(None, now);
        schedule.written(now);
        schedule
    }

    /// Asks the schedule, and begins a new segment if one is due.
    fn rotates(schedule: &mut Schedule, now: Now) -> bool {
        let due = schedule.due(0, 0, now);
        if due.is_some() {
            assert_eq!(schedule.due(0, 0, now), due, "remains so");
            assert_eq!(schedule.wake_at(now), Some(now.monotonic));
            schedule.begin(None, now);
            assert_eq!(schedule.due(u64::MAX, 1, now), None, "no records");
            assert_eq!(schedule.wake_at(now), None);
            schedule.written(now);
            assert_eq!(schedule.due(0, 0, now), None);
        }
        due.is_some()
    }

    fn every(boundary: Boundary) -> Rotation {
        Rotation::new().every(boundary)
    }

    #[test]
    fn without_triggers_nothing_is_ever_due() {
        let mut clock = Clock::at(MIDNIGHT);
        let mut schedule = filled(&Rotation::new(), clock.now());
        let now = clock.run(10_000 * DAY);
        assert_eq!(schedule.due(u64::MAX, u64::MAX, now), None);
        assert_eq!(schedule.wake_at(now), None);
    }

    #[test]
    fn a_file_is_not_longer_than_its_limit() {
        let now = Clock::at(MIDNIGHT).now();
        let mut schedule = filled(&Rotation::new().max_size(1000), now);
        assert_eq!(schedule.due(400, 600, now), None);
        assert_eq!(schedule.due(400, 601, now), Some(Trigger::Size));
        assert_eq!(schedule.due(1000, 0, now), None);
        assert_eq!(schedule.due(1, u64::MAX, now), Some(Trigger::Size));
        assert_eq!(schedule.wake_at(now), None, "a size does not change by itself");
    }

    #[test]
    fn without_records_no_trigger_counts() {
        let all = every(Boundary::Hourly).max_size(1).max_age(Duration::from_secs(1));
        let mut clock = Clock::at(MIDNIGHT - 1);
        let mut schedule = Schedule::new(&all, Zone::Utc);
        schedule.begin(None, clock.now());
        for _ in 0..100 {
            let now = clock.run(HOUR);
            assert_eq!((schedule.due(u64::MAX, 1, now), schedule.wake_at(now)), (None, None));
        }
    }

    #[test]
    fn age_begins_with_the_first_record_and_ignores_the_wall_clock() {
        let mut clock = Clock::at(MIDNIGHT);
        let mut schedule = Schedule::new(&Rotation::new().max_age(minutes(10)), Zone::Utc);
        schedule.begin(None, clock.now());
        schedule.written(clock.run(DAY));
        let first = clock.now().monotonic;
        schedule.written(clock.run(60 * SECOND));
        for wall in [0, MIDNIGHT, 2 * MIDNIGHT] {
            let now = clock.set(wall);
            assert_eq!(schedule.due(0, 0, now), None);
            assert_eq!(schedule.wake_at(now), Some(first + minutes(10)));
        }
        assert_eq!(schedule.due(0, 0, clock.run(539 * SECOND)), None);
        assert_eq!(schedule.due(0, 0, clock.run(SECOND)), Some(Trigger::Age));
    }

    fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    #[test]
    fn a_continued_file_is_as_old_as_its_first_record() {
        let mut clock = Clock::at(MIDNIGHT + HOUR);
        let rotation = every(Boundary::Daily).max_age(minutes(90));
        // A segment of today that is an hour old.
        let mut schedule = Schedule::new(&rotation, Zone::Utc);
        schedule.begin(Some(MIDNIGHT), clock.now());
        assert_eq!(schedule.due(0, 0, clock.now()), None);
        schedule.written(clock.run(SECOND));
        assert_eq!(schedule.due(0, 0, clock.run(HOUR / 2)), Some(Trigger::Age));
        // A young segment of yesterday.
        let mut schedule = Schedule::new(&rotation, Zone::Utc);
        let mut clock = Clock::at(MIDNIGHT + 60 * SECOND);
        schedule.begin(Some(MIDNIGHT - 60 * SECOND), clock.now());
        assert_eq!(schedule.due(0, 0, clock.now()), Some(Trigger::Boundary));
        // A segment of tomorrow: the clock was wrong, and may still be. No trigger fires without a reason.
        let mut schedule = Schedule::new(&rotation, Zone::Utc);
        schedule.begin(Some(MIDNIGHT + 10 * DAY), clock.now());
        assert_eq!(schedule.due(0, 0, clock.run(HOUR)), None);
        assert_eq!(schedule.due(0, 0, clock.run(HOUR / 2)), Some(Trigger::Age));
    }

    #[test]
    fn a_machine_that_wakes_up_in_1970_rotates_when_it_learns_the_time() {
        let mut clock = Clock::at(5 * SECOND);
        let mut schedule = Schedule::new(&every(Boundary::Daily), Zone::Utc);
        schedule.begin(Some(MIDNIGHT - HOUR), clock.now());
        assert!(!rotates(&mut schedule, clock.run(SECOND)));
        assert!(rotates(&mut schedule, clock.set(MIDNIGHT + HOUR)));
        assert!(!rotates(&mut schedule, clock.run(SECOND)));
    }

    #[test]
    fn a_jump_over_many_boundaries_is_one_rotation() {
        let mut clock = Clock::at(MIDNIGHT + 1);
        let mut schedule = filled(&every(Boundary::Hourly), clock.now());
        assert!(!rotates(&mut schedule, clock.run(HOUR - 2)));
        assert!(rotates(&mut schedule, clock.set(MIDNIGHT + 100 * DAY)));
        let rotations = (0..3600).filter(|_| rotates(&mut schedule, clock.run(SECOND))).count();
        assert_eq!(rotations, 1, "the next hour");
    }

    #[test]
    fn a_correction_passes_no_boundary_twice() {
        for boundary in [Boundary::Hourly, Boundary::Daily] {
            let mut clock = Clock::at(MIDNIGHT - SECOND);
            let mut schedule = filled(&every(boundary), clock.now());
            assert!(rotates(&mut schedule, clock.run(2 * SECOND)));
            for _ in 0..100 {
                assert!(!rotates(&mut schedule, clock.set(MIDNIGHT - SECOND)));
                assert!(!rotates(&mut schedule, clock.run(2 * SECOND)));
            }
        }
    }

    #[test]
    fn a_clock_set_back_by_a_day_comes_to_the_next_boundary_there() {
        for (boundary, wait) in [(Boundary::Hourly, HOUR / 2), (Boundary::Daily, DAY / 2)] {
            let noon = MIDNIGHT + DAY / 2 + HOUR / 2;
            let mut clock = Clock::at(MIDNIGHT - SECOND);
            let mut schedule = filled(&every(boundary), clock.now());
            while clock.wall < noon {
                rotates(&mut schedule, clock.run(60 * SECOND));
            }
            clock.set(noon - DAY);
            let began = clock.ran;
            while !rotates(&mut schedule, clock.run(60 * SECOND)) {}
            let waited = (clock.ran - began).as_nanos() as i64;
            assert!((wait - HOUR / 2..=wait).contains(&waited), "{boundary:?}: {waited}");
        }
    }

    #[test]
    fn a_rotation_that_fails_stays_due() {
        let mut clock = Clock::at(MIDNIGHT - SECOND);
        let mut schedule = filled(&every(Boundary::Daily), clock.now());
        for _ in 0..10 {
            assert_eq!(schedule.due(0, 0, clock.run(SECOND)), Some(Trigger::Boundary));
            schedule.written(clock.now());
        }
    }

    #[test]
    fn the_clock_is_looked_at_once_a_minute() {
        let mut clock = Clock::at(MIDNIGHT - 90 * SECOND);
        let mut schedule = filled(&every(Boundary::Daily), clock.now());
        let mut looks = 0;
        while schedule.due(0, 0, clock.now()).is_none() {
            let wake = schedule.wake_at(clock.now()).expect("a boundary to come");
            clock.run((wake - clock.now().monotonic).as_nanos() as i64);
            looks += 1;
        }
        assert_eq!((clock.wall, looks), (MIDNIGHT, 2));
        let both = every(Boundary::Daily).max_age(Duration::from_secs(5));
        let schedule = filled(&both, clock.now());
        let wake = schedule.wake_at(clock.now()).expect("an age");
        assert_eq!(wake - clock.now().monotonic, Duration::from_secs(5), "the first one counts");
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Runs(i64),
        /// A jump by this number of nanoseconds, in either direction.
        Jumps(i64),
    }

    fn events() -> impl Strategy<Value = Event> {
        let (short, long) = (0..2 * HOUR, 0..3 * DAY);
        prop_oneof![
            4 => short.prop_map(Event::Runs),
            1 => long.prop_map(Event::Runs),
            2 => (-10 * SECOND..10 * SECOND).prop_map(Event::Jumps),
            2 => (-3 * DAY..3 * DAY).prop_map(Event::Jumps),
        ]
    }

    fn boundaries() -> impl Strategy<Value = Boundary> {
        prop_oneof![
            Just(Boundary::Hourly),
            Just(Boundary::Daily),
            prop::sample::select(vec![60_u64, 900, 21_600])
                .prop_map(|seconds| Boundary::Interval(Duration::from_secs(seconds))),
        ]
    }

    proptest! {
        /// With a clock that nobody sets, and at least one look in each interval: one rotation for each boundary
        /// between the first look and the last one, at the first look after it.
        #[test]
        fn one_rotation_for_each_boundary(
            boundary in boundaries(),
            start in MIDNIGHT..MIDNIGHT + DAY,
            steps in prop::collection::vec(0.0_f64..=1.0, 1..200),
        ) {
            let interval = boundary.interval().as_nanos() as i64;
            let mut clock = Clock::at(start);
            let mut schedule = filled(&every(boundary), clock.now());
            for step in steps {
                let before = clock.wall / interval;
                let now = clock.run((interval as f64 * step) as i64);
                prop_assert_eq!(rotates(&mut schedule, now), clock.wall / interval > before);
            }
        }

        /// However the clock is set: each rotation is at the first look after a boundary that was never passed before,
        /// or at least half an interval of real time after the last rotation.
        #[test]
        fn jumps_are_no_storms(
            boundary in boundaries(),
            start in MIDNIGHT..MIDNIGHT + DAY,
            events in prop::collection::vec(events(), 1..300),
        ) {
            let interval = boundary.interval().as_nanos() as i64;
            let mut clock = Clock::at(start);
            let mut schedule = filled(&every(boundary), clock.now());
            let mut latest = clock.wall;
            let mut last = clock.ran;
            for event in events {
                let now = match event {
                    Event::Runs(nanos) => clock.run(nanos),
                    Event::Jumps(nanos) => clock.set(clock.wall + nanos),
                };
                let rotated = rotates(&mut schedule, now);
                let new = clock.wall / interval > latest / interval;
                let waited = clock.ran - last;
                if rotated {
                    prop_assert!(new || waited >= boundary.interval() / 2);
                    last = clock.ran;
                } else {
                    prop_assert!(!new, "a new boundary");
                }
                latest = latest.max(clock.wall);
                // A second look, at once, rotates no more.
                prop_assert!(!rotates(&mut schedule, clock.now()));
            }
        }

        /// Whatever happened to the clock before, a quiet time rotates at each boundary again.
        #[test]
        fn after_all_jumps_the_clock_counts_again(
            boundary in boundaries(),
            events in prop::collection::vec(events(), 1..100),
        ) {
            let interval = boundary.interval().as_nanos() as i64;
            let mut clock = Clock::at(MIDNIGHT);
            let mut schedule = filled(&every(boundary), clock.now());
            for event in events {
                match event {
                    Event::Runs(nanos) => clock.run(nanos),
                    Event::Jumps(nanos) => clock.set(clock.wall + nanos),
                };
                rotates(&mut schedule, clock.now());
            }
            // The first boundary can be a repeated one, for which the file is too young.
            let left = interval - clock.wall.rem_euclid(interval);
            rotates(&mut schedule, clock.run(left));
            for _ in 0..10 {
                prop_assert!(!rotates(&mut schedule, clock.run(interval - 1)));
                prop_assert!(rotates(&mut schedule, clock.run(1)));
            }
        }
    }
}
