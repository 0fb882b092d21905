//! Cuts a stream into lines, in big pieces and with bounded memory.

use memchr::memchr_iter;

/// The number of bytes that each read can take.
const PIECE_BYTES: usize = 256 << 10;
/// How many bytes of a line that is too long are kept: enough to read the name of an event at its beginning.
pub(crate) const FRONT_BYTES: usize = 2 << 10;

/// The bytes between two terminators.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A line without its terminator.
    Whole(&'a [u8]),
    /// A line longer than the limit; most of its bytes were not kept.
    TooLong {
        /// The number of the line, from 1.
        number: u64,
        /// The length of the line without the terminator, in bytes.
        len: u64,
        /// The first bytes of the line.
        front: &'a [u8],
    },
}

/// The state between two reads: at most one unfinished line of at most `max` bytes.
pub(crate) struct Lines {
    /// Begins with the unfinished line, `pending` bytes; the rest is room for the next read.
    buffer: Vec<u8>,
    pending: usize,
    /// Number of bytes of the unfinished line that were discarded because the line is too long.
    skipped: u64,
    /// The first of these bytes.
    front: Vec<u8>,
    max: usize,
    count: u64,
}

impl Lines {
    pub(crate) fn new(max: usize) -> Lines {
        let (buffer, front) = (vec![0; PIECE_BYTES], Vec::new());
        Lines { buffer, pending: 0, skipped: 0, front, max, count: 0 }
    }

    /// The buffer for the next read; never empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.buffer.len() - self.pending < PIECE_BYTES / 2 {
            // `pending` is at most `max` here, so this stops growing at `max` and one piece.
            let wanted = (self.buffer.len() * 2).min(self.max + PIECE_BYTES);
            self.buffer.resize(wanted.max(self.pending + PIECE_BYTES / 2), 0);
        }
        &mut self.buffer[self.pending..]
    }

    /// Passes on every line that the `len` new bytes have finished.
    pub(crate) fn advance(&mut self, len: usize, mut each: impl FnMut(Line<'_>)) {
        let end = self.pending + len;
        let mut start = 0;
        for found in memchr_iter(b'\n', &self.buffer[self.pending..end]) {
            let stop = self.pending + found;
            self.count += 1;
            let line = &self.buffer[start..stop];
            if self.skipped == 0 && line.len() <= self.max {
                each(Line::Whole(line));
            } else {
                keep_front(&mut self.front, line);
                let len = self.skipped + line.len() as u64;
                each(Line::TooLong { number: self.count, len, front: &self.front });
                self.front.clear();
                self.skipped = 0;
            }
            start = stop + 1;
        }
        self.pending = end - start;
        if self.skipped > 0 || self.pending > self.max {
            keep_front(&mut self.front, &self.buffer[start..end]);
            self.skipped += self.pending as u64;
            self.pending = 0;
        } else if start > 0 {
            self.buffer.copy_within(start..end, 0);
        }
    }

    /// Passes on the last line if the input ended without a terminator.
    pub(crate) fn finish(&mut self, each: impl FnOnce(Line<'_>)) {
        let len = self.unfinished();
        if len == 0 {
            return;
        }
        self.count += 1;
        if self.skipped == 0 {
            each(Line::Whole(&self.buffer[..self.pending]));
        } else {
            each(Line::TooLong { number: self.count, len, front: &self.front });
            self.front.clear();
        }
        (self.pending, self.skipped) = (0, 0);
    }

    /// Number of bytes of the unfinished line.
    pub(crate) fn unfinished(&self) -> u64 {
        self.skipped + self.pending as u64
    }
}

/// Adds the next bytes of a line that is too long.
fn keep_front(front: &mut Vec<u8>, bytes: &[u8]) {
    let room = FRONT_BYTES - front.len();
    front.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` in pieces of `piece` bytes.
    fn split(input: &[u8], max: usize, piece: usize) -> Vec<Result<Vec<u8>, (u64, u64)>> {
        let mut found = Vec::new();
        let mut lines = Lines::new(max);
        let mut keep = |line: Line<'_>| {
            found.push(match line {
                Line::Whole(bytes) => Ok(bytes.to_vec()),
                Line::TooLong { number, len, front } => {
                    assert_eq!(front.len() as u64, len.min(FRONT_BYTES as u64));
                    let of_input = input.windows(front.len()).any(|bytes| bytes == front);
                    assert!(of_input, "these bytes never came");
                    Err((number, len))
                }
            });
        };
        for piece in input.chunks(piece) {
            let room = lines.room();
            assert!(room.len() >= piece.len());
            room[..piece.len()].copy_from_slice(piece);
            lines.advance(piece.len(), &mut keep);
            assert!(lines.buffer.len() <= (max + PIECE_BYTES).max(2 * PIECE_BYTES));
        }
        lines.finish(&mut keep);
        assert_eq!(lines.unfinished(), 0);
        found
    }

    #[test]
    fn lines_come_out_whatever_the_pieces() {
        let input = b"one\n\ntwo\r\nth\0ree\n12345\n123456\n1234567890\nlast";
        let expected = vec![
            Ok(b"one".to_vec()),
            Ok(b"".to_vec()),
            Ok(b"two\r".to_vec()),
            Err((4, 6)),
            Ok(b"12345".to_vec()),
            Err((6, 6)),
            Err((7, 10)),
            Ok(b"last".to_vec()),
        ];
        for piece in 1..=input.len() {
            assert_eq!(split(input, 5, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn the_end_of_the_input_ends_a_line_only_if_one_has_begun() {
        for piece in 1..4 {
            assert_eq!(split(b"", 5, piece), vec![]);
            assert_eq!(split(b"a\n", 5, piece), vec![Ok(b"a".to_vec())]);
            assert_eq!(split(b"a\n123456", 5, piece), vec![Ok(b"a".to_vec()), Err((2, 6))]);
        }
    }

    #[test]
    fn a_long_line_needs_memory_up_to_the_limit_and_no_more() {
        let max = 3 * PIECE_BYTES;
        let mut input = vec![b'x'; 10 * PIECE_BYTES];
        input.extend_from_slice(b"\nshort\n");
        input.extend(vec![b'y'; max]);
        let found = split(&input, max, PIECE_BYTES / 2);
        assert_eq!(found[0], Err((1, 10 * PIECE_BYTES as u64)));
        assert_eq!(found[1], Ok(b"short".to_vec()));
        assert_eq!(found[2].as_ref().map(Vec::len), Ok(max));
    }
}
