//! The records: each is different, and says which thread made it and with which number.

/// The shortest record: the stamp, and some text.
pub(crate) const LEAST: usize = 16;
const THREAD: usize = 3;
const STAMP: usize = THREAD + 10;

/// A record, with and without its line's end.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    line: &'a [u8],
}

impl<'a> Record<'a> {
    #[inline]
    pub(crate) fn line(self) -> &'a [u8] {
        self.line
    }

    #[inline]
    pub(crate) fn bytes(self) -> &'a [u8] {
        &self.line[..self.line.len() - 1]
    }

    #[inline]
    pub(crate) fn text(self) -> &'a str {
        // SAFETY: a stamp has digits and letters of ASCII only, from `Records::new` on.
        unsafe { std::str::from_utf8_unchecked(self.bytes()) }
    }
}

/// The records of one thread, one after the other.
pub(crate) struct Records {
    line: Vec<u8>,
    made: u64,
}

impl Records {
    pub(crate) fn new(thread: usize, size: usize) -> Records {
        let mut line = format!("{thread:03}9999999999").into_bytes();
        line.extend((STAMP..size).map(|at| b'a' + (at % 26) as u8));
        line.push(b'\n');
        Records { line, made: 0 }
    }

    /// The next record. A number is made by counting in place, which costs a nanosecond or two.
    #[inline]
    pub(crate) fn next(&mut self) -> Record<'_> {
        for digit in self.line[THREAD..STAMP].iter_mut().rev() {
            if *digit != b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
        self.made += 1;
        Record { line: &self.line }
    }

    /// How many there were; the next one has this number.
    pub(crate) fn made(&self) -> u64 {
        self.made
    }
}

/// Thread and number of a record of `size` bytes; the text of a line in front of the record is the logger's own.
pub(crate) fn stamp(line: &[u8], size: usize) -> Option<(usize, u64)> {
    let record = line.get(line.len().checked_sub(size)?..)?;
    let filled = record[STAMP..]
        .iter()
        .enumerate()
        .all(|(at, byte)| *byte == b'a' + ((STAMP + at) % 26) as u8);
    let digits = |part: &[u8]| std::str::from_utf8(part).ok()?.parse::<u64>().ok();
    let (thread, number) = (digits(&record[..THREAD])?, digits(&record[THREAD..STAMP])?);
    filled.then_some((thread as usize, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_numbered_from_zero_and_found_behind_a_prefix() {
        let mut records = Records::new(7, 64);
        for number in 0..1234 {
            let record = records.next();
            let line = [b"INFO ", record.bytes()].concat();
            assert_eq!(stamp(&line, 64), Some((7, number)));
            assert_eq!(record.line().len(), 65);
        }
        assert_eq!(records.made(), 1234);
    }

    #[test]
    fn a_changed_byte_is_no_record() {
        let mut records = Records::new(0, 64);
        let mut line = records.next().bytes().to_vec();
        line[40] ^= 1;
        assert_eq!(stamp(&line, 64), None);
        assert_eq!(stamp(&line[..63], 64), None);
    }
}
