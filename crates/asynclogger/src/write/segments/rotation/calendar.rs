//! Computes the next boundary of the wall clock, in UTC and in zones that change their offset.
//!
//! A boundary is a moment when the local clock comes to a multiple of the interval, counted from midnight, or jumps
//! forward over one. A clock that goes back comes to some multiples again: these count again only if the interval has
//! passed in between. So each real hour has its boundary when an hour is repeated, and a midnight that comes twice is
//! one midnight.

use crate::{Error, Rotation, config::Boundary};

/// Nanoseconds in a second: wall times are counted in nanoseconds.
const NANOS: i64 = 1_000_000_000;

/// The offsets from UTC, in seconds, by UTC time in seconds since the epoch.
#[derive(Clone, Debug)]
pub(crate) enum Zone {
    Utc,
    #[cfg(feature = "local-time")]
    Local(jiff::tz::TimeZone),
}

/// A change of the offset, from `at` on.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Change {
    at: i64,
    before: i64,
    after: i64,
}

impl Zone {
    /// The zone that a rotation asks for. The system's zone is looked up once, here.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) if the system's zone is asked for and cannot be
    /// read.
    #[cfg(feature = "local-time")]
    pub(crate) fn of(rotation: &Rotation) -> Result<Zone, Error> {
        if !rotation.local_time || rotation.boundary.is_none() {
            return Ok(Zone::Utc);
        }
        jiff::tz::TimeZone::try_system().map(Zone::Local).map_err(|error| {
            let what = format!("Rotation::local_time: which zone this is cannot be read: {error}");
            Error::new(crate::ErrorKind::InvalidConfig, what)
        })
    }

    /// The zone that a rotation asks for: UTC, since [`Config::validate`](crate::Config::validate) refuses
    /// any other without the feature.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "local-time"))]
    pub(crate) fn of(_: &Rotation) -> Result<Zone, Error> {
        Ok(Zone::Utc)
    }

    #[cfg_attr(not(feature = "local-time"), expect(unused_variables, reason = "UTC never changes"))]
    fn offset(&self, at: i64) -> i64 {
        match self {
            Zone::Utc => 0,
            #[cfg(feature = "local-time")]
            Zone::Local(zone) => zone.to_offset(timestamp(at)).seconds().into(),
        }
    }

    /// The first change after `at`.
    #[cfg_attr(not(feature = "local-time"), expect(unused_variables, reason = "UTC never changes"))]
    fn next_change(&self, at: i64) -> Option<Change> {
        match self {
            Zone::Utc => None,
            #[cfg(feature = "local-time")]
            Zone::Local(zone) => {
                let change = zone.following(timestamp(at)).next()?;
                Some(self.change(change.timestamp().as_second()))
            }
        }
    }

    /// The last change before or at `at`.
    #[cfg_attr(not(feature = "local-time"), expect(unused_variables, reason = "UTC never changes"))]
    fn last_change(&self, at: i64) -> Option<Change> {
        match self {
            Zone::Utc => None,
            #[cfg(feature = "local-time")]
            Zone::Local(zone) => {
                let change = zone.preceding(timestamp(at + 1)).next()?;
                Some(self.change(change.timestamp().as_second()))
            }
        }
    }

    #[cfg(feature = "local-time")]
    fn change(&self, at: i64) -> Change {
        Change { at, before: self.offset(at - 1), after: self.offset(at) }
    }
}

/// jiff knows the years -9999 to 9999, and nanoseconds in an `i64` end in 2262.
#[cfg(feature = "local-time")]
fn timestamp(seconds: i64) -> jiff::Timestamp {
    let end = if seconds < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_second(seconds).unwrap_or(end)
}

/// The boundaries of one interval in one zone.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    zone: Zone,
    /// Seconds; a day is a multiple of the interval.
    interval: i64,
}

impl Calendar {
    /// The calendar of a boundary that [`Rotation`] has found valid.
    pub(crate) fn new(boundary: Boundary, zone: Zone) -> Calendar {
        let seconds = i64::try_from(boundary.interval().as_secs()).unwrap_or(i64::MAX);
        Calendar { zone, interval: seconds.max(1) }
    }

    /// Seconds from one boundary to the next, where the clock is not changed.
    pub(crate) fn interval(&self) -> u64 {
        self.interval.unsigned_abs()
    }

    /// The first boundary after `wall`, both in nanoseconds since the epoch. `i64::MAX` if there is none
    /// that can be counted.
    pub(crate) fn next_after(&self, wall: i64) -> i64 {
        self.next_second(wall.div_euclid(NANOS)).checked_mul(NANOS).unwrap_or(i64::MAX)
    }

    fn next_second(&self, after: i64) -> i64 {
        let mut after = after;
        loop {
            let offset = self.zone.offset(after);
            let next = (self.index(after + offset) + 1) * self.interval - offset;
            match self.zone.next_change(after) {
                Some(change) if change.at <= next => {
                    if self.is_boundary(change) {
                        return change.at;
                    }
                    after = change.at;
                }
                _ if self.is_repeated(next) => after = next,
                _ => return next,
            }
        }
    }

    /// The number of the interval that contains a local time.
    fn index(&self, local: i64) -> i64 {
        local.div_euclid(self.interval)
    }

    fn is_boundary(&self, change: Change) -> bool {
        let (from, to) = (change.at + change.before, change.at + change.after);
        if to >= from {
            self.index(to) > self.index(from - 1)
        } else {
            to.rem_euclid(self.interval) == 0 && !self.is_repeated(change.at)
        }
    }

    /// Whether the clock came to the same local time less than an interval before `at`.
    fn is_repeated(&self, at: i64) -> bool {
        self.zone.last_change(at).is_some_and(|change| {
            let back = change.before - change.after;
            (1..self.interval).contains(&back) && at - back < change.at
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    fn seconds(n: u64) -> Boundary {
        Boundary::Interval(Duration::from_secs(n))
    }

    #[test]
    fn in_utc_boundaries_are_multiples() {
        for (boundary, interval) in
            [(Boundary::Hourly, HOUR), (Boundary::Daily, DAY), (seconds(900), 900), (seconds(1), 1)]
        {
            let calendar = Calendar::new(boundary, Zone::Utc);
            let interval = interval * NANOS;
            assert_eq!(calendar.interval() as i64 * NANOS, interval);
            let third = 20_000 * DAY * NANOS + 2 * interval;
            assert_eq!(calendar.next_after(third - 1), third);
            assert_eq!(calendar.next_after(third), third + interval);
            assert_eq!(calendar.next_after(third + 1), third + interval);
            // Before 1970.
            assert_eq!(calendar.next_after(-1), 0);
            assert_eq!(calendar.next_after(-interval), 0);
            assert_eq!(calendar.next_after(-interval - 1), -interval);
        }
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        let calendar = Calendar::new(Boundary::Daily, Zone::Utc);
        assert_eq!(calendar.next_after(i64::MAX), i64::MAX);
        assert!(calendar.next_after(i64::MIN) > i64::MIN);
    }

    #[test]
    fn without_being_asked_for_the_zone_is_utc() {
        let zone = Zone::of(&Rotation::new().every(Boundary::Daily)).expect("a zone");
        assert!(matches!(zone, Zone::Utc));
    }

    proptest! {
        #[test]
        fn the_next_boundary_is_the_first_one(
            wall: i64,
            divisor in prop::sample::select(vec![1_u64, 24, 48, 96, 1440, 86_400]),
        ) {
            let interval = 86_400 / divisor;
            let next = Calendar::new(seconds(interval), Zone::Utc).next_after(wall);
            let nanos = i128::from(interval) * i128::from(NANOS);
            let oracle = (i128::from(wall).div_euclid(nanos) + 1) * nanos;
            prop_assert_eq!(i128::from(next), oracle.min(i128::from(i64::MAX)));
        }
    }

    /// Zones given by their rules, so that the tests need no file of the system.
    #[cfg(feature = "local-time")]
    mod local {
        use jiff::{Timestamp, tz::TimeZone};

        use super::*;

        const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
        /// Until 2019: the hour after midnight did not exist, and the one before it came twice.
        const SAO_PAULO: &str = "<-03>3<-02>,M10.3.0/0,M2.3.0/0";
        /// Half an hour of daylight saving time.
        const LORD_HOWE: &str = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0";
        /// The clock goes back from 01:00 to 00:00: midnight comes twice.
        const HAVANA: &str = "CST5CDT,M3.2.0/0,M11.1.0/1";
        /// The rule until 2011: the clock goes back from 00:01 to 23:01 of the day before.
        const ST_JOHNS: &str = "NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01";
        const KOLKATA: &str = "IST-5:30";
        const ZONES: [&str; 6] = [BERLIN, SAO_PAULO, LORD_HOWE, HAVANA, ST_JOHNS, KOLKATA];

        fn zone(rule: &str) -> TimeZone {
            TimeZone::posix(rule).expect("a rule")
        }

        fn calendar(boundary: Boundary, rule: &str) -> Calendar {
            Calendar::new(boundary, Zone::Local(zone(rule)))
        }

        fn second(time: &str) -> i64 {
            time.parse::<Timestamp>().expect("a time").as_second()
        }

        /// All boundaries after `from`, up to and with `to`.
        fn between(calendar: &Calendar, from: &str, to: &str) -> Vec<String> {
            let (mut at, to) = (second(from), second(to));
            let mut found = Vec::new();
            loop {
                at = calendar.next_second(at);
                if at > to {
                    return found;
                }
                found.push(Timestamp::from_second(at).expect("a time").to_string());
            }
        }

        #[test]
        fn a_day_of_23_hours_has_23_full_hours() {
            let (from, to) = ("2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z");
            let hours = between(&calendar(Boundary::Hourly, BERLIN), from, to);
            assert_eq!(hours.len(), 23);
            assert_eq!(hours[1], "2024-03-31T01:00:00Z", "01:59:59 is followed by 03:00:00");
            assert_eq!(between(&calendar(Boundary::Daily, BERLIN), from, to), [to]);
        }

        #[test]
        fn a_day_of_25_hours_has_25_full_hours() {
            let (from, to) = ("2024-10-26T22:00:00Z", "2024-10-27T23:00:00Z");
            let hours = between(&calendar(Boundary::Hourly, BERLIN), from, to);
            assert_eq!(hours.len(), 25);
            assert_eq!(
                hours[1..3],
                ["2024-10-27T00:00:00Z", "2024-10-27T01:00:00Z"],
                "02:00 twice"
            );
            assert_eq!(between(&calendar(Boundary::Daily, BERLIN), from, to), [to]);
            let quarters = between(&calendar(seconds(900), BERLIN), from, to);
            assert_eq!(quarters.len(), 100);
        }

        #[test]
        fn a_day_without_midnight_begins_with_its_first_moment() {
            let (from, to) = ("2018-10-20T03:00:00Z", "2018-10-22T02:00:00Z");
            let days = between(&calendar(Boundary::Daily, SAO_PAULO), from, to);
            assert_eq!(days, ["2018-10-21T03:00:00Z", to], "01:00 is the first moment of the 21st");
            let hours = between(&calendar(Boundary::Hourly, SAO_PAULO), from, to);
            assert_eq!(hours.len(), 47);
        }

        #[test]
        fn an_hour_before_midnight_that_comes_twice_is_no_second_day() {
            let (from, to) = ("2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z");
            assert_eq!(between(&calendar(Boundary::Daily, SAO_PAULO), from, to), [to]);
            assert_eq!(between(&calendar(Boundary::Hourly, SAO_PAULO), from, to).len(), 25);
        }

        #[test]
        fn a_midnight_that_comes_twice_is_one() {
            // 04:00Z is the first midnight, 05:00Z the second.
            let (from, to) = ("2024-11-02T04:00:00Z", "2024-11-04T05:00:00Z");
            let days = between(&calendar(Boundary::Daily, HAVANA), from, to);
            assert_eq!(days, ["2024-11-03T04:00:00Z", to]);
            let sixths = between(&calendar(seconds(6 * 3600), HAVANA), from, to);
            assert_eq!(sixths.len(), 8, "{sixths:?}");
            assert_eq!(between(&calendar(Boundary::Hourly, HAVANA), from, to).len(), 49);
        }

        #[test]
        fn a_day_that_begins_twice_begins_once() {
            // A minute after midnight the clock goes back to 23:01.
            let (from, to) = ("2010-11-06T02:30:00Z", "2010-11-08T03:30:00Z");
            let days = between(&calendar(Boundary::Daily, ST_JOHNS), from, to);
            assert_eq!(days, ["2010-11-07T02:30:00Z", to]);
        }

        #[test]
        fn half_an_hour_of_daylight_saving_time() {
            // Forward: 01:59:59 is followed by 02:30:00; the boundary of 02:00 exists.
            let hours = between(
                &calendar(Boundary::Hourly, LORD_HOWE),
                "2024-10-05T14:30:00Z",
                "2024-10-05T17:00:00Z",
            );
            let expected = ["2024-10-05T15:30:00Z", "2024-10-05T16:00:00Z", "2024-10-05T17:00:00Z"];
            assert_eq!(hours, expected);
            // Back: 01:59:59 is followed by 01:30:00; the hour of one o'clock has 90 minutes.
            let hours = between(
                &calendar(Boundary::Hourly, LORD_HOWE),
                "2024-04-06T14:00:00Z",
                "2024-04-06T16:30:00Z",
            );
            assert_eq!(hours, ["2024-04-06T15:30:00Z", "2024-04-06T16:30:00Z"]);
            let halves = between(
                &calendar(seconds(1800), LORD_HOWE),
                "2024-04-06T14:00:00Z",
                "2024-04-06T15:30:00Z",
            );
            assert_eq!(halves.len(), 3, "each real half hour: {halves:?}");
            // 01:40, [01:30 for 02:00], 01:40, 02:00.
            let thirds = between(
                &calendar(seconds(1200), LORD_HOWE),
                "2024-04-06T14:20:00Z",
                "2024-04-06T15:30:00Z",
            );
            let expected = ["2024-04-06T14:40:00Z", "2024-04-06T15:10:00Z", "2024-04-06T15:30:00Z"];
            assert_eq!(thirds, expected);
        }

        #[test]
        fn the_systems_zone_can_be_read_where_there_is_one() {
            let local = Rotation::new().every(Boundary::Daily).local_time(true);
            match Zone::of(&local) {
                Ok(zone) => assert!(matches!(zone, Zone::Local(_))),
                Err(error) => assert_eq!(error.kind(), crate::ErrorKind::InvalidConfig),
            }
        }

        /// A time of the years 2000 to 2040; half of them near a change.
        fn times(rule: &'static str) -> impl Strategy<Value = i64> {
            let years = 946_684_800_i64..2_208_988_800;
            let distance = prop_oneof![-2 * DAY..2 * DAY, -2 * HOUR..2 * HOUR];
            (years, any::<bool>(), distance).prop_map(move |(at, near, distance)| {
                match zone(rule).following(timestamp(at)).next() {
                    Some(change) if near => change.timestamp().as_second() + distance,
                    _ => at,
                }
            })
        }

        fn zones_and_times() -> impl Strategy<Value = (&'static str, i64)> {
            prop::sample::select(ZONES.to_vec())
                .prop_flat_map(|rule| times(rule).prop_map(move |at| (rule, at)))
        }

        proptest! {
            /// A day's boundary is the moment that jiff gives as the start of the day.
            #[test]
            fn days_begin_where_they_begin((rule, at) in zones_and_times()) {
                let next = calendar(Boundary::Daily, rule).next_second(at);
                let today = timestamp(at).to_zoned(zone(rule)).date();
                let first = (0..4)
                    .map(|days| {
                        let day = today.saturating_add(jiff::Span::new().days(days));
                        let start = day.to_zoned(zone(rule)).expect("a day").start_of_day();
                        start.expect("a start").timestamp().as_second()
                    })
                    .find(|start| *start > at);
                prop_assert_eq!(Some(next), first);
            }

            /// Minute by minute: a boundary is a moment when the local clock enters another interval, or enters the
            /// same one again after a whole interval.
            #[test]
            fn intervals_begin_where_the_clock_says(
                (rule, at) in zones_and_times(),
                minutes in prop::sample::select(vec![15_i64, 20, 30, 60, 180, 720, 1440]),
            ) {
                let interval = 60 * minutes;
                let boundary = seconds(interval as u64);
                let next = calendar(boundary, rule).next_second(at);
                let zone = zone(rule);
                let local = |at: i64| at + i64::from(zone.to_offset(timestamp(at)).seconds());
                let between = |from: i64, to: i64| {
                    ((from.div_euclid(60) + 1) * 60..to).step_by(60)
                };
                let oracle = between(at, at + interval + 2 * HOUR).find(|at| {
                    let (before, now) = (local(at - 1), local(*at));
                    let forward = now.div_euclid(interval) > before.div_euclid(interval);
                    let again = now <= before && now % interval == 0;
                    (forward || again)
                        && !between(at - interval, *at).any(|early| local(early) == now)
                });
                prop_assert_eq!(Some(next), oracle);
            }

            /// Moments between two boundaries agree on the next boundary.
            #[test]
            fn boundaries_are_in_order(
                (rule, at) in zones_and_times(),
                minutes in prop::sample::select(vec![1_u64, 15, 30, 60, 360, 720, 1440]),
                part in 0.0_f64..1.0,
            ) {
                let calendar = calendar(seconds(60 * minutes), rule);
                let next = calendar.next_second(at);
                prop_assert!(next > at);
                prop_assert!(next - at <= 60 * minutes as i64 + HOUR);
                let within = at + ((next - at) as f64 * part) as i64;
                prop_assert_eq!(calendar.next_second(within.min(next - 1)), next);
                prop_assert!(calendar.next_second(next) > next);
            }
        }

        #[test]
        fn far_times_are_no_trouble() {
            let calendar = calendar(Boundary::Daily, BERLIN);
            for at in [i64::MIN, -1, i64::MAX - 2 * DAY * NANOS] {
                let next = calendar.next_after(at);
                assert!(next > at && next - at <= 25 * HOUR * NANOS);
            }
            assert_eq!(calendar.next_after(i64::MAX), i64::MAX);
        }
    }
}
