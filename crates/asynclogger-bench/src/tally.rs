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
