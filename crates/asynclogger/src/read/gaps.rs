//! Which segments of a log are missing.

use std::ops::RangeInclusive;

use super::segments::Segment;

/// The missing numbers between those of the segments, and the numbers in `gone`.
pub(super) fn gaps(segments: &[Segment], gone: &[u64]) -> Vec<RangeInclusive<u64>> {
    let pairs = segments.iter().zip(segments.iter().skip(1));
    let between = pairs.filter_map(|(before, after)| {
        let first = before.id.checked_add(1)?;
        // The start has the number of the segment before it, and no segment ever existed between the two.
        let last = match after.previous {
            0 => after.id.checked_sub(1)?,
            previous => previous.min(after.id.checked_sub(1)?),
        };
        (first <= last).then_some(first..=last)
    });
    let mut missing: Vec<RangeInclusive<u64>> = between.collect();
    for id in gone {
        if !missing.iter().any(|range| range.contains(id)) {
            missing.push(*id..=*id);
        }
    }
    missing.sort_unstable_by_key(|range| *range.start());
    missing.dedup_by(|next, before| {
        let is_next = before.end().checked_add(1) == Some(*next.start());
        if is_next {
            *before = *before.start()..=*next.end();
        }
        is_next
    });
    missing
}
