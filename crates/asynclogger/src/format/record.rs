//! Records: `[u32 length][bytes]`, back to back.

use super::RECORD_HEADER;

/// Walks the records of `bytes` from `offset` on. The walk ends at the end of `bytes`, at a length of 0, or
/// before a record that does not fit; [`Records::offset`] is where the walk ended.
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(bytes: &'a [u8], offset: usize) -> Records<'a> {
        Records { bytes, offset }
    }

    /// The offset where the next record would start.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }
}

impl<'a> Iterator for Records<'a> {
    /// The offset of the record's length prefix, and the record.
    type Item = (usize, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        let rest = self.bytes.get(self.offset..)?;
        let (length, rest) = rest.split_first_chunk::<RECORD_HEADER>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let record = rest.get(..length).filter(|record| !record.is_empty())?;
        let start = self.offset;
        self.offset += RECORD_HEADER + length;
        Some((start, record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_at_the_end_a_zero_length_or_a_length_too_long() {
        let two = [1, 0, 0, 0, b'a', 2, 0, 0, 0, b'b', b'c'];
        let mut records = Records::new(&two, 0);
        assert_eq!(records.next(), Some((0, &b"a"[..])));
        assert_eq!(records.next(), Some((5, &b"bc"[..])));
        assert_eq!((records.next(), records.offset()), (None, 11));

        let mut zero = Records::new(&[1, 0, 0, 0, b'a', 0, 0, 0, 0, 9], 0);
        assert!(zero.next().is_some());
        assert_eq!((zero.next(), zero.offset()), (None, 5));

        let mut long = Records::new(&[255, 255, 255, 255, 1, 2, 3], 0);
        assert_eq!((long.next(), long.offset()), (None, 0));
        assert_eq!(Records::new(&[1, 0], 0).next(), None);
        assert_eq!(Records::new(&[], 7).next(), None);
    }
}
