//! Decompression of one frame, whole or as far as it goes.

use std::{fmt, io};

use zstd::{
    bulk::Decompressor,
    stream::raw::{Decoder, Operation},
    zstd_safe::DParameter,
};

use crate::format::seekable::MAX_CONTENT;

/// The beginning of a frame that holds its first block, whatever that is.
pub(crate) const START_STORED: usize = (128 << 10) + 64;

/// A stream is fed so much at a time: what comes out in the same call as an error is lost, at first.
const PIECE: usize = 64;
/// The last bytes of a frame, its checksum, are fed one by one: a wrong one shall cost nothing.
const CHECKSUM: usize = 4;

/// Decompresses; its memory is made when it is first needed.
#[derive(Default)]
pub(crate) struct Inflater {
    whole: Option<Decompressor<'static>>,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inflater")
    }
}

impl Inflater {
    /// Makes `content` the `len` bytes of the frame `input`. `false`: it is not such a frame. What comes
    /// before the damage is in `content` then, and zeros behind it.
    ///
    /// # Errors
    ///
    /// Only if there is no memory.
    pub(crate) fn inflate(
        &mut self,
        input: &[u8],
        len: usize,
        content: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let whole = match &mut self.whole {
            Some(whole) => whole,
            none => none.insert(Decompressor::new()?),
        };
        content.clear();
        content.reserve_exact(len);
        if whole.decompress_to_buffer(input, content).is_ok_and(|done| done == len) {
            return Ok(true);
        }
        content.clear();
        content.resize(len, 0);
        let done = self.inflate_beginning(input, content)?;
        content.get_mut(done..).unwrap_or_default().fill(0);
        Ok(false)
    }

    /// Decompresses into `content` as much as it takes, or as there is before the first error; how much
    /// that was. What is behind it may be anything.
    ///
    /// It does not depend on how much `content` takes: who has seen the beginning finds no other one later.
    pub(crate) fn inflate_beginning(
        &mut self,
        input: &[u8],
        content: &mut [u8],
    ) -> io::Result<usize> {
        let (blocks, checksum) = input.split_at(input.len().saturating_sub(CHECKSUM));
        let pieces = || blocks.chunks(PIECE).chain(checksum.chunks(1));
        let Fed { done, bad_piece } = feed(pieces(), content)?;
        let Some(bad) = bad_piece else { return Ok(done) };
        // Again, with that piece byte by byte: whole blocks may be in it before the damage.
        let bytes = pieces().skip(bad).take(1).flat_map(|piece| piece.chunks(1));
        Ok(feed(pieces().take(bad).chain(bytes), content)?.done)
    }
}

/// How far a decoder got.
struct Fed {
    /// Bytes that came out.
    done: usize,
    /// The piece in which it failed.
    bad_piece: Option<usize>,
}

/// Feeds the pieces of a frame to a new decoder, until its end, the end of the room, or an error.
fn feed<'a>(pieces: impl Iterator<Item = &'a [u8]>, content: &mut [u8]) -> io::Result<Fed> {
    let mut decoder = Decoder::new()?;
    // A header may ask for any window; none of ours needs more than a frame.
    decoder.set_parameter(DParameter::WindowLogMax(MAX_CONTENT.ilog2()))?;
    let mut done = 0;
    for (index, mut piece) in pieces.enumerate() {
        loop {
            let room = content.get_mut(done..).unwrap_or_default();
            if room.is_empty() {
                return Ok(Fed { done, bad_piece: None });
            }
            let Ok(status) = decoder.run_on_buffers(piece, room) else {
                return Ok(Fed { done, bad_piece: Some(index) });
            };
            done += status.bytes_written;
            piece = piece.get(status.bytes_read..).unwrap_or_default();
            if status.remaining == 0 {
                return Ok(Fed { done, bad_piece: None }); // the end of the frame
            }
            if piece.is_empty() && status.bytes_written == 0 {
                break;
            }
            if status.bytes_read == 0 && status.bytes_written == 0 {
                return Ok(Fed { done, bad_piece: None }); // it does not get on
            }
        }
    }
    Ok(Fed { done, bad_piece: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of four bytes, each for so many of one letter, and one of a kind that there is not.
    fn short_blocks(count: u32) -> Vec<u8> {
        // One segment, with four bytes that say how long.
        let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0xA0];
        frame.extend_from_slice(&((count + 1) * 4096).to_le_bytes());
        for _ in 0..count {
            frame.extend_from_slice(&(4096_u32 << 3 | 1 << 1).to_le_bytes()[..3]);
            frame.push(b'a');
        }
        frame.extend_from_slice(&[6; 100]);
        frame
    }

    #[test]
    fn what_is_before_the_damage_counts_to_the_block() -> io::Result<()> {
        for count in [1, 2, 30] {
            let (frame, good) = (short_blocks(count), count as usize * 4096);
            let mut inflater = Inflater::default();
            let mut content = Vec::new();
            assert!(!inflater.inflate(&frame, good + 4096, &mut content)?);
            let expected = [vec![b'a'; good], vec![0; 4096]].concat();
            assert!(content == expected, "{count}");
            for room in [1, 4095, 4096, 4097, good] {
                let mut beginning = vec![0; room.min(good)];
                let done = inflater.inflate_beginning(&frame, &mut beginning)?;
                assert!(done == beginning.len() && expected.starts_with(&beginning));
            }
        }
        Ok(())
    }
}
