//! The writer through which an encoder writes a record.

use std::io;

/// Writes a record in place: into the log's own buffer, behind the records that were logged before.
///
/// A writer shows only bytes that were written through it. (The memory holds bytes of older records, and an encoder
/// that could see them could log them again.) The written bytes are the record; the unused rest of the room is left
/// to the next record.
///
/// A record that would be longer than announced is not logged, not even in part. The record is refused as too large,
/// with the length that it would have had. [`clear`](RecordWriter::clear) begins the record again.
#[derive(Debug)]
pub struct RecordWriter<'a> {
    room: &'a mut [u8],
    len: usize,
    /// Bytes that did not fit.
    missing: usize,
}

impl<'a> RecordWriter<'a> {
    #[inline]
    pub(super) fn new(room: &'a mut [u8]) -> RecordWriter<'a> {
        RecordWriter { room, len: 0, missing: 0 }
    }

    /// Appends bytes to the record, and returns whether they fit. If they do not, none of them is in the record, and
    /// the record will be refused.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        match self.take(bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }

    /// Appends `len` zeroes, and returns them for the encoder to write over; `None` if they do not fit, and then the
    /// record will be refused.
    #[inline]
    pub fn zeroed(&mut self, len: usize) -> Option<&mut [u8]> {
        let place = self.take(len)?;
        place.fill(0);
        Some(place)
    }

    /// Adds the next `len` bytes of the room to the record. The caller has to write over all of them.
    #[inline]
    fn take(&mut self, len: usize) -> Option<&mut [u8]> {
        // Once some bytes did not fit, no later ones do: a record has no holes.
        if self.missing > 0 || len > self.remaining() {
            self.missing = self.missing.saturating_add(len);
            return None;
        }
        let place = &mut self.room[self.len..self.len + len];
        self.len += len;
        Some(place)
    }

    /// The bytes that were written so far.
    #[inline]
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// The bytes that were written so far, to be changed: for a length that is known only now, for example.
    #[inline]
    pub fn written_mut(&mut self) -> &mut [u8] {
        &mut self.room[..self.len]
    }

    /// The number of bytes that were written so far.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte was written yet.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of bytes that can still be written.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.room.len() - self.len
    }

    /// Takes back all bytes, those that were written and those that did not fit.
    #[inline]
    pub fn clear(&mut self) {
        (self.len, self.missing) = (0, 0);
    }

    /// The length that the record would have with all bytes, also those that did not fit.
    #[inline]
    pub(super) fn wanted(&self) -> usize {
        self.len.saturating_add(self.missing)
    }
}

/// Writes all bytes or none. Returns an error of the kind `WriteZero` if they do not fit.
impl io::Write for RecordWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if RecordWriter::write(self, bytes) {
            Ok(bytes.len())
        } else {
            Err(io::Error::new(io::ErrorKind::WriteZero, "the record is longer than announced"))
        }
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_writer_shows_what_was_written_and_nothing_else() {
        let mut room = *b"older record";
        let mut writer = RecordWriter::new(&mut room);
        assert!(writer.is_empty() && writer.written().is_empty());
        assert!(writer.write(b"new"));
        assert_eq!(writer.zeroed(2), Some(&mut [0, 0][..]));
        writer.written_mut()[3] = b'!';
        assert_eq!((writer.written(), writer.len(), writer.remaining()), (&b"new!\0"[..], 5, 7));
        assert_eq!(writer.wanted(), 5);
        writer.clear();
        assert!(writer.written().is_empty() && writer.remaining() == 12);
        assert_eq!(room, *b"new!\0 record");
    }

    #[test]
    fn what_does_not_fit_is_not_there_in_part_and_nothing_comes_behind_it() {
        let mut room = [0; 8];
        let mut writer = RecordWriter::new(&mut room);
        write!(writer, "{}", 12345).expect("it fits");
        let error = writer.write_all(b"6789").expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        assert!(!RecordWriter::write(&mut writer, b"x") && writer.zeroed(1).is_none());
        assert_eq!((writer.written(), writer.wanted()), (&b"12345"[..], 11));
        writer.clear();
        assert!(RecordWriter::write(&mut writer, b"12345678"));
        assert_eq!(writer.wanted(), 8);
    }
}
