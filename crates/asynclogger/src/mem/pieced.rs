//! Bytes in several pieces of an arena, used as one run.

use super::{Piece, StableBytes};

/// Pieces of one length, in their order.
#[derive(Debug, Default)]
pub(crate) struct Run(Vec<Piece>);

impl Run {
    /// Puts a piece behind the others, which have the same length.
    pub(crate) fn push(&mut self, piece: Piece) {
        debug_assert!(self.0.first().is_none_or(|first| first.len() == piece.len()));
        self.0.push(piece);
    }

    pub(crate) fn first_mut(&mut self) -> Option<&mut Piece> {
        self.0.first_mut()
    }

    /// The number of pieces.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The number of bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * self.piece_len()
    }

    fn piece_len(&self) -> usize {
        self.0.first().map_or(1, |piece| piece.len())
    }

    /// Calls `with` for the bytes of a range, piece by piece. The range must be within the run.
    pub(crate) fn each(&mut self, mut at: usize, len: usize, mut with: impl FnMut(&mut [u8])) {
        let (end, piece_len) = (at + len, self.piece_len());
        while at < end {
            let (number, from) = (at / piece_len, at % piece_len);
            let to = piece_len.min(from + end - at);
            with(&mut self.0[number][from..to]);
            at += to - from;
        }
    }

    /// Copies bytes to `at`. The range must be within the run.
    pub(crate) fn put(&mut self, at: usize, mut bytes: &[u8]) {
        self.each(at, bytes.len(), |room| {
            let (now, later) = bytes.split_at(room.len());
            room.copy_from_slice(now);
            bytes = later;
        });
    }

    /// Gives a range to `write` as one slice, with the bytes that stand there; through a copy, if the range is not in one
    /// piece.
    pub(crate) fn write(&mut self, at: usize, len: usize, write: &mut dyn FnMut(&mut [u8])) {
        let piece_len = self.piece_len();
        let (number, from) = (at / piece_len, at % piece_len);
        if from + len <= piece_len {
            write(&mut self.0[number][from..from + len]);
            return;
        }
        let mut bytes = Vec::with_capacity(len);
        self.each(at, len, |part| bytes.extend_from_slice(part));
        write(&mut bytes);
        self.put(at, &bytes);
    }

    /// The number of pieces that a range touches.
    fn touched(&self, start: usize, end: usize) -> usize {
        if start < end { end.div_ceil(self.piece_len()) - start / self.piece_len() } else { 0 }
    }

    /// The part of a range in piece `number`, counted from the first piece that the range touches; empty behind the
    /// last.
    fn part(&self, number: usize, start: usize, end: usize) -> &[u8] {
        let piece_len = self.piece_len();
        let number = start / piece_len + number;
        let base = number * piece_len;
        let (from, to) = (start.max(base), end.min(base + piece_len));
        let part = self.0.get(number).filter(|_| from < to);
        part.and_then(|piece| piece.get(from - base..to - base)).unwrap_or(&[])
    }
}

/// A run of pieces and a second run that can stand in front of it. A part of both goes to a file.
pub(crate) struct PiecedBytes<T> {
    pub(crate) front: Run,
    pub(crate) body: Run,
    /// The part that goes to the file: the last `front_len` bytes of `front`, and `start..end` of `body`.
    front_len: usize,
    start: usize,
    end: usize,
    /// The owner's note on the bytes.
    pub(crate) of: T,
}

impl<T> PiecedBytes<T> {
    pub(crate) fn new(front: Run, body: Run, of: T) -> PiecedBytes<T> {
        PiecedBytes { front, body, front_len: 0, start: 0, end: 0, of }
    }

    /// Sets the part that goes to the file: the last bytes of `front`, and a range of `body`.
    pub(crate) fn set_range(&mut self, front_len: usize, start: usize, end: usize) {
        (self.front_len, self.start, self.end) = (front_len, start, end);
    }

    /// Gives all pieces back to the arena. Returns their number.
    pub(crate) fn give_back(&mut self) -> usize {
        let count = self.front.count() + self.body.count();
        (self.front, self.body) = (Run::default(), Run::default());
        count
    }
}

// SAFETY: the bytes are ranges of pieces, which stay at their place wherever `self` is moved, and are written through
// `&mut` only.
unsafe impl<T: Send + Sync> StableBytes for PiecedBytes<T> {
    fn piece(&self, number: usize) -> &[u8] {
        let end = self.front.bytes();
        let start = end - self.front_len.min(end);
        match number.checked_sub(self.front.touched(start, end)) {
            None => self.front.part(number, start, end),
            Some(number) => self.body.part(number, self.start, self.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::Arena;

    fn run(bytes: usize) -> Run {
        let arena = Arena::new(bytes, 4096).expect("an arena");
        let mut run = Run::default();
        std::iter::from_fn(|| arena.take()).for_each(|piece| run.push(piece));
        run
    }

    #[test]
    fn a_run_is_written_and_read_across_its_pieces() {
        let bytes: Vec<_> = (0..3 * 4096_u32).map(|at| (at % 251) as u8).collect();
        for (at, len) in [(0, 12_288), (4095, 2), (1, 4095), (4096, 4096), (5000, 7000), (7, 0)] {
            let mut put = run(3 * 4096);
            put.put(at, &bytes[at..at + len]);
            let mut written = run(3 * 4096);
            written.write(at, len, &mut |room| {
                assert!(room.iter().all(|byte| *byte == 0));
                room.copy_from_slice(&bytes[at..at + len]);
            });
            written.write(at, len, &mut |room| assert_eq!(room, &bytes[at..at + len]));
            for mut run in [put, written] {
                let mut found = Vec::new();
                run.each(at, len, |part| found.extend_from_slice(part));
                assert_eq!(found, bytes[at..at + len]);
                run.each(0, at, |part| assert!(part.iter().all(|byte| *byte == 0)));
            }
        }
    }

    #[test]
    fn what_goes_to_the_file_is_a_part_of_both() {
        let (mut front, mut body) = (run(2 * 4096), run(3 * 4096));
        front.put(0, &[1; 8192]);
        body.put(0, &[2; 12_288]);
        let mut all = PiecedBytes::new(front, body, ());
        let pieces = |all: &PiecedBytes<()>| {
            let bytes: &dyn StableBytes = all;
            bytes.pieces_from(0).map(|part| (part[0], part.len())).collect::<Vec<_>>()
        };
        assert!(pieces(&all).is_empty());
        all.set_range(0, 512, 8704);
        assert_eq!(pieces(&all), [(2, 3584), (2, 4096), (2, 512)]);
        all.set_range(4608, 4096, 8192);
        assert_eq!(pieces(&all), [(1, 512), (1, 4096), (2, 4096)]);
        assert_eq!(all.give_back(), 5);
        assert!(pieces(&all).is_empty());
    }
}
