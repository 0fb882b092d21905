//! How much of an object is asked for at once.

use std::ops::Range;

/// A look at one place: the start of a segment, the head of a block, a table at the end.
const LEAST: u64 = 64 << 10;
/// What is worth a request when everything is read.
pub(crate) const MOST: u64 = 4 << 20;
/// Each piece that follows the one before is that much longer.
const GROWTH: u64 = 4;

/// Finds how far the next request goes: little at a place that was jumped to, more and more where the reading goes on.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    /// Where the last piece ended, and how long it was.
    end: u64,
    last: u64,
}

impl ReadAhead {
    /// The bytes to ask for, from `offset` on, when `wanted` bytes are read there of an object of `size` bytes.
    pub(crate) fn piece(&mut self, offset: u64, wanted: u64, size: u64) -> Range<u64> {
        let grown = match offset == self.end && self.last > 0 {
            true => self.last.saturating_mul(GROWTH),
            false => LEAST,
        };
        let bytes = grown.max(wanted).clamp(LEAST, MOST);
        let end = offset.saturating_add(bytes).min(size);
        (self.end, self.last) = (end, bytes);
        offset..end
    }

    /// The piece behind the last one, if the reading went on long enough that somebody will want it.
    pub(crate) fn next(&mut self, size: u64) -> Option<Range<u64>> {
        (self.last == MOST && self.end < size).then(|| self.piece(self.end, MOST, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 100 << 20;

    #[test]
    fn pieces_grow_while_the_reading_goes_on_and_shrink_when_it_jumps() {
        let mut ahead = ReadAhead::default();
        assert_eq!(ahead.piece(0, 10, SIZE), 0..64 << 10);
        assert_eq!(ahead.next(SIZE), None);
        assert_eq!(ahead.piece(64 << 10, 10, SIZE), 64 << 10..320 << 10);
        assert_eq!(ahead.piece(320 << 10, 10, SIZE), 320 << 10..1344 << 10);
        let grown = ahead.piece(1344 << 10, 10, SIZE);
        assert_eq!(grown.end - grown.start, MOST);
        assert_eq!(ahead.next(SIZE), Some(grown.end..grown.end + MOST));
        assert_eq!(ahead.piece(50 << 20, 10, SIZE), 50 << 20..(50 << 20) + LEAST);
        assert_eq!(ahead.next(SIZE), None);
    }

    #[test]
    fn a_piece_ends_with_the_object_and_has_what_was_asked_for() {
        let mut ahead = ReadAhead::default();
        assert_eq!(ahead.piece(SIZE - 5, 10, SIZE), SIZE - 5..SIZE);
        assert_eq!(ahead.piece(0, 1 << 20, SIZE), 0..1 << 20);
        assert_eq!(ahead.piece(7, u64::MAX, SIZE), 7..7 + MOST);
        assert_eq!(ahead.piece(u64::MAX - 1, 10, u64::MAX), u64::MAX - 1..u64::MAX);
    }
}
