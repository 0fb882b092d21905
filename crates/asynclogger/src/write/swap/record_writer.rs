//! What an encoder writes a record through.

use std::io;

/// Where an encoder writes a record: into the log's own buffer, behind what was logged before.
///
/// It gives out nothing but what was written through it. (The memory holds bytes of older records, and an encoder
/// that could see them could log them again.) What is written is the record: room that is not used is the next
/// record's.
///
/// A record that would be longer than was announced is not logged, not even in part; it is refused as too large,
/// with the length that it would have had. [`clear`](RecordWriter::clear) begins again.
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

    /// Appends bytes to the record; whether they fit. If not, none of them is in it, and the record will be
    /// refused.
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

    /// Appends `len` zeroes, and gives them out to be written over; `None` if they do not fit, and then the record
    /// will be refused.
    #[inline]
    pub fn zeroed(&mut self, len: usize) -> Option<&mut [u8]> {
        let place = self.take(len)?;
        place.fill(0);
        Some(place)
    }

    /// The next `len` bytes, which are the record's from now on, and have to be written over.
    #[inline]
    fn take(&mut self, len: usize) -> Option<&mut [u8]> {
        // After something that did not fit nothing does: a record has no holes.
        if self.missing > 0 || len > self.remaining() {
            self.missing = self.missing.saturating_add(len);
            return None;
        }
        let place = &mut self.room[self.len..self.len + len];
        self.len += len;
        Some(place)
    }

    /// What was written.
    #[inline]
    pub fn written(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// What was written, to be changed: a length that is known only now, say.
    #[inline]
    pub fn written_mut(&mut self) -> &mut [u8] {
        &mut self.room[..self.len]
    }

    /// Bytes that were written.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that may still be written.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.room.len() - self.len
    }

    /// Takes back all that was written, and what did not fit.
    #[inline]
    pub fn clear(&mut self) {
        (self.len, self.missing) = (0, 0);
    }

    /// How long the record would be with all that was to be written to it.
    #[inline]
    pub(super) fn wanted(&self) -> usize {
        self.len.saturating_add(self.missing)
    }
}

/// Writes all bytes or none; an error of the kind `WriteZero` if they do not fit.
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
