//! How often something took how long.

use std::time::Duration;

/// The upper bound of the first bucket, in nanoseconds. Each next bound is twice the one before.
const FIRST: u64 = 16_000;
/// The number of buckets with an upper bound, the last one of 8.4 s.
const BOUNDED: usize = 20;

/// How often something took how long: counts in 21 buckets, whose upper bounds are 16 us, 32 us, and so on up to 8.4 s; the
/// last bucket has no bound. A quantile from these counts is right within a factor of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDED + 1],
    sum: Duration,
}

impl Histogram {
    /// The greatest bound.
    #[cfg(feature = "metrics")]
    pub(crate) const LAST: Duration = Duration::from_nanos(FIRST << (BOUNDED - 1));

    /// The number of buckets.
    pub(crate) const BUCKETS: usize = BOUNDED + 1;

    /// The bucket of a duration, in nanoseconds.
    #[cfg(target_os = "linux")]
    pub(crate) fn bucket(nanos: u64) -> usize {
        let above = nanos.saturating_sub(1) / FIRST;
        let bucket = u64::BITS - above.leading_zeros();
        (bucket as usize).min(BOUNDED)
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn new(counts: [u64; Histogram::BUCKETS], sum: Duration) -> Histogram {
        Histogram { counts, sum }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn add(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }

    /// The buckets in order: the upper bound (`None` for the last), and how often a duration was in the bucket.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bound = |index: usize| (index < BOUNDED).then(|| Duration::from_nanos(FIRST << index));
        self.counts.iter().enumerate().map(move |(index, count)| (bound(index), *count))
    }

    /// The number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of the durations.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The upper bound of the bucket that the quantile `q` (0 to 1) is in: the duration is at most that, and more than
    /// half of that. `None` without durations, and if the bucket has no bound.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = (q.clamp(0.0, 1.0) * self.count() as f64).ceil().max(1.0) as u64;
        let mut passed = 0;
        let found = self.buckets().find(|(_, count)| {
            passed += count;
            passed >= rank
        });
        found?.0
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let bounds = Histogram::default();
        let bounds: Vec<_> = bounds.buckets().map(|(bound, _)| bound).collect();
        assert_eq!(bounds.len(), Histogram::BUCKETS);
        for (index, bound) in bounds.iter().enumerate() {
            let Some(bound) = bound else { continue };
            let nanos = bound.as_nanos() as u64;
            assert_eq!(
                (Histogram::bucket(nanos), Histogram::bucket(nanos + 1)),
                (index, index + 1)
            );
        }
        assert_eq!(bounds[19], Some(Duration::from_nanos(8_388_608_000)));
        assert_eq!((Histogram::bucket(0), Histogram::bucket(u64::MAX)), (0, 20));
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let mut counts = [0; Histogram::BUCKETS];
        (counts[1], counts[3], counts[20]) = (98, 1, 1);
        let times = Histogram::new(counts, Duration::from_secs(1));
        let micros = |micros| Some(Duration::from_micros(micros));
        assert_eq!((times.quantile(0.5), times.quantile(0.98)), (micros(32), micros(32)));
        assert_eq!((times.quantile(0.99), times.quantile(1.0)), (micros(128), None));
        assert_eq!((times.count(), times.quantile(0.0)), (100, micros(32)));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
