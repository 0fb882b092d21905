//! Reads all records back and compares them with the records that the threads know to be accepted.

use std::fmt;

use asynclogger::read::LogDir;

use super::{load::Load, record::Record};
use crate::{
    outcome::Failure,
    report::{say_damage, say_missing},
};

/// The differences between the file and the accepted records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Check {
    /// Records of this run in the file, right or wrong.
    pub(super) found: u64,
    /// Accepted records that are not in the file as they were made.
    pub(super) lost: u64,
    /// Records in the file that no thread logged.
    pub(super) altered: u64,
    /// Records that are in the file more than once.
    pub(super) duplicated: u64,
    /// Records behind one that their thread logged later.
    pub(super) out_of_order: u64,
}

impl Check {
    /// Whether no record is lost, altered or doubled. The order is judged elsewhere, because it is not
    /// promised if threads share shards.
    pub(super) fn is_whole(&self) -> bool {
        self.lost == 0 && self.altered == 0 && self.duplicated == 0
    }

    /// Only the records of this session count, because the first file can have older ones.
    pub(super) fn read_back(mut log: LogDir, form: &Record, load: &Load) -> Result<Check, Failure> {
        let mut tally = Tally::new(load.threads.iter().map(|thread| thread.accepted));
        let Some(session) = load.session() else {
            return Ok(tally.finish());
        };
        while let Some(record) = log.next_record()? {
            if record.position().session() == session {
                tally.add(form.identify(record.bytes()));
            }
        }
        let report = log.report();
        report.segments.iter().for_each(say_damage);
        say_missing(&report);
        Ok(tally.finish())
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Check { found, lost, altered, duplicated, out_of_order } = self;
        write!(
            f,
            "{found} records, {lost} lost, {altered} altered, {duplicated} doubled, {out_of_order} out of order"
        )
    }
}

/// A set with one bit per record.
struct Tally {
    threads: Vec<ThreadTally>,
    check: Check,
}

struct ThreadTally {
    accepted: u64,
    seen: Vec<u64>,
    next: u64,
}

impl Tally {
    fn new(accepted: impl Iterator<Item = u64>) -> Tally {
        let threads = accepted
            .map(|accepted| ThreadTally {
                accepted,
                seen: vec![0; accepted.div_ceil(64) as usize],
                next: 0,
            })
            .collect();
        Tally { threads, check: Check::default() }
    }

    fn add(&mut self, identity: Option<(u32, u64)>) {
        self.check.found += 1;
        let known = identity.and_then(|(thread, number)| {
            let thread = self.threads.get_mut(thread as usize)?;
            (number < thread.accepted).then_some((thread, number))
        });
        let Some((thread, number)) = known else {
            self.check.altered += 1;
            return;
        };
        let (word, bit) = (&mut thread.seen[(number / 64) as usize], 1 << (number % 64));
        if *word & bit != 0 {
            self.check.duplicated += 1;
            return;
        }
        *word |= bit;
        if number < thread.next {
            self.check.out_of_order += 1;
        } else {
            thread.next = number + 1;
        }
    }

    fn finish(self) -> Check {
        let mut check = self.check;
        for thread in &self.threads {
            let seen: u64 = thread.seen.iter().map(|word| u64::from(word.count_ones())).sum();
            check.lost += thread.accepted - seen;
        }
        check
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accepted: &[u64], records: &[Option<(u32, u64)>]) -> Check {
        let mut tally = Tally::new(accepted.iter().copied());
        records.iter().for_each(|record| tally.add(*record));
        tally.finish()
    }

    #[test]
    fn every_difference_is_counted_under_its_name() {
        let whole = [Some((0, 0)), Some((1, 0)), Some((0, 1)), Some((1, 1)), Some((1, 2))];
        let fine = Check { found: 5, ..Check::default() };
        assert_eq!(check(&[2, 3], &whole), fine);
        assert!(fine.is_whole());

        assert_eq!(check(&[2, 3], &whole[..4]), Check { found: 4, lost: 1, ..Check::default() });
        assert_eq!(
            check(&[2, 0], &[Some((0, 1)), Some((0, 0))]),
            Check { found: 2, out_of_order: 1, ..Check::default() }
        );
        assert_eq!(
            check(&[2, 0], &[Some((0, 0)), Some((0, 1)), Some((0, 0))]),
            Check { found: 3, duplicated: 1, ..Check::default() }
        );
        // Changed bytes, a thread that never existed, a number that was never accepted.
        for wrong in [None, Some((2, 0)), Some((0, 1))] {
            assert_eq!(
                check(&[1, 0], &[wrong]),
                Check { found: 1, lost: 1, altered: 1, ..Check::default() }
            );
        }
    }
}
