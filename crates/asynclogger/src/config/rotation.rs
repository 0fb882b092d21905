//! When a segment is over and the next one begins.

use std::time::Duration;

use crate::{
    Error, ErrorKind,
    format::{MIN_ALIGN, RECORD_HEADER, SHARD_HEADER, block, column::times_upto},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Moments of the wall clock at which a log continues in a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Boundary {
    /// Every full hour.
    Hourly,
    /// Every midnight.
    Daily,
    /// Every multiple of this interval, counted from midnight: 15 minutes means :00, :15, :30 and :45. The
    /// interval is a whole number of seconds that divides 24 hours, so that each day has the same boundaries.
    Interval(Duration),
}

impl Boundary {
    /// The time from one boundary to the next, where the clock is not changed.
    pub(crate) fn interval(self) -> Duration {
        match self {
            Boundary::Hourly => Duration::from_secs(3600),
            Boundary::Daily => DAY,
            Boundary::Interval(interval) => interval,
        }
    }
}

/// When a log continues in a new file; the old file gets an archived name. With several triggers, the first
/// one to fire rotates the log. By default there is no trigger, and the file grows.
///
/// A file without records is never rotated. `docs/rotation.md` has the rules for clocks that are set and
/// for days of 23 or 25 hours.
///
/// ```
/// use asynclogger::{Boundary, Config, Rotation};
///
/// let rotation = Rotation::new().max_size(1 << 30).every(Boundary::Daily);
/// let config = Config::new("/var/log/app/requests.log").rotation(rotation);
/// # config.validate().unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Rotation {
    pub(crate) max_size: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) boundary: Option<Boundary>,
    pub(crate) local_time: bool,
}

impl Rotation {
    /// No trigger.
    pub fn new() -> Rotation {
        Rotation::default()
    }

    /// The largest size of a file, in bytes: the next file begins before a block would make the file longer.
    ///
    /// At least 16 KiB: the shortest block, the start and the end of the file need that much. If a full
    /// buffer would be longer than the limit, blocks are ended earlier, so that the file stays within the
    /// limit. A record that is longer than the limit gets a file of its own, as long as the record needs. A
    /// file with one block can also exceed the limit if direct I/O needs units of more than 4 KiB.
    pub fn max_size(mut self, bytes: u64) -> Rotation {
        self.max_size = Some(bytes);
        self
    }

    /// The longest time that a file is written, from its first block on; more than 0. The monotonic clock
    /// measures the age: setting the time does not matter, and time while the machine is suspended does not
    /// count.
    pub fn max_age(mut self, age: Duration) -> Rotation {
        self.max_age = Some(age);
        self
    }

    /// The moments of the wall clock at which the next file begins.
    pub fn every(mut self, boundary: Boundary) -> Rotation {
        self.boundary = Some(boundary);
        self
    }

    /// Whether boundaries follow the time zone that the system has when the logger is made, instead of UTC.
    /// Needs the feature `local-time`. Names of files are in UTC in any case. Default: false.
    #[cfg_attr(docsrs, doc(cfg(feature = "local-time")))]
    pub fn local_time(mut self, local: bool) -> Rotation {
        self.local_time = local;
        self
    }

    /// Checks every limit.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let invalid = |what: String| Err(Error::new(ErrorKind::InvalidConfig, what));
        let least = Rotation::least_file();
        if let Some(size) = self.max_size.filter(|size| *size < least) {
            return invalid(format!(
                "Rotation::max_size is {size}; a file with the shortest block has {least} bytes"
            ));
        }
        if self.max_age.is_some_and(|age| age.is_zero()) {
            return invalid("Rotation::max_age is 0".into());
        }
        if let Some(interval) = self.boundary.map(Boundary::interval) {
            let whole = interval.subsec_nanos() == 0 && !interval.is_zero();
            if !whole || !DAY.as_secs().is_multiple_of(interval.as_secs()) {
                return invalid(format!(
                    "Boundary::Interval is {interval:?}; it takes whole seconds that divide 24 \
                     hours"
                ));
            }
        }
        if self.local_time && cfg!(not(feature = "local-time")) {
            let what = "Rotation::local_time needs the feature `local-time`";
            return Err(Error::new(ErrorKind::MissingFeature, what));
        }
        Ok(())
    }

    /// Bytes of a file with the shortest block.
    pub(crate) fn least_file() -> u64 {
        least_size(LEAST_BLOCK, MIN_ALIGN)
    }

    /// Keeps files below the limit that the system sets for the process, if there is one: at the limit a block cannot
    /// be written, and a block that is longer than the limit could never be.
    pub(crate) fn below(mut self, limit: Option<u64>) -> Rotation {
        if let Some(limit) = limit {
            let size = self.max_size.unwrap_or(u64::MAX).min(limit);
            self.max_size = Some(size.max(Rotation::least_file()));
        }
        self
    }

    /// The largest number of bytes of header and records in a block, at most `capacity`, so that a file with
    /// one block stays within the size limit.
    pub(crate) fn block_limit(&self, capacity: usize, align: usize, is_timed: bool) -> usize {
        Rotation::block_limit_in(self.room_for_blocks(align), capacity, align, is_timed)
    }

    /// Bytes of a file that are for blocks: at least the length of the shortest block.
    pub(crate) fn room_for_blocks(&self, align: usize) -> usize {
        let room = self.max_size.unwrap_or(u64::MAX).saturating_sub(2 * align as u64);
        usize::try_from(room).unwrap_or(usize::MAX).max(block_len(LEAST_BLOCK, align))
    }

    /// [`block_limit`](Rotation::block_limit) for a file with `room` bytes for blocks.
    pub(crate) fn block_limit_in(
        room: usize,
        capacity: usize,
        align: usize,
        is_timed: bool,
    ) -> usize {
        longest(room, capacity, align, if is_timed { timed_block_len } else { block_len })
    }

    /// Whether a file of `size` bytes has no room for one more session with a block of a full buffer, while a
    /// new file has that room.
    pub(crate) fn is_used_up(
        &self,
        size: u64,
        capacity: usize,
        align: usize,
        is_timed: bool,
    ) -> bool {
        let block = if is_timed { timed_block_len } else { block_len };
        let least = (block(capacity, align) + 2 * align) as u64;
        self.max_size.is_some_and(|max| least <= max && max < least.saturating_add(size))
    }
}

/// Bytes of header and records of a block with the shortest record.
const LEAST_BLOCK: usize = SHARD_HEADER + RECORD_HEADER + 1;

/// Bytes of a file with one block of `capacity` bytes of header and records, in units of `align`.
fn least_size(capacity: usize, align: usize) -> u64 {
    (block_len(capacity, align) + 2 * align) as u64
}

/// The largest number of bytes of header and records, at most `capacity`, of which a block of length `len` fits into
/// `room` bytes.
fn longest(room: usize, capacity: usize, align: usize, len: fn(usize, usize) -> usize) -> usize {
    let (mut fits, mut too_long) = (LEAST_BLOCK, capacity + 1);
    while too_long > fits + 1 {
        let middle = fits + (too_long - fits) / 2;
        if len(middle, align) <= room {
            fits = middle;
        } else {
            too_long = middle;
        }
    }
    fits.min(capacity)
}

/// The most bytes of a block with times and with `capacity` bytes of header and records, in units of `align`.
fn timed_block_len(capacity: usize, align: usize) -> usize {
    let data = block::data_len(capacity.saturating_sub(SHARD_HEADER));
    let head = block::timed_head_len(data, times_upto(capacity), align);
    head + data + block::timed_tail_len(data, align)
}

/// Bytes of a block with `capacity` bytes of header and records, in units of `align`.
fn block_len(capacity: usize, align: usize) -> usize {
    let data = block::data_len(capacity.saturating_sub(SHARD_HEADER));
    block::head_len(data, align) + data + block::tail_len(data, align)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[track_caller]
    fn refused(rotation: Rotation, word: &str) {
        let error = Config::new("a.log").rotation(rotation).validate().expect_err(word);
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(word), "{error}");
    }

    #[track_caller]
    fn taken(rotation: Rotation) {
        assert!(Config::new("a.log").rotation(rotation.clone()).validate().is_ok(), "{rotation:?}");
    }

    #[test]
    fn sizes_hold_the_longest_block() {
        let capacity = Config::DEFAULT_BUFFER_SIZE / Config::DEFAULT_NUM_SHARDS;
        // Start, head, data, tail, end.
        let least = capacity as u64 + 4 * MIN_ALIGN as u64;
        assert_eq!(least_size(capacity, MIN_ALIGN), least);
        taken(Rotation::new().max_size(16 << 10));
        refused(Rotation::new().max_size((16 << 10) - 1), "16384");
        refused(Rotation::new().max_size(0), "max_size is 0");
        let is_used_up = |more, size, align| {
            Rotation::new().max_size(least + more).is_used_up(size, capacity, align, false)
        };
        assert!(!is_used_up(0, 0, MIN_ALIGN) && is_used_up(0, 1, MIN_ALIGN));
        assert!(!is_used_up(8192, 8192, MIN_ALIGN) && is_used_up(8192, 8193, MIN_ALIGN));
        // A new one would not have it either.
        assert!(!is_used_up(0, 1, 2 * MIN_ALIGN));
        assert!(!Rotation::new().is_used_up(u64::MAX, capacity, MIN_ALIGN, false));
        let timed = (timed_block_len(capacity, MIN_ALIGN) + 2 * MIN_ALIGN) as u64;
        assert!(timed > least);
        let rotation = Rotation::new().max_size(timed + 8192);
        let is_used_up = |size, is_timed| rotation.is_used_up(size, capacity, MIN_ALIGN, is_timed);
        assert!(!is_used_up(8192, true) && is_used_up(8193, true) && !is_used_up(8193, false));
        let small = Config::new("a.log").buffer_size(64 << 10).num_shards(1);
        let small = small.rotation(Rotation::new().max_size(1 << 20)).validate();
        assert!(small.is_ok(), "{small:?}");
    }

    #[test]
    fn blocks_are_ended_so_that_a_file_keeps_to_its_size() {
        let capacity = 8 << 20;
        let limit = |max, align| Rotation::new().max_size(max).block_limit(capacity, align, false);
        for max in [16 << 10, 20_000, 96 << 10, 1 << 20, 5_000_001, 9 << 20] {
            for align in [MIN_ALIGN, 4 * MIN_ALIGN] {
                let limit = limit(max, align);
                assert!((LEAST_BLOCK..=capacity).contains(&limit), "{limit}");
                let fits = least_size(limit, align) <= max;
                assert!(fits || least_size(LEAST_BLOCK, align) > max, "{max} {align}: {limit}");
                let more = least_size(limit + 1, align) > max;
                assert!(more || limit == capacity || align > MIN_ALIGN, "{max} {align}: {limit}");
            }
        }
        assert_eq!(limit(9 << 20, MIN_ALIGN), capacity);
        assert_eq!(Rotation::new().block_limit(capacity, MIN_ALIGN, false), capacity);
        assert_eq!(Rotation::new().block_limit(capacity, MIN_ALIGN, true), capacity);
        for max in [16 << 10, 96 << 10, 1 << 20, 5_000_001, 9 << 20] {
            let limit = Rotation::new().max_size(max).block_limit(capacity, MIN_ALIGN, true);
            let file = |limit| (timed_block_len(limit, MIN_ALIGN) + 2 * MIN_ALIGN) as u64;
            assert!(file(limit) <= max && file(limit + 1) > max, "{max}: {limit}");
        }
    }

    #[test]
    fn times_are_more_than_nothing() {
        taken(Rotation::new().max_age(Duration::from_nanos(1)));
        refused(Rotation::new().max_age(Duration::ZERO), "max_age");
        for seconds in [1, 15, 60, 900, 3600, 6 * 3600, 86_400] {
            let interval = Duration::from_secs(seconds);
            taken(Rotation::new().every(Boundary::Interval(interval)));
        }
        for millis in [0, 1, 1500, 7000, 5 * 3_600_000, 48 * 3_600_000] {
            let interval = Duration::from_millis(millis);
            refused(Rotation::new().every(Boundary::Interval(interval)), "Interval");
        }
    }

    #[test]
    fn all_triggers_go_together() {
        let rotation = Rotation::new().max_size(1 << 30).max_age(DAY).every(Boundary::Hourly);
        taken(rotation.clone());
        let local = rotation.local_time(true);
        if cfg!(feature = "local-time") {
            taken(local);
        } else {
            let error = Config::new("a.log").rotation(local).validate().expect_err("not built in");
            assert_eq!(error.kind(), ErrorKind::MissingFeature);
            assert!(error.to_string().contains("`local-time`"), "{error}");
        }
    }
}
