//! Selects the archived segments to delete. Pure: looks at no file and no clock, and deletes nothing.
//!
//! Segments are selected from the oldest on, and none behind another that stays: the rest of a log has no holes. The
//! order is that of the segments' numbers; names and times can be wrong.

use std::time::Duration;

use crate::{Retention, format::Lineage};

/// A file with an archived name, described by its start, its end and the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchivedFile {
    pub(crate) lineage: Lineage,
    /// Bytes on the disk.
    pub(crate) bytes: u64,
    /// Wall time of the start, in nanoseconds since the epoch.
    pub(crate) started: i64,
    /// Wall time of the last record; `None` if the file has no end block with that time.
    pub(crate) last_time: Option<i64>,
}

/// Indices of the files to delete, the oldest first. `active` is the segment that is written, `now` the
/// wall time.
///
/// Selects only files of the active segment's log with a lower number, and never the newest of them. Several files with
/// one number (a segment and its compressed copy, after a process died between the two) are one segment: they count
/// once, and are deleted or kept together.
pub(crate) fn select(
    files: &[ArchivedFile],
    retention: &Retention,
    active: Lineage,
    now: i64,
) -> Vec<usize> {
    let segments = deletable(files, active);
    let Some((newest, older)) = segments.split_last() else {
        return Vec::new();
    };
    let by_count = retention.keep.map_or(0, |keep| segments.len().saturating_sub(keep));
    let by_total = retention.max_total.map_or(0, |max| beyond(files, &segments, max));
    let mut gone = by_count.max(by_total).min(older.len());
    // The age is checked last: it concerns the oldest segments among those left.
    if let Some(max) = retention.max_age {
        gone += expired(files, &older[gone..], newest, max, now);
    }
    older[..gone].concat()
}

/// The files of the oldest segment, if it may be deleted to make room.
pub(crate) fn oldest(files: &[ArchivedFile], active: Lineage) -> Vec<usize> {
    match deletable(files, active).split_first() {
        Some((oldest, newer)) if !newer.is_empty() => oldest.clone(),
        _ => Vec::new(),
    }
}

/// One log of several in a directory.
pub(crate) struct OneOf {
    pub(crate) files: Vec<ArchivedFile>,
    /// The segment that is written, or was written last. Segments with this number or a greater one are not deleted.
    pub(crate) active: Lineage,
    /// Wall time of the active segment's start.
    pub(crate) began: i64,
}

/// Selects files of several logs, so that all archived files together have at most `max` bytes: the index of a log, and
/// the files of one segment, in the order of deletion. `now` is the wall time.
///
/// The segment that ended first is selected first, but none behind another of its log that stays, and never the segment
/// that ended last of all.
pub(crate) fn select_of_all(logs: &[OneOf], max: u64, now: i64) -> Vec<(usize, Vec<usize>)> {
    let mut order: Vec<(i64, usize, Group)> = Vec::new();
    for (index, log) in logs.iter().enumerate() {
        let segments = deletable(&log.files, log.active);
        let began = |segment: &Group| segment.iter().map(|&file| log.files[file].started).max();
        let next = segments.iter().skip(1).map(|next| began(next).unwrap_or(log.began));
        let mut over = i64::MIN;
        for (segment, ended) in segments.iter().zip(next.chain([log.began])) {
            // A segment ended when the next one began. An end in the future proves nothing, and an end before that of
            // an older segment is wrong: in both cases the older segment's end is used.
            over = over.max(if ended <= now { ended } else { i64::MIN });
            order.push((over, index, segment.clone()));
        }
    }
    // Stable: the segments of a log stay in their order.
    order.sort_by_key(|(over, index, _)| (*over, *index));
    let bytes = |(_, log, segment): &(i64, usize, Group)| {
        segment.iter().map(|&file| u128::from(logs[*log].files[file].bytes)).sum::<u128>()
    };
    let mut total: u128 = order.iter().map(bytes).sum();
    // The newest of all stays.
    order.pop();
    let mut gone = Vec::new();
    for entry in order {
        if total <= u128::from(max) {
            break;
        }
        total -= bytes(&entry);
        gone.push((entry.1, entry.2));
    }
    gone
}

/// Indices of the files with one number, which are one segment.
type Group = Vec<usize>;

/// All archived segments of the active one's log, by their numbers. The last one is the newest.
fn deletable(files: &[ArchivedFile], active: Lineage) -> Vec<Group> {
    let ours = |file: &ArchivedFile| {
        file.lineage.log_id == active.log_id && file.lineage.segment < active.segment
    };
    let mut order: Vec<usize> = (0..files.len()).filter(|&file| ours(&files[file])).collect();
    order.sort_by_key(|&file| (files[file].lineage.segment, file));
    let same = |a: &usize, b: &usize| files[*a].lineage.segment == files[*b].lineage.segment;
    order.chunk_by(same).map(<[usize]>::to_vec).collect()
}

/// The number of segments to delete until the others together have at most `max` bytes.
fn beyond(files: &[ArchivedFile], segments: &[Group], max: u64) -> usize {
    let mut total = 0_u128;
    let fits = |segment: &&Group| {
        total += segment.iter().map(|&file| u128::from(files[file].bytes)).sum::<u128>();
        total <= u128::from(max)
    };
    segments.len() - segments.iter().rev().take_while(fits).count()
}

/// The number of older segments that ended longer ago than `max`.
///
/// A segment without the time of its end ended before the next one began. A time in the future proves nothing: such a
/// segment is deleted with a later segment, which was written after it.
fn expired(
    files: &[ArchivedFile],
    older: &[Group],
    newest: &Group,
    max: Duration,
    now: i64,
) -> usize {
    let next = older.iter().skip(1).chain([newest]);
    let mut gone = 0;
    for (at, (segment, next)) in older.iter().zip(next).enumerate() {
        let last = segment.iter().filter_map(|&file| files[file].last_time).max();
        let ended = last.or_else(|| next.iter().map(|&file| files[file].started).max());
        match ended.filter(|ended| *ended <= now) {
            None => {}
            Some(ended) if Duration::from_nanos(now.abs_diff(ended)) > max => gone = at + 1,
            Some(_) => break,
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::LogId;

    const SECOND: i64 = 1_000_000_000;
    const OURS: LogId = LogId([1; 16]);
    const FOREIGN: LogId = LogId([2; 16]);

    fn active(segment: u64) -> Lineage {
        Lineage { log_id: OURS, segment }
    }

    /// Segment `n` of `bytes` bytes, written in the ten seconds before `n` x 100 s.
    fn file(segment: u64, bytes: u64) -> ArchivedFile {
        let ended = segment as i64 * 100 * SECOND;
        ArchivedFile {
            lineage: active(segment),
            bytes,
            started: ended - 10 * SECOND,
            last_time: Some(ended),
        }
    }

    fn files(numbers: &[u64]) -> Vec<ArchivedFile> {
        numbers.iter().map(|n| file(*n, 10)).collect()
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn without_limits_all_are_kept() {
        assert!(select(&files(&[1, 2, 3]), &Retention::new(), active(4), i64::MAX).is_empty());
    }

    #[test]
    fn the_oldest_go_first_whatever_their_order() {
        let files = files(&[3, 10, 2, 1]);
        let keep = |count| select(&files, &Retention::new().keep(count), active(11), 0);
        assert!(keep(4).is_empty());
        assert_eq!(keep(3), [3]);
        assert_eq!(keep(1), [3, 2, 0]);
        assert_eq!(keep(0), [3, 2, 0], "never the newest");
        let total = |max| select(&files, &Retention::new().max_total(max), active(11), 0);
        assert!(total(40).is_empty());
        assert_eq!(total(39), [3]);
        assert_eq!(total(20), [3, 2]);
        assert_eq!(total(1), [3, 2, 0], "never the newest");
        let age =
            |now| select(&files, &Retention::new().max_age(secs(50)), active(11), now * SECOND);
        assert!(age(150).is_empty());
        assert_eq!(age(151), [3]);
        assert_eq!(age(251), [3, 2]);
        assert_eq!(age(1_000_000), [3, 2, 0], "never the newest");
    }

    #[test]
    fn the_limit_that_deletes_most_counts() {
        let files = files(&[1, 2, 3, 4, 5]);
        let all = Retention::new().keep(4).max_total(30).max_age(secs(50));
        assert_eq!(select(&files, &all, active(6), 100 * SECOND), [0, 1]);
        assert_eq!(select(&files, &all, active(6), 351 * SECOND), [0, 1, 2]);
        assert_eq!(select(&files, &all.keep(1), active(6), 0), [0, 1, 2, 3]);
    }

    #[test]
    fn foreign_active_and_later_files_are_never_deleted() {
        let mut files = files(&[1, 2, 3, 4, 5, 6]);
        files[0].lineage.log_id = FOREIGN;
        files[1].lineage.log_id = FOREIGN;
        let all = Retention::new().keep(1).max_total(1).max_age(secs(1));
        // 5 is active, so 6 cannot belong to the log: somebody copied a file here.
        assert_eq!(select(&files, &all, active(5), i64::MAX), [2]);
        assert_eq!(oldest(&files, active(5)), [2]);
        assert!(select(&files, &all, active(3), i64::MAX).is_empty());
        assert!(select(&[], &all, active(3), i64::MAX).is_empty());
    }

    #[test]
    fn two_files_of_one_segment_are_one() {
        let mut files = files(&[1, 2, 2, 3, 3]);
        let keep = |count| select(&files, &Retention::new().keep(count), active(4), 0);
        assert!(keep(3).is_empty());
        assert_eq!(keep(2), [0]);
        assert_eq!(keep(1), [0, 1, 2]);
        assert_eq!(select(&files, &Retention::new().max_total(20), active(4), 0), [0, 1, 2]);
        files.remove(0);
        assert_eq!(oldest(&files, active(4)), [0, 1]);
        assert!(oldest(&files[2..], active(4)).is_empty(), "never the newest");
    }

    /// A log of its own, whose active segment began at `began` x 100 s.
    fn one_of(id: u8, numbers: &[u64], began: i64) -> OneOf {
        let mut files = files(numbers);
        let log_id = LogId([id; 16]);
        files.iter_mut().for_each(|file| file.lineage.log_id = log_id);
        let active = Lineage { log_id, segment: numbers.iter().max().map_or(1, |last| last + 1) };
        OneOf { files, active, began: began * 100 * SECOND }
    }

    fn of_all(logs: &[OneOf], max: u64) -> Vec<(usize, u64)> {
        let gone = select_of_all(logs, max, i64::MAX);
        let numbered = gone.into_iter().flat_map(|(log, segment)| {
            segment.into_iter().map(move |file| (log, logs[log].files[file].lineage.segment))
        });
        numbered.collect()
    }

    #[test]
    fn of_several_logs_the_segment_goes_that_was_over_first() {
        // Segment 1 of the first log ends when 5 begins, and 2 of the second log when 4 begins.
        let logs = [one_of(1, &[1, 5], 6), one_of(2, &[4, 2], 7), one_of(3, &[], 1)];
        assert!(of_all(&logs, 40).is_empty());
        assert_eq!(of_all(&logs, 39), [(1, 2)]);
        assert_eq!(of_all(&logs, 20), [(1, 2), (0, 1)]);
        assert_eq!(of_all(&logs, 19), [(1, 2), (0, 1), (0, 5)]);
        assert_eq!(of_all(&logs, 0), [(1, 2), (0, 1), (0, 5)], "never the newest of all");
        assert!(of_all(&[], 0).is_empty());
    }

    #[test]
    fn foreign_files_of_several_logs_count_nothing_and_stay() {
        let mut logs = [one_of(1, &[1, 2, 3], 4), one_of(2, &[5], 6)];
        logs[0].files[0].lineage.log_id = FOREIGN;
        logs[0].active.segment = 3;
        // Segment 2 of the first log and segment 5 of the second are left.
        assert!(of_all(&logs, 20).is_empty());
        assert_eq!(of_all(&logs, 1), [(0, 2)]);
    }

    #[test]
    fn a_wrong_clock_makes_no_hole_in_one_of_several_logs() {
        let mut logs = [one_of(1, &[1, 2, 3, 4], 5), one_of(2, &[3], 4)];
        // The clock was in 1970 for a while, and in the future.
        logs[0].files[1].started = 0;
        logs[0].files[2].started = i64::MAX;
        for max in 0..=50 {
            let gone = of_all(&logs, max);
            let first: Vec<u64> =
                gone.iter().filter(|(log, _)| *log == 0).map(|(_, number)| *number).collect();
            assert!(first.iter().copied().eq(1..=first.len() as u64), "{gone:?}");
        }
    }

    proptest! {
        #[test]
        fn of_several_logs_not_more_goes_than_has_to(
            sizes in prop::collection::vec(prop::collection::vec((0..50_u64, 0..100_i64), 0..8), 0..5),
            max in 0..300_u64,
        ) {
            let logs: Vec<OneOf> = sizes.iter().zip(1_u8..).map(|(of_one, id)| {
                let numbers: Vec<u64> = (1..=of_one.len() as u64).collect();
                let mut log = one_of(id, &numbers, 100);
                for (file, (bytes, started)) in log.files.iter_mut().zip(of_one) {
                    (file.bytes, file.started) = (*bytes, *started);
                }
                log
            }).collect();
            let gone = of_all(&logs, max);
            let all: u64 = sizes.iter().flatten().map(|(bytes, _)| bytes).sum();
            let size = |(log, number): &(usize, u64)| sizes[*log][*number as usize - 1].0;
            let left = all - gone.iter().map(size).sum::<u64>();
            let count: usize = sizes.iter().map(Vec::len).sum();
            prop_assert!(left <= max || gone.len() + 1 >= count);
            if let Some(last) = gone.last() {
                prop_assert!(left + size(last) > max, "one less is too much");
            }
            for log in 0..sizes.len() {
                let of_one = gone.iter().filter(|(of, _)| *of == log).map(|(_, number)| *number);
                prop_assert!(of_one.eq(1..=gone.iter().filter(|(of, _)| *of == log).count() as u64));
            }
        }
    }

    #[test]
    fn a_segment_without_an_end_ended_before_the_next_began() {
        let mut files = files(&[1, 2, 3]);
        files[0].last_time = None;
        let age = |files: &[ArchivedFile], now: i64| {
            select(files, &Retention::new().max_age(secs(50)), active(4), now * SECOND)
        };
        // Segment 2 began at 190 s.
        assert!(age(&files, 240).is_empty());
        assert_eq!(age(&files, 241), [0]);
        files[1].last_time = None;
        assert_eq!(age(&files, 340), [0]);
        assert_eq!(age(&files, 341), [0, 1]);
    }

    #[test]
    fn a_wrong_clock_makes_no_hole() {
        let age = |files: &[ArchivedFile], now: i64| {
            select(files, &Retention::new().max_age(secs(150)), active(5), now * SECOND)
        };
        // The clock was in 1970 for a while: the segments before are young, and this one stays with them.
        let mut files = files(&[1, 2, 3, 4]);
        files[1].last_time = Some(0);
        assert!(age(&files, 240).is_empty());
        assert_eq!(age(&files, 251), [0, 1]);
        // The clock was in the future for a while: the segment is deleted with the next one.
        files[1].last_time = Some(i64::MAX);
        assert_eq!(age(&files, 251), [0]);
        assert_eq!(age(&files, 450), [0]);
        assert_eq!(age(&files, 451), [0, 1, 2]);
    }

    #[test]
    fn absurd_sizes_and_times_are_no_trouble() {
        let mut files = files(&[1, 2, 3]);
        files.iter_mut().for_each(|file| file.bytes = u64::MAX);
        let all = Retention::new().max_total(u64::MAX - 1).max_age(Duration::MAX);
        files[0].last_time = Some(i64::MIN);
        assert_eq!(select(&files, &all, active(4), i64::MAX).len(), 2);
    }

    fn lineages() -> impl Strategy<Value = Lineage> {
        let log_id = prop_oneof![5 => Just(OURS), 1 => Just(FOREIGN)];
        (log_id, 0..12_u64).prop_map(|(log_id, segment)| Lineage { log_id, segment })
    }

    fn any_file() -> impl Strategy<Value = ArchivedFile> {
        let last_time = prop::option::weighted(0.8, 0..100_i64);
        (lineages(), 0..50_u64, 0..100_i64, last_time).prop_map(
            |(lineage, bytes, started, last_time)| ArchivedFile {
                lineage,
                bytes,
                started: started * SECOND,
                last_time: last_time.map(|time| time * SECOND),
            },
        )
    }

    /// Deletes the oldest segment while a limit demands it: obviously right, and slow.
    fn oracle(
        files: &[ArchivedFile],
        retention: &Retention,
        active: Lineage,
        now: i64,
    ) -> Vec<usize> {
        let mut left: Vec<usize> = (0..files.len())
            .filter(|&at| files[at].lineage.log_id == active.log_id)
            .filter(|&at| files[at].lineage.segment < active.segment)
            .collect();
        let number = |at: usize| files[at].lineage.segment;
        let mut gone = Vec::new();
        loop {
            let mut numbers: Vec<u64> = left.iter().map(|&at| number(at)).collect();
            numbers.sort_unstable();
            numbers.dedup();
            let ended = |place: usize| {
                let of = |n: u64| {
                    left.iter().map(|&at| &files[at]).filter(move |f| f.lineage.segment == n)
                };
                let last = of(numbers[place]).filter_map(|file| file.last_time).max();
                last.or_else(|| of(numbers[place + 1]).map(|file| file.started).max())
            };
            // The first segment with a valid end decides for the segments before it.
            let old = retention.max_age.is_some_and(|max| {
                (0..numbers.len().saturating_sub(1))
                    .filter_map(ended)
                    .find(|ended| *ended <= now)
                    .is_some_and(|ended| now - ended > max.as_nanos() as i64)
            });
            let bytes: u64 = left.iter().map(|&at| files[at].bytes).sum();
            let many = retention.keep.is_some_and(|keep| numbers.len() > keep);
            let long = retention.max_total.is_some_and(|max| bytes > max);
            if numbers.len() < 2 || !(old || many || long) {
                return gone;
            }
            gone.extend(left.iter().filter(|&&at| number(at) == numbers[0]));
            left.retain(|&at| number(at) != numbers[0]);
        }
    }

    proptest! {
        #[test]
        fn the_same_as_one_by_one(
            files in prop::collection::vec(any_file(), 0..16),
            keep in prop::option::of(1..8_usize),
            max_total in prop::option::of(1..300_u64),
            max_age in prop::option::of(1..100_u64),
            number in 0..14_u64,
            now in 0..150_i64,
        ) {
            let max_age = max_age.map(secs);
            let limits = Retention { keep, max_age, max_total, ..Retention::default() };
            let now = now * SECOND;
            let gone = select(&files, &limits, active(number), now);
            prop_assert_eq!(&gone, &oracle(&files, &limits, active(number), now));

            let ours = |file: &&ArchivedFile| {
                file.lineage.log_id == OURS && file.lineage.segment < number
            };
            let newest = files.iter().filter(ours).map(|file| file.lineage.segment).max();
            for &at in &gone {
                prop_assert_eq!(files[at].lineage.log_id, OURS);
                prop_assert!(files[at].lineage.segment < number);
                prop_assert!(Some(files[at].lineage.segment) < newest);
            }
            // The segments that are left are not selected again.
            let mut left = files.clone();
            let mut at = 0;
            left.retain(|_| { at += 1; !gone.contains(&(at - 1)) });
            prop_assert!(select(&left, &limits, active(number), now).is_empty());
        }
    }
}
