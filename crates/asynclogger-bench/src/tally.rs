//! Which of the offered records are in the file.

/// A bit for each offered record.
pub(crate) struct Tally {
    size: usize,
    /// For each thread: bits, records offered, and the first number after the trouble.
    threads: Vec<(Vec<u64>, u64, u64)>,
    pub(crate) found: u64,
    pub(crate) twice: u64,
    /// Lines that are no offered record.
    pub(crate) alien: u64,
    /// Found, of those that were offered when the trouble was over.
    pub(crate) found_after: u64,
}

/// What one thread has offered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offered {
    pub(crate) records: u64,
    /// The number of the first record after the trouble.
    pub(crate) after: u64,
}

impl Tally {
    pub(crate) fn new(size: usize, offered: &[Offered]) -> Tally {
        let bits = |offered: &Offered| {
            let words = offered.records.div_ceil(64) as usize;
            (vec![0; words], offered.records, offered.after)
        };
        let threads = offered.iter().map(bits).collect();
        Tally { size, threads, found: 0, twice: 0, alien: 0, found_after: 0 }
    }

    pub(crate) fn line(&mut self, line: &[u8]) {
        let place = crate::record::stamp(line, self.size)
            .and_then(|(thread, number)| Some((self.threads.get_mut(thread)?, number)))
            .filter(|((_, offered, _), number)| number < offered);
        let Some(((bits, _, after), number)) = place else {
            self.alien += 1;
            return;
        };
        let (word, bit) = (&mut bits[(number / 64) as usize], 1 << (number % 64));
        if *word & bit != 0 {
            self.twice += 1;
            return;
        }
        *word |= bit;
        self.found += 1;
        self.found_after += u64::from(number >= *after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Records;

    /// The count finds what is missing, doubled, or never offered.
    #[test]
    fn a_tally_is_exact() {
        let offered = [Offered { records: 100, after: 60 }, Offered { records: 70, after: 70 }];
        let mut tally = Tally::new(32, &offered);
        let mut first = Records::new(0, 32);
        for number in 0..101 {
            let record = first.next();
            if number != 64 {
                tally.line(record.bytes());
            }
        }
        let mut second = Records::new(1, 32);
        let record = second.next();
        tally.line(record.bytes());
        tally.line(record.bytes());
        tally.line(Records::new(2, 32).next().bytes());
        tally.line(b"a line of the logger itself");
        assert_eq!((tally.found, tally.twice, tally.alien, tally.found_after), (100, 1, 3, 39));
    }
}
